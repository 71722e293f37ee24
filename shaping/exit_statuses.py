"""The table of the command's exit statuses."""

from dataclasses import dataclass

FINISHED = 0
FAILED = 1
REFUSED = 2
LOST = 69
"""EX_UNAVAILABLE of sysexits.h."""
STOPPED = 75
"""EX_TEMPFAIL of sysexits.h: all a scheduler has to do is repeat the command whenever it exits with this status."""
INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


@dataclass(frozen=True)
class ExitStatus:
    """One row of the table.

    Attributes:
      status: the number.
      meaning: what happened.
      action: what to do about it; empty if there is nothing to do.
    """

    status: int
    meaning: str
    action: str = ""


TABLE = (
    ExitStatus(FINISHED, "the command did what it was asked to do"),
    ExitStatus(FAILED, "`verify` found a result that differs, or shaping itself failed with a traceback", "report it"),
    ExitStatus(REFUSED, "something you can correct; one line says what", "correct it; `resume` if the run had begun"),
    ExitStatus(LOST, "another process of a distributed run has ended", "`resume`"),
    ExitStatus(STOPPED, "stopped on request and saved, or the machine ran out of files or space", "`resume`"),
    ExitStatus(INTERRUPTED, "Ctrl-C before a run had begun, or pressed twice", "`run`, or `resume` if it had begun"),
    ExitStatus(134, "another process has ended, and JAX noticed first", "`resume`"),
    ExitStatus(137, "killed by SIGKILL, often by the system when memory ran out", "`resume`"),
    ExitStatus(138, "a second SIGUSR1 while the run was saving", "`resume`"),
    ExitStatus(143, "a second SIGTERM while the run was saving", "`resume`"),
)


def lines() -> list[str]:
    """The table for `shaping --help`."""
    text = ["exit statuses:"]
    for row in TABLE:
        action = f" -> {row.action}" if row.action else ""
        text.append(f"  {row.status:>3}  {row.meaning}{action}")
    return text
