"""The folder of a run, on a local disk or in an object store: creating it, locking it, reading and writing its
files."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from shaping.config.errors import ConfigError, not_allowed, shown
from shaping.runtime.failures import reason
from shaping.runtime.progress import size_of

STORES = ("gs://", "s3://", "az://", "hf://")
"""Object stores that orbax, zarr and fsspec all support; each needs a package (gcsfs, s3fs, adlfs, huggingface_hub)."""

_LEFTOVERS = (".lock", ".writable", ".config.yaml.partial")
"""Files that may remain in the folder of a run that was killed before it began."""


def folder_at(place: Any) -> Any:
    """The path of a folder: a `Path` with `~` expanded, or for a URL of `STORES` an object that behaves like one.

    Every folder that a user names passes through here once, because other libraries expand `~` in some places and not
    in others.

    Raises:
      ConfigError: for any other URL, for a store whose package is missing, or for the home of an unknown user.
    """
    if not isinstance(place, str | os.PathLike):
        raise not_allowed("folder", place, "the path of a folder, or a URL")
    text = os.fspath(place)
    if not text or "\0" in text:
        raise ConfigError(f"{text!r}: not the name of a folder")
    if text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    # Orbax reads a URL without its second slash (gs:/x) as the URL, so it is not accepted as the name of a folder
    # either.
    if "://" not in text and not text.startswith(tuple(store[:-1] for store in (*STORES, "file://"))):
        try:
            path = Path(text).expanduser()
            path.exists()
        except (RuntimeError, OSError, ValueError) as error:
            raise ConfigError(f"{shown(text)}: cannot be used as a folder: {reason(error).rstrip('.')}") from None
        return path
    if not text.startswith(STORES):
        raise ConfigError(f"{text}: unknown kind of store; allowed: a local folder, or {', '.join(STORES)}")
    from etils import epath

    path = epath.Path(text)
    try:
        path.exists()
    except Exception as error:
        raise ConfigError(f"{text}: cannot be reached: {' '.join(str(error).split())}") from None
    return path


def is_local(folder: Any) -> bool:
    """Whether a folder is on a file system of this machine."""
    return isinstance(folder, Path)


def new_folder(out: str | Path | None, stem: str) -> Any:
    """Creates the folder `out`, which must be new or empty; by default the next of runs/STEM-1, runs/STEM-2, ...

    Raises:
      ConfigError: if it is not empty, or cannot be written.
    """
    if out is None:
        base = Path("runs")
        number = 1 + max(
            (int(p.name.rsplit("-", 1)[1]) for p in base.glob(f"{stem}-*") if p.name.rsplit("-", 1)[1].isdigit()),
            default=0,
        )
        folder: Any = base / f"{stem}-{number}"
    else:
        folder = folder_at(out)
    try:
        if folder.exists() and (not folder.is_dir() or any(p.name not in _LEFTOVERS for p in folder.iterdir())):
            if is_locked(folder):
                raise ConfigError(
                    f"--out {folder}: another process is running in it; `shaping status {folder}` shows it"
                )
            if (folder / "config.yaml").exists() and not (folder / "report" / "index.html").exists():
                raise ConfigError(
                    f"--out {folder}: holds a run that was interrupted; `shaping resume {folder}` continues it"
                )
            raise ConfigError(f"--out {folder}: exists and is not an empty folder; nothing was written")
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.write_text("")
        probe.unlink()
    except (OSError, PermissionError) as error:
        raise ConfigError(f"--out {folder}: cannot be written: {reason(error)}") from None
    return folder


def check_space(folder: Any, parts: dict[str, int]) -> None:
    """Refuses a run whose files would not fit on the disk if none of them could be compressed.

    Args:
      folder: the folder of the run.
      parts: bytes needed for each part of the run, by name.

    Raises:
      ConfigError: if there is not enough free space.
    """
    if not is_local(folder):
        return
    free, needed = shutil.disk_usage(folder).free, sum(parts.values())
    if needed > free:
        detail = ", ".join(f"{name} {size_of(count)}" for name, count in parts.items())
        raise ConfigError(
            f"{folder}: the disk is too small: {size_of(free)} free, the run takes up to {size_of(needed)} ({detail}); "
            "a larger record_every or a smaller checkpoint.keep takes less"
        )


def read_text(path: Any, remedy: str) -> str:
    """The text of a small file.

    Args:
      path: where it should be.
      remedy: what to do if the file cannot be read, as the second half of a sentence.

    Raises:
      ConfigError: if it is missing, not a file, cannot be read or is not UTF-8.
    """
    if not path.exists():
        raise ConfigError(f"{path}: is missing; {remedy}")
    # Opening a named pipe would wait until somebody writes to it.
    if not path.is_file():
        raise ConfigError(f"{path}: is {kind_of(path)}, not a file; {remedy}")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start}); {remedy}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {reason(error)}; {remedy}") from None


def kind_of(path: Any) -> str:
    """Says in words what a path is that is not a regular file."""
    if path.is_dir():
        return "a folder"
    for method, words in (
        ("is_fifo", "a named pipe"),
        ("is_socket", "a socket"),
        ("is_char_device", "a device"),
        ("is_block_device", "a device"),
    ):
        if getattr(path, method, bool)():
            return words
    return "a link to nothing" if path.is_symlink() and not path.exists() else "no regular file"


def write_whole(path: Any, text: str) -> None:
    """Writes a small text file in UTF-8, atomically: a reader sees the old file or the new one."""
    if not is_local(path):
        path.write_bytes(text.encode())
        return
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def remove(folder: Any) -> None:
    """Deletes a folder and its contents, if it exists."""
    if is_local(folder):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        folder.rmtree()


def sweep_up(folder: Path) -> None:
    """Deletes files that a killed process had not finished writing."""
    if is_local(folder):
        for partial in folder.rglob("*.partial"):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Any) -> Iterator[None]:
    """Holds the lock of a run's folder, so that no second process runs in it. The lock is released when the process
    ends.

    Does nothing where such locks do not exist: on Windows, in object stores and on some network file systems.

    Raises:
      ConfigError: if another process holds it.
    """
    if not is_local(folder):
        yield
        return
    with (folder / ".lock").open("a") as file:
        # A process that only checks whether the folder is locked also holds the lock for a moment.
        for patience in (0.1, 0.3, 0.6, None):
            try:
                _lock(file, exclusive=True)
                break
            except BlockingIOError:
                if patience is None:
                    raise ConfigError(f"{folder}: another process is running in it") from None
                time.sleep(patience)
            except OSError:
                break  # Locks are not supported here.
        yield


def is_locked(folder: Any) -> bool | None:
    """Whether a process is running in the folder; None if that cannot be known."""
    if not is_local(folder) or not (folder / ".lock").is_file():
        return None
    try:
        with (folder / ".lock").open("r") as file:
            _lock(file, exclusive=False)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def _lock(file: IO[str], exclusive: bool) -> None:
    """Locks an open file without waiting.

    Raises:
      BlockingIOError: if another process holds the lock.
      OSError: if the system or the file system does not support such locks.
    """
    try:
        import fcntl
    except ImportError:
        raise OSError("no file locks on this system") from None
    fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
