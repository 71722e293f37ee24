"""Rules that expand the return to first order in the opponents' naive steps: one formula whose coefficients are data.

    g_i = nabla_i V_i + eta sum_{j != i} ( m (nabla_i nabla_j V_i) nabla_j V_j  +  s (nabla_i nabla_j V_j) nabla_j V_i )

The term with m is how the opponents' steps change one's own gradient (the middle term); the term with s is how one's
own parameters change the opponents' steps (the shaping term). (m, s) = (0, 0) is naive learning, (1, 0) LookAhead
(Zhang and Lesser 2010), (0, 1) LOLA as published (Foerster et al. 2018, eq. 4.4, which holds the opponent's effect on
V_i fixed), and (1, 1) the full first-order expansion (LOLA in Letcher et al. 2019). Because m and s are data, one
compiled program can run all of them together.
"""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.objectives.objective import Objective, Thetas
from shaping.rules.gradients import add, batched, gradient, gradients, replace, scale
from shaping.rules.rule import Rule
from shaping.signatures import NonNegative, Range, checked


@struct.dataclass
class FirstOrder:
    """Settings of the family of rules.

    Attributes:
      lookahead_rate: eta, the step that each opponent is imagined to take along its own gradient; at least 0.
      middle: m, weight of the LookAhead term.
      shaping: s, weight of the shaping term.
    """

    lookahead_rate: Any
    middle: Any
    shaping: Any


@checked
def first_order(
    lookahead_rate: NonNegative = 1.0,
    middle: Annotated[float, Range()] = 1.0,
    shaping: Annotated[float, Range()] = 1.0,
) -> Rule:
    """The whole family, with both coefficients free: sweep them to mix learners in one program."""
    return Rule(FirstOrder(lookahead_rate, middle, shaping), direction, shaping=shaping_term)


@checked
def lookahead(lookahead_rate: NonNegative = 1.0) -> Rule:
    """LookAhead: (m, s) = (1, 0), anticipating the opponents' steps without shaping them."""
    return first_order(lookahead_rate, 1.0, 0.0)


def direction(
    objective: Objective, thetas: Thetas, player: int, settings: FirstOrder, key: jax.Array | None = None
) -> Any:
    """The ascent direction g_i of the formula above, shaped as `thetas[player]`.

    Second derivatives enter only as products with vectors: gradients with respect to theta_i of the derivatives of the
    returns along the opponents' gradients, which are held fixed.
    """
    everyone = range(len(thetas))
    others = [j for j in everyone if j != player]
    eta, m, s = settings.lookahead_rate, settings.middle, settings.shaping
    at = gradients(objective, thetas, everyone, key)
    still = [jax.tree.map(jnp.zeros_like, theta) for theta in thetas]

    steps = [still[j] if j == player else at[j][j] for j in everyone]
    effects = [replace(still, j, at[player][j]) for j in others]

    def changes(theta: Any) -> jax.Array:
        """m times the change of V_i along the opponents' steps, plus s times the sum over j of the change of V_j along
        the effect of theta_j on V_i."""
        _, along = jax.linearize(lambda ts: objective(ts, key)[0], replace(thetas, player, theta))
        by_steps, *by_effects = batched(along, [steps, *effects])
        return m * by_steps[player] + s * sum(found[j] for j, found in zip(others, by_effects, strict=True))

    rate = jnp.where((m == 0) & (s == 0), 0, eta)
    return add(at[player][player], scale(rate, jax.grad(changes)(thetas[player])))


def shaping_term(
    objective: Objective, thetas: Thetas, player: int, settings: FirstOrder, key: jax.Array | None = None
) -> Any:
    """The term of `direction` with s."""
    alone = FirstOrder(settings.lookahead_rate, jnp.zeros_like(jnp.asarray(settings.middle, float)), settings.shaping)
    own = gradient(objective, thetas, player, player, key)
    return jax.tree.map(jnp.subtract, direction(objective, thetas, player, alone, key), own)


RULES = {"lookahead": lookahead, "first_order": first_order}
