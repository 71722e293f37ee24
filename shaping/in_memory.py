"""Training whose record is kept in memory."""

from collections.abc import Callable

import jax
import numpy as np

from shaping.population.match import Match, MatchState
from shaping.population.program import Timetable
from shaping.population.spans import Spans
from shaping.runtime.chunks import Group, cut, timetable
from shaping.runtime.loop import Chunk, Timing, run_group
from shaping.runtime.progress import Progress

_MEMORY_BYTES = 2**31


def trained(
    matches_of: Callable[[np.ndarray], Match], matches: int, updates: int, record_every: int
) -> tuple[dict[str, np.ndarray], Timetable]:
    """Trains matches of one structure, and returns what is recorded of them, [matches, ...], and when.

    Args:
      matches_of: the settings of given matches, leaves [matches, ...].
      matches, updates, record_every: how many, how long, and how often values are recorded.
    """
    group = Group(Spans((range(matches),)), matches_of)
    chunks = cut(group, updates, record_every, _MEMORY_BYTES, jax.device_count())
    table = timetable(group, chunks, updates, record_every)
    memory = InMemory()
    run_group(0, group, chunks, table, memory, Progress(matches * updates, enabled=False), Timing())
    return memory.variables(), table


class InMemory:
    """Keeps the record in memory, and no states; see `loop.RunStorage`."""

    def __init__(self) -> None:
        self._once: dict[str, list[np.ndarray]] = {}
        self._along: dict[str, list[list[np.ndarray]]] = {}

    def is_finished(self, chunk: Chunk) -> bool:
        return False

    def resume(self, chunk: Chunk, like: MatchState) -> None:
        return None

    def write(self, chunk: Chunk, variables: dict[str, np.ndarray]) -> None:
        for name, array in variables.items():
            self._once.setdefault(name, []).append(array)

    def append(self, chunk: Chunk, first: int, rows: dict[str, np.ndarray]) -> None:
        for name, array in rows.items():
            parts = self._along.setdefault(name, [])
            if len(parts) == chunk.number:
                # A variable known only at the end is NaN before.
                blank = np.full((len(array), first, *array.shape[2:]), np.nan, array.dtype)
                parts.append([blank] if first else [])
            parts[-1].append(array)

    def after_segment(self, chunk: Chunk, interval: int, states: MatchState, written: Callable[[], None]) -> None:
        pass

    def finish(self, chunk: Chunk, states: MatchState) -> None:
        pass

    def variables(self) -> dict[str, np.ndarray]:
        """The variables of the record, [matches, ...]."""
        along = {name: [np.concatenate(rows, axis=1) for rows in parts] for name, parts in self._along.items()}
        return {name: np.concatenate(parts) for name, parts in (along | self._once).items()}
