"""Players on a grid whose cells hold one player each: who enters where, distinct places at the start, and the small
random numbers both need, out of words that were drawn together."""

import jax
import jax.numpy as jnp
import numpy as np


def uniform(words: jax.Array) -> jax.Array:
    """Uniform numbers in [0, 1), float32, from random 32-bit words: multiples of 2**-24, so that a probability p is met
    to within 2**-24 and `floor(uniform * k)` is never k."""
    return (words >> np.uint32(8)).astype(jnp.float32) * np.float32(2**-24)


def happens(words: jax.Array, probabilities: jax.Array) -> jax.Array:
    """Whether events of the given probabilities happen, bool; shapes as they are or scalars."""
    drawn = uniform(words).astype(probabilities.dtype)
    return drawn < jnp.broadcast_to(probabilities, drawn.shape)


def draw_below(words: jax.Array, counts: jax.Array | int) -> jax.Array:
    """Integers drawn from 0 .. counts - 1, int32 in the shape of `words`; 0 where a count is 0. Of 2**24 equally
    probable numbers, so an integer's probability is met to within 2**-24."""
    counts = jnp.broadcast_to(jnp.asarray(counts, jnp.int32), words.shape)
    return jnp.floor(uniform(words) * counts.astype(jnp.float32)).astype(jnp.int32)


def draw_distinct(words: jax.Array, count: int) -> jax.Array:
    """Distinct integers of 0 .. count - 1, each ordered choice as probable as any other: int32 [k] from words [k].

    The i-th is drawn among the count - i that are left, and moved past those taken before it, in ascending order.
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
    """Who gets to the cell it wants, of players that move at once.

    A player stays out of a cell on which somebody stands before the step, also where that one leaves it: nobody swaps
    places. Of several who want the same free cell one enters, each with the same probability.

    Args:
        places, targets: [players, 2] int32, row and column before the step and wanted.
        standing: [players] bool, who occupies its place.
        moving: [players] bool, who wants to leave its place or to come on the grid.
        words: [players] uint32, random; they decide between equals.

    Returns:
        [players] bool, False where not `moving`.
    """
    players = places.shape[0]
    taken = _same(targets, places) & standing[None, :]
    # The low bits name the player, so that no two ranks are equal: an order without ties.
    low = np.uint32((1 << max(players - 1, 1).bit_length()) - 1)
    ranks = (words & ~low) | np.arange(players, dtype=np.uint32)
    outranked = _same(targets, targets) & moving[None, :] & (ranks[None, :] > ranks[:, None])
    others = ~np.eye(players, dtype=bool)
    return moving & ~jnp.any((taken | outranked) & others, axis=1)


def _same(left: jax.Array, right: jax.Array) -> jax.Array:
    """[players, players] bool, whether left[i] is the cell right[j]."""
    equal_row = left[:, None, 0] == right[None, :, 0]
    return equal_row & (left[:, None, 1] == right[None, :, 1])
