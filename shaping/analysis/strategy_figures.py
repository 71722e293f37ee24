"""Figures of the named strategies nearest to what was learned in single cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from shaping.analysis.axes import wrapped
from shaping.analysis.record import Record
from shaping.analysis.shown_cells import Selection
from shaping.analysis.style import Picture, new_figure, picture
from shaping.classic_strategies import STRATEGIES

_STRATEGY_COLOURS = ("#56B4E9", "#D55E00", "#0072B2", "#CC79A7", "#E69F00", "#009E73", "#000000")


def strategies(record: Record, summary: dict[str, Any], chosen: Selection) -> Picture | None:
    """Shares of the nearest named strategies, one bar per cell."""
    cells = [(n, summary["cells"][c]) for c, n in zip(chosen.cells, chosen.names, strict=True)]
    known = [(n, c) for n, c in cells if c["nearest_strategy"]]
    # The names refer to cooperation, and would mislead in a game where it does not pay.
    rows = [(n, c["nearest_strategy"]) for n, c in known if c["cooperative"] is not None]
    if not rows:
        return None
    figure = new_figure(1.0 + 0.42 * len(rows))
    axes = figure.subplots()
    start = np.zeros(len(rows))
    for name, colour in zip(STRATEGIES, _STRATEGY_COLOURS, strict=True):
        share = np.array([100 * shares[name] for _, shares in rows])
        axes.barh(
            np.arange(len(rows)),
            share,
            left=start,
            color=colour,
            label=name,
            height=0.72,
            edgecolor="white",
            lw=0.6,
        )
        for i in np.flatnonzero(share >= 4).tolist():
            dark = colour in ("#000000", "#0072B2", "#D55E00", "#009E73")
            axes.text(
                start[i] + share[i] / 2,
                i,
                f"{share[i]:.0f}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else "black",
            )
        start += share
    axes.set_yticks(np.arange(len(rows)), [wrapped(n, 44, 3) for n, _ in rows] if len(rows) > 1 else [""])
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="% of learners (both players of all finite matches)")
    figure.legend(loc="outside upper center", ncols=len(STRATEGIES), frameon=False, handlelength=1.0, columnspacing=1.2)
    caption = (
        "The named memory-one strategy nearest to what each player learned, by Euclidean distance over "
        "the four probabilities of cooperating after CC, CD, DC and DD. Extortionate requires a Press-Dyson "
        "fit with a root mean square error below 0.05 and chi above 1.05."
    )
    if len(rows) < len(known):
        caption += " Cells of games in which V_CC is not above V_DD are left out."
    return picture("strategies", "Nearest strategies", f"{caption} {chosen.note}".strip(), figure)
