"""Layouts of grid worlds: rows of text in which each letter is a cell, or their names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def letters_of(
    layout: Any, named: Mapping[str, Callable[[], Sequence[str]]], meanings: Mapping[str, str]
) -> np.ndarray:
    """The letters of a layout, [rows, columns].

    Args:
        layout: one of the names, or strings of equal length, one per row.
        named: makes the rows of each layout that has a name.
        meanings: what each letter that may occur stands for.

    Raises:
        ValueError: for an unknown name or letter, or rows of different lengths. One line.
    """
    names = ", ".join(named)
    if isinstance(layout, str):
        if layout not in named:
            raise ValueError(f"layout is {layout!r}; allowed: {names}, or a tuple of rows of text")
        layout = named[layout]()
    allowed = "rows of equal length of the letters " + ", ".join(f"{k!r} ({what})" for k, what in meanings.items())
    if not isinstance(layout, tuple | list) or not layout or not all(isinstance(row, str) for row in layout):
        raise ValueError(f"layout is {layout!r}; allowed: {names}, or {allowed}")
    for row in layout:
        if len(row) != len(layout[0]) or not row or not set(row) <= set(meanings):
            raise ValueError(f"layout has the row {row!r}; allowed: {allowed}")
    return np.array([list(row) for row in layout])
