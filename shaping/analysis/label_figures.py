"""Maps of what was measured by label at the end of a run: a row for each player of a cell, a column for each label."""

from __future__ import annotations

from typing import Any

import numpy as np

from shaping.analysis.axes import wrapped
from shaping.analysis.declarations import Variable
from shaping.analysis.play_tables import OTHERS
from shaping.analysis.record import Record
from shaping.analysis.shown_cells import Selection
from shaping.analysis.style import GREY, Picture, new_figure, picture

_MOST_LABELS = 30


def by_label(record: Record, summary: dict[str, Any], chosen: Selection) -> list[Picture]:
    """A map for each variable that has labels; others whom a player meets have a table instead."""
    shown = [v for v in record.variables.values() if v.axis and v.axis not in OTHERS and v.label]
    pictures = [_map(summary, chosen, variable) for variable in shown]
    return [picture for picture in pictures if picture is not None]


def _map(summary: dict[str, Any], chosen: Selection, variable: Variable) -> Picture | None:
    rows = []
    labels: list[str] = []
    for cell, name in zip(chosen.cells, chosen.names, strict=True):
        entry = summary["cells"][cell]
        means, ends = entry[variable.name], entry[f"{variable.name}_ci95"]
        for player in range(entry["players"]):
            mean = np.array([means[label][player] for label in means], float)[:_MOST_LABELS]
            if np.isfinite(mean).any():
                labels = list(means)[:_MOST_LABELS]
                rows.append((name, player, mean, [ends[label][player] for label in labels]))
    if not rows:
        return None
    width = max(len(row[2]) for row in rows)
    grid = np.array([np.pad(row[2], (0, width - len(row[2])), constant_values=np.nan) for row in rows])
    low, high = (variable.low, variable.high) if variable.bounded else (float(np.nanmin(grid)), float(np.nanmax(grid)))
    # The tallest label has room above the columns.
    upright = max(map(len, labels)) > 60 // len(labels)
    figure = new_figure(1.0 + 0.46 * len(rows) + (0.07 * max(map(len, labels)) if upright else 0.2))
    axes = figure.subplots()
    axes.set_facecolor("#DDDDDD")
    masked = np.ma.masked_invalid(grid)
    mesh = axes.pcolormesh(masked, cmap="viridis", vmin=low, vmax=high, edgecolors="white", lw=1.2)
    small = width > 14
    for (i, j), value in np.ndenumerate(grid):
        if not np.isfinite(value):
            axes.text(j + 0.5, i + 0.5, "none", ha="center", va="center", fontsize=7, color=GREY)
            continue
        style: dict[str, Any] = {"ha": "center", "va": "center"}
        style["color"] = "black" if (value - low) / (high - low or 1) > 0.6 else "white"
        least, most = rows[i][3][j]
        same = small or least == most
        axes.text(j + 0.5, i + (0.5 if same else 0.36), _short(value), fontsize=7 if small else 8.5, **style)
        if not same:
            axes.text(j + 0.5, i + 0.74, f"{_short(least)} to {_short(most)}", fontsize=6, **style)
    several = len({row[0] for row in rows}) > 1
    names = [f"{wrapped(name, 30, 2)}\n" * several + f"player {player}" for name, player, *_ in rows]
    axes.set_yticks(np.arange(len(rows)) + 0.5, names)
    axes.set_xticks(np.arange(len(labels)) + 0.5, labels, rotation=90 if upright else 0)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(variable.axis.replace("_", " "))
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(mesh, ax=axes, fraction=0.04, pad=0.02)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_label(variable.label)
    said = variable.description.rstrip(".")
    caption = f"{said[:1].upper()}{said[1:]}. " if said else ""
    caption += "Means over finite matches with the final policies"
    caption += "." if small else ", with their 95 % intervals below where matches differ."
    if np.isnan(grid).any():
        caption += " None: no match had this."
    title = f"{variable.label[0].upper()}{variable.label[1:]}"
    return picture(f"by_{variable.axis}_{variable.name}", title, f"{caption} {chosen.note}".strip(), figure)


def _short(value: float | None) -> str:
    """A number that fits in a square of the map."""
    if value is None:
        return ""
    text = f"{value:.2f}" if abs(value) < 100 else f"{value:.3g}"
    return text.removeprefix("-") if float(text) == 0 else text
