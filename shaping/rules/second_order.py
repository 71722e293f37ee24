"""LOLA of second order (Foerster et al. 2018, section 4.4): differentiates through opponents that are LOLA learners.

With d_j the direction of a first-order LOLA learner on seat j, of the same variant and lookahead rate,

    original   nabla_i V_i + eta sum_j (nabla_i d_j)^T nabla_j V_i             nabla_j V_i held fixed
    taylor     nabla_i [ V_i + eta sum_j <nabla_j V_i, d_j> ]

Everything is differentiated through d_j. The exact variant, nabla_i [ V_i(theta_i, theta_-i + eta d_-i(theta)) ], is
LOLA of order 2 in `hola`.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.objectives.objective import Objective, Thetas
from shaping.rules.first_order import FirstOrder
from shaping.rules.first_order import direction as first_order_direction
from shaping.rules.gradients import computed_once, gradients, replace


@struct.dataclass
class SecondOrder:
    """Settings.

    Attributes:
      lookahead_rate: eta, of this learner and of the learners it imagines; at least 0.
      taylor: whether the effect of the opponents' steps is differentiated too.
    """

    lookahead_rate: Any
    taylor: bool = struct.field(pytree_node=False, default=False)


def direction(
    objective: Objective, thetas: Thetas, player: int, settings: SecondOrder, key: jax.Array | None = None
) -> Any:
    """The ascent direction of the original or taylor formula, shaped as `thetas[player]`."""
    others = [j for j in range(len(thetas)) if j != player]
    eta = settings.lookahead_rate
    inner = FirstOrder(eta, 1.0 if settings.taylor else 0.0, 1.0)
    held = gradients(objective, thetas, [player], key)[player]

    def gain(theta: Any) -> jax.Array:
        now = replace(thetas, player, theta)
        effects = gradients(objective, now, [player], key)[player] if settings.taylor else held
        total = objective.of(player, now, key)
        for j in others:
            step = computed_once(first_order_direction(objective, now, j, inner, key))
            along = jax.tree.map(lambda effect, d: jnp.sum(effect * d), effects[j], step)
            total = total + jnp.where(eta == 0, 0, eta * sum(jax.tree.leaves(along)))
        return total

    return jax.grad(gain)(thetas[player])
