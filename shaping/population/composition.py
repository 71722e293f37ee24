"""What populations are made of, and what their types are worth, as numbers of a generation.

Where a device has a part of the learners, `total` turns sums over that part into sums over all of them.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from shaping.objectives.game import Game

Total = Callable[[jax.Array], jax.Array]


def measures(game: Game, params: Any) -> tuple[str, ...]:
    """What is measured in a generation of each of those who meet, besides its value.

    Args:
      game: the game they play.
      params: its numbers, leaves [populations, ...].
    """
    found: set[str] = {"cooperation"} if game.tabular else set()
    if game.sampled:
        numbers = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), params)
        thetas = [policy.shapes for policy in game.policies]
        found |= set(jax.eval_shape(lambda p, t: game.evaluate(p, t, jax.random.key(0)), numbers, thetas))
    return tuple(sorted(found - {"value"}))


def rows_of(
    types: jax.Array,
    values: jax.Array,
    numbers: jax.Array,
    meets: jax.Array,
    counts: jax.Array,
    size: int,
    total: Total,
) -> dict[str, Any]:
    """value, value_sd [populations, types]; assortment [populations].

    Args:
      types, values: [populations, learners].
      numbers: [populations, encounters, seats] int32, where those who meet stand in `types` and `values`.
      meets: [populations, encounters] bool, False for encounters that are empty.
      counts: [populations, types] int32, how many learners there are of each type.
      size: of a population.
      total: see this module.
    """
    kinds = counts.shape[1]
    mean = mean_by_type(values, types, kinds, total)
    square = mean_by_type((values - jax.vmap(lambda row, at: row[at])(mean, types)) ** 2, types, kinds, total)
    sitting = jax.vmap(lambda own, at: own.at[at].get(mode="clip"))(types, numbers)
    alike = mean_of(jnp.mean(sitting[..., 1:] == sitting[..., :1], axis=-1, dtype=values.dtype), meets, total)
    # By chance two of a finite population are of one type a little less often than two drawn with replacement.
    counts = counts.astype(values.dtype)
    chance = jnp.sum(counts * (counts - 1), axis=1) / (float(size) * max(size - 1, 1))
    assortment = jnp.where(chance < 1, (alike - chance) / jnp.where(chance < 1, 1 - chance, 1), jnp.nan)
    return {"value": mean, "value_sd": jnp.sqrt(square), "assortment": assortment}


def counts_of(types: jax.Array, kinds: int, total: Total) -> jax.Array:
    """How many learners there are of each type, [populations, types] int32."""
    return total(jnp.stack([jnp.sum(types == kind, axis=1, dtype=jnp.int32) for kind in range(kinds)], axis=1))


def mean_of(each: jax.Array, counted: jax.Array, total: Total) -> jax.Array:
    """The mean over axis 1 of the values that are counted and finite, [populations]; NaN if there are none."""
    known = counted & jnp.isfinite(each)
    return total(jnp.sum(jnp.where(known, each, 0), axis=1)) / total(jnp.sum(known, axis=1)).astype(each.dtype)


def mean_by_type(each: jax.Array, types: jax.Array, kinds: int, total: Total) -> jax.Array:
    """[populations, types], means over those of a type who met somebody; NaN where there are none."""
    return jnp.stack([mean_of(each, types == kind, total) for kind in range(kinds)], axis=1)
