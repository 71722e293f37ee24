"""Higher-order LOLA (Willi et al. 2022, COLA, section 4): learners that differentiate through learners that
differentiate through learners.

    h_i^0     = nabla_i V_i(theta)
    h_i^{n+1} = nabla_i [ V_i(theta_i, theta_-i + eta h_-i^n(theta)) ]

with the total derivative, through h_-i^n. h^0 is naive learning, h^1 is LOLA's exact variant with one lookahead. If the
sequence converges, its limit (iLOLA) is consistent: every player anticipates what the others do.

Each order nests one more derivative, which multiplies the size and the cost of the program.
"""

from typing import Annotated, Any

import jax
from flax import struct

from shaping.objectives.objective import Objective, Thetas
from shaping.rules.gradients import computed_once, gradients, move, replace
from shaping.rules.rule import Rule
from shaping.signatures import NonNegative, Range, checked


@struct.dataclass
class HigherOrderLola:
    """Settings.

    Attributes:
      lookahead_rate: eta, the step that each opponent is imagined to take along its own direction of the order below;
        at least 0.
      order: n of h^n; 1 to 10.
    """

    lookahead_rate: Any
    order: int = struct.field(pytree_node=False, default=1)


@checked
def hola(lookahead_rate: NonNegative = 1.0, order: Annotated[int, Range(1, 10)] = 1) -> Rule:
    """LOLA of any order; order 1 is the exact variant of `lola` with one lookahead.

    Raises:
      ValueError: if `order` is below 1 or above 10.
    """
    return Rule(HigherOrderLola(lookahead_rate, order), direction)


def direction(
    objective: Objective, thetas: Thetas, player: int, settings: HigherOrderLola, key: jax.Array | None = None
) -> Any:
    """The ascent direction h_i^order, shaped like `thetas[player]`.

    A sampled objective draws a fresh batch at each order.
    """

    def directions(order: int, current: Thetas, players: list[int]) -> dict[int, Any]:
        """h_i^order for each of `players`."""
        own_key = None if key is None else jax.random.fold_in(key, order)
        if order == 0:
            found = gradients(objective, current, players, own_key)
            return {i: found[i][i] for i in players}

        def shaped_return(theta: Any, i: int) -> jax.Array:
            now = replace(current, i, theta)
            after = list(now)
            for j, step in directions(order - 1, now, [j for j in range(len(now)) if j != i]).items():
                after[j] = computed_once(move(now[j], settings.lookahead_rate, step))
            return objective.of(i, after, own_key)

        return {i: jax.grad(shaped_return)(current[i], i) for i in players}

    return directions(settings.order, thetas, [player])[player]


RULES = {"hola": hola}
