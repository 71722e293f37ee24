"""Building blocks for the metrics of several environments.

All take arrays with any leading axes. For a fraction over several streams of play, add up the counts first: a mean of
fractions would give a stream with one event the same weight as one with a thousand.
"""

from typing import Any

import jax
import jax.numpy as jnp


def fraction(part: Any, whole: Any) -> jax.Array:
    """part / whole in floats, NaN if the whole is 0."""
    above, below = jnp.asarray(part, dtype=float), jnp.asarray(whole, dtype=float)
    return jnp.where(below == 0, jnp.nan, above / jnp.where(below == 0, 1, below))


def per_player(value: Any, num_players: int) -> jax.Array:
    """A value that is the same for all players, [...], repeated for each of them, [..., players] in floats."""
    array = jnp.asarray(value, dtype=float)
    return jnp.broadcast_to(array[..., None], (*array.shape, num_players))


def equality(amounts: Any) -> jax.Array:
    """1 - Gini's index of what the players got (Perolat et al. 2017), [..., players] -> [...]: 1 if all got the same,
    1 / players if one got everything; NaN if nobody got anything, or if the sum is below 0."""
    given = jnp.asarray(amounts, dtype=float)
    differences = jnp.abs(given[..., :, None] - given[..., None, :]).sum((-2, -1))
    total = given.sum(-1)
    return 1 - fraction(differences, jnp.where(total > 0, 2 * given.shape[-1] * total, 0))
