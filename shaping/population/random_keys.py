"""Randomness by identity: a random stream depends only on who draws, for what purpose, and at which update.

    root    = key(seed)
    learner = fold_in(fold_in(root, match within its cell), seat)
    use     = fold_in(fold_in(learner, purpose), update)

so a learner's stream does not depend on how many others run with it, on how the batch is cut, or on where a run was
stopped and resumed; and every cell of a sweep sees the same streams.
"""

import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp


def purpose(name: str) -> int:
    """A named use of randomness as a number to fold in (CRC-32 of the name, 31 bits)."""
    return zlib.crc32(name.encode()) & 0x7FFFFFFF


def learner_key(seed: jax.Array, match: jax.Array, seat: int) -> jax.Array:
    """The key of the learner on `seat` of the match with number `match` within its cell; scalars, vmappable."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), match), seat)


def population_key(seed: jax.Array, population: jax.Array) -> jax.Array:
    """The key of what the learners of a population share: who meets whom, and who takes whose place."""
    # Named uses fold in a number of 31 bits twice, so that no learner's number, folded in once, is one of them.
    own = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), population), purpose("population"))
    return jax.random.fold_in(own, 0)


def use(key: jax.Array, name: str, update: jax.Array | int = 0) -> jax.Array:
    """The key for one use of a learner's (or a match's) randomness at one update."""
    return jax.random.fold_in(jax.random.fold_in(key, purpose(name)), update)


def match_key(seed: jax.Array, match: jax.Array, seats: int) -> jax.Array:
    """The key of what the learners of a match share: the root hashed with the learners' numbers in the order of
    seats."""
    key = jax.random.key(seed)
    for seat in range(seats):
        key = jax.random.fold_in(key, match * seats + seat)
    return key


def draw(kind: str, bounds: Sequence[float], key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Independent float32 draws: uniform [low, high), loguniform [low, high), or normal [mean, standard deviation]."""
    a, b = (jnp.float32(x) for x in bounds)
    if kind == "normal":
        return a + b * jax.random.normal(key, shape, jnp.float32)
    if kind == "uniform":
        drawn = jax.random.uniform(key, shape, jnp.float32, a, b)
    else:
        drawn = jnp.exp(jax.random.uniform(key, shape, jnp.float32, jnp.log(a), jnp.log(b)))
    # Rounding can reach the open end; a discount of 1 would make an endless game singular.
    return jnp.clip(drawn, a, jnp.nextafter(b, a))
