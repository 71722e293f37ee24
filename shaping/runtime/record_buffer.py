"""Holds recorded rows until a whole piece of the record can be written."""

from collections.abc import Callable, Mapping

import numpy as np


class Rows:
    """Recorded rows of a chunk's matches on their way to the record, to which they are written in whole pieces."""

    def __init__(self, write: Callable[[np.ndarray, Mapping[str, np.ndarray], int], None], rows_per_write: int):
        """

        Args:
          write: `Record.write`, or a function with the same arguments.
          rows_per_write: recorded updates in a piece.
        """
        self._write, self._rows_per_write = write, rows_per_write
        self._held: list[Mapping[str, np.ndarray]] = []
        self._first = self._next = 0

    def append(self, indices: np.ndarray, first: int, rows: Mapping[str, np.ndarray]) -> None:
        """Adds rows [matches of `indices`, rows, ...], from row number `first` on."""
        if self._held and self._held[0].keys() != rows.keys():
            # Variables known only at the end arrive with the last row.
            self.flush(indices)
        if not self._held:
            self._first = first
        self._held.append(rows)
        self._next = first + next(iter(rows.values())).shape[1]
        whole = self._next // self._rows_per_write * self._rows_per_write
        if whole > self._first:
            self._hand_on(indices, whole)

    def flush(self, indices: np.ndarray) -> None:
        """Writes all rows that are held."""
        if self._held:
            self._hand_on(indices, self._next)

    def _hand_on(self, indices: np.ndarray, end: int) -> None:
        # If segments fill whole pieces there is only one part, and nothing to copy.
        joined = self._held[0]
        if len(self._held) > 1:
            joined = {name: np.concatenate([rows[name] for rows in self._held], axis=1) for name in joined}
        count = end - self._first
        self._write(indices, {name: array[:, :count] for name, array in joined.items()}, self._first)
        self._held = [{name: array[:, count:].copy() for name, array in joined.items()}] if end < self._next else []
        self._first = end
