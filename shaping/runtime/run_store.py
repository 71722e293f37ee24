"""What a run keeps of itself: its record, its checkpoints, the final state of every chunk, its status."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from shaping.config.errors import ConfigError
from shaping.population.match import MatchState
from shaping.population.program import Timetable
from shaping.runtime import checkpoints
from shaping.runtime.chunks import Chunks
from shaping.runtime.devices import population_mesh
from shaping.runtime.folders import reason
from shaping.runtime.loop import Chunk, Timing
from shaping.runtime.processes import agree, in_turns, is_lost, is_main, on_main, own_range, own_rows, several, total
from shaping.runtime.progress import Progress
from shaping.runtime.record import UNFINISHED, Record
from shaping.runtime.record_buffer import Rows
from shaping.runtime.signals import StoppedError, Stops
from shaping.runtime.status import StatusWriter

# Stores have errors of their own kinds; these are of none.
_MISTAKES = (AssertionError, AttributeError, LookupError, NameError, TypeError)


@dataclass(frozen=True)
class Saving:
    """When to save, and how much to keep.

    Attributes:
      every_s: seconds from one checkpoint to the next; None: not by the clock.
      every_updates: updates from one to the next; None: not by their number.
      keep: how many of the newest.
    """

    every_s: float | None
    every_updates: int | None
    keep: int


class RunKeeper:
    """Keeps a run in its folder; see `loop.Keeper` for what its methods are called for."""

    def __init__(
        self,
        folder: Any,
        record: Record,
        saving: Saving,
        plan: Sequence[tuple[Chunks, Timetable]],
        identity: Mapping[str, Any],
        writer: StatusWriter,
        progress: Progress,
        timing: Timing,
        stops: Stops,
        warn: Callable[[str], None],
    ):
        """
        Args:
          folder: of the run.
          record: open.
          saving: when to save.
          plan: of every group, how it is cut.
          identity: what a checkpoint must agree in to belong to this run: plain data.
          writer: of how far it is.
          progress, timing: of the loop.
          stops: asked after every segment.
          warn: receives a line where something is not as it should be.
        """
        self._folder, self._record, self._saving, self._plan = folder, record, saving, plan
        self._identity, self._writer, self._progress, self._timing = dict(identity), writer, progress, timing
        self._stops, self._warn = stops, warn
        self._mesh = population_mesh()
        self._rows = Rows(self._write, record.rows_per_write())
        self._rolling: checkpoints.Rolling | None = None
        self._saved_at = time.monotonic()
        self._saved_updates = 0
        self._looked = self._told = False
        self._failed_before = self._failed_now = 0

    # What the loop calls.

    def is_finished(self, chunk: Chunk) -> bool:
        (done,) = agree([is_main() and self._is_saved(chunk)])
        if not done:
            # What follows may take a while: programs are compiled.
            self._tell(at_once=not self._told)
            return False
        status = self._writer.status
        failed = int(np.sum(self._record.read("diverged_at", chunk.indices) >= 0)) if is_main() else 0
        self._writer.update(
            chunks_done=status.chunks_done + 1,
            matches_done=status.matches_done + len(chunk.indices),
            failed=status.failed + failed,
        )
        return True

    def resume(self, chunk: Chunk, like: MatchState) -> tuple[MatchState, int] | None:
        self._rows = Rows(self._write, self._record.rows_per_write())
        self._saved_at, self._saved_updates = time.monotonic(), 0
        self._failed_before = self._writer.status.failed
        self._current = chunk
        # Only the first chunk that a process takes up can have been left unfinished.
        looked, self._looked = self._looked, True
        if looked:
            return None
        (there,) = agree([(self._folder / "checkpoint" / "running").exists()])
        timetable = self._plan[chunk.group][1]
        found = self._newest(chunk, like) if there else None
        interval = 0 if found is None else self._interval(timetable, found[1])
        with self._storing():
            on_main(lambda: self._erase(chunk, timetable.rows_before(interval)))
        if found is None:
            self._tell(at_once=True, saved_updates=None)
            return None
        self._saved_updates = found[1]["updates"]
        self._tell(at_once=True, saved_updates=self._saved_updates)
        return found[0], interval

    def _newest(self, chunk: Chunk, like: MatchState) -> tuple[MatchState, dict[str, Any]] | None:
        """The newest checkpoint of a chunk and what was saved along with it."""
        aside = self._folder / "checkpoint" / "damaged"

        def wanted(about: Mapping[str, Any]) -> bool:
            self._check_identity(about)
            return [about["group"], about["chunk"]] == [chunk.group, chunk.number]

        rolling, count = self._open(), len(chunk.indices)
        found = checkpoints.restore_newest(rolling, like, count, self._mesh, wanted, aside, self._warn)
        if found is None:
            # A later chunk's, where this one's final state was lost: numbers ascend, and nothing could be saved below.
            for number in [n for n in rolling.numbers if n >= self._number(chunk, 0)]:
                self._warn(f"checkpoint {rolling.folder / str(number)} is of a later chunk; it is kept in {aside}")
                rolling.set_aside(number, aside)
        return found

    def _erase(self, chunk: Chunk, first: int) -> None:
        """Blanks what the record holds of a chunk from a recorded update on, if the chunk had begun at all."""
        if np.all(np.isnan(self._record.read("theta_initial", chunk.indices[:1]))):
            return
        self._record.erase(chunk.indices, first)
        self._record.write(chunk.indices, {"diverged_at": np.full(len(chunk.indices), UNFINISHED, np.int32)})

    def _interval(self, timetable: Timetable, about: Mapping[str, Any]) -> int:
        """The interval that a checkpoint stands before."""
        interval = next((s for s in _starts(timetable) if timetable.begins(s) == about["updates"]), None)
        if interval is None:
            raise ConfigError(
                f"{self._folder}: its checkpoint was made after {about['updates']} updates, where this version of "
                "shaping does not stop; resume it with the version that wrote it"
            )
        return interval

    def write(self, chunk: Chunk, variables: dict[str, np.ndarray]) -> None:
        if "diverged_at" in variables:
            self._failed_now = total(int(np.sum(variables["diverged_at"] >= 0)))
        self._in_turns(chunk, lambda: self._record.write(chunk.own, variables))

    def append(self, chunk: Chunk, first: int, rows: dict[str, np.ndarray]) -> None:
        self._rows.append(chunk.own, first, rows)

    def after_segment(self, chunk: Chunk, interval: int, states: MatchState, written: Callable[[], None]) -> None:
        timetable = self._plan[chunk.group][1]
        updates = timetable.begins(interval)
        clock = self._saving.every_s is not None and time.monotonic() - self._saved_at >= self._saving.every_s
        every = self._saving.every_updates
        due, stop = agree([clock and is_main(), self._stops.wanted is not None])
        due = due or (every is not None and updates // every > self._saved_updates // every)
        if due or stop:
            written()
            self._rows.flush(chunk.own)
            self._save(chunk, interval, updates, states)
        self._tell()
        if stop:
            with self._storing():
                self._open().wait()
            self._stop(f"after {updates:,} updates of this chunk, and saved")

    def finish(self, chunk: Chunk, states: MatchState) -> None:
        self._rows.flush(chunk.own)
        with self._storing():
            if self._rolling is not None:
                self._rolling.wait()
            self._record.force()
            checkpoints.save(self._final(chunk), states, len(chunk.indices), self._mesh, self._about(chunk, None))
        status = self._writer.status
        self._tell(
            at_once=True,
            chunks_done=status.chunks_done + 1,
            matches_done=status.matches_done + len(chunk.indices),
            failed=self._failed_before + self._failed_now,
            saved_updates=None,
        )
        (stop,) = agree([self._stops.wanted is not None])
        if stop and status.chunks_done < status.chunks:
            self._stop("at the end of a chunk; what is done is saved")

    # The rest.

    def close(self) -> None:
        """Waits for what is being saved, if anything is."""
        if self._rolling is not None:
            with self._storing():
                self._rolling.close()

    def _stop(self, where: str) -> NoReturn:
        name = self._stops.wanted.name if self._stops.wanted else "a signal to another process"
        message = f"stopped by {name} {where}"
        self._writer.update(at_once=True, state="stopped", message=message)
        raise StoppedError(f"{message}; `shaping resume {self._folder}` goes on with it")

    def _is_saved(self, chunk: Chunk) -> bool:
        path = self._final(chunk)
        saved = checkpoints.is_saved(path)
        if not saved and path.exists():
            self._warn(f"final state {path} is damaged; its matches are trained anew")
        return saved

    def _write(self, indices: np.ndarray, variables: Mapping[str, np.ndarray], first: int) -> None:
        self._in_turns(self._current, lambda: self._record.write(indices, variables, first))

    def _in_turns(self, chunk: Chunk, work: Callable[[], None]) -> None:
        """Writes to the record; one process after the other where a piece of an array on disk holds matches of two."""
        with self._storing():
            in_turns(work, together=not several() or self._apart(chunk))

    def _apart(self, chunk: Chunk) -> bool:
        padded, piece = self._plan[chunk.group][0].padded, self._record.match_chunk()
        each = len(own_range(padded))
        borders = chunk.indices[each : len(chunk.indices) : each]
        before = chunk.indices[each - 1 : len(chunk.indices) - 1 : each][: len(borders)]
        return bool(np.all(borders // piece != before // piece))

    def _save(self, chunk: Chunk, interval: int, updates: int, states: MatchState) -> None:
        with self._storing():
            # A checkpoint that outlives the machine must not find less of the record than it knows of.
            self._record.force()
            self._open().save(
                self._number(chunk, interval), states, len(chunk.indices), self._mesh, self._about(chunk, updates)
            )
        self._saved_at, self._saved_updates = time.monotonic(), updates
        failed = self._failed_before + self._failed(chunk, states)
        self._writer.update(saved_updates=updates, failed=failed)

    def _about(self, chunk: Chunk, updates: int | None) -> dict[str, Any]:
        # Every stream of random numbers is a function of seed, match, seat, use and update; matches are played by the
        # learners that were made for them.
        place = {"group": chunk.group, "chunk": chunk.number, "updates": updates, "pairing": "identity"}
        return place | self._identity | {"match_updates": self._timing.match_updates}

    def _check_identity(self, about: Mapping[str, Any]) -> None:
        if about.get("config") != self._identity["config"]:
            raise ConfigError(
                f"{self._folder}: its checkpoint belongs to another configuration than its config.yaml; put that back"
            )
        ours, theirs = self._identity["versions"], about.get("versions", {})
        if ours != theirs:
            changed = ", ".join(f"{k} {theirs.get(k)} -> {v}" for k, v in ours.items() if theirs.get(k) != v)
            self._warn(
                f"its checkpoint was written by other versions ({changed}); results may differ in the last digits"
            )

    def _number(self, chunk: Chunk, interval: int) -> int:
        """Of a checkpoint: ascending over the queue."""
        before = 0
        for number, (chunks, timetable) in enumerate(self._plan):
            each = timetable.segments * timetable.segment + 1
            if number == chunk.group:
                return before + chunk.number * each + interval
            before += chunks.count * each
        raise AssertionError("a chunk of no group")

    def _failed(self, chunk: Chunk, states: MatchState) -> int:
        return total(int(np.sum(own_rows(states.diverged_at)[: len(chunk.own)] >= 0)))

    def _tell(self, at_once: bool = False, **changes: Any) -> None:
        progress, self._told = self._progress, True
        self._writer.update(at_once, match_updates_done=progress.done, rate=round(progress.rate(), 1), **changes)

    def _final(self, chunk: Chunk) -> Any:
        place = self._folder / "checkpoint" / f"group-{chunk.group}"
        return place / f"matches-{chunk.indices[0]}-{chunk.indices[-1]}"

    def _open(self) -> checkpoints.Rolling:
        if self._rolling is None:
            with self._storing():
                self._rolling = checkpoints.Rolling(self._folder / "checkpoint" / "running", self._saving.keep)
        return self._rolling

    @contextmanager
    def _storing(self) -> Any:
        try:
            yield
        except (ConfigError, StoppedError, *_MISTAKES):
            raise
        except Exception as error:
            if is_lost(error):
                raise
            raise ConfigError(
                f"{self._folder}: cannot be written: {reason(error)[:300]}; nothing that was saved is lost: when that "
                f"is mended, `shaping resume {self._folder}` goes on"
            ) from error


def _starts(timetable: Timetable) -> range:
    return range(0, timetable.segments * timetable.segment + 1, timetable.segment)
