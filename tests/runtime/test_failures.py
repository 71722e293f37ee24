"""Which errors mean that files, memory or space ran out."""

import errno

import pytest

from shaping.runtime.failures import is_exhausted, is_of_storage, is_out_of_memory, reason


def caused(error, cause):
    try:
        raise error from cause
    except Exception as found:
        return found


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("UNAVAILABLE: Error opening file: [OS error 24: Too many open files]"),
        RuntimeError("can't start new thread"),
        caused(ValueError("cannot save"), OSError(errno.EDQUOT, "Disk quota exceeded")),
    ],
)
def test_files_threads_and_space_can_be_had_later(error):
    assert is_exhausted(error) and not is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123 bytes."),
        caused(ValueError("cannot train"), MemoryError()),
    ],
)
def test_memory_is_another_matter(error):
    assert is_out_of_memory(error) and not is_exhausted(error)


@pytest.mark.parametrize("error", [ValueError("x"), OSError(errno.EACCES, "Permission denied"), KeyError("memory")])
def test_other_errors_are_neither(error):
    assert not is_exhausted(error) and not is_out_of_memory(error)


class HttpError(Exception):
    """As of a package that reaches an object store."""


HttpError.__module__ = "gcsfs.retry"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        ValueError("UNAVAILABLE: Error opening file"),
        RuntimeError('Error writing "x/0.0": [OS error 30: Read-only file system]'),
        HttpError("forbidden"),
        caused(ValueError("cannot save"), PermissionError(errno.EACCES, "Permission denied")),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_what_the_machine_could_not_read_or_write_is_told_from_a_mistake(error):
    assert is_of_storage(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("operands could not be broadcast together with shapes (3,) (4,)"),
        RuntimeError("dictionary changed size during iteration"),
        caused(KeyError("value"), FileNotFoundError(errno.ENOENT, "No such file or directory")),
    ],
)
def test_a_mistake_is_not_told_as_a_failure_of_storage(error):
    assert not is_of_storage(error)


def test_a_reason_is_one_line():
    assert reason(ValueError("a\n  b")) == "a b" and reason(MemoryError()) == "MemoryError"
    assert reason(OSError(errno.ENOSPC, "No space left on device", "x")) == "No space left on device"
