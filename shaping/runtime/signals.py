"""A wish to stop: signals of a user, of a scheduler, or of a machine about to be taken away."""

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""SIGTERM is what a cluster sends before it takes a machine away, SIGUSR1 what SLURM is often told to."""
STOPPED = 75
"""Exit status of a run that was stopped, saved, and can be resumed (EX_TEMPFAIL of sysexits.h)."""


LOST = 69
"""Exit status where another process of a job is gone (EX_UNAVAILABLE)."""


class StoppedError(Exception):
    """A run saved its state and stopped, as it was asked to."""


class Stops:
    """While it is entered, the first signal sets `wanted`, the second ends the process at once."""

    def __init__(self) -> None:
        self.wanted: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        # Python hands signals to the main thread alone.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.wanted is not None:
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"\nshaping: ended at once\n")
            os._exit(128 + number)
        self.wanted = signal.Signals(number)
        text = f"\nshaping: {self.wanted.name}: saving at the end of this segment; once more ends at once\n"
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())
