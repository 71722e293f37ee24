"""Permutations that are computed place by place: where a place goes depends on a key and needs no list of the others.

A Feistel network over Z_a x Z_b with a b >= n: halves take turns in being shifted by a hash of the other, which can be
undone and therefore is a bijection. What lands beyond n is sent on until it does not (cycle walking; Black and Rogaway
2002). As a b exceeds n by less than a, hardly anything has to walk. A sort of random words takes thirty times as long
at a million places.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

_ROUNDS = 12


def permuted(key: jax.Array, places: jax.Array, count: Any, tweak: Any = 0) -> jax.Array:
    """Where places go.

    Args:
      key: of the permutation.
      places: [...] int32 in [0, count).
      count: [] how many places there are, at least 1 and below 2**31; may be traced.
      tweak: [...] int32, broadcast against places: places of different tweaks are permuted independently, each among
        `count` of their own.

    Returns:
      [...] int32 in [0, count), all different for different places of one tweak.
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
    """Occupants of places, those of the chosen places permuted among them.

    Args:
      key: of the permutation.
      chosen: [places] bool.
      occupants: [places] int32.
    """
    size = chosen.shape[0]
    rank = jnp.cumsum(chosen.astype(jnp.int32)) - 1
    count = jnp.maximum(rank[-1] + 1, 1)
    by_rank = jnp.zeros(size, jnp.int32).at[jnp.where(chosen, rank, size)].set(occupants, mode="drop")
    # Ranks of places that were not chosen may repeat or lie outside; what becomes of them is dropped.
    there = permuted(key, jnp.clip(rank, 0, count - 1), count)
    return jnp.where(chosen, by_rank[there], occupants)


def mixed(x: jax.Array) -> jax.Array:
    """A word with its bits mixed: a bijection of uint32 in which every bit depends on every other (the finaliser of
    MurmurHash3 with the multipliers of Wellons' `lowbias32`)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def below(word: jax.Array, count: Any) -> jax.Array:
    """A random word, uint32, as a number in [0, count): floor(word count / 2**32), in halves, as there may be no words
    of 64 bits."""
    n = jnp.asarray(count, jnp.uint32)
    low, high, n_low, n_high = word & 0xFFFF, word >> 16, n & 0xFFFF, n >> 16
    first = high * n_low + ((low * n_low) >> 16)
    second = (first & 0xFFFF) + low * n_high
    return high * n_high + (first >> 16) + (second >> 16)


def _shifted(x: jax.Array, by: jax.Array, count: jax.Array) -> jax.Array:
    """(x + by) mod count for numbers below it."""
    total = x + by
    return jnp.where(total >= count, total - count, total)


def _root(n: jax.Array) -> jax.Array:
    """The least a with a a >= n, uint32."""
    guess = jnp.floor(jnp.sqrt(n.astype(jnp.float32))).astype(jnp.uint32)
    # float32 may be off by one either way at the largest n.
    guess = jnp.where(guess > 1, guess - 1, guess)
    for _ in range(3):
        guess = jnp.where(guess * guess < n, guess + 1, guess)
    return jnp.maximum(guess, 1)
