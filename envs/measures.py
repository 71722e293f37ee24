"""What metrics of several environments are made of.

All take arrays with any leading axes. Where a fraction over several streams of play is wanted, add the counts up first:
a mean of fractions weighs a stream with one event like one with a thousand.
"""

from typing import Any

import jax
import jax.numpy as jnp


def fraction(part: Any, whole: Any) -> jax.Array:
    """part / whole in floats, NaN where the whole is 0."""
    above, below = jnp.asarray(part, dtype=float), jnp.asarray(whole, dtype=float)
    return jnp.where(below == 0, jnp.nan, above / jnp.where(below == 0, 1, below))


def per_player(value: Any, num_players: int) -> jax.Array:
    """What is one for all players, [...], once for each of them, [..., players] in floats."""
    array = jnp.asarray(value, dtype=float)
    return jnp.broadcast_to(array[..., None], (*array.shape, num_players))


def equality(amounts: Any) -> jax.Array:
    """1 - Gini's index of what the players got (Perolat et al. 2017), [..., players] -> [...]: 1 where all got the
    same, 1 / players where one got everything; NaN where nobody got anything, or the sum is below 0."""
    given = jnp.asarray(amounts, dtype=float)
    differences = jnp.abs(given[..., :, None] - given[..., None, :]).sum((-2, -1))
    total = given.sum(-1)
    return 1 - fraction(differences, jnp.where(total > 0, 2 * given.shape[-1] * total, 0))
