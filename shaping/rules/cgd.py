"""Competitive gradient descent (Schaefer and Anandkumar 2019, for n players): the Nash equilibrium of the local
bilinear approximation of the game.

With xi and H_o of `joint`, in losses, the descent direction is (I + eta H_o)^{-1} xi. To first order in eta it is
LookAhead. The system is solved densely; it has as many unknowns as all players have parameters.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.objectives.objective import Objective, Thetas
from shaping.rules.dense_solve import solve
from shaping.rules.joint import dense, joint, minus, seat_of_entry
from shaping.rules.rule import Rule
from shaping.rules.seats import scale
from shaping.schema import NonNegative


def cgd(lookahead_rate: NonNegative = 1.0) -> Rule:
    """Competitive gradient descent; `lookahead_rate` is eta, at least 0, in the paper the same as the step size."""
    return Rule(lookahead_rate, direction)


def direction(objective: Objective, thetas: Thetas, player: int, settings: Any, key: jax.Array | None = None) -> Any:
    """The ascent direction -(I + eta H_o)^{-1} xi, this seat's block; `settings` is eta."""
    at = joint(objective, thetas, key)
    xi, jacobian, unflatten = dense(at)
    seats = np.array(seat_of_entry(at.xi))
    off_diagonal = jnp.where(seats[:, None] != seats[None, :], jacobian, 0)
    system = jnp.eye(xi.size, dtype=xi.dtype) + scale(settings, off_diagonal)
    return minus(unflatten(solve(system, xi))[player])


RULES = {"cgd": cgd}
