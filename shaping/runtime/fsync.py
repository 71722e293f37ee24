"""Getting files onto the disk (fsync), so that they survive a machine that crashes or loses power."""

import errno
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from shaping.runtime.storage import is_local


class BackgroundSync:
    """Syncs files to the disk in a thread of its own while other files are being written."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "fsync")
        self._pending: list[Future[None]] = []

    def begin(self, files: Sequence[Path]) -> None:
        """Queues files; a file that is deleted before its turn is skipped."""
        if files:
            self._pending = [future for future in self._pending if not future.done() or future.exception()]
            self._pending.append(self._thread.submit(sync_files, files))

    def wait(self) -> None:
        """Returns when every queued file is on the disk.

        Raises:
          OSError: if a file could not be synced.
        """
        pending, self._pending = self._pending, []
        for future in pending:
            future.result()


def sync_files(files: Iterable[Path]) -> None:
    """Returns when these local files and their entries in their folders are on the disk.

    Files that no longer exist are skipped.

    Raises:
      OSError: if a file could not be synced.
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
            # Some file systems cannot sync a folder; they protect its entries in another way.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise


def sync_folder(folder: Any) -> None:
    """Syncs every file below a folder; does nothing if the folder is not on a disk of this machine."""
    if is_local(folder):
        sync_files(path for path in folder.rglob("*") if path.is_file())


def tracking_store(folder: Path, written: set[str]) -> Any:
    """A zarr store in a local folder that adds to `written` the key of every file it writes or deletes."""
    from zarr.storage import LocalStore

    class TrackingStore(LocalStore):
        async def set(self, key: str, value: Any) -> None:
            await super().set(key, value)
            written.add(key)

        async def delete(self, key: str) -> None:
            await super().delete(key)
            written.add(key)

    return TrackingStore(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
