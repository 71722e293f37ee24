"""Curves of a run while it is running: a CSV file, or events for TensorBoard.

A row is a cell of the sweep at one recorded update: means over those of its matches that are updated together, without
those that have diverged. A cell that is larger than a chunk has several rows, each with its number of matches and the
first of them. The record holds all of this and more; no other part of the program reads a log.
"""

import csv
import importlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from shaping.config.errors import ConfigError
from shaping.runtime.storage import is_local, write_whole


@dataclass(frozen=True)
class Entry:
    """One row.

    Attributes:
      cell: index of the cell.
      first: the first of the matches, as the record numbers them.
      matches: number of matches.
      whole: whether these are all matches of the cell.
      update: number of updates done.
      means: by variable and player; NaN if all matches have diverged.
    """

    cell: int
    first: int
    matches: int
    whole: bool
    update: int
    means: Mapping[tuple[str, int], float]


class Writer(Protocol):
    """A destination of rows."""

    def write(self, entries: Sequence[Entry]) -> None: ...

    def erase(self, first: int, last: int, update: int) -> None:
        """Removes rows of matches `first` to `last` from an update on; they will be written again."""
        ...

    def close(self) -> None: ...


class Log:
    """Writes the rows of a run to one writer or several."""

    def __init__(self, writers: Sequence[Writer], updates: Sequence[int], matches_per_cell: int):
        """
        Args:
          writers: destinations of rows.
          updates: the recorded updates, ascending.
          matches_per_cell: the same for every cell.
        """
        self._writers, self._updates, self._per_cell = tuple(writers), updates, matches_per_cell

    def append(self, indices: np.ndarray, first: int, rows: Mapping[str, np.ndarray]) -> None:
        """Writes rows [matches, rows, players] of variables over updates, from row number `first` on. Other variables
        are left out."""
        if self._writers and len(indices):
            found = list(self._entries(indices, first, {name: x for name, x in rows.items() if x.ndim == 3}))
            for writer in self._writers:
                writer.write(found)

    def _entries(self, indices: np.ndarray, first: int, rows: Mapping[str, np.ndarray]) -> Iterator[Entry]:
        cells = indices // self._per_cell
        starts: Any = np.flatnonzero(np.diff(cells, prepend=-1))
        counts = np.diff([*starts, len(indices)])
        sums = {}
        for name, values in rows.items():
            known = np.isfinite(values)
            total = np.add.reduceat(np.where(known, values, 0).astype(np.float64), starts, axis=0)
            with np.errstate(invalid="ignore"):
                sums[name] = total / np.add.reduceat(known.astype(np.int64), starts, axis=0)
        for place in range(next(iter(rows.values())).shape[1]):
            for number, (start, count) in enumerate(zip(starts, counts, strict=True)):
                means = {
                    (name, player): float(mean)
                    for name, each in sums.items()
                    for player, mean in enumerate(each[number, place])
                }
                whole = bool(count == self._per_cell)
                update = int(self._updates[first + place])
                yield Entry(int(cells[start]), int(indices[start]), int(count), whole, update, means)

    def erase(self, indices: np.ndarray, first: int) -> None:
        """Removes the rows of these matches from row number `first` on. A run that is extended may have a row of what
        was its last update, which the longer run does not record."""
        if len(indices):
            beyond = int(self._updates[first - 1]) + 1 if first else 0
            for writer in self._writers:
                writer.erase(int(indices[0]), int(indices[-1]), beyond)

    def close(self) -> None:
        """Ends the log; nothing more may be written."""
        for writer in self._writers:
            writer.close()


class CsvWriter:
    """log.csv: cell, first_match, matches, update, and one column for each variable and player."""

    def __init__(self, path: Path, columns: Sequence[tuple[str, int]]):
        self._path, self._columns = path, tuple(columns)
        self._header = ["cell", "first_match", "matches", "update", *(f"{name}.{player}" for name, player in columns)]
        if not path.exists():
            self._append([self._header])

    def write(self, entries: Sequence[Entry]) -> None:
        self._append(
            [e.cell, e.first, e.matches, e.update, *(_told(e.means.get(column)) for column in self._columns)]
            for e in entries
        )

    def erase(self, first: int, last: int, update: int) -> None:
        if not self._path.exists():
            return
        with self._path.open(newline="", encoding="utf-8") as file:
            kept = [row for row in csv.reader(file) if self._keeps(row, first, last, update)]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self._header, *kept])
        write_whole(self._path, text.getvalue())

    def _keeps(self, row: list[str], first: int, last: int, update: int) -> bool:
        # A killed process may have left half a line, which is not the last one if another process wrote after it.
        if len(row) != len(self._header) or not (row[1].isdigit() and row[3].isdigit()):
            return False
        return not (first <= int(row[1]) <= last and int(row[3]) >= update)

    def close(self) -> None:
        pass

    def _append(self, rows: Any) -> None:
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def _told(mean: float | None) -> str:
    return "" if mean is None or not np.isfinite(mean) else repr(mean)


class TensorboardWriter:
    """tensorboard/: a curve for every variable, cell and player. Writing a point twice changes nothing."""

    def __init__(self, folder: Path, columns: Sequence[tuple[str, int]]):
        del columns
        self._writer = _tensorboardx().SummaryWriter(str(folder))

    def write(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            # Only letters, digits and - . /: TensorBoard allows no others in a name.
            part = "" if entry.whole else f"-from-match-{entry.first}"
            for (name, player), mean in entry.means.items():
                if np.isfinite(mean):
                    self._writer.add_scalar(f"{name}/cell-{entry.cell}{part}/player-{player}", mean, entry.update)
        self._writer.flush()

    def erase(self, first: int, last: int, update: int) -> None:
        del first, last, update

    def close(self) -> None:
        self._writer.close()


def _tensorboardx() -> Any:
    try:
        return importlib.import_module("tensorboardX")
    except ImportError:
        raise ConfigError(
            "log: tensorboard needs the package tensorboardX, which is not installed; `pip install shaping[log]`"
        ) from None


_WRITERS: dict[str, tuple[str, Callable[[Path, Sequence[tuple[str, int]]], Writer]]] = {
    "csv": ("log.csv", CsvWriter),
    "tensorboard": ("tensorboard", TensorboardWriter),
}


def check_log(kinds: Sequence[str], folder: Any = None) -> None:
    """Refuses a log that cannot be written.

    Args:
      kinds: some of `config.top_level.LOGS`.
      folder: folder of the run, if it is known.

    Raises:
      ConfigError: a missing package, or a folder in an object store, where files cannot grow.
    """
    if "tensorboard" in kinds:
        _tensorboardx()
    if kinds and folder is not None and not is_local(folder):
        raise ConfigError(f"log: {folder} is in an object store; allowed: a local folder, or no log")


def open_log(
    kinds: Sequence[str],
    folder: Any,
    variables: Mapping[str, Any],
    players: int,
    updates: Sequence[int],
    matches_per_cell: int,
) -> Log:
    """Opens the log of a run, and continues it if it exists.

    Args:
      kinds: some of `config.top_level.LOGS`; none for no log.
      folder: folder of the run.
      variables: declarations by name; those over match, update and player are logged.
      players: their number in the largest game.
      updates, matches_per_cell: see `Log`.

    Raises:
      ConfigError: see `check_log`.
    """
    check_log(kinds, folder)
    names = [name for name, one in variables.items() if one.dims == ("match", "update", "player")]
    columns = [(name, player) for name in names for player in range(players)]
    writers = [make(folder / name, columns) for kind in dict.fromkeys(kinds) for name, make in [_WRITERS[kind]]]
    return Log(writers, updates, matches_per_cell)
