"""Figures over the axes of a sweep: heat maps for two or more numeric axes, lines with intervals for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np

from shaping.analysis.axes import Axis, axis_name, fixed_name, key_name, scale, spread, sweep_axes, value_name
from shaping.analysis.statistics import wilson_ci95
from shaping.analysis.style import COLOURS, DASHES, Picture, new_figure, nothing_here, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_MAPS = 6
_MOST_SERIES = 8

_COOPERATIVE = (
    "Share of matches that are cooperative: the players' mean value at the last update is at least V_CC - "
    "0.2 (V_CC - V_DD)"
)


@dataclass(frozen=True)
class _Measure:
    """A measure to draw over a sweep: its key in the summary, axis label, caption, and range if it has one."""

    key: str
    label: str
    caption: str
    ends: tuple[float, float] | None = None
    undefined: str = "every match diverged"


_VALUE = _Measure("value_mean", "value, mean over players", "Mean normalised value at the last update")
_SHARE = _Measure(
    "cooperative",
    "share of cooperative matches",
    _COOPERATIVE,
    (0.0, 1.0),
    "V_CC not above V_DD, or all diverged",
)


_COOPERATION = _Measure(
    "cooperation", "cooperation", "How often learners cooperate after the last generation", (0.0, 1.0), "nobody met"
)


def sweep_figures(summary: dict[str, Any]) -> list[Picture]:
    """Heat maps for each pair of numeric axes, or lines over a single one; none without a numeric axis.

    Cells that differ only in `seed` are averaged.
    """
    cells = summary["cells"]
    axes = [a for a in sweep_axes(cells) if a.key != "seed"]
    numeric = [a for a in axes if a.numeric and len(a.values) > 1]
    others = [a for a in axes if not a.numeric]
    if not numeric:
        return []
    if len(numeric) == 1:
        return [_lines(cells, numeric[0], others, _measure(summary))]
    pairs = list(combinations(numeric, 2))[:_MOST_MAPS]
    rest = [others + [a for a in numeric if a not in pair] for pair in pairs]
    return [_maps(cells, x, y, more, _measure(summary)) for (x, y), more in zip(pairs, rest, strict=True)]


def _measure(summary: dict[str, Any]) -> _Measure:
    """The share of cooperative matches if defined; otherwise the game's showcase measure; otherwise the value."""
    cells = summary["cells"]
    if any(c.get("cooperation") is not None for c in cells) and "types" in cells[0]:
        return _COOPERATION
    if any(c["cooperative"] is not None for c in cells):
        return _SHARE
    for name, told in summary.get("variables", {}).items():
        if told.get("showcase") and told.get("label") and any(_known(c[name]) for c in cells):
            low, high = told["range"]
            caption = told["description"] or told["label"]
            return _Measure(
                name,
                f"{told['label']}, mean over players",
                f"{caption[0].upper()}{caption[1:]}, at the last update",
                None if low is None or high is None else (low, high),
                "never measured, or every match diverged",
            )
    return _VALUE


def _known(values: Sequence[float | None]) -> list[float]:
    return [v for v in values if v is not None]


def _number(cell: dict[str, Any], measure: str) -> float:
    value = cell[measure]
    if isinstance(value, list):
        return float(np.mean(_known(value))) if _known(value) else np.nan
    return np.nan if value is None else float(value)


def _where(cell: dict[str, Any], fixed: dict[str, Any]) -> bool:
    return all(cell["coordinates"].get(k) == v for k, v in fixed.items())


def _grid(cells: Sequence[dict[str, Any]], x: Axis, y: Axis, measure: str) -> np.ndarray:
    total, number = np.zeros((2, len(y.values), len(x.values)))
    column, row = ({v: i for i, v in enumerate(a.values)} for a in (x, y))
    for cell in cells:
        value = _number(cell, measure)
        if np.isfinite(value):
            at = row[cell["coordinates"][y.key]], column[cell["coordinates"][x.key]]
            total[at] += value
            number[at] += 1
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _facets(others: Sequence[Axis]) -> tuple[list[list[dict[str, Any]]], dict[str, Any]]:
    """Rows of panels, each with the coordinates it fixes; and the coordinates that all panels share."""
    if not others:
        return [[{}]], {}
    held = {a.key: a.values[len(a.values) // 2] for a in others[2:]}
    if len(others) == 1:
        axis = others[0]
        panels = [{axis.key: axis.values[i]} for i in spread(len(axis.values), 6)]
        columns = 2 if len(panels) in (2, 4) else 3
        return [panels[i : i + columns] for i in range(0, len(panels), columns)], held
    first, second = sorted(others[:2], key=lambda a: len(a.values), reverse=True)
    return [
        [{first.key: first.values[i], second.key: second.values[j]} for j in spread(len(second.values), 3)]
        for i in spread(len(first.values), 6)
    ], held


def _edges(values: Sequence[float], spacing: str) -> np.ndarray:
    if spacing == "uneven":
        return np.arange(len(values) + 1) - 0.5
    x = np.log(values) if spacing == "log" else np.asarray(values, float)
    middle = (x[1:] + x[:-1]) / 2
    edges = np.concatenate([[2 * x[0] - middle[0]], middle, [2 * x[-1] - middle[-1]]])
    return np.exp(edges) if spacing == "log" else edges


def _ticks(axes: Axes, which: str, axis: Axis, spacing: str) -> None:
    side = axes.xaxis if which == "x" else axes.yaxis
    if spacing == "log":
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        decades = [d for d in 10.0 ** np.arange(-30, 31) if 0.99 * axis.values[0] < d < 1.01 * axis.values[-1]]
        if len(axis.values) > 8 and 2 <= len(decades) <= 7:
            side.set_ticks(decades, [value_name(float(d)) for d in decades])
            axes.tick_params(which="both", length=2.5)
            return
    shown = spread(len(axis.values), 7 if which == "x" else 12)
    positions = shown if spacing == "uneven" else [axis.values[i] for i in shown]
    side.set_ticks(positions, [value_name(float(axis.values[i]), axis.values) for i in shown])
    side.set_ticks([], minor=True)
    axes.tick_params(length=2.5)


def _maps(cells: Sequence[dict[str, Any]], x: Axis, y: Axis, others: Sequence[Axis], measure: _Measure) -> Picture:
    among = {a.key: a.values for a in others}
    rows, held = _facets(others)
    grids = {}
    for i, row in enumerate(rows):
        for j, fixed in enumerate(row):
            chosen = [c for c in cells if _where(c, fixed | held)]
            grids[i, j] = _grid(chosen, x, y, measure.key)
    finite = np.concatenate([g[np.isfinite(g)] for g in grids.values()])
    seen = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    low, high = measure.ends or seen
    columns = max(len(row) for row in rows)
    width = min(10.0, 1.6 + 4.0 * columns)
    height = 0.5 + len(rows) * {1: 4.0, 2: 3.7, 3: 2.9}[columns]
    figure = new_figure(height, width)
    grid = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    spacing = scale(x.values), scale(y.values)
    mesh = None
    for i in range(len(rows)):
        for j in range(columns):
            axes = grid[i, j]
            if (i, j) not in grids:
                axes.set_axis_off()
                grid[i - 1, j].tick_params(labelbottom=True)
                continue
            axes.set_facecolor("#DDDDDD")
            xe, ye = _edges(x.values, spacing[0]), _edges(y.values, spacing[1])
            mesh = axes.pcolormesh(xe, ye, np.ma.masked_invalid(grids[i, j]), cmap="viridis", vmin=low, vmax=high)
            _ticks(axes, "x", x, spacing[0])
            _ticks(axes, "y", y, spacing[1])
            axes.spines[:].set_visible(False)
            if np.isfinite(grids[i, j]).sum() == 0:
                nothing_here(axes, "not defined")
            if len(x.values) * columns <= 21 and len(y.values) <= 12:
                _print_values(axes, grids[i, j], x, y, spacing, low, high)
            fixed = rows[i][j]
            title = ", ".join(fixed_name(k, v, among[k]) for k, v in fixed.items())
            axes.set_title(title)
    assert mesh is not None
    figure.supxlabel(axis_name(x), fontsize=9)
    figure.supylabel(axis_name(y), fontsize=9)
    bar = figure.colorbar(mesh, ax=grid.ravel().tolist(), fraction=0.05, pad=0.02, aspect=28)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_label(measure.label)
    caption = f"{measure.caption}{'' if measure is _SHARE else ', mean over players and finite matches'}."
    caption += " One panel for each value of the remaining axes" if others else ""
    if others and any(len(a.values) > len(spread(len(a.values), 6)) for a in others[:1]):
        caption += " (a spread of them)"
    if held:
        caption += "; held at " + ", ".join(fixed_name(k, v, among[k]) for k, v in held.items())
    caption = caption.rstrip(".") + "."
    if any(np.isnan(g).any() for g in grids.values()):
        caption += f" Grey: not defined ({measure.undefined})."
    name = f"map_{_file_name(x.key)}_{_file_name(y.key)}"
    return picture(name, f"{key_name(x.key)} and {key_name(y.key)}", caption, figure)


def _file_name(key: str) -> str:
    return "".join(ch if ch.isalnum() else "_" for ch in key)


def _print_values(
    axes: Axes, grid: np.ndarray, x: Axis, y: Axis, spacing: tuple[str, str], low: float, high: float
) -> None:
    for (r, c), value in np.ndenumerate(grid):
        if not np.isfinite(value):
            continue
        at_x = c if spacing[0] == "uneven" else x.values[c]
        at_y = r if spacing[1] == "uneven" else y.values[r]
        light = (value - low) / (high - low or 1) > 0.6
        axes.text(
            at_x,
            at_y,
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=7.5,
            color="black" if light else "white",
        )


def _lines(cells: Sequence[dict[str, Any]], x: Axis, others: Sequence[Axis], first: _Measure) -> Picture:
    among = {a.key: a.values for a in others}
    series = [dict(zip([a.key for a in others], v, strict=True)) for v in product(*(a.values for a in others))]
    series = [s for s in series if any(_where(c, s) for c in cells)]
    shown = [series[i] for i in spread(len(series), _MOST_SERIES)]
    measures = [first, _VALUE] if first is not _VALUE else [_VALUE]
    figure = new_figure(3.9, 10.0 if len(measures) == 2 else 6.5)
    grid = figure.subplots(1, len(measures), squeeze=False)[0]
    spacing = scale(x.values)
    players = max((len(c["value_mean"]) for c in cells), default=0)
    seats = any(_unequal(c) for c in cells) and players <= 3
    for axes, measure in zip(grid, measures, strict=True):
        for k, fixed in enumerate(shown):
            chosen = [c for c in cells if _where(c, fixed)]
            label = ", ".join(fixed_name(key, v, among[key]) for key, v in fixed.items()) or None
            lines = list(range(players)) if measure is _VALUE and seats else [None]
            for seat in lines:
                points = [
                    _point([c for c in chosen if c["coordinates"][x.key] == v], measure.key, seat) for v in x.values
                ]
                at = np.arange(len(x.values)) if spacing == "uneven" else np.asarray(x.values, float)
                mid, low, high = np.array(points, float).T
                style = ("-", "--", ":")[seat] if seat is not None else DASHES[k % len(DASHES)]
                colour = COLOURS[k % len(COLOURS)]
                axes.fill_between(at, low, high, color=colour, alpha=0.2, lw=0)
                axes.plot(
                    at,
                    mid,
                    color=colour,
                    ls=style,
                    marker="o",
                    ms=3,
                    lw=1.4,
                    label=label if not seat else None,
                )
        _ticks(axes, "x", x, spacing)
        axes.set_xlabel(axis_name(x))
        axes.set_ylabel("value" if measure is _VALUE and seats else measure.label)
        if measure.ends:
            margin = 0.03 * (measure.ends[1] - measure.ends[0])
            axes.set_ylim(measure.ends[0] - margin, measure.ends[1] + margin)
        axes.grid(axis="y", color="#E5E5E5", lw=0.6)
        axes.set_axisbelow(True)
    handles, labels = grid[0].get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside upper center", ncols=min(4, len(labels)), frameon=False)
    caption = f"{_COOPERATIVE} (Wilson 95 % band). " if first is _SHARE else ""
    caption += f"{first.caption}, mean over players with its 95 % band. " if first not in (_SHARE, _VALUE) else ""
    caption += "Value: mean over finite matches at the last update with its 95 % band"
    caption += "; solid is player 0, dashed player 1, dotted player 2." if seats else "."
    if len(shown) < len(series):
        caption += f" {len(shown)} of {len(series)} series are shown."
    return picture(f"over_{_file_name(x.key)}", f"Over {key_name(x.key)}", caption, figure)


def _unequal(cell: dict[str, Any]) -> bool:
    ends = [e for e in cell["value_ci95"] if e[0] is not None]
    return len(ends) > 1 and max(e[0] for e in ends) > min(e[1] for e in ends)


def _point(cells: Sequence[dict[str, Any]], measure: str, seat: int | None) -> tuple[float, float, float]:
    """Mean and ends of the interval of cells that differ only in the seed: of a single cell, those of its own."""
    if measure == "cooperative":
        known = [c for c in cells if c["cooperative"] is not None]
        trials = sum(c["cooperative_matches"] for c in known)
        if trials == 0:
            return np.nan, np.nan, np.nan
        successes = sum(c["cooperative"] * c["cooperative_matches"] for c in known)
        low, high = wilson_ci95(successes, trials)
        assert low is not None and high is not None
        return successes / trials, low, high
    ends = "value_ci95" if measure == "value_mean" else f"{measure}_ci95"
    # What a cell has one of is treated as that of a single player.
    cells = [c if isinstance(c[measure], list) else c | {measure: [c[measure]], ends: [c[ends]]} for c in cells]
    known = [c for c in cells if len(_known(c[measure])) == len(c[measure])]
    if not known:
        return np.nan, np.nan, np.nan
    pick = (lambda v: v[seat]) if seat is not None else np.mean
    mean = float(np.mean([pick(c[measure]) for c in known]))
    # Distances to the ends are averaged over players, because players of a match are not independent.
    down, up = (
        np.array([pick([abs(e[end] - m) for m, e in zip(c[measure], c[ends], strict=True)]) for c in known])
        for end in (0, 1)
    )
    below, above = (float(np.sqrt(np.sum(one**2)) / len(known)) for one in (down, up))
    return mean, mean - below, mean + above
