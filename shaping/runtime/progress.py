"""A progress bar on standard error."""

import sys
import time
from typing import TextIO


class Progress:
    """Counts match-updates, or generations of populations (`counted` names them), and shows their rate and the time
    left; on a terminal, in one line that it rewrites."""

    def __init__(self, total: int, stream: TextIO | None = None, enabled: bool = True, counted: str = "match-updates"):
        self.total = total
        self.counted = counted
        self.done = 0
        self.stream = stream or sys.stderr
        self.enabled = enabled
        self.started = time.perf_counter()
        self.compiling = 0.0
        self._last_shown = 0.0
        self._shown: int | None = None
        self._skipped = 0

    def advance(self, match_updates: int) -> None:
        """Adds finished match-updates."""
        self.done += match_updates
        now = time.perf_counter()
        interval = 0.2 if self.stream.isatty() else 10.0
        if self.enabled and now - self._last_shown > interval:
            self._last_shown = now
            self._show()

    def skip(self, match_updates: int) -> None:
        """Adds match-updates that an earlier process did; they do not count in the rate."""
        self.done += match_updates
        self._skipped += match_updates

    def rate(self) -> float:
        """Match-updates per second, not counting the time for compilation."""
        elapsed = time.perf_counter() - self.started - self.compiling
        return (self.done - self._skipped) / max(elapsed, 1e-9)

    def close(self) -> None:
        """Shows the last state, if it is not shown already, and ends the line."""
        if self.enabled and self._shown is not None:
            if self._shown != self.done:
                self._show()
            if self.stream.isatty():
                self.stream.write("\n")
                self.stream.flush()

    def _show(self) -> None:
        self._shown = self.done
        rate = self.rate()
        left = (self.total - self.done) / rate if rate else float("inf")
        fraction = self.done / self.total if self.total else 1.0
        bar = "#" * int(30 * fraction)
        text = f"[{bar:<30}] {fraction:4.0%}  {human(rate)} {self.counted}/s  {clock(left)} left"
        self.stream.write(f"\r{text:<78}" if self.stream.isatty() else f"{text}\n")
        self.stream.flush()


def human(number: float) -> str:
    """1234567 as 1.2 M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.3g}"


def size_of(count: float) -> str:
    """12345678 bytes as 11.8 MiB."""
    for size, name in ((2**60, "EiB"), (2**50, "PiB"), (2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= size:
            # 1,023 KiB, where three digits would be 1.02e+03.
            return f"{count / size:.{4 if count >= 999.5 * size else 3}g} {name}"
    return f"{count:.0f} B"


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    if seconds == float("inf"):
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
