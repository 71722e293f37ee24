"""Standard output and standard error, which may be closed, full, or unable to show a character."""

import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress


class OutputError(Exception):
    """Standard output cannot be written."""


def complain(message: str, prefix: str = "shaping: ") -> None:
    """Prints a line to standard error, if that can be written."""
    with suppress(OSError):
        print(f"{prefix}{message}".encode(errors="backslashreplace").decode(), file=sys.stderr, flush=True)


def print_lines(lines: Sequence[str]) -> None:
    """Prints to standard output, at once.

    Raises:
      OutputError: if that cannot be written.
    """
    try:
        for line in lines:
            # A lone surrogate, from a file name for example, cannot be encoded.
            print(line.encode(errors="backslashreplace").decode())
        sys.stdout.flush()
    except OSError as error:
        raise OutputError from error


def discard_output() -> None:
    """Discards what is still to be printed, so that Python does not fail on it at exit."""
    # In a test, standard output may not be a file.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def silence_libraries() -> None:
    """Keeps other libraries' warnings off the terminal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
