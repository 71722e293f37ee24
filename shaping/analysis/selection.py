"""Which cells a figure of single cells shows, and how it says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.analysis.axes import Axis, cell_name, spread, sweep_axes

MOST_CELLS = 10


@dataclass(frozen=True)
class Selection:
    """Cells shown: indices into the summary's cells, their names, and a sentence on the choice (empty:
    all).
    """

    cells: tuple[int, ...]
    names: tuple[str, ...]
    note: str


def select_cells(cells: Sequence[dict[str, Any]], most: int = MOST_CELLS) -> Selection:
    """All the cells where they are few, else a spread from the least to the most cooperative (or by
    value).
    """
    axes: list[Axis] = sweep_axes(cells)
    if len(cells) <= most:
        chosen, note = list(range(len(cells))), ""
    else:
        scores, by = [c["cooperative"] for c in cells], "share of cooperative matches"
        if all(s is None for s in scores):
            by = "mean value"
            scores = [_mean(c["value_mean"]) for c in cells]
        known = [i for i, s in enumerate(scores) if s is not None] or list(range(len(cells)))
        order = sorted(known, key=lambda i: scores[i] or 0.0)
        chosen = sorted(order[i] for i in spread(len(order), most))
        note = f"{len(chosen)} of the {len(cells):,} cells are shown, evenly spread over the ranks of {by}."
    return Selection(tuple(chosen), tuple(cell_name(cells[i], axes) for i in chosen), note)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
