"""Which cells are shown in a figure of single cells, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.analysis.axes import Axis, cell_name, spread, sweep_axes

MOST_CELLS = 10
MANY_CELLS = 24
"""The most cells in figures that need little room for each."""


@dataclass(frozen=True)
class Selection:
    """The cells shown: indices into the summary's cells, their names, and a sentence about the choice (empty if all are
    shown).
    """

    cells: tuple[int, ...]
    names: tuple[str, ...]
    note: str


def select_cells(
    cells: Sequence[dict[str, Any]], most: int = MOST_CELLS, among: Sequence[int] | None = None
) -> Selection:
    """All cells if there are few, otherwise a selection from the least to the most cooperative (or by value); only
    those in `among` if it is given.
    """
    axes: list[Axis] = sweep_axes(cells)
    places = list(range(len(cells)) if among is None else among)
    if len(places) <= most:
        chosen, note = places, ""
    else:
        scores, by = {i: cells[i]["cooperative"] for i in places}, "share of cooperative matches"
        if all(s is None for s in scores.values()):
            by = "mean value"
            scores = {i: _mean(cells[i]["value_mean"]) for i in places}
        known = [i for i, s in scores.items() if s is not None] or places
        order = sorted(known, key=lambda i: scores[i] or 0.0)
        chosen = sorted(order[i] for i in spread(len(order), most))
        kind = "" if among is None or len(among) == len(cells) else "measured "
        note = f"{len(chosen)} of the {len(places):,} {kind}cells are shown, evenly spread over the ranks of {by}."
    return Selection(tuple(chosen), tuple(cell_name(cells[i], axes) for i in chosen), note)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def measured_cells(summary: dict[str, Any]) -> list[int]:
    """Positions of the cells in which some declared variable was measured in a finite match."""
    cells, told = summary["cells"], summary.get("variables", {})
    return [i for i, cell in enumerate(cells) if any(_known(cell.get(name)) for name in told)]


def _known(x: Any) -> bool:
    if isinstance(x, dict):
        return any(map(_known, x.values()))
    return any(map(_known, x)) if isinstance(x, list) else x is not None
