"""LOLA, learning with opponent-learning awareness, in the three variants known by that name.

- `original` (Foerster et al. 2018): first-order expansion; the opponent's effect on one's own return is held fixed.
- `taylor` (Letcher et al. 2019): the full first-order expansion.
- `exact` (LOLA-DiCE, Foerster et al. 2018b; "actual update" in POLA): differentiates the return after the opponents'
  actual steps; there may be more than one step.

With many steps ahead, LOLA extorts naive learners and defects against its like. A share `naive_weight` of the naive
gradient, 1 - naive_weight of LOLA's direction, repairs that (Meulemans et al. 2025, section 4.3).
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from shaping.objectives.objective import Objective, Thetas
from shaping.rules.first_order import first_order
from shaping.rules.gradients import add, gradient, opponents_step, replace, scale
from shaping.rules.hola import hola
from shaping.rules.rule import Rule
from shaping.rules.second_order import SecondOrder
from shaping.rules.second_order import direction as second_order_direction
from shaping.signatures import NonNegative, Probability, Range, checked


@struct.dataclass
class ExactLola:
    """Settings of the exact variant.

    Attributes:
      lookahead_rate: eta, the step that each opponent is imagined to take along its own gradient; at least 0.
      lookaheads: how many such steps to differentiate through; at least 1.
      naive_weight: the share of the naive gradient in the direction, in [0, 1]; None for none.
    """

    lookahead_rate: Any
    naive_weight: Any = None
    lookaheads: int = struct.field(pytree_node=False, default=1)


@checked
def lola(
    variant: Literal["original", "taylor", "exact"] = "original",
    lookahead_rate: NonNegative = 1.0,
    lookaheads: Annotated[int, Range(1, 10_000)] = 1,
    opponents: Literal["naive", "lola"] = "naive",
    naive_weight: Probability | None = None,
) -> Rule:
    """LOLA in one of its variants; only the exact variant can have several lookaheads.

    Args:
      variant: see above.
      lookahead_rate: eta, at least 0.
      lookaheads: how many steps of the opponents to differentiate through.
      opponents: how the opponents are imagined to learn: naively, or by LOLA of the same variant and rate
        (`second_order`).
      naive_weight: the share of the naive gradient in the direction, in [0, 1]; None for none. Only of the exact
        variant: in the others it is the same as a smaller `lookahead_rate`.

    Raises:
      ValueError: if the variant or the opponents are unknown, or if `lookaheads` is above 1 although the variant is not
        exact or the opponents are not naive, and likewise if a `naive_weight` is given.
    """
    if variant not in ("original", "taylor", "exact"):
        raise ValueError(f"variant is {variant!r}: must be original, taylor or exact")
    if opponents not in ("naive", "lola"):
        raise ValueError(f"opponents is {opponents!r}: must be naive or lola")
    if naive_weight is not None and (variant, opponents) != ("exact", "naive"):
        raise ValueError(
            f"naive_weight is {naive_weight}: must be left out unless variant is exact and opponents is naive (variant "
            f"is {variant}, opponents is {opponents})"
        )
    if opponents == "lola":
        if lookaheads != 1:
            raise ValueError(f"lookaheads is {lookaheads}: must be 1 where opponents is lola")
        if variant == "exact":
            return hola(lookahead_rate, 2)
        return Rule(SecondOrder(lookahead_rate, variant == "taylor"), second_order_direction)
    if variant == "exact":
        return Rule(
            ExactLola(lookahead_rate, naive_weight, lookaheads),
            exact_direction,
            shaping=exact_shaping,
            lookaheads=lookaheads,
        )
    if lookaheads != 1:
        raise ValueError(f"lookaheads is {lookaheads}: must be 1 unless variant is exact (variant is {variant})")
    return first_order(lookahead_rate, middle=1.0 if variant == "taylor" else 0.0, shaping=1.0)


def exact_direction(
    objective: Objective, thetas: Thetas, player: int, settings: ExactLola, key: jax.Array | None = None
) -> Any:
    """nabla_i V_i(theta_i, theta_-i^K), where theta_j^{k+1} = theta_j^k + eta nabla_j V_j(theta_i, theta_-i^k).

    All opponents step at once from the same parameters, and the derivative passes through every step. A sampled
    objective draws a fresh batch at each step.

    With a naive weight w, (1 - w) times that, plus w nabla_i V_i(theta).
    """
    shaped_return = _shaped_return(objective, thetas, player, settings, key)
    found = jax.grad(lambda theta: shaped_return(theta, theta))(thetas[player])
    if settings.naive_weight is None:
        return found
    own = None if key is None else jax.random.fold_in(key, settings.lookaheads + 1)
    naive = gradient(objective, thetas, player, player, own)
    return add(scale(1 - settings.naive_weight, found), scale(settings.naive_weight, naive))


def exact_shaping(
    objective: Objective, thetas: Thetas, player: int, settings: ExactLola, key: jax.Array | None = None
) -> Any:
    """The part of `exact_direction` that comes from the opponents' steps."""
    found = jax.grad(_shaped_return(objective, thetas, player, settings, key), 1)(thetas[player], thetas[player])
    return found if settings.naive_weight is None else scale(1 - settings.naive_weight, found)


def _shaped_return(
    objective: Objective, thetas: Thetas, player: int, settings: ExactLola, key: jax.Array | None
) -> Callable[[Any, Any], jax.Array]:
    """(own theta in play, own theta that the opponents' steps respond to) -> V_i."""

    def inner_key(step: Any) -> jax.Array | None:
        return None if key is None else jax.random.fold_in(key, step)

    def shaped_return(own: Any, theta: Any) -> jax.Array:
        def opponents_move(current: list[Any], step: Any) -> tuple[list[Any], None]:
            return opponents_step(objective, current, player, settings.lookahead_rate, inner_key(step)), None

        final = replace(thetas, player, theta)
        if objective.rematerialise:
            # In a scan: if the steps were written out, all of them would be recomputed at the same time.
            move_on = jax.checkpoint(opponents_move, prevent_cse=False)
            final, _ = lax.scan(move_on, final, jnp.arange(settings.lookaheads))
        elif settings.lookaheads <= 3:
            for step in range(settings.lookaheads):
                final, _ = opponents_move(final, step)
        else:
            final, _ = lax.scan(opponents_move, final, jnp.arange(settings.lookaheads))
        return objective.of(player, replace(final, player, own), inner_key(settings.lookaheads))

    return shaped_return


RULES = {"lola": lola}
