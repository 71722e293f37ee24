"""A ring buffer of the latest entries of any pytree: batches of play, past selves, whatever a learner may need again.

Places that were never written hold zeros, so that a mask among the leaves is False there.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class Replay:
    """The contents of a replay.

    Attributes:
      entries: the pytree, leaves [capacity, ...]; the newest entry is at (seen - 1) modulo the capacity.
      seen: [] int32, entries added so far.
    """

    entries: Any
    seen: jax.Array

    @property
    def capacity(self) -> int:
        """How many entries are kept."""
        return jax.tree.leaves(self.entries)[0].shape[0]


def init(like: Any, capacity: int) -> Replay:
    """An empty replay of `capacity` entries, at least 1, shaped like `like` (arrays or `jax.ShapeDtypeStruct`s).

    Raises:
      ValueError: for a capacity below 1.
    """
    if capacity < 1:
        raise ValueError(f"capacity is {capacity}: must be at least 1")
    return Replay(jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), like), jnp.int32(0))


def add(replay: Replay, entry: Any) -> Replay:
    """The replay with one more entry, in the replay's own types, which replaces the oldest if the replay is full."""
    place = replay.seen % replay.capacity
    entries = jax.tree.map(lambda kept, new: kept.at[place].set(new.astype(kept.dtype)), replay.entries, entry)
    return Replay(entries, replay.seen + 1)


def sample(replay: Replay, key: jax.Array, count: int) -> Any:
    """Entries drawn with replacement, uniformly among those that were added, leaves [count, ...]; zeros if none was
    added."""
    held = jnp.clip(replay.seen, 1, replay.capacity)
    places = jax.random.randint(key, (count,), 0, held)
    return jax.tree.map(lambda leaf: leaf[places], replay.entries)
