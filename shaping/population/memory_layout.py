"""The layout of a population in memory while it is updated.

Between segments the population is the first axis of every array. Within a segment, matches are cut into blocks that
stay in cache. In a block the population is the last axis, and small arrays (a table of logits, a payoff matrix) are
taken apart into nested tuples of scalars, each an array over the block's matches. Every operation of a small game is
then elementwise over matches, with nothing to transpose or gather. If returns are sampled, the arrays of a single match
are large enough, and the population is the first axis in a block too. Rules, optimisers and objectives see ordinary
pytrees in both cases.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

# Arrays of up to this many numbers per match are taken apart: the five logits and eight payoffs of two-player games.
_SMALL = 8


def to_blocks(tree: Any, block: int, first: bool = False) -> Any:
    """Leaves [population, ...] to [blocks, ..., block], or to [blocks, block, ...] if `first`."""

    def cut(leaf: jax.Array) -> jax.Array:
        apart = leaf.reshape(leaf.shape[0] // block, block, *leaf.shape[1:])
        return apart if first else jnp.moveaxis(apart, 1, -1)

    return jax.tree.map(cut, tree)


def from_blocks(tree: Any, first: bool = False) -> Any:
    """The inverse of `to_blocks`."""

    def join(leaf: jax.Array) -> jax.Array:
        apart = leaf if first else jnp.moveaxis(leaf, -1, 1)
        return apart.reshape(apart.shape[0] * apart.shape[1], *apart.shape[2:])

    return jax.tree.map(join, tree)


def take_apart(tree: Any) -> Any:
    """Leaves [..., block] with few numbers per match to nested tuples of [block]; other leaves unchanged."""

    def split(leaf: jax.Array) -> Any:
        if leaf.ndim == 1 or not 0 < math.prod(leaf.shape[:-1]) <= _SMALL:
            return leaf
        return _nested(leaf)

    return jax.tree.map(split, tree)


def put_together(like: Any, tree: Any) -> Any:
    """The inverse of `take_apart`: `like` has the structure of the original blocks."""
    leaves, structure = jax.tree.flatten(like)
    parts = structure.flatten_up_to(tree)
    return structure.unflatten([_stacked(part) for part, _ in zip(parts, leaves, strict=True)])


def _nested(leaf: jax.Array) -> Any:
    return leaf if leaf.ndim == 1 else tuple(_nested(part) for part in leaf)


def _stacked(part: Any) -> jax.Array:
    return jnp.stack([_stacked(p) for p in part]) if isinstance(part, tuple) else part
