"""Damaged folders: says in one line what is wrong with which file; also finds missing pieces of a record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shaping.zarr_chunks import arrays_of, grid, undecodable

if TYPE_CHECKING:
    import xarray as xr

REMEDY = "restore it from a copy, or run the configuration again into a new folder"
_ALWAYS = ("value", "value_trajectory_mean", "theta_initial", "theta_final")
"""Variables that every match has, whatever its game."""


class DamagedRecordError(ValueError):
    """One line that names the file of a run that cannot be read, what is wrong with it, and what to do."""


def first_line(error: BaseException) -> str:
    """An error as one line: its type, and the beginning of its message."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said[:120]}" if said else type(error).__name__


@contextmanager
def naming_damage(directory: Any) -> Iterator[None]:
    """If its body fails because a file of DIRECTORY/record.zarr cannot be read, reports that file instead.

    Raises:
        DamagedRecordError: instead of an error that a damaged file explains.
    """
    try:
        yield
    except (DamagedRecordError, FileNotFoundError, MemoryError):
        raise
    except Exception as error:
        if told := unreadable_piece(directory / "record.zarr"):
            raise DamagedRecordError(told) from error
        raise


def unreadable_piece(path: Any) -> str:
    """A line about the first piece of a record that cannot be decoded; "" if all can."""
    found = undecodable(path)
    return "" if found is None else f"{found[0]}: cannot be read ({first_line(found[1])}); {REMEDY}"


def absent_piece(path: Any, dataset: xr.Dataset) -> str:
    """A line about the first piece of a record that is missing although its matches are finished; "" if none is
    missing.

    A piece that was never written reads as NaN, and so does a diverged match. It is certainly missing if one of its
    matches did not diverge. Matches that are still running are not checked. Variables that only some games record are
    checked only at the end of a run, in records of a single game.
    """
    arrays = arrays_of(path)
    if (marker := arrays.get("diverged_at")) is None:
        return ""
    if absent := _absent(path, "diverged_at", marker, list(np.ndindex(*grid(marker)))):
        return absent
    kept = np.flatnonzero(dataset["diverged_at"].values == -1)
    for name, array in arrays.items():
        dims = tuple(str(d) for d in dataset[name].dims) if name in dataset.data_vars else ()
        if dims[:1] != ("match",) or name == "diverged_at":
            continue
        rows = np.unique(kept // array.chunks[0]).tolist()
        pieces = grid(array)
        if name in _ALWAYS:
            wanted = [(row, *rest) for row in rows for rest in np.ndindex(*pieces[1:])]
        elif pieces[0] == 1 and rows:
            along = dims[1:2] == ("update",)
            wanted = [(0, *rest) for rest in np.ndindex(*pieces[1:]) if not along or rest[0] == pieces[1] - 1]
        else:
            continue
        if absent := _absent(path, name, array, wanted):
            return absent
    return ""


def _absent(path: Any, name: str, array: Any, wanted: list[tuple[int, ...]]) -> str:
    folder = path / name
    start = len(str(folder).rstrip("/")) + 1
    # One listing is much faster than one query per piece.
    present = {str(file)[start:] for file in folder.rglob("*")} if wanted else set()
    for place in wanted:
        key = array.metadata.encode_chunk_key(place)
        # Asking a local file system is cheap, and there a folder may be in the place of the piece.
        if key not in present or (isinstance(folder, Path) and (folder / key).is_dir()):
            return f"{folder / key}: this piece of the record is missing; {REMEDY}"
    return ""
