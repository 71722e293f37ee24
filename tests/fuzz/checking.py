"""Runs a command in this process and checks what every command promises."""

import contextlib
import faulthandler
import io
import os
import signal
from pathlib import Path

from shaping.cli import main
from shaping.exit_statuses import FINISHED, REFUSED, STOPPED

LIMIT_S = 10


class HungError(AssertionError):
    """A command did not end in time."""


@contextlib.contextmanager
def in_time(what):
    """Ends its body after ten seconds.

    Raises:
      HungError: if it had not ended by then.
    """

    def hung(number, frame):
        raise HungError(f"{what}: still running after {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(LIMIT_S)
    # A library that hangs in C returns to no handler.
    faulthandler.dump_traceback_later(3 * LIMIT_S, exit=True)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()


def ended(arguments):
    """The exit status of a command, and what it printed on standard output and standard error.

    Raises:
      AssertionError: if it hangs, ends with a traceback or another status than it should, or fails without a line that
        says why.
    """
    out, error = io.StringIO(), io.StringIO()
    try:
        with in_time(arguments), contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            try:
                status = main(arguments)
            except SystemExit as end:
                status = end.code
    except HungError:
        raise
    except Exception as failure:
        raise AssertionError(f"{arguments}: {type(failure).__name__}: {failure}") from failure
    said = error.getvalue()
    assert status in (FINISHED, REFUSED, STOPPED), (arguments, status)
    assert "Traceback" not in said, (arguments, said)
    lines = [line for line in said.splitlines() if line.startswith("shaping: ")]
    usage = any(line.startswith("shaping") and ": error: " in line for line in said.splitlines())
    assert status == FINISHED or usage or len(lines) == 1, (arguments, status, said)
    return status, out.getvalue(), said


@contextlib.contextmanager
def nothing_written(folder):
    """Checks that nothing is added to an empty folder, which is the working folder meanwhile."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
    written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    assert not written, written


def contents(folder, names=("config.yaml", "record.zarr", "checkpoint")):
    """What is in the files that a failed command must leave as they are, by path."""
    found = {}
    for name in names:
        place = folder / name
        for path in [place, *place.rglob("*")] if place.is_dir() else [place]:
            found[path] = path.read_bytes() if path.is_file() else path.exists()
    return found
