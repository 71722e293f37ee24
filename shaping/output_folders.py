"""The folder that a command writes: refused before anything is computed, and gone again if the input is refused."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from shaping.config.errors import ConfigError
from shaping.runtime.storage import new_folder, remove


@contextmanager
def output_folder(out: str | Path | None, stem: str) -> Iterator[Any]:
    """A new folder, see `runtime.storage.new_folder`; if the body raises a ConfigError it is removed again, unless
    parts of a computation were finished in it.

    Raises:
      ConfigError: if it is not empty, or cannot be written.
    """
    folder = new_folder(out, stem)
    try:
        yield folder
    except ConfigError:
        with suppress(OSError):
            if not any(folder.rglob("*.npz")):
                remove(folder)
        raise
