"""Signals that ask a run to stop: from its user, from a scheduler, or before a machine is taken away."""

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)
)  # Windows has no SIGUSR1.
"""SIGTERM is sent by a cluster before it takes a machine away; SLURM is often told to send SIGUSR1."""


class StoppedError(Exception):
    """A run saved its state and stopped, because it was asked to."""


class StopRequest:
    """While entered, listens for `SIGNALS`: the first one is kept in `received`, the second ends the process."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._handlers_before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        # Python delivers signals to the main thread only.
        if threading.current_thread() is threading.main_thread():
            self._handlers_before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.received is not None:
            _print("\nshaping: ended at once, without saving\n")
            os._exit(128 + number)
        self.received = signal.Signals(number)
        _print(
            f"\nshaping: {self.received.name}: saving at the end of this segment; a second signal ends the run at once "
            "without saving\n"
        )


def _print(text: str) -> None:
    # A handler may run in the middle of another print, so it writes to the file descriptor directly.
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())
