"""The training loop: takes the chunks of a group in turn, runs each in segments, and records and saves along the
way."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import numpy as np

from shaping.population.compiled_programs import Timetable, segment_at
from shaping.population.replicates import Replicate
from shaping.runtime.chunks import Chunks, Group, dtype_of
from shaping.runtime.compilation import Programs, compile_programs
from shaping.runtime.devices import population_mesh
from shaping.runtime.processes import copied, everywhere, own_range, own_rows, spread_out
from shaping.runtime.progress import Progress


@dataclass
class Timing:
    """Seconds spent, for the summary."""

    compile_s: float = 0.0
    run_s: float = 0.0
    match_updates: int = 0
    groups: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Chunk:
    """Matches that are updated together.

    Attributes:
      group, number: its place in the queue.
      indices: the indices of its matches, ascending.
      own: the indices of those on this process's devices.
    """

    group: int
    number: int
    indices: np.ndarray
    own: np.ndarray


class RunStorage(Protocol):
    """Decides what happens to states and to recorded values."""

    def is_finished(self, chunk: Chunk) -> bool:
        """Whether the chunk has nothing left to do."""
        ...

    def resume(self, chunk: Chunk, like: Any) -> tuple[Any, int] | None:
        """The state to continue from and the updates done by then; `like` has its shapes and shardings."""
        ...

    def write(self, chunk: Chunk, variables: dict[str, np.ndarray]) -> None:
        """Records variables [own matches, ...] that each match has once."""
        ...

    def append(self, chunk: Chunk, first: int, rows: dict[str, np.ndarray]) -> None:
        """Records rows [own matches, rows, ...] of variables along updates, from row number `first` on."""
        ...

    def repeat(self, chunk: Chunk, first: int, stop: int, row: dict[str, np.ndarray]) -> None:
        """Records a row [own matches, 1, ...] again and again, from row number `first` up to but excluding `stop`:
        nothing changes any more."""
        ...

    def after_segment(self, chunk: Chunk, interval: int, states: Any, written: Callable[[], None]) -> None:
        """Called while the next segment is computed, with the state after this one and the interval that follows it.

        If it needs everything recorded so far to be written, it calls `written`. May raise.
        """
        ...

    def finish(self, chunk: Chunk, states: Any) -> None:
        """Keeps the final state of a chunk whose record is complete."""
        ...


def run_group(
    number: int,
    group: Group,
    chunks: Chunks,
    timetable: Timetable,
    storage: RunStorage,
    progress: Progress,
    timing: Timing,
) -> None:
    """Trains all matches of a group that are not finished, chunk by chunk.

    Args:
      number: the number of the group.
      group: its matches.
      chunks: how they are divided.
      timetable: the timetable of their updates.
      storage: decides what happens to their results.
      progress: counts match-updates.
      timing: seconds are added to it.
    """
    mesh = population_mesh()
    queue = []
    for place, start in enumerate(range(0, len(group.indices), chunks.size)):
        indices = group.indices[start : start + chunks.size]
        rows = own_range(chunks.padded)
        chunk = Chunk(number, place, indices, indices[min(rows.start, len(indices)) : rows.stop])
        if storage.is_finished(chunk):
            progress.skip(len(indices) * timetable.updates)
        else:
            queue.append(chunk)
    if not queue:
        return

    def load(chunk: Chunk) -> Any:
        # Padding repeats the last match; its results are dropped.
        padded = np.concatenate([chunk.indices, np.full(chunks.padded - len(chunk.indices), chunk.indices[-1])])
        rows = own_range(chunks.padded)
        own = group.matches_of(padded[rows.start : rows.stop])
        return spread_out(own, chunks.padded, mesh) if chunks.replicate.spread else copied(own, mesh)

    began = time.perf_counter()
    matches = load(queue[0])
    programs = compile_programs(mesh, dtype_of(group.template()), timetable, chunks.block, matches, chunks.replicate)
    compiled = time.perf_counter() - began
    timing.compile_s += compiled
    progress.compiling += compiled

    began, spent = time.perf_counter(), 0.0
    for chunk in queue:
        if chunk is not queue[0]:
            matches = load(chunk)
        _run_chunk(chunk, matches, chunks.replicate, programs, timetable, storage, progress, timing)
        now = time.perf_counter()
        timing.run_s += now - began
        spent += now - began
        began = now
    timing.groups.append({"matches": sum(len(c.indices) for c in queue), "compile_s": compiled, "run_s": spent})


def _run_chunk(
    chunk: Chunk,
    matches: Any,
    replicate: Replicate,
    programs: Programs,
    timetable: Timetable,
    storage: RunStorage,
    progress: Progress,
    timing: Timing,
) -> None:
    count, mesh = len(chunk.own), population_mesh()
    resumed = storage.resume(chunk, programs.like)
    if resumed is None:
        done = 0
        states = programs.start(matches)
        initial = replicate.initial(matches, states, own_rows)
        storage.write(chunk, {name: array[:count] for name, array in initial.items()})
    else:
        states, done = resumed
        progress.skip(len(chunk.indices) * done)
    # A run that is extended may continue from within an interval, whose row is in the record already.
    interval = timetable.interval_of(done)

    waiting: list[tuple[int, int, dict[str, jax.Array]]] = []

    def write_waiting() -> None:
        # The rows that a segment recorded are fetched while the next segment is computed.
        while waiting:
            before, first, rows = waiting.pop(0)
            last = first + timetable.segment
            begin, end = timetable.rows_after(before), timetable.rows_before(last)
            picked = slice(begin * timetable.intervals_per_row - first, None, timetable.intervals_per_row)
            fetched = {name: own_rows(x)[:count, picked][:, : end - begin] for name, x in rows.items()}
            if end > begin:
                storage.append(chunk, begin, fetched)
            advanced = len(chunk.indices) * (timetable.begins(last) - before)
            timing.match_updates += advanced
            progress.advance(advanced)

    while done < timetable.updates:
        segment = segment_at(timetable, interval, (done, timetable.updates))
        states, rows = programs.segment(matches, states, everywhere(segment, mesh))
        write_waiting()
        waiting.append((done, interval, rows))
        interval += timetable.segment
        done = timetable.begins(interval)
        if done < timetable.updates and replicate.over(matches, states, done):
            break
        if done < timetable.updates:
            storage.after_segment(chunk, interval, states, write_waiting)
    write_waiting()

    variables = {name: own_rows(x)[:count] for name, x in programs.finish(matches, states).items()}
    along = [name for name, one in replicate.variables(matches, timetable.extras).items() if one.along_updates]
    last = {name: variables.pop(name)[:, None] for name in along if name in variables}
    if done < timetable.updates:
        storage.repeat(chunk, timetable.rows_before(interval), timetable.rows, last)
        progress.skip(len(chunk.indices) * (timetable.updates - done))
    storage.append(chunk, timetable.rows, last)
    storage.write(chunk, variables)
    storage.finish(chunk, states)
