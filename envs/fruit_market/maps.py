"""Maps of the fruit market: given as rows of text, or by one of three names."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.envs.grid.layouts import letters_of

LETTERS = {
    " ": "land",
    "T": "land that may bear a tree",
    "P": "a start, which may bear a tree too",
    "~": "water",
    "W": "wall",
}
NAMES = ("small", "banks", "rivers")
MAX_SIDE = 64


@dataclass(frozen=True)
class MarketMap:
    """A map as grids of cells.

    Attributes:
        rows, columns: of the grid; its outside is wall.
        bears: [rows, columns] bool, cells that may bear a tree.
        water, walls: [rows, columns] bool.
        starts: rows and columns of the starts, in reading order.
        region: [rows, columns] int, the number of the region that a cell of land belongs to; `regions` for water and
            walls. Regions are the parts of the land that water and walls keep apart, numbered in reading order; cells
            that touch only at a corner are apart.
        regions: how many there are.
    """

    rows: int
    columns: int
    bears: np.ndarray
    water: np.ndarray
    walls: np.ndarray
    starts: tuple[tuple[int, int], ...]
    region: np.ndarray
    regions: int


def read_map(layout: Any) -> MarketMap:
    """A map, from its name or its rows of text.

    Args:
        layout: one of `NAMES`, or strings of equal length made of `LETTERS`, one per row.

    Raises:
        ValueError: for an unknown name or letter, rows of different lengths, or no start. One line.
    """
    from scipy import ndimage

    letters = letters_of(layout, _NAMED, LETTERS)
    rows, columns = letters.shape
    if max(rows, columns) > MAX_SIDE:
        raise ValueError(f"layout has {rows} rows and {columns} columns; allowed: at most {MAX_SIDE} of each")
    starts = tuple((int(row), int(column)) for row, column in np.argwhere(letters == "P"))
    if not starts:
        raise ValueError(
            f"layout has the letters {sorted(set(letters.ravel().tolist()))}; allowed: at least a start (P)"
        )
    water, walls = letters == "~", letters == "W"
    numbered = np.zeros(letters.shape, np.int32)
    ndimage.label(~(water | walls), output=numbered)
    regions = int(numbered.max())
    region = np.where(numbered == 0, regions, numbered - 1)
    return MarketMap(rows, columns, np.isin(letters, ("T", "P")), water, walls, starts, region, regions)


def _small() -> tuple[str, ...]:
    """5 x 5 cells that may all bear a tree."""
    return ("TPTPT", "PTTTP", "TTPTT", "PTTTP", "TPTPT")


def _banks() -> tuple[str, ...]:
    """Two regions of 5 x 4 cells, and a river between them."""
    return ("TPTP~PTPT", "PTPT~TPTP", "TPTP~PTPT", "PTPT~TPTP", "TPTP~PTPT")


def _rivers() -> tuple[str, ...]:
    """27 x 27 cells with three square rivers around the middle, as in Melting Pot's concentric rivers."""
    side = 27
    row, column = np.indices((side, side))
    middle = side // 2
    ring = np.maximum(abs(row - middle), abs(column - middle))
    letters = np.full((side, side), "T")
    letters[np.isin(ring, (4, 7, 10))] = "~"
    letters[(ring <= 3) & ((row + column) % 2 == 0)] = "P"
    return tuple(map("".join, letters))


_NAMED = dict(zip(NAMES, (_small, _banks, _rivers), strict=True))
