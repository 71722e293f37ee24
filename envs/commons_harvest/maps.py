"""Maps of commons harvest: given as rows of text, or by one of two names."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.envs.grid.layouts import letters_of

LETTERS = {" ": "floor", "W": "wall", "A": "a cell that bears apples", "P": "start", "Q": "start of the first players"}
MAX_SIDE = 32


@dataclass(frozen=True)
class HarvestMap:
    """A map as lists of cells, each a tuple of (row, column), in reading order.

    Attributes:
        rows, columns: of the grid; a border that is all wall is left out, because the outside is wall anyway.
        apples: cells that bear apples.
        walls: walls within the grid.
        starts: where players start and return.
        first_starts: where the first players start instead, as many as there are such cells.
    """

    rows: int
    columns: int
    apples: tuple[tuple[int, int], ...]
    walls: tuple[tuple[int, int], ...]
    starts: tuple[tuple[int, int], ...]
    first_starts: tuple[tuple[int, int], ...]


def read_map(layout: Any) -> HarvestMap:
    """A map, from its name or its rows of text.

    Args:
        layout: "small", "open", or strings of equal length made of `LETTERS`, one per row.

    Raises:
        ValueError: for an unknown name or letter, rows of different lengths, no apples or no start. One line.
    """
    letters = letters_of(layout, _NAMED, LETTERS)
    known = sorted(set(letters.ravel().tolist()))
    while min(letters.shape) > 2 and all(np.all(edge == "W") for edge in _edges(letters)):
        letters = letters[1:-1, 1:-1]
    cells = {k: tuple((int(r), int(c)) for r, c in np.argwhere(letters == k)) for k in LETTERS}
    for letter, what in (("A", "an apple cell (A)"), ("P", "a start (P)")):
        if not cells[letter]:
            raise ValueError(f"layout has the letters {known}; allowed: at least {what} among them")
    rows, columns = letters.shape
    if max(rows, columns) > MAX_SIDE:
        raise ValueError(
            f"layout has {rows} rows and {columns} columns; allowed: at most {MAX_SIDE} within the outer wall"
        )
    return HarvestMap(rows, columns, cells["A"], cells["W"], cells["P"], cells["Q"])


def _edges(letters: np.ndarray) -> tuple[np.ndarray, ...]:
    return letters[0], letters[-1], letters[:, 0], letters[:, -1]


def _draw(rows: int, columns: int, patches: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Floor with patches of apples, all cells within two steps of the centres: [rows, columns] letters."""
    row, column = np.indices((rows, columns))
    letters = np.full((rows, columns), " ")
    for middle_row, middle_column in patches:
        letters[abs(row - middle_row) + abs(column - middle_column) <= 2] = "A"
    return letters


def _small() -> tuple[str, ...]:
    """Two patches side by side in 7 rows and 11 columns; players start along the lower edge."""
    letters = _draw(7, 11, ((2, 2), (2, 8)))
    letters[6] = "P"
    return tuple(map("".join, letters))


def _open() -> tuple[str, ...]:
    """The geometry of Melting Pot's commons_harvest__open without its surrounding wall: 16 rows and 22 columns, six
    patches (two of them cut by the upper corners), starts in the three lowest rows, and two next to the middle patches
    for players 0 and 1."""
    letters = _draw(16, 22, ((0, 0), (0, 21), (2, 7), (2, 14), (7, 2), (7, 19)))
    for row, inset in ((13, 2), (14, 1), (15, 0)):
        letters[row, inset : 22 - inset] = "P"
    letters[6, [6, 15]] = "Q"
    return tuple(map("".join, letters))


_NAMED = {"small": _small, "open": _open}
