"""The consistency loss (Willi et al. 2022, COLA): how far directions are from anticipating each other consistently.

Every player imagines that the others move along their directions d_j, and that they react to it as those directions
say:

    C(theta) = sum_i | d_i(theta) - nabla_i [ V_i(theta_i, theta_-i + eta_i d_-i(theta)) ] |^2

with the total derivative, through d_-i. Consistent directions have C = 0. The directions of LOLA of order n instead
answer those of order n - 1.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from shaping.objectives.objective import Objective, Thetas
from shaping.rules.gradients import computed_once, move, replace


def inconsistency(
    objective: Objective, thetas: Thetas, direction: Callable[[Thetas, int], Any], rates: Sequence[Any]
) -> jax.Array:
    """C at `thetas`, a scalar.

    Args:
      objective: the returns of all players.
      thetas: their parameters.
      direction: `(thetas, player) -> d_player`, differentiable in `thetas`.
      rates: eta_i, the step that player i imagines the others to take; one per player.
    """
    total = jnp.zeros(())
    for player, rate in enumerate(rates):

        def anticipated(theta: Any, player: int = player, rate: Any = rate) -> jax.Array:
            now = replace(thetas, player, theta)
            after = list(now)
            for other in range(len(now)):
                if other != player:
                    after[other] = computed_once(move(now[other], rate, direction(now, other)))
            return objective.of(player, after)

        answer = jax.grad(anticipated)(thetas[player])
        apart = jax.tree.map(lambda d, w: jnp.sum((d - w) ** 2), direction(thetas, player), answer)
        total = total + sum(jax.tree.leaves(apart))
    return total
