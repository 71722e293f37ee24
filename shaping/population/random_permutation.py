"""Permutations that are computed position by position: the image of a position depends on a key and needs no list.

A Feistel network over Z_a x Z_b with a b >= n: the halves take turns in being shifted by a hash of the other, which can
be undone, so the map is a bijection. Positions mapped beyond n are mapped again until they are not (cycle walking;
Black and Rogaway 2002). As a b exceeds n by less than a, that is rarely needed. Sorting random words takes thirty times
as long for a million positions.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

_ROUNDS = 12


def permuted(key: jax.Array, places: jax.Array, count: Any, tweak: Any = 0) -> jax.Array:
    """The images of positions.

    Args:
      key: key of the permutation.
      places: [...] int32 in [0, count).
      count: [] number of positions, at least 1 and below 2**31; may be traced.
      tweak: [...] int32, broadcast against places: positions with different tweaks are permuted independently, each
        among its own `count`.

    Returns:
      [...] int32 in [0, count), all different for different positions with the same tweak.
    """
    n = jnp.asarray(count, jnp.uint32)
    a = _root(n)
    b = (n + a - 1) // a
    words = jax.random.bits(key, (_ROUNDS,), jnp.uint32)
    own = mixed(jnp.asarray(tweak, jnp.uint32))

    def once(x: jax.Array) -> jax.Array:
        left, right = x // b, x % b
        for number in range(_ROUNDS):
            if number % 2:
                right = _shifted(right, below(mixed((left ^ words[number]) + own), b), b)
            else:
                left = _shifted(left, below(mixed((right ^ words[number]) + own), a), a)
        return left * b + right

    def walk(x: jax.Array) -> jax.Array:
        return jnp.where(x < n, x, once(x))

    found = lax.while_loop(lambda x: jnp.any(x >= n), walk, once(places.astype(jnp.uint32)))
    return found.astype(jnp.int32)


def permuted_among(key: jax.Array, chosen: jax.Array, occupants: jax.Array) -> jax.Array:
    """The occupants of all places, after those of the chosen places have been permuted among themselves.

    Those who move are listed by number, so if all places are chosen the result is `permuted` of the places, no matter
    who was where before.

    Args:
      key: key of the permutation.
      chosen: [places] bool.
      occupants: [places] int32, a permutation of the places.
    """
    size = chosen.shape[0]
    rank = jnp.cumsum(chosen.astype(jnp.int32)) - 1
    count = jnp.maximum(rank[-1] + 1, 1)
    moves = jnp.zeros(size, bool).at[occupants].set(chosen)
    place = jnp.where(moves, jnp.cumsum(moves.astype(jnp.int32)) - 1, size)
    by_rank = jnp.zeros(size, jnp.int32).at[place].set(jnp.arange(size, dtype=jnp.int32), mode="drop")
    # Ranks of places that were not chosen may repeat or lie outside; their results are dropped.
    there = permuted(key, jnp.clip(rank, 0, count - 1), count)
    return jnp.where(chosen, by_rank[there], occupants)


def mixed(x: jax.Array) -> jax.Array:
    """A word with its bits mixed: a bijection of uint32 in which every bit depends on every other (the finaliser of
    MurmurHash3 with the multipliers of Wellons' `lowbias32`)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def below(word: jax.Array, count: Any) -> jax.Array:
    """A random uint32 word as a number in [0, count): floor(word count / 2**32), computed in halves, as 64-bit words
    may not be available."""
    n = jnp.asarray(count, jnp.uint32)
    low, high, n_low, n_high = word & 0xFFFF, word >> 16, n & 0xFFFF, n >> 16
    first = high * n_low + ((low * n_low) >> 16)
    second = (first & 0xFFFF) + low * n_high
    return high * n_high + (first >> 16) + (second >> 16)


def _shifted(x: jax.Array, by: jax.Array, count: jax.Array) -> jax.Array:
    """(x + by) mod count, for x and by below count."""
    total = x + by
    return jnp.where(total >= count, total - count, total)


def _root(n: jax.Array) -> jax.Array:
    """The least a with a a >= n, uint32."""
    guess = jnp.floor(jnp.sqrt(n.astype(jnp.float32))).astype(jnp.uint32)
    # At the largest n, float32 may be off by one in either direction.
    guess = jnp.where(guess > 1, guess - 1, guess)
    for _ in range(3):
        guess = jnp.where(guess * guess < n, guess + 1, guess)
    return jnp.maximum(guess, 1)
