"""Stable opponent shaping (Letcher et al. 2019, Algorithm 1): LookAhead plus as much of LOLA's shaping as is safe.

With xi, H_o of `joint_gradient` and eta the lookahead rate, in losses,

    xi_0  = (I - eta H_o) xi                                       LookAhead
    chi_i = sum_{j != i} (nabla_i nabla_j L_j)^T nabla_j L_i       shaping
    descent: xi_0 - p eta chi

    p_1 = 1                                      where <-eta chi, xi_0> >= 0
          min(1, -a |xi_0|^2 / <-eta chi, xi_0>)  elsewhere: keeps the angle with LookAhead acute
              p_2 = |xi|^2 where |xi| < b, else 1           shaping fades near a fixed point of the game
    p   = min(p_1, p_2)

p is one number for the whole game, from norms and inner products over the parameters of all seats. p = 0 is LookAhead,
p = 1 is LOLA's full first-order expansion.

Three coefficients extend the formula to the whole first-order family, so that one compiled program can mix stable
opponent shaping with naive learning, LookAhead and both first-order LOLAs:

    xi_0 = (I - m eta H_o) xi,    descent: xi_0 - (1 - q + q p) s eta chi

SOS has (m, s, q) = (1, 1, 1); q = 0 is `first_order` with its (m, s).
"""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.objectives.objective import Objective, Thetas
from shaping.rules.gradients import add, batched, gradients, replace, scale
from shaping.rules.joint_gradient import Joint, JointVector, inner, joint, minus, off_diagonal_times, zeros
from shaping.rules.rule import Rule
from shaping.signatures import NonNegative, Probability, Range, checked


@struct.dataclass
class StableOpponentShaping:
    """Settings.

    Attributes:
      lookahead_rate: eta, the step that the others are imagined to take; at least 0.
      a: share of |xi_0|^2 that the shaping term may take away from the descent along xi_0; between 0 and 1.
      b: norm of the joint gradient below which shaping fades; between 0 and 1.
      middle: m, weight of the LookAhead term.
      shaping: s, weight of the shaping term.
      stability: q, how much p restrains the shaping term, from 0 to 1.
    """

    lookahead_rate: Any
    a: Any
    b: Any
    middle: Any = 1.0
    shaping: Any = 1.0
    stability: Any = 1.0


@checked
def sos(
    lookahead_rate: NonNegative = 1.0,
    a: Annotated[float, Range(0, 1)] = 0.5,
    b: Annotated[float, Range(0, 1)] = 0.1,
    middle: Annotated[float, Range()] = 1.0,
    shaping: Annotated[float, Range()] = 1.0,
    stability: Probability = 1.0,
) -> Rule:
    """Stable opponent shaping, computed as if every seat ran it with these settings.

    The coefficients `middle`, `shaping` and `stability` turn it into any rule of the first-order family; their defaults
    are SOS.
    """
    return Rule(StableOpponentShaping(lookahead_rate, a, b, middle, shaping, stability), direction)


def direction(
    objective: Objective,
    thetas: Thetas,
    player: int,
    settings: StableOpponentShaping,
    key: jax.Array | None = None,
) -> Any:
    """The ascent direction -(xi_0 - (1 - q + q p) s eta chi), this seat's block, shaped as `thetas[player]`."""
    at = joint(objective, thetas, key)
    eta = settings.lookahead_rate
    ahead = add(at.xi, minus(scale(settings.middle * eta, off_diagonal_times(at, at.xi))))
    push = minus(scale(settings.shaping * eta, shaping_term(objective, thetas, at, key)))
    p = shaping_share(at.xi, ahead, push, settings.a, settings.b)
    share = 1 - settings.stability + settings.stability * p
    return minus(add(ahead[player], scale(share, push[player])))


def shaping_term(objective: Objective, thetas: Thetas, at: Joint, key: jax.Array | None = None) -> JointVector:
    """chi of all seats: block i of H^T times the others' blocks of the gradient of L_i, one product per seat."""
    everyone = range(len(thetas))
    found = gradients(objective, thetas, everyone, key)
    effects = [minus(replace(found[i], i, zeros(found[i][i]))) for i in everyone]
    pulled = batched(at.transposed_times, effects)
    return [pulled[i][i] for i in everyone]


def shaping_share(xi: JointVector, ahead: JointVector, push: JointVector, a: Any, b: Any) -> jax.Array:
    """p in [0, 1], as in the module's formula; `ahead` is xi_0, `push` is -eta chi."""
    along = inner(push, ahead)
    against = along < 0
    # The quotient is evaluated even where it is not used; there it divides by -1 instead of by zero.
    p_angle = jnp.where(against, jnp.minimum(1, -a * inner(ahead, ahead) / jnp.where(against, along, -1)), 1)
    squared = inner(xi, xi)
    # |xi| < b is tested with square roots: in float32 the square of a small b would underflow.
    p_near = jnp.where(jnp.sqrt(squared) < b, squared, 1)
    return jnp.minimum(p_angle, p_near)


RULES = {"sos": sos}
