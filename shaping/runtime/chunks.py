"""How the matches of a group are divided: into chunks that fit in memory, blocks that fit in the cache, and segments
of updates."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.config.errors import ConfigError
from shaping.population.compiled_programs import Timetable
from shaping.population.independent_matches import MATCHES
from shaping.population.index_ranges import Spans
from shaping.population.replicates import Cost, Replicate
from shaping.runtime.processes import several

# Matches of a chunk per device, and match-updates of a two-player game in one segment of a chunk on two devices: about
# a second of work between two updates of the progress bar. Larger chunks need more devices.
_LARGEST_SHARE = 2**16
_SEGMENT_WORK = 2**24
# Recorded rows that may wait in memory until a piece of the record is full.
_HELD = 512


@dataclass(frozen=True)
class Chunks:
    """How a group's matches are divided: `count` chunks of `size`, each padded to `devices * blocks * block`, or not at
    all if every match is divided among the devices.

    `bytes` is roughly the memory of a chunk, `match_bytes` that of one match during an update, `state_bytes` that of
    its state; `replicate` is what a match is on these devices.
    """

    count: int
    size: int
    padded: int
    block: int
    bytes: int
    match_bytes: int
    state_bytes: int
    replicate: Replicate = MATCHES


@dataclass(frozen=True)
class Group:
    """Matches that share a compiled program.

    Attributes:
      indices: match indices, ascending.
      matches_of: returns the settings of given matches, leaves [matches, ...].
      extras: what else to record of them, see `Timetable`.
      replicate: what a match is.
    """

    indices: Spans
    matches_of: Callable[[np.ndarray], Any]
    extras: tuple[str, ...] = ()
    replicate: Replicate = MATCHES

    def template(self) -> Any:
        """The settings of its first match, leaves [1, ...]."""
        return self.matches_of(self.indices[:1])

    @cached_property
    def start(self) -> Any:
        """Shapes and types of the initial state of its first match. Tracing it takes most of the time of a plan.

        Raises:
          ConfigError: if a learner cannot play this game with these settings.
        """
        template = self.template()
        try:
            return self.replicate.shapes(template, dtype_of(template))
        except ValueError as error:
            # Learners say in one line which games they cannot play. JAX adds lines of its own to an error.
            if "; allowed: " not in str(error.args[0]):
                raise
            raise ConfigError(error.args[0]) from None

    @cached_property
    def cost(self) -> Cost:
        """What one of its matches takes."""
        return self.replicate.cost(self.template(), self.start, self.extras)


def cut(
    group: Group, updates: int, record_every: int, memory_bytes: float, devices: int, size: int | None = None
) -> Chunks:
    """Chunks of nearly equal size that fit in memory, or of the given size."""
    template, start, cost = group.template(), group.start, group.cost
    own = _bytes((template, start))
    itemsize = np.dtype(dtype_of(template)).itemsize
    held = min(updates // record_every + 2, _HELD)
    # Settings and state are on the host and on the device, both old and new; rows on the device and in the buffer.
    per_match, working = 4 * own + 3 * held * cost.row * itemsize, cost.working_bytes
    # On a CPU only the matches of one block are updated at a time; on other devices a chunk is one block.
    by_block = jax.default_backend() == "cpu" and cost.largest_block is not None
    fitting = memory_bytes // (per_match if by_block else per_match + working)
    count, size = _counted(len(group.indices), fitting, devices, size)
    if group.replicate.split is not None and size < devices and not several():
        return Chunks(
            count,
            size,
            size,
            size,
            size * (per_match + working),
            per_match + working,
            _bytes(start),
            group.replicate.split,
        )
    block, padded = _blocks(size, devices, cost.largest_block and cost.largest_block(memory_bytes, devices))
    needed = padded * per_match + devices * block * working
    return Chunks(count, size, padded, block, needed, per_match + working, _bytes(start), group.replicate)


def _blocks(size: int, devices: int, limit: int | None) -> tuple[int, int]:
    """Matches in a block (at most `limit`, if given and if the matches of a block share a cache), and in all blocks."""
    local = -(-size // devices)
    # On devices other than a CPU, a device's share is one block.
    blocks = -(-local // limit) if limit is not None and jax.default_backend() == "cpu" else 1
    block = -(-local // blocks)
    return block, devices * blocks * block


def _bytes(tree: Any) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(int(np.prod(leaf.shape, dtype=np.int64)) * leaf.dtype.itemsize for leaf in leaves)


def _counted(total: int, fitting: float, devices: int, size: int | None) -> tuple[int, int]:
    """How many chunks there are, and how many matches each has."""
    if size is None:
        count = -(-total // int(max(devices, min(_LARGEST_SHARE * devices, fitting))))
        size = -(-total // count)
    size = min(size, total)
    return -(-total // size), size


def dtype_of(match: Any) -> Any:
    floats = [leaf.dtype for leaf in jax.tree.leaves(match) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return floats[0] if floats else jnp.float32


def timetable(
    group: Group, chunks: Chunks, updates: int, record_every: int, every_updates: int | None = None
) -> Timetable:
    """Segments of about a second on two cores, the same on any number of devices, of at most `every_updates`
    updates."""
    budget = max(1, _SEGMENT_WORK // min(chunks.size, 2 * _LARGEST_SHARE) // group.cost.work)
    budget = min(budget, every_updates or budget)
    row = min(record_every, max(updates, 1))
    if row <= budget:
        rows, fitting = max(1, -(-updates // row)), budget // row
        if every_updates is None:
            # A power of two, so that the rows of a segment fill whole pieces of the record and need not be split.
            fitting = 2 ** math.floor(math.log2(fitting))
        return Timetable(updates, row, min(rows, fitting), group.extras)
    return Timetable(updates, row, 1, group.extras, -(-row // budget))
