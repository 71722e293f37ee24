"""Curves along a trial: how a shaper, and those who learn within, fare from one inner update to the next."""

from __future__ import annotations

from typing import Any

import numpy as np

from shaping.analysis.axes import wrapped
from shaping.analysis.record import Record, read
from shaping.analysis.shown_cells import Selection
from shaping.analysis.statistics import student_half
from shaping.analysis.style import COLOURS, GREY, Picture, new_figure, nothing_here, png

VARIABLE = "trial_value"
_MOST_MATCHES = 4096


def trial_curves(record: Record, summary: dict[str, Any], chosen: Selection) -> Picture | None:
    """The value of each player at every inner update of fresh trials: before training in grey, and at the end."""
    del summary
    if VARIABLE not in record.dataset or not chosen.cells:
        return None
    columns = min(len(chosen.cells), 2)
    rows = -(-len(chosen.cells) // columns)
    figure = new_figure(0.6 + rows * (2.6 if columns == 2 else 3.4))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.ravel()[len(chosen.cells) :]:
        axes.set_axis_off()
    for place, (cell, name) in enumerate(zip(chosen.cells, chosen.names, strict=True)):
        axes = grid[place // columns, place % columns]
        first, last = (_along(record, cell, update) for update in (0, -1))
        axes.set_title(wrapped(name, 44, 2), fontsize=9)
        if not len(last):
            nothing_here(axes)
            continue
        updates = np.arange(last.shape[1])
        for player in range(last.shape[2]):
            style = ("-", "--", ":")[player % 3]
            axes.plot(updates[: first.shape[1]], first[..., player].mean(axis=0), color=GREY, ls=style, lw=1)
            mean = last[..., player].mean(axis=0)
            if len(last) > 1:
                error = last[..., player].std(axis=0, ddof=1) / np.sqrt(len(last))
                half = student_half(error, np.full(len(error), len(last)))
                axes.fill_between(
                    updates, mean - half, mean + half, color=COLOURS[player % len(COLOURS)], alpha=0.2, lw=0
                )
            colour = COLOURS[player % len(COLOURS)]
            axes.plot(updates, mean, color=colour, ls=style, lw=1.6, label=f"player {player}")
        axes.set_xlabel("inner updates")
        axes.set_ylabel("mean value")
        axes.xaxis.get_major_locator().set_params(integer=True)
        if place == 0:
            axes.legend(frameon=False, loc="best")
    caption = (
        "Mean normalised value at every inner update of fresh trials, with the final policies and without exploration "
        "noise, over the finite matches of a cell; the band is the 95 % interval of that mean, by Student's t. Grey: "
        "before training."
    )
    return Picture("trial_curves", "Along a trial", f"{caption} {chosen.note}".strip(), png(figure))


def _along(record: Record, cell: int, update: int) -> np.ndarray:
    """[matches, inner, players] of the finite matches of a cell, at one recorded update."""
    lo = int(record.starts[cell])
    hi = min(int(record.starts[cell + 1]), lo + _MOST_MATCHES)
    value = read(record, (VARIABLE,), lo, hi, record.shapes[cell], update)[VARIABLE]
    # Cells with shorter trials are padded.
    value = value[:, ~np.isnan(value).all(axis=(0, 2))]
    return value[np.isfinite(value).all(axis=(1, 2))]
