"""Uniform draws of cells from few random words, for environments whose speed depends on their random numbers.

A 32-bit word read in mixed radix gives several small integers at once. The relative error of a value's probability is
then at most (product of the ranges) / 2**32; `num_words` keeps that at 2**-16 or less, unless a single range is larger.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

_LARGEST_PRODUCT = 2**16
# Up to this many cells are compared one by one, which vectorises over a batch; more as arrays, which compile faster.
_AS_SCALARS = 3


def num_words(ranges: Sequence[int]) -> int:
    """How many words `split_word` needs for these ranges."""
    return len(word_outcomes(ranges))


def split_word(words: jax.Array, ranges: Sequence[int]) -> list[jax.Array]:
    """Independent uniform integers in 0 .. range - 1, int32 scalars.

    Args:
        words: [num_words(ranges)] uint32, uniform.
        ranges: how many values each integer has; they are constants, so that divisions are by constants.
    """
    used, product, rest, drawn = 0, 1, words[0], []
    for size in ranges:
        if product * size > _LARGEST_PRODUCT:
            used, product, rest = used + 1, 1, words[used + 1]
        product *= size
        drawn.append((rest % jnp.uint32(size)).astype(jnp.int32))
        rest = rest // jnp.uint32(size)
    return drawn


def word_outcomes(ranges: Sequence[int]) -> tuple[int, ...]:
    """For each word of `split_word`, how many values 0, 1, ... cover everything that it can produce."""
    found, product = [], 1
    for size in ranges:
        if product * size > _LARGEST_PRODUCT:
            found, product = [*found, product], 1
        product *= size
    return (*found, product)


def free_cell_outcomes(occupied: int, cells: int) -> int:
    """How many values 0, 1, ... of the word of `random_free_cell` give every free cell equally often, however many of
    the occupied cells coincide."""
    return math.lcm(*range(cells - occupied, cells - occupied + max(occupied, 1)))


def random_free_cell(word: jax.Array, occupied: Sequence[jax.Array], cells: int) -> jax.Array:
    """A uniform choice among the cells that are not occupied; the same cell may be listed several times.

    Args:
        word: [] uint32, uniform.
        occupied: int32 scalars in 0 .. cells - 1, fewer than `cells`.
        cells: number of cells.

    Returns:
        [] int32.
    """
    first = _first(occupied)
    repeated = len(occupied) - sum(flag.astype(jnp.int32) for flag in first)
    fewest = cells - len(occupied)
    rank = (word % jnp.uint32(fewest)).astype(jnp.int32)
    for extra in range(1, len(occupied)):
        rank = jnp.where(repeated == extra, (word % jnp.uint32(fewest + extra)).astype(jnp.int32), rank)
    return nth_free_cell(rank, occupied)


def nth_free_cell(rank: jax.Array, occupied: Sequence[jax.Array]) -> jax.Array:
    """The cell with this rank (from 0) among those that are not occupied, [] int32; a cell may be listed several times.

    An occupied cell with k different occupied cells below it has (cell - k) free ones below it, and moves the wanted
    cell up by one if these are not more than `rank`. Sorting would give the same result, but compilers that fuse a
    chain of scalars recompute each link for every use, which is exponential in all.
    """
    if not occupied:
        return rank
    first = _first(occupied)
    if len(occupied) <= _AS_SCALARS:
        pushed = rank
        for i, cell in enumerate(occupied):
            lower = [first[j] & (other < cell) for j, other in enumerate(occupied) if j != i]
            below = sum((flag.astype(jnp.int32) for flag in lower), start=jnp.int32(0))
            pushed = pushed + (first[i] & (cell - below <= rank)).astype(jnp.int32)
        return pushed
    taken, firsts = jnp.stack(occupied), jnp.stack(first)
    below = jnp.sum((taken[None, :] < taken[:, None]) & firsts[None, :], axis=1, dtype=jnp.int32)
    return rank + jnp.sum(firsts & (taken - below <= rank), dtype=jnp.int32)


def _first(occupied: Sequence[jax.Array]) -> list[jax.Array]:
    """Whether each cell has not occurred earlier in the sequence, scalars of bool."""
    found = []
    for i, cell in enumerate(occupied):
        before = jnp.asarray(True)
        for earlier in occupied[:i]:
            before = before & (cell != earlier)
        found.append(before)
    return found
