"""Errors of the machine a run is on: recognises them and describes them in one line."""

import errno
import os

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
# What such libraries say of any failure to read or write: their own codes, and the words of the operating system.
_STORAGE_CODES = ("ABORTED:", "DATA_LOSS:", "DEADLINE_EXCEEDED:", "NOT_FOUND:", "PERMISSION_DENIED:", "UNAVAILABLE:")
_STORAGE_WORDS = tuple(
    os.strerror(number).lower()
    for number in (
        errno.EACCES,
        errno.EIO,
        errno.EISDIR,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
        errno.ESTALE,
        errno.ETIMEDOUT,
    )
)
# Packages that reach object stores, whose errors are of types of their own.
_STORES = {"aiohttp", "azure", "botocore", "gcsfs", "google", "huggingface_hub", "requests", "s3fs", "urllib3"}
# Types that no library uses for what the machine could not do.
_MISTAKES = (AssertionError, AttributeError, LookupError, NameError, TypeError)
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


def is_of_storage(error: BaseException) -> bool:
    """Whether an error, or one of its causes, means that a file could not be read or written, rather than that a
    program is wrong."""
    return (
        is_exhausted(error)
        or not isinstance(error, _MISTAKES)
        and any(
            isinstance(one, OSError)
            or type(one).__module__.partition(".")[0] in _STORES
            or any(code in str(one) for code in _STORAGE_CODES)
            or any(word in str(one).lower() for word in _STORAGE_WORDS)
            for one in _chain(error)
        )
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
