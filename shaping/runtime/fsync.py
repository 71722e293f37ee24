"""Files that outlive a machine that goes down: what was written may lie in its memory alone until it is forced out."""

import errno
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from shaping.runtime.folders import is_local


class Forced:
    """Forces files to the disk in the background, while others are written."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "forced")
        self._begun: list[Future[None]] = []

    def begin(self, files: Sequence[Path]) -> None:
        """Takes files on; some may be gone again by then."""
        if files:
            self._begun = [future for future in self._begun if not future.done() or future.exception()]
            self._begun.append(self._thread.submit(force, files))

    def wait(self) -> None:
        """Returns when all of them are on the disk.

        Raises:
          OSError: if one cannot be brought there.
        """
        begun, self._begun = self._begun, []
        for future in begun:
            future.result()


def force(files: Iterable[Path]) -> None:
    """Returns when local files that there still are, and the entries of their folders, are on the disk.

    Raises:
      OSError: if they cannot be brought there.
    """
    files = list(files)
    for path in files:
        with suppress(FileNotFoundError):
            _sync(path)
    for folder in sorted({path.parent for path in files}):
        try:
            _sync(folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            # Some file systems keep entries safe in ways of their own.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise


def force_all(folder: Any) -> None:
    """Forces everything in a folder, where that is on a disk of this machine."""
    if is_local(folder):
        force(path for path in folder.rglob("*") if path.is_file())


def noting_store(folder: Path, written: set[str]) -> Any:
    """A store of zarr in a local folder, which puts down what files it wrote or deleted."""
    from zarr.storage import LocalStore

    class NotingStore(LocalStore):
        async def set(self, key: str, value: Any) -> None:
            await super().set(key, value)
            written.add(key)

        async def delete(self, key: str) -> None:
            await super().delete(key)
            written.add(key)

    return NotingStore(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
