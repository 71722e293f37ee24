"""The folder of a run, on a local disk or in a store of objects: making it, guarding it, writing small files whole."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shaping.config.errors import ConfigError
from shaping.runtime.progress import size_of

STORES = ("gs://", "s3://", "az://", "hf://")
"""Stores that orbax, zarr and fsspec all know; each needs its own package (gcsfs, s3fs, adlfs, huggingface_hub)."""


_NOTHING = (".lock", ".writable", ".config.yaml.partial")
"""What a run that was killed before it began may leave in its folder."""


def folder_at(place: Any) -> Any:
    """A path to a folder: a `Path`, or for a URL of `STORES` an object that behaves like one.

    Raises:
      ConfigError: for any other URL, or a store whose package is missing.
    """
    text = os.fspath(place)
    if text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    # What looks like a URL with a slash too few is no folder: orbax would take it for the URL.
    if "://" not in text and not text.startswith(tuple(store[:-1] for store in (*STORES, "file://"))):
        return Path(text)
    if not text.startswith(STORES):
        raise ConfigError(f"{text}: no store of this kind; allowed: a local folder, or {', '.join(STORES)}")
    from etils import epath

    path = epath.Path(text)
    try:
        path.exists()
    except Exception as error:
        raise ConfigError(f"{text}: cannot be reached: {' '.join(str(error).split())}") from None
    return path


def is_local(folder: Any) -> bool:
    """Whether a folder lies on a disk of this machine, or looks like it."""
    return isinstance(folder, Path)


def new_folder(out: str | Path | None, stem: str) -> Any:
    """Makes the folder `out`, which must be new or empty; without one the next of runs/STEM-1, runs/STEM-2, ...

    Raises:
      ConfigError: if it is neither, or cannot be written.
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
        if folder.exists() and (not folder.is_dir() or any(p.name not in _NOTHING for p in folder.iterdir())):
            if (folder / "config.yaml").exists() and not (folder / "report" / "index.html").exists():
                raise ConfigError(
                    f"--out {folder}: holds a run that was interrupted; `shaping resume {folder}` goes on with it"
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
    """Refuses a plan whose files, none of them compressed, would not fit on the disk.

    Args:
      folder: of the run.
      parts: bytes by what takes them.

    Raises:
      ConfigError: if there is less room.
    """
    if not is_local(folder):
        return
    free, needed = shutil.disk_usage(folder).free, sum(parts.values())
    if needed > free:
        detail = ", ".join(f"{name} {size_of(count)}" for name, count in parts.items())
        raise ConfigError(
            f"{folder}: too small: {size_of(free)} free, the run takes up to {size_of(needed)} ({detail}); "
            "a larger record_every or a smaller checkpoint.keep takes less"
        )


def write_whole(path: Any, text: str) -> None:
    """Writes a small text file so that nobody ever sees half of it."""
    if not is_local(path):
        path.write_text(text)
        return
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def remove(folder: Any) -> None:
    """Deletes a folder and what is in it, if it is there."""
    if is_local(folder):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        folder.rmtree()


def sweep_up(folder: Path) -> None:
    """Deletes what a process that was killed left of files it was writing."""
    if is_local(folder):
        for partial in folder.rglob("*.partial"):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def guarded(folder: Any) -> Iterator[None]:
    """Nobody else runs in this folder meanwhile; where the system has such locks, they end with the process.

    Raises:
      ConfigError: if somebody does.
    """
    if not is_local(folder):
        yield
        return
    import fcntl

    with (folder / ".lock").open("a") as file:
        # Who only looks whether somebody is there holds it for a moment, too.
        for patience in (0.1, 0.3, 0.6, None):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if patience is None:
                    raise ConfigError(f"{folder}: another process is running in it") from None
                time.sleep(patience)
            except OSError:
                break  # A file system without locks.
        yield


def is_guarded(folder: Any) -> bool | None:
    """Whether somebody runs in the folder; None where that cannot be known."""
    if not is_local(folder) or not (folder / ".lock").exists():
        return None
    import fcntl

    try:
        with (folder / ".lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def reason(error: BaseException) -> str:
    """An error in one line."""
    text = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return str(text)
