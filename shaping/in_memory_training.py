"""Training whose record is kept in memory."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from shaping.population.compiled_programs import Timetable
from shaping.population.independent_matches import MATCHES
from shaping.population.index_ranges import Spans
from shaping.population.match import MatchState
from shaping.population.replicates import Replicate
from shaping.runtime.chunks import Group, cut, timetable
from shaping.runtime.loop import Chunk, Timing, run_group
from shaping.runtime.progress import Progress

_MEMORY_BYTES = 2**31


def trained(
    matches_of: Callable[[np.ndarray], Any],
    matches: int,
    updates: int,
    record_every: int,
    extras: tuple[str, ...] = (),
    replicate: Replicate = MATCHES,
    every: Mapping[str, int] | None = None,
) -> tuple[dict[str, np.ndarray], Timetable]:
    """Trains matches of one structure, and returns what is recorded of them, [matches, ...], and when. If nothing
    changes any more, there are no further rows.

    Args:
      matches_of: the settings of given matches, leaves [matches, ...].
      matches, updates, record_every: how many, how long, and how often values are recorded.
      extras: what else is recorded, see `Timetable`.
      replicate: what a match is.
      every: by name of a variable, n to keep only its first row and every n-th row after that; 1 if not given.
    """
    group = Group(Spans((range(matches),)), matches_of, extras, replicate)
    chunks = cut(group, updates, record_every, _MEMORY_BYTES, jax.device_count())
    table = timetable(group, chunks, updates, record_every)
    memory = InMemory(every or {})
    run_group(0, group, chunks, table, memory, Progress(matches * updates, enabled=False), Timing())
    return memory.variables(), table


class InMemory:
    """Keeps the record in memory, and no states; see `loop.RunStorage`, and `trained` for `every`."""

    def __init__(self, every: Mapping[str, int] | None = None) -> None:
        self._every = dict(every or {})
        self._once: dict[str, list[np.ndarray]] = {}
        self._along: dict[str, list[list[np.ndarray]]] = {}
        self._rows: list[int] = []

    def is_finished(self, chunk: Chunk) -> bool:
        return False

    def resume(self, chunk: Chunk, like: MatchState) -> None:
        return None

    def write(self, chunk: Chunk, variables: dict[str, np.ndarray]) -> None:
        for name, array in variables.items():
            self._once.setdefault(name, []).append(array)

    def append(self, chunk: Chunk, first: int, rows: dict[str, np.ndarray]) -> None:
        if len(self._rows) == chunk.number:
            self._rows.append(first)
        done = self._rows[-1]
        for name, array in rows.items():
            parts = self._along.setdefault(name, [])
            if len(parts) == chunk.number:
                # A variable known only at the end is NaN before.
                blank = np.full((len(array), done, *array.shape[2:]), np.nan, array.dtype)
                parts.append([blank] if done else [])
            every = self._every.get(name, 1)
            parts[-1].append(array[:, -done % every :: every])
        self._rows[-1] += next(iter(rows.values())).shape[1]

    def repeat(self, chunk: Chunk, first: int, stop: int, row: dict[str, np.ndarray]) -> None:
        pass

    def after_segment(self, chunk: Chunk, interval: int, states: MatchState, written: Callable[[], None]) -> None:
        pass

    def finish(self, chunk: Chunk, states: MatchState) -> None:
        pass

    def variables(self) -> dict[str, np.ndarray]:
        """The variables of the record, [matches, ...]; matches of which nothing changed any more keep their last
        row."""
        along = {name: [np.concatenate(rows, axis=1) for rows in parts] for name, parts in self._along.items()}
        for name, parts in along.items():
            longest = max(part.shape[1] for part in parts)
            widths = [((0, 0), (0, longest - part.shape[1]), *[(0, 0)] * (part.ndim - 2)) for part in parts]
            along[name] = [np.pad(part, width, "edge") for part, width in zip(parts, widths, strict=True)]
        return {name: np.concatenate(parts) for name, parts in (along | self._once).items()}
