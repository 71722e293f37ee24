"""Players on a grid whose cells hold one player each: who enters which cell, distinct places at the start, and the
small random numbers needed for both, from words that were drawn together."""

import jax
import jax.numpy as jnp
import numpy as np


def uniform(words: jax.Array) -> jax.Array:
    """Uniform numbers in [0, 1), float32, from random 32-bit words: multiples of 2**-24, so that a probability p is
    exact to within 2**-24 and `floor(uniform * k)` is never k."""
    return (words >> np.uint32(8)).astype(jnp.float32) * np.float32(2**-24)


def happens(words: jax.Array, probabilities: jax.Array) -> jax.Array:
    """Whether events with the given probabilities happen, bool; the shapes are equal, or scalars."""
    drawn = uniform(words).astype(probabilities.dtype)
    return drawn < jnp.broadcast_to(probabilities, drawn.shape)


def draw_below(words: jax.Array, counts: jax.Array | int) -> jax.Array:
    """Integers drawn from 0 .. counts - 1, int32 in the shape of `words`; 0 if a count is 0. They are computed from
    2**24 equally probable numbers, so that an integer's probability is exact to within 2**-24."""
    counts = jnp.broadcast_to(jnp.asarray(counts, jnp.int32), words.shape)
    return jnp.floor(uniform(words) * counts.astype(jnp.float32)).astype(jnp.int32)


def draw_distinct(words: jax.Array, count: int) -> jax.Array:
    """Distinct integers of 0 .. count - 1, with all ordered choices equally probable: int32 [k] from words [k].

    The i-th is drawn among the count - i that are left, and is then shifted past those taken before it, in ascending
    order.
    """
    drawn: list[jax.Array] = []
    taken: list[jax.Array] = []
    for number in range(words.shape[0]):
        value = draw_below(words[number], count - number)
        for other in taken:
            value = value + (value >= other).astype(jnp.int32)
        drawn.append(value)
        carried, ascending = value, []
        for other in taken:
            ascending.append(jnp.minimum(other, carried))
            carried = jnp.maximum(other, carried)
        taken = [*ascending, carried]
    return jnp.stack(drawn)


def enters(
    places: jax.Array, targets: jax.Array, standing: jax.Array, moving: jax.Array, words: jax.Array
) -> jax.Array:
    """Which of the players that move simultaneously get to the cell they want.

    A player does not enter a cell in which somebody stands before the step, even if that player leaves it, so nobody
    swaps places. Of several players who want the same free cell one enters, each with the same probability.

    Args:
        places, targets: [players, 2] int32, row and column before the step and wanted.
        standing: [players] bool, whether the player occupies its place.
        moving: [players] bool, whether the player wants to leave its place or to come onto the grid.
        words: [players] uint32, random; they break ties.

    Returns:
        [players] bool, False for players that are not `moving`.
    """
    players = places.shape[0]
    taken = _same(targets, places) & standing[None, :]
    # The low bits are the player's number, so that no two ranks are equal.
    low = np.uint32((1 << max(players - 1, 1).bit_length()) - 1)
    ranks = (words & ~low) | np.arange(players, dtype=np.uint32)
    outranked = _same(targets, targets) & moving[None, :] & (ranks[None, :] > ranks[:, None])
    others = ~np.eye(players, dtype=bool)
    return moving & ~jnp.any((taken | outranked) & others, axis=1)


def _same(left: jax.Array, right: jax.Array) -> jax.Array:
    """[players, players] bool, whether left[i] is the cell right[j]."""
    equal_row = left[:, None, 0] == right[None, :, 0]
    return equal_row & (left[:, None, 1] == right[None, :, 1])
