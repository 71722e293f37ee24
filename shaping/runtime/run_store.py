"""What a run writes to its folder: record, checkpoints, the final state of every chunk, and status."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from shaping.config.errors import ConfigError
from shaping.population.compiled_programs import Timetable
from shaping.runtime import checkpoints
from shaping.runtime.chunks import Chunks
from shaping.runtime.curve_log import Log
from shaping.runtime.devices import population_mesh
from shaping.runtime.failures import ExhaustedError, is_exhausted, is_of_storage, reason
from shaping.runtime.longer_runs import STATES
from shaping.runtime.loop import Chunk, Timing
from shaping.runtime.processes import agree, in_turns, is_lost, is_main, on_main, own_range, own_rows, several, total
from shaping.runtime.progress import Progress
from shaping.runtime.record import UNFINISHED, Record
from shaping.runtime.record_buffer import Rows
from shaping.runtime.signals import StoppedError, StopRequest
from shaping.runtime.status import StatusWriter

# How many equal rows are written at once where nothing changes any more.
_REPEATED = 512


@dataclass(frozen=True)
class Saving:
    """When to save a checkpoint, and how many to keep.

    Attributes:
      every_s: seconds between checkpoints; None to ignore the clock.
      every_updates: updates between checkpoints; None to ignore their number.
      keep: how many of the newest checkpoints to keep.
    """

    every_s: float | None
    every_updates: int | None
    keep: int


class RunStore:
    """Stores a run in its folder; `loop.RunStorage` says when each of these methods is called."""

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
        stop_request: StopRequest,
        warn: Callable[[str], None],
        log: Log | None = None,
    ):
        """

        Args:
          folder: the folder of the run.
          record: its record, open.
          saving: when to save a checkpoint.
          plan: the chunks and the timetable of every group.
          identity: plain data, written into every checkpoint: "config", a fingerprint that must match for a checkpoint
            to belong to this run, and "versions".
          writer: writes the status.
          progress, timing: those of the loop.
          stop_request: checked after every segment.
          warn: receives a line for everything that is wrong.
          log: receives what is recorded along updates; None for no log.
        """
        self._folder, self._record, self._saving, self._plan = folder, record, saving, plan
        self._identity, self._writer, self._progress, self._timing = dict(identity), writer, progress, timing
        self._stop_request, self._warn, self._log = stop_request, warn, log
        self._mesh = population_mesh()
        self._rows = Rows(self._write, record.rows_per_write())
        self._rolling: checkpoints.RollingCheckpoints | None = None
        self._saved_at = time.monotonic()
        self._saved_updates = 0
        self._has_resumed = self._has_written_status = False
        self._failed_before = self._failed_now = 0

    # Methods that the loop calls.

    def is_finished(self, chunk: Chunk) -> bool:
        (done,) = agree([is_main() and self._is_saved(chunk)])
        if not done:
            # Compiling programs comes next, which may take a while.
            self._write_status(at_once=not self._has_written_status)
            return False
        status = self._writer.status
        failed = int(np.sum(self._record.read("diverged_at", chunk.indices) >= 0)) if is_main() else 0
        self._writer.update(
            chunks_done=status.chunks_done + 1,
            matches_done=status.matches_done + len(chunk.indices),
            failed=status.failed + failed,
        )
        return True

    def resume(self, chunk: Chunk, like: Any) -> tuple[Any, int] | None:
        self._rows = Rows(self._write, self._record.rows_per_write())
        self._saved_at, self._saved_updates = time.monotonic(), 0
        self._failed_before = self._writer.status.failed
        self._current = chunk
        # Only the first chunk that this process trains can have been left unfinished by an earlier process.
        is_later, self._has_resumed = self._has_resumed, True
        if is_later:
            return self._extended(chunk, like)
        (there,) = agree([(self._folder / "checkpoint" / "running").exists()])
        timetable = self._plan[chunk.group][1]
        found = self._newest(chunk, like) if there else None
        if found is None:
            self._write_status(at_once=True, saved_updates=None)
            return self._extended(chunk, like)
        self._saved_updates = done = found[1]["updates"]
        with self._storing():
            on_main(lambda: self._erase(chunk, timetable.rows_after(done)))
        self._write_status(at_once=True, saved_updates=done)
        return found[0], done

    def _extended(self, chunk: Chunk, like: Any) -> tuple[Any, int] | None:
        """If a finished run is being extended: the final state of a chunk and the updates done by then. Otherwise
        None."""
        path = self._state_path(self._folder / "checkpoint" / STATES, chunk)
        (there,) = agree([path.exists()])
        found = checkpoints.restore_intact(path, like, len(chunk.indices), self._mesh) if there else None
        if there and found is None:
            self._warn(f"final state {path} is damaged; its matches are trained from the start")
        timetable = self._plan[chunk.group][1]
        done = 0 if found is None else found[1]["updates"]
        with self._storing():
            on_main(lambda: self._erase(chunk, timetable.rows_after(done)))
        return None if found is None else (found[0], done)

    def _newest(self, chunk: Chunk, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """The newest checkpoint of a chunk, and its metadata."""
        aside = self._folder / "checkpoint" / "damaged"

        def wanted(metadata: Mapping[str, Any]) -> bool:
            self._check_identity(metadata)
            return [metadata["group"], metadata["chunk"]] == [chunk.group, chunk.number]

        rolling, count = self._open(), len(chunk.indices)
        found = checkpoints.restore_newest(rolling, like, count, self._mesh, wanted, aside, self._warn)
        if found is None:
            # If the final state of this chunk was lost, there may be checkpoints of a later chunk. Numbers must ascend,
            # so no checkpoint of this chunk could be saved while those exist.
            for number in [n for n in rolling.numbers if n >= self._number(chunk, 0)]:
                self._warn(f"checkpoint {rolling.folder / str(number)} is of a later chunk; it was moved to {aside}")
                rolling.set_aside(number, aside)
        return found

    def _erase(self, chunk: Chunk, first: int) -> None:
        """Erases a chunk's rows of the record from a recorded update on, if the chunk had begun."""
        if self._log is not None:
            self._log.erase(chunk.indices, first)
        if not self._record.has_begun(int(chunk.indices[0])):
            return
        self._record.erase(chunk.indices, first)
        self._record.write(chunk.indices, {"diverged_at": np.full(len(chunk.indices), UNFINISHED, np.int32)})

    def write(self, chunk: Chunk, variables: dict[str, np.ndarray]) -> None:
        if "diverged_at" in variables:
            self._failed_now = total(int(np.sum(variables["diverged_at"] >= 0)))
        self._in_turns(chunk, lambda: self._record.write(chunk.own, variables))

    def append(self, chunk: Chunk, first: int, rows: dict[str, np.ndarray]) -> None:
        self._rows.append(chunk.own, first, rows)
        if self._log is not None:
            with self._storing():
                self._log.append(chunk.own, first, rows)

    def repeat(self, chunk: Chunk, first: int, stop: int, row: dict[str, np.ndarray]) -> None:
        for start in range(first, stop, _REPEATED):
            count = min(_REPEATED, stop - start)
            self.append(chunk, start, {name: np.repeat(array, count, axis=1) for name, array in row.items()})

    def after_segment(self, chunk: Chunk, interval: int, states: Any, written: Callable[[], None]) -> None:
        timetable = self._plan[chunk.group][1]
        updates = timetable.begins(interval)
        clock = self._saving.every_s is not None and time.monotonic() - self._saved_at >= self._saving.every_s
        every = self._saving.every_updates
        due, stop = agree([clock and is_main(), self._stop_request.received is not None])
        due = due or (every is not None and updates // every > self._saved_updates // every)
        if due or stop:
            written()
            self._rows.flush(chunk.own)
            self._save(chunk, interval, updates, states)
        self._write_status()
        if stop:
            with self._storing():
                self._open().wait()
            self._stop(f"and saved after {updates:,} updates of this chunk")

    def finish(self, chunk: Chunk, states: Any) -> None:
        self._rows.flush(chunk.own)
        updates = self._plan[chunk.group][1].updates
        with self._storing():
            if self._rolling is not None:
                self._rolling.wait()
            self._record.force()
            checkpoints.save(self._final(chunk), states, len(chunk.indices), self._mesh, self._metadata(chunk, updates))
        status = self._writer.status
        self._write_status(
            at_once=True,
            chunks_done=status.chunks_done + 1,
            matches_done=status.matches_done + len(chunk.indices),
            failed=self._failed_before + self._failed_now,
            saved_updates=None,
        )
        (stop,) = agree([self._stop_request.received is not None])
        if stop and status.chunks_done < status.chunks:
            self._stop("at the end of a chunk; everything done so far is saved")

    # Everything else.

    def close(self) -> None:
        """Waits for a checkpoint that is still being written."""
        if self._log is not None:
            self._log.close()
        if self._rolling is not None:
            with self._storing():
                self._rolling.close()

    def _stop(self, where: str) -> NoReturn:
        received = self._stop_request.received
        message = f"stopped by {received.name if received else 'a signal to another process'} {where}"
        self._writer.update(at_once=True, state="stopped", message=message)
        raise StoppedError(f"{message}; `shaping resume {self._folder}` continues it")

    def _is_saved(self, chunk: Chunk) -> bool:
        path = self._final(chunk)
        saved = checkpoints.is_saved(path)
        if not saved and path.exists():
            self._warn(f"final state {path} is damaged; its matches are trained anew")
        return saved

    def _write(self, indices: np.ndarray, variables: Mapping[str, np.ndarray], first: int) -> None:
        self._in_turns(self._current, lambda: self._record.write(indices, variables, first))

    def _in_turns(self, chunk: Chunk, work: Callable[[], None]) -> None:
        """Writes to the record. Processes take turns if a piece of an array on disk holds matches of more than one
        process."""
        with self._storing():
            in_turns(work, together=not several() or self._apart(chunk))

    def _apart(self, chunk: Chunk) -> bool:
        """Whether no piece of an array on disk holds matches of more than one process."""
        padded, piece = self._plan[chunk.group][0].padded, self._record.match_chunk()
        each = len(own_range(padded))
        borders = chunk.indices[each : len(chunk.indices) : each]
        before = chunk.indices[each - 1 : len(chunk.indices) - 1 : each][: len(borders)]
        return bool(np.all(borders // piece != before // piece))

    def _save(self, chunk: Chunk, interval: int, updates: int, states: Any) -> None:
        with self._storing():
            # A checkpoint must never be ahead of the record, not even after the machine crashes.
            self._record.force()
            self._open().save(
                self._number(chunk, interval), states, len(chunk.indices), self._mesh, self._metadata(chunk, updates)
            )
        self._saved_at, self._saved_updates = time.monotonic(), updates
        failed = self._failed_before + self._failed(chunk, states)
        self._writer.update(saved_updates=updates, failed=failed)

    def _metadata(self, chunk: Chunk, updates: int) -> dict[str, Any]:
        # Random streams need not be saved: each is a function of seed, match, seat, use and update. Nor do pairings:
        # the learners of a match stay together from its first update to its last.
        place = {"group": chunk.group, "chunk": chunk.number, "updates": updates, "pairing": "identity"}
        return place | self._identity | {"match_updates": self._timing.match_updates}

    def _check_identity(self, metadata: Mapping[str, Any]) -> None:
        if metadata.get("config") != self._identity["config"]:
            raise ConfigError(
                f"{self._folder}: its checkpoint belongs to another configuration than config.yaml; restore that file"
            )
        ours, theirs = self._identity["versions"], metadata.get("versions", {})
        if ours != theirs:
            changed = ", ".join(f"{k} {theirs.get(k)} -> {v}" for k, v in ours.items() if theirs.get(k) != v)
            self._warn(
                f"its checkpoint was written by other versions ({changed}); results may differ in the last digits"
            )

    def _number(self, chunk: Chunk, interval: int) -> int:
        """The number of a checkpoint; ascending over all chunks."""
        before = 0
        for number, (chunks, timetable) in enumerate(self._plan):
            each = timetable.segments * timetable.segment + 1
            if number == chunk.group:
                return before + chunk.number * each + interval
            before += chunks.count * each
        raise AssertionError(f"no group {chunk.group}")

    def _failed(self, chunk: Chunk, states: Any) -> int:
        return total(int(np.sum(own_rows(states.diverged_at)[: len(chunk.own)] >= 0)))

    def _write_status(self, at_once: bool = False, **changes: Any) -> None:
        progress, self._has_written_status = self._progress, True
        self._writer.update(at_once, match_updates_done=progress.done, rate=round(progress.rate(), 1), **changes)

    def _final(self, chunk: Chunk) -> Any:
        return self._state_path(self._folder / "checkpoint", chunk)

    @staticmethod
    def _state_path(folder: Any, chunk: Chunk) -> Any:
        return folder / f"group-{chunk.group}" / f"matches-{chunk.indices[0]}-{chunk.indices[-1]}"

    def _open(self) -> checkpoints.RollingCheckpoints:
        if self._rolling is None:
            with self._storing():
                place = self._folder / "checkpoint" / "running"
                self._rolling = checkpoints.RollingCheckpoints(place, self._saving.keep)
        return self._rolling

    @contextmanager
    def _storing(self) -> Any:
        """Reports storage errors in one line; any other error is a mistake of ours and is not explained away."""
        try:
            yield
        except (ConfigError, StoppedError):
            raise
        except Exception as error:
            if is_lost(error) or not is_of_storage(error):
                raise
            kind = ExhaustedError if is_exhausted(error) else ConfigError
            raise kind(
                f"{self._folder}: cannot be written: {reason(error)[:300]}; nothing that was saved is lost: once that "
                f"is corrected, `shaping resume {self._folder}` continues the run"
            ) from error
