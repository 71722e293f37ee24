"""What populations are made of, and what their types are worth, as numbers of a generation."""

from typing import Any

import jax
import jax.numpy as jnp

from shaping.objectives.game import Game


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


def rows_of(types: jax.Array, values: jax.Array, numbers: jax.Array, meets: jax.Array, kinds: int) -> dict[str, Any]:
    """value, value_sd [populations, types]; assortment [populations]."""
    mean = mean_by_type(values, types, kinds)
    square = mean_by_type((values - jax.vmap(lambda row, at: row[at])(mean, types)) ** 2, types, kinds)
    sitting = jax.vmap(lambda own, at: own.at[at].get(mode="clip"))(types, numbers)
    alike = mean_of(jnp.mean(sitting[..., 1:] == sitting[..., :1], axis=-1, dtype=values.dtype), meets)
    # By chance two of a finite population are of one type a little less often than two drawn with replacement.
    counts = _counts(types, kinds).astype(values.dtype)
    size = types.shape[1]
    chance = jnp.sum(counts * (counts - 1), axis=1) / (float(size) * max(size - 1, 1))
    assortment = jnp.where(chance < 1, (alike - chance) / jnp.where(chance < 1, 1 - chance, 1), jnp.nan)
    return {"value": mean, "value_sd": jnp.sqrt(square), "assortment": assortment}


def _counts(types: jax.Array, kinds: int) -> jax.Array:
    """[populations, types] int32."""
    return jnp.stack([jnp.sum(types == kind, axis=1, dtype=jnp.int32) for kind in range(kinds)], axis=1)


def shares_of(types: jax.Array, kinds: int) -> jax.Array:
    """Shares of types, [populations, types]."""
    return _counts(types, kinds) / types.shape[1]


def mean_of(each: jax.Array, counted: jax.Array) -> jax.Array:
    """The mean over axis 1 of what counts and is a number, [populations]; NaN of nothing."""
    known = counted & jnp.isfinite(each)
    return jnp.sum(jnp.where(known, each, 0), axis=1) / jnp.sum(known, axis=1).astype(each.dtype)


def mean_by_type(each: jax.Array, types: jax.Array, kinds: int) -> jax.Array:
    """[populations, types], means over those of a type who met somebody; NaN where there are none."""
    return jnp.stack([mean_of(each, types == kind) for kind in range(kinds)], axis=1)
