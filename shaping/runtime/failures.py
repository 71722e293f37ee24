"""Errors of the machine a run is on: recognises them and describes them in one line."""

import errno

from shaping.config.errors import ConfigError

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EAGAIN}
# Libraries written in C++ raise ValueError or RuntimeError with the operating system's message in the text.
_EXHAUSTED_WORDS = (
    "too many open files",
    "no space left on device",
    "disk quota exceeded",
    "resource temporarily unavailable",
    "can't start new thread",
)
_MEMORY_WORDS = ("resource_exhausted", "out of memory", "cannot allocate memory", "failed to allocate", "bad_alloc")


class ExhaustedError(ConfigError):
    """The machine ran out of open files, threads or disk space; the same command may work later or elsewhere."""


def reason(error: BaseException) -> str:
    """An error as one line."""
    text = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return str(text)


def is_exhausted(error: BaseException) -> bool:
    """Whether an error, or one of its causes, means that open files, threads or disk space ran out."""
    return any(
        getattr(one, "errno", None) in _EXHAUSTED or any(word in str(one).lower() for word in _EXHAUSTED_WORDS)
        for one in _chain(error)
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one of its causes, means that memory ran out, on the host or on a device."""
    return not is_exhausted(error) and any(
        isinstance(one, MemoryError)
        or getattr(one, "errno", None) == errno.ENOMEM
        or any(word in str(one).lower() for word in _MEMORY_WORDS)
        for one in _chain(error)
    )


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
