"""Symplectic gradient adjustment (Balduzzi et al. 2018, section 3 and its alignment criterion).

With xi and H of `joint_gradient`, in losses, and A = (H - H^T) / 2 the rotating part of the game, the descent direction
is xi + lambda A^T xi, where

    lambda = sign( <xi, H^T xi> <A^T xi, H^T xi> / d + epsilon )

turns the adjustment towards stable and away from unstable fixed points (H^T xi is the gradient of |xi|^2 / 2). d is the
number of parameters of all seats; a positive epsilon favours adjusting where the criterion is undecided.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.objectives.objective import Objective, Thetas
from shaping.rules.gradients import add
from shaping.rules.joint_gradient import inner, joint, length, minus
from shaping.rules.rule import Rule
from shaping.signatures import NonNegative, checked


@struct.dataclass
class SymplecticAdjustment:
    """Settings.

    Attributes:
      epsilon: added to the alignment before its sign is taken; at least 0.
    """

    epsilon: Any


@checked
def sga(epsilon: NonNegative = 0.1) -> Rule:
    """Symplectic gradient adjustment with sign alignment; `epsilon`, at least 0, biases the sign to +1."""
    return Rule(SymplecticAdjustment(epsilon), direction)


def direction(
    objective: Objective, thetas: Thetas, player: int, settings: SymplecticAdjustment, key: jax.Array | None = None
) -> Any:
    """The ascent direction -(xi + lambda A^T xi), this seat's block."""
    at = joint(objective, thetas, key)
    pull = at.transposed_times(at.xi)
    rotation = jax.tree.map(lambda t, h: (t - h) / 2, pull, at.times(at.xi))
    alignment = inner(at.xi, pull) * inner(rotation, pull) / length(at.xi)
    # lambda is never 0: at exactly -epsilon the adjustment is applied.
    positive = alignment + settings.epsilon >= 0
    return minus(add(at.xi[player], jax.tree.map(lambda r: jnp.where(positive, r, -r), rotation[player])))


RULES = {"sga": sga}
