"""The progress of a run: a small file that the run rewrites from time to time, for others to read."""

import json
import os
import platform
import time
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from shaping.runtime.progress import clock, human
from shaping.runtime.storage import is_locked, write_whole

NAME = "status.json"
_EVERY_S = 5.0


@dataclass
class Status:
    """The state of a run.

    Attributes:
      state: "running", "stopped" (on request, and saved), "failed" (with an error) or "finished".
      matches, matches_done: number of matches, and of those whose results are final.
      failed: number of matches that stopped being finite and are frozen at their last finite state.
      match_updates, match_updates_done: updates of all matches, or generations of all populations, added up, and those
        done.
      chunks, chunks_done: chunks of matches, and those done.
      counted: what these are, "match-updates" or "generations".
      rate: how many are done per second, not counting the time for compilation.
      started, updated: when this process began and when it last wrote this file, ISO 8601, UTC.
      saved_updates: updates of the current chunk in its newest checkpoint; null if there is none yet.
      message: why it stopped or failed.
      host, pid, processes, devices: where it runs.
    """

    state: str = "running"
    matches: int = 0
    matches_done: int = 0
    failed: int = 0
    match_updates: int = 0
    match_updates_done: int = 0
    chunks: int = 0
    chunks_done: int = 0
    counted: str = "match-updates"
    rate: float = 0.0
    started: str = ""
    updated: str = ""
    saved_updates: int | None = None
    message: str = ""
    host: str = ""
    pid: int = 0
    processes: int = 1
    devices: str = ""


class StatusWriter:
    """Writes the status every few seconds. Only the main process writes; elsewhere `enabled` is False."""

    def __init__(self, folder: Any, status: Status, enabled: bool):
        self.folder, self.status, self._enabled = folder, status, enabled
        self._written = time.monotonic()
        status.started = _now()
        status.host, status.pid = platform.node(), os.getpid()

    def update(self, at_once: bool = False, **changes: Any) -> None:
        """Changes fields of the status and writes it: now if `at_once`, otherwise only if a few seconds have passed."""
        for name, value in changes.items():
            setattr(self.status, name, value)
        now = time.monotonic()
        if self._enabled and (at_once or now - self._written > _EVERY_S):
            self._written = now
            self.status.updated = _now()
            # A full disk is reported when results are written.
            with nullcontext() if at_once else suppress(OSError):
                write_whole(self.folder / NAME, json.dumps(asdict(self.status), indent=1) + "\n")


def read_status(folder: Any) -> Status | None:
    """The status in a folder, or None if there is no readable one.

    The state is "killed" where the file says "running" but no process runs in the folder.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    known = {field.name for field in fields(Status)}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        status = Status(**{name: value for name, value in found.items() if name in known})
        describe(folder, status)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, OSError):
        return None
    locked = is_locked(folder)
    if status.state == "running" and locked is False:
        status.state = "killed"
    elif locked:
        status.state = "running"
    return status


def describe(folder: Any, status: Status) -> list[str]:
    """A status as a few lines of text."""
    share = status.match_updates_done / status.match_updates if status.match_updates else 1.0
    lines = [
        f"{folder}: {status.state}, {share:.1%} of {human(status.match_updates)} {status.counted}",
        f"  matches    {status.matches_done:,} of {status.matches:,} final, in {status.chunks_done} of {status.chunks} "
        f"chunk{'s' * (status.chunks != 1)}; {status.failed:,} failed",
    ]
    if status.state == "running":
        left = (status.match_updates - status.match_updates_done) / status.rate if status.rate else float("inf")
        where = f"{status.host}, process {status.pid}" if status.processes == 1 else f"{status.processes} processes"
        lines.append(
            f"  rate       {human(status.rate)} {status.counted}/s, {clock(left)} left, on {status.devices} ({where})"
        )
    saved = "none yet" if status.saved_updates is None else f"after {status.saved_updates:,} updates of this chunk"
    if status.state != "finished":
        lines.append(f"  checkpoint {saved}")
    lines.append(f"  updated    {status.updated}")
    if status.message:
        lines.append(f"  message    {status.message}")
    if status.state in ("killed", "stopped", "failed"):
        lines.append(f"  `shaping resume {folder}` continues it")
    return lines


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
