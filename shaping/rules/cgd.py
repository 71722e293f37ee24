"""Competitive gradient descent (Schaefer and Anandkumar 2019, for n players): the Nash equilibrium of the local
bilinear approximation of the game.

With xi and H_o of `joint_gradient`, in losses, the descent direction is (I + eta H_o)^{-1} xi. To first order in eta it
is LookAhead. The system is solved densely; its unknowns are the parameters of all players. For two players with few
parameters the other player's unknowns are eliminated by hand, which leaves only one's own:

    x_i = (I - eta^2 H_ij H_ji)^{-1} (xi_i - eta H_ij xi_j)
"""

import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from shaping.objectives.objective import Objective, Thetas
from shaping.rules.dense_solve import solve, solve_scalars
from shaping.rules.gradients import computed_once, scale
from shaping.rules.joint_gradient import block_of_scalars, dense, joint, minus, seat_of_entry
from shaping.rules.rule import Rule
from shaping.signatures import NonNegative, checked

# The elimination is unrolled for scalar parameters, up to this many per player.
_UNROLLED = 8


@struct.dataclass
class CompetitiveDescent:
    """Settings.

    Attributes:
      lookahead_rate: eta, the weight given to how the others' steps change one's own gradient; at least 0.
    """

    lookahead_rate: Any


@checked
def cgd(lookahead_rate: NonNegative = 1.0) -> Rule:
    """Competitive gradient descent; `lookahead_rate` is eta, at least 0. The paper sets it equal to the step size."""
    return Rule(CompetitiveDescent(lookahead_rate), direction)


def direction(
    objective: Objective, thetas: Thetas, player: int, settings: CompetitiveDescent, key: jax.Array | None = None
) -> Any:
    """The ascent direction -(I + eta H_o)^{-1} xi, this seat's block."""
    if len(thetas) == 2 and all(_few_scalars(theta) for theta in thetas):
        return _of_two(objective, thetas, player, settings.lookahead_rate, key)
    at = joint(objective, thetas, key)
    xi, jacobian, unflatten = dense(at)
    seats = np.array(seat_of_entry(at.xi))
    off_diagonal = jnp.where(seats[:, None] != seats[None, :], jacobian, 0)
    system = jnp.eye(xi.size, dtype=xi.dtype) + scale(settings.lookahead_rate, off_diagonal)
    return minus(unflatten(solve(system, xi))[player])


def _few_scalars(theta: Any) -> bool:
    leaves = jax.tree.leaves(theta)
    return 0 < len(leaves) <= _UNROLLED and all(jnp.ndim(leaf) == 0 for leaf in leaves)


def _of_two(objective: Objective, thetas: Thetas, player: int, eta: Any, key: jax.Array | None) -> Any:
    """The same for two players whose parameters are scalars."""
    xi, rise = block_of_scalars(objective, thetas, player, 1 - player, key)
    others_xi, others_rise = block_of_scalars(objective, thetas, 1 - player, player, key)
    xi, others_xi, to, back = computed_once((xi, others_xi, scale(eta, rise), scale(eta, others_rise)))
    system = [[_dot(row, column) for column in zip(*back, strict=True)] for row in to]
    system = [[float(i == j) - entry for j, entry in enumerate(row)] for i, row in enumerate(system)]
    right = [x - _dot(row, others_xi) for x, row in zip(xi, to, strict=True)]
    x = solve_scalars(*computed_once((system, right)))
    return minus(jax.tree.unflatten(jax.tree.structure(thetas[player]), x))


def _dot(x: Sequence[Any], y: Sequence[Any]) -> jax.Array:
    return reduce(operator.add, [a * b for a, b in zip(x, y, strict=True)])


RULES = {"cgd": cgd}
