"""Local symplectic surgery (Mazumdar et al. 2019): a direction whose only stable points are local Nash equilibria.

With xi and H of `joint_gradient`, in losses, the descent direction is (I + H^T H^{-1}) xi / 2, without the paper's
regularisation. Where H is singular the direction does not exist: it is infinite or NaN, and a match that reaches such a
point has diverged. The system is solved densely; its unknowns are the parameters of all players.
"""

from typing import Any

import jax

from shaping.objectives.objective import Objective, Thetas
from shaping.rules.dense_solve import solve
from shaping.rules.joint_gradient import dense, joint
from shaping.rules.rule import NoSettings, Rule


def lss() -> Rule:
    """Local symplectic surgery; it has no settings."""
    return Rule(NoSettings(), direction)


def direction(
    objective: Objective, thetas: Thetas, player: int, settings: NoSettings, key: jax.Array | None = None
) -> Any:
    """The ascent direction -(I + H^T H^{-1}) xi / 2, this seat's block."""
    del settings
    at = joint(objective, thetas, key)
    xi, jacobian, unflatten = dense(at)
    turned = at.transposed_times(unflatten(solve(jacobian, xi)))[player]
    return jax.tree.map(lambda x, t: -(x + t) / 2, at.xi[player], turned)


RULES = {"lss": lss}
