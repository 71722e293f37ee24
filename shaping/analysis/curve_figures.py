"""Learning curves: means over the matches of a cell with 95 % intervals, read in bounded pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.analysis.axes import Axis, fixed_name, spread, sweep_axes, wrapped
from shaping.analysis.record import Record, read
from shaping.analysis.shown_cells import Selection
from shaping.analysis.statistics import BAND_ELEMENTS, bands
from shaping.analysis.style import COLOURS, GREY, Picture, new_figure, nothing_here, picture

SEATS = ("-", "--", ":")
_MOST_LINES = 7
_POINTS = 300
_ELEMENTS = 2**23


@dataclass(frozen=True)
class Curve:
    """Statistics over the finite matches of a cell: updates [u]; mean, error, sd, and the ends of the mean's 95 %
    interval, low and high, [u, players + 1], with the mean over players last.

    game holds V_CC and V_DD if all matches of the cell share them, otherwise None.
    """

    updates: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    sd: np.ndarray
    low: np.ndarray
    high: np.ndarray
    finite: int
    game: tuple[float, float] | None


def curve(record: Record, cell: int) -> Curve:
    """Mean with its error and interval, and standard deviation of the value in a cell at up to 300 recorded updates."""
    dataset, shape = record.dataset, record.shapes[cell]
    lo, hi = int(record.starts[cell]), int(record.starts[cell + 1])
    updates = dataset["update"].values
    picked = np.array(spread(len(updates), _POINTS), int)
    block = max(1, _ELEMENTS // (len(updates) * shape.players))
    number, shift = 0, None
    total = square = np.zeros(())
    ends: list[np.ndarray] = []
    kept: list[np.ndarray] = []
    keeps = (hi - lo) * len(picked) * (shape.players + 1) <= BAND_ELEMENTS
    for a in range(lo, hi, block):
        rows = slice(a, min(a + block, hi))
        value = dataset["value"].isel(match=rows, player=slice(0, shape.players)).values[:, picked]
        value = value.astype(np.float64)
        value = np.concatenate([value, value.mean(axis=2, keepdims=True)], axis=2)
        value = value[np.isfinite(value).all(axis=(1, 2))]
        if len(value):
            kept += [value] if keeps else []
            shift = value[0] if shift is None else shift  # keeps the squares small
            number += len(value)
            total = total + (value - shift).sum(axis=0)
            square = square + ((value - shift) ** 2).sum(axis=0)
        for name in ("value_cooperation", "value_defection"):
            bound = read(record, (name,), rows.start, rows.stop, shape).get(name, np.full((1, 1), np.nan))
            ends.append(bound.mean(axis=1))
    # A sampled match that diverged has no values.
    good, bad = (x[np.isfinite(x)] for x in (np.concatenate(ends[::2]), np.concatenate(ends[1::2])))
    close = all(len(x) and np.ptp(x) <= 1e-5 * (1 + abs(float(x[0]))) for x in (good, bad))
    game = (float(good[0]), float(bad[0])) if close else None
    if number == 0 or shift is None:
        empty = np.full((len(picked), shape.players + 1), np.nan)
        return Curve(updates[picked], empty, empty, empty, empty, empty, 0, game)
    mean = total / number
    sd = np.sqrt(np.maximum(square / number - mean**2, 0) * number / max(number - 1, 1))
    mean, error = mean + shift, sd / np.sqrt(number)
    band = bands(np.concatenate(kept) if kept else None, mean, error, np.asarray(number))
    return Curve(updates[picked], mean, error, sd, *band, number, game)


@dataclass(frozen=True)
class _Panel:
    """One panel: places in the selection, a title of what they have in common, and a label for each."""

    kind: tuple[Any, ...]
    members: tuple[int, ...]
    title: str
    labels: tuple[str, ...]


def learning_curves(record: Record, summary: dict[str, Any], chosen: Selection) -> Picture | None:
    """Mean value over updates: one line per cell, at most seven in a panel, all of one game, with V_CC and V_DD
    marked."""
    curves = [curve(record, cell) for cell in chosen.cells]
    if not curves:
        return None
    kinds: dict[Any, list[int]] = {}
    for i, c in enumerate(curves):
        game = tuple(round(v, 4) for v in c.game) if c.game else None
        kinds.setdefault((game, record.shapes[chosen.cells[i]].players, _constant_sum(c)), []).append(i)
    coordinates = [summary["cells"][c]["coordinates"] for c in chosen.cells]
    axes_of = sweep_axes(summary["cells"])
    panels = [
        _Panel(kind, tuple(part), *_names(coordinates, part, axes_of))
        for kind, members in kinds.items()
        for part in _parts(coordinates, members, axes_of)
    ]
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    across, width = (2, 34) if columns == 2 else (3, 46)
    # A legend takes its height from the panel above it, unless the figure is made taller.
    labels = [[wrapped(name, width, 4) for name in panel.labels] for panel in panels]
    lines = sum(max(name.count("\n") + 1 for name in names) * -(-len(names) // across) for names in labels)
    figure = new_figure(rows * (3.4 if columns == 2 else 4.0) + 0.16 * lines / columns)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.ravel()[len(panels) :]:
        axes.set_axis_off()
    most_seats, spread_shown = 0, False
    same: dict[Any, list[Any]] = {}
    for k, (panel, names) in enumerate(zip(panels, labels, strict=True)):
        axes = grid[k // columns, k % columns]
        game, players, constant = panel.kind
        # The same in all panels of a kind, so that lines mean the same.
        split = not constant and 1 < players <= 3 and any(_players_differ(curves[i]) for i in kinds[panel.kind])
        most_seats, spread_shown = max(most_seats, players * split), spread_shown or constant
        for at, (i, name) in enumerate(zip(panel.members, names, strict=True)):
            _draw(axes, curves[i], COLOURS[at], name, constant, split, len(panel.members) > 1)
        if all(curves[i].finite == 0 for i in panel.members):
            nothing_here(axes)
        if game and not constant:
            bounds(axes, game)
        if len(panels) > 1:
            axes.set_title(wrapped(panel.title, 60, 2), loc="left")
        axes.set_xlabel("updates")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel("sd over matches of player 0's value" if constant else "mean value")
        handles, shown = axes.get_legend_handles_labels()
        if split:
            keys = [axes.plot([], [], color=GREY, ls=SEATS[seat], lw=1.6)[0] for seat in range(players)]
            handles, shown = handles + keys, shown + [f"player {seat}" for seat in range(players)]
        if shown:
            drop = -0.42 / (3.3 if columns == 2 else 4.0)
            axes.legend(handles, shown, frameon=False, loc="upper left", bbox_to_anchor=(0, drop), ncols=across)
        same.setdefault(panel.kind, []).append(axes)
    for together in same.values():
        ends = [axes.get_ylim() for axes in together]
        for axes in together:
            axes.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
    caption = (
        "Mean normalised value over the finite matches of a cell after each number of updates; the band is "
        "the 95 % interval of that mean, as in the table of cells."
    )
    if most_seats:
        styles = ("solid is player 0", "dashed player 1", "dotted player 2")[:most_seats]
        caption += f" Where players end up unequal, {', '.join(styles)}."
    if spread_shown:
        caption += (
            " Where the players' values sum to a constant, their mean shows nothing, so the standard deviation over "
            "matches is drawn instead: 0 means that everybody has the same value."
        )
    return picture("learning_curves", "Learning curves", f"{caption} {chosen.note}".strip(), figure)


def _parts(coordinates: list[dict[str, Any]], members: list[int], axes: Sequence[Axis]) -> list[list[int]]:
    """Members in parts of at most seven: by the values of the axis that needs the fewest parts, otherwise in order."""
    if len(members) <= _MOST_LINES:
        return [members]
    found = []
    for axis in axes:
        by_value: dict[Any, list[int]] = {}
        for i in sorted(members, key=lambda i: axis.values.index(coordinates[i].get(axis.key))):
            by_value.setdefault(coordinates[i].get(axis.key), []).append(i)
        if max(map(len, by_value.values())) <= _MOST_LINES:
            found.append([sorted(part) for part in by_value.values()])
    if found:
        return min(found, key=len)
    return [members[i : i + _MOST_LINES] for i in range(0, len(members), _MOST_LINES)]


def _names(coordinates: list[dict[str, Any]], members: list[int], axes: Sequence[Axis]) -> tuple[str, tuple[str, ...]]:
    """What members have in common in words, and how each differs from the others, tied keys included."""

    def told(axis: Axis, i: int) -> str:
        text = fixed_name(axis.key, coordinates[i].get(axis.key), axis.values)
        tied = [fixed_name(key, coordinates[i].get(key)) for key in axis.tied[:2]]
        return f"{text} ({', '.join(tied)})" if tied else text

    common = [axis for axis in axes if len({coordinates[i].get(axis.key) for i in members}) == 1]
    own = [axis for axis in axes if axis not in common]
    labels = tuple(", ".join(told(axis, i) for axis in own) or "all matches" for i in members)
    return ", ".join(told(axis, members[0]) for axis in common), labels


def _constant_sum(c: Curve) -> bool:
    if c.finite < 2 or c.mean.shape[1] < 3:
        return False
    return bool(np.nanmax(c.sd[:, -1]) < 1e-3 * np.nanmax(c.sd[:, :-1]))


def _players_differ(c: Curve) -> bool:
    gap = np.ptp(c.mean[-1, :-1])
    return bool(c.finite > 1 and gap > 5 * c.error[-1, :-1].max() and gap > 1e-6)


def _draw(axes: Any, c: Curve, colour: str, name: str, constant: bool, split: bool, named: bool) -> None:
    label = name if named else None
    if c.finite == 0:
        axes.plot([], [], color=colour, label=f"{label}: no finite match" if label else None)
        return
    if constant:
        axes.plot(c.updates, c.sd[:, 0], color=colour, lw=1.6, label=label)
        return
    lines = range(c.mean.shape[1] - 1) if split else [-1]
    for seat in lines:
        style = SEATS[seat] if split else "-"
        axes.fill_between(c.updates, c.low[:, seat], c.high[:, seat], color=colour, alpha=0.2, lw=0)
        first = seat in (0, -1)
        axes.plot(c.updates, c.mean[:, seat], color=colour, ls=style, lw=1.6, label=label if first else None)


def bounds(axes: Any, game: tuple[float, float]) -> None:
    """Dotted lines at V_CC and V_DD, named at the right edge."""
    for name, at in zip(("V_CC", "V_DD"), game, strict=True):
        axes.axhline(at, color="black", lw=0.8, ls=":", zorder=1)
        axes.annotate(
            name,
            (1, at),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize=8,
        )
