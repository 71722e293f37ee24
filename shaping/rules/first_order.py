"""The rules that expand the return after the opponents' naive step to first order, one formula with coefficients as
data.

    g_i = nabla_i V_i + eta sum_{j != i} ( m (nabla_i nabla_j V_i) nabla_j V_j  +  s (nabla_i nabla_j V_j) nabla_j V_i )

The term with m is how the opponents' steps change one's own gradient (the middle term), the one with s is how one's own
parameters change the opponents' steps (the shaping term). (m, s) = (0, 0) is naive learning, (1, 0) LookAhead (Zhang
and Lesser 2010), (0, 1) LOLA as published (Foerster et al. 2018, eq. 4.4: the opponent's effect on V_i is held
fixed), (1, 1) the full first-order expansion (LOLA in Letcher et al. 2019). Because m and s are data, one compiled
program can hold all of them side by side.
"""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.objectives.objective import Objective, Thetas
from shaping.rules.rule import Rule
from shaping.rules.seats import add, batched, gradients, replace, scale
from shaping.schema import NonNegative, Range


@struct.dataclass
class FirstOrder:
    """Settings of the family.

    Attributes:
      lookahead_rate: eta, the step each opponent is imagined to take along its own gradient; at least 0.
      middle: m, weight of the LookAhead term.
      shaping: s, weight of the shaping term.
    """

    lookahead_rate: Any
    middle: Any
    shaping: Any


def first_order(
    lookahead_rate: NonNegative = 1.0,
    middle: Annotated[float, Range()] = 1.0,
    shaping: Annotated[float, Range()] = 1.0,
) -> Rule:
    """The family itself, with both coefficients free: sweep them to mix learners in one program."""
    return Rule(FirstOrder(lookahead_rate, middle, shaping), direction)


def lookahead(lookahead_rate: NonNegative = 1.0) -> Rule:
    """LookAhead: (m, s) = (1, 0), anticipating the opponents' steps without shaping them."""
    return first_order(lookahead_rate, 1.0, 0.0)


def direction(
    objective: Objective, thetas: Thetas, player: int, settings: FirstOrder, key: jax.Array | None = None
) -> Any:
    """The ascent direction g_i of the formula above, shaped as `thetas[player]`.

    Second derivatives enter as products with vectors only: derivatives of nabla_i V along the opponents' gradients.
    """
    everyone = range(len(thetas))
    others = [j for j in everyone if j != player]
    eta, m, s = settings.lookahead_rate, settings.middle, settings.shaping
    at = gradients(objective, thetas, everyone, key)
    still = [jax.tree.map(jnp.zeros_like, theta) for theta in thetas]

    def own_gradients(current: Thetas) -> list[Any]:
        """nabla_i V_k for every player k."""
        found = gradients(objective, current, everyone, key)
        return [found[k][player] for k in everyone]

    own, along = jax.linearize(own_gradients, list(thetas))
    steps = [still[j] if j == player else at[j][j] for j in everyone]
    effects = [replace(still, j, at[player][j]) for j in others]
    changes = batched(along, [steps, *effects])
    middle = changes[0][player]
    shaping = [change[j] for change, j in zip(changes[1:], others, strict=True)]
    return add(own[player], scale(eta * m, middle), scale(eta * s, add(*shaping)))


RULES = {"lookahead": lookahead, "first_order": first_order}
