"""Digests of a population's state, one for each leaf and block of matches. They do not depend on the devices used.

A 32-bit word at position p of a leaf (its match times the words of a match, plus its position within the match)
contributes

    mix(word xor mix(p)),    mix: the finaliser of MurmurHash3 (Appleby 2011), a bijection of 32 bits,

and a block's digest is the sum over its words, modulo 2^32. A change of one word always changes the digest, because the
mix is a bijection. A change of several words goes unnoticed once in 2^32 cases. The sum does not depend on how matches
are spread over devices and processes.
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

BLOCK = 4096
"""Matches in a block; part of the checkpoint format."""


def digests(tree: Any, matches: int, mesh: Mesh) -> dict[str, list[int]]:
    """For each leaf, by its path, a 32-bit number for each block of `BLOCK` matches.

    Args:
      tree: leaves [population, ...] on the mesh; padding is at the end of the population.
      matches: how many matches of the population are not padding.
      mesh: the mesh of all devices.
    """
    paths, leaves = zip(*jax.tree_util.tree_leaves_with_path(tree), strict=True)
    # The number of matches is data: chunks of different sizes, padded to the same, share a program.
    found = _program(mesh)(list(leaves), np.uint32(matches))
    blocks = -(-matches // BLOCK)
    return {jax.tree_util.keystr(path): np.asarray(x)[:blocks].tolist() for path, x in zip(paths, found, strict=True)}


def differing(found: dict[str, list[int]], expected: dict[str, list[int]]) -> str | None:
    """Names the first leaf and block whose digests differ; None if all agree."""
    for path in sorted({*found, *expected}):
        ours, theirs = found.get(path), expected.get(path)
        if ours is None or theirs is None or len(ours) != len(theirs):
            return f"{path} is missing or has another size"
        for block, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            if a != b:
                return f"{path} differs in matches {block * BLOCK} to {(block + 1) * BLOCK - 1} of its chunk"
    return None


@lru_cache(maxsize=1)
def _program(mesh: Mesh) -> Any:
    """The digests of a list of leaves, each [blocks] uint32, identical on every device."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.jit(lambda leaves, matches: [_of_leaf(leaf, matches) for leaf in leaves], out_shardings=everywhere)


def _of_leaf(leaf: jax.Array, matches: jax.Array) -> jax.Array:
    population = leaf.shape[0]
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    words = _words(leaf).reshape(population, -1)
    match, own = jnp.arange(population, dtype=jnp.uint32)[:, None], jnp.arange(words.shape[1], dtype=jnp.uint32)
    place = match * jnp.uint32(words.shape[1]) + own
    rows = jnp.sum(_mix(words ^ _mix(place)), axis=1, dtype=jnp.uint32)
    rows = jnp.where(match[:, 0] < matches, rows, 0)
    return jax.ops.segment_sum(rows, match[:, 0] // BLOCK, num_segments=-(-population // BLOCK))


def _words(leaf: jax.Array) -> jax.Array:
    """The bits of an array as 32-bit numbers."""
    if leaf.dtype == jnp.bool_:
        return leaf.astype(jnp.uint32)
    if leaf.dtype.itemsize < 4:
        return jax.lax.bitcast_convert_type(leaf, {1: jnp.uint8, 2: jnp.uint16}[leaf.dtype.itemsize]).astype(jnp.uint32)
    return jax.lax.bitcast_convert_type(leaf, jnp.uint32)


def _mix(x: jax.Array) -> jax.Array:
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
