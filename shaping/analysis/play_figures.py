"""Figures of sampled play: value, own colour and reward over updates, and what was done after which history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shaping.analysis.axes import wrapped
from shaping.analysis.curve_figures import bounds, curve
from shaping.analysis.record import Record
from shaping.analysis.selection import Selection
from shaping.analysis.style import COLOURS, GREY, Picture, new_figure, nothing_here, png
from shaping.analysis.traces import SEEDS, Trace, trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = {"value": "value", "reward_per_step": "reward per step", "own_fraction": "own colour"}
_LAST = {"S": "none", "C": "own colour", "D": "another's"}


def play_curves(record: Record, summary: dict[str, Any], chosen: Selection) -> Picture | None:
    """A row a cell: its matches one by one and their mean, for value, reward per step and own colour (Coin Game)."""
    found = [{name: trace(record, cell, name) for name in (*_COLUMNS, "value_exact")} for cell in chosen.cells]
    columns = [name for name in _COLUMNS if any(row[name] for row in found)]
    if not columns:
        return None
    marks = [curve(record, cell).game for cell in chosen.cells]
    ends = {name: _ends(found, marks, name) for name in columns}
    figure = new_figure(0.75 + len(found) * (2.0 if len(found) > 1 else 2.8))
    grid = figure.subplots(len(found), len(columns), squeeze=False)
    for i, row in enumerate(found):
        for j, name in enumerate(columns):
            axes, one = grid[i, j], row[name]
            if one is None and (name == "own_fraction" or i < len(found) - 1 and not any(row.values())):
                axes.set_axis_off()
                continue
            if one is None:
                nothing_here(axes)
                continue
            if name == "own_fraction":
                for at in (0.5, 1):
                    axes.axhline(at, color="black", lw=0.8, ls=":", zorder=1)
                axes.set(ylim=(-0.03, 1.05), yticks=(0, 0.5, 1))
            else:
                axes.set_ylim(*ends[name][i])
            _traces(axes, one)
            if name == "value":
                _exact(axes, row["value_exact"], _seats(one))
                game = marks[i]
                if game is not None and game[0] > game[1]:
                    bounds(axes, game)
            axes.set_ylabel(_COLUMNS[name])
            axes.xaxis.get_major_locator().set_params(integer=True)
            if i == len(found) - 1 or found[i + 1][name] is None:
                axes.set_xlabel("updates")
            else:
                axes.tick_params(labelbottom=False)
        if len(found) > 1:
            grid[i, 0].set_title(wrapped(chosen.names[i], 120 // len(columns), 2), loc="left", fontsize=8.5)
    drawn = [_seats(one) for row in found for one in (row[name] for name in columns) if one is not None]
    _legend(figure, sorted({seat for seats in drawn for seat in seats}), any(row["value_exact"] for row in found))
    most = max(int(record.starts[c + 1] - record.starts[c]) for c in chosen.cells)
    caption = (
        "Play on a fresh batch after each number of updates: thin lines are matches"
        + (f" (the first {SEEDS} of a cell)" if most > SEEDS else "")
        + ", the thick line is their mean, the band its 95 % interval (1.96 standard errors). Matches that diverged "
        "are left out."
    )
    caption += " Where players end up unequal each has its own lines, else the mean over players is drawn."
    if any(row["value_exact"] for row in found):
        caption += " Dashed: the mean of the value in closed form, which play estimates."
    if any(row["own_fraction"] for row in found):
        caption += (
            " Own colour: share of a player's coins that are of its own colour, with lines at 0.5, where two players "
            "do not look at colours, and at 1."
        )
    if any(marks):
        caption += " V_CC and V_DD are the values of everybody always cooperating and always defecting."
    return Picture("play_curves", "Play over updates", f"{caption} {chosen.note}".strip(), png(figure))


def _ends(
    found: list[dict[str, Trace | None]], marks: list[tuple[float, float] | None], name: str
) -> list[tuple[float, float]]:
    """Of each cell the range of a variable, the same for cells of one game, so that they can be compared."""
    groups: dict[Any, list[float]] = {}
    keys = []
    for row, mark in zip(found, marks, strict=True):
        keys.append((tuple(round(v, 4) for v in mark) if mark else None, row["own_fraction"] is None))
        seen = groups.setdefault(keys[-1], [])
        one = row[name]
        if one is not None:
            seats = _seats(one)
            drawn = np.concatenate([one.each[..., seats].ravel(), one.mean[:, seats].ravel()])
            seen += [float(np.nanmin(drawn)), float(np.nanmax(drawn))]
        seen += list(mark or ()) if name == "value" else []
    out = []
    for key in keys:
        low, high = (min(groups[key]), max(groups[key])) if groups[key] else (0.0, 1.0)
        margin = 0.08 * (high - low) or 0.5
        out.append((low - margin, high + margin))
    return out


def _seats(one: Trace) -> list[int]:
    """Which of a trace's columns are drawn: every player's where they are unequal, else the mean over them."""
    return list(range(one.mean.shape[1] - 1)) if one.unequal else [-1]


def _traces(axes: Axes, one: Trace) -> None:
    for seat in _seats(one):
        colour = COLOURS[seat + 1]  # the mean, which stands last, has the first
        axes.plot(one.updates, one.each[:, :, seat].T, color=colour, lw=0.6, alpha=0.35)
        mean, half = one.mean[:, seat], one.half[:, seat]
        axes.fill_between(one.updates, mean - half, mean + half, color=colour, alpha=0.2, lw=0)
        axes.plot(one.updates, mean, color=colour, lw=1.8)


def _exact(axes: Axes, one: Trace | None, seats: list[int]) -> None:
    if one is None:
        return
    for seat in seats:
        axes.plot(one.updates, one.mean[:, seat], color="black", lw=1.1, ls=(0, (4, 3)))


def _legend(figure: Any, seats: list[int], exact: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=COLOURS[0 if -1 in seats else 1], lw=0.6, alpha=0.6, label="one match")]
    for seat in seats:
        name = f"player {seat}" if seat >= 0 else "mean over players" if len(seats) > 1 else "mean"
        handles.append(Line2D([], [], color=COLOURS[seat + 1], lw=1.8, label=name))
    handles += [Line2D([], [], color="black", lw=1.1, ls=(0, (4, 3)), label="value in closed form")] if exact else []
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)


def histories(record: Record, summary: dict[str, Any], chosen: Selection) -> Picture | None:
    """Share of own colour among the coins taken after each history of pickups: a row a player of a cell."""
    rows = []
    for cell, name in zip(chosen.cells, chosen.names, strict=True):
        entry = summary["cells"][cell]
        shares = entry.get("cooperation_by_history") or {}
        for player in range(entry["players"]):
            mean = np.array([shares[label][player] for label in shares], float)
            if np.isfinite(mean).any():
                ends = [entry["cooperation_by_history_ci95"][label][player] for label in shares]
                rows.append((name, player, mean, ends, list(shares)))
    if not rows:
        return None
    labels = rows[0][4]
    grid = np.array([row[2] for row in rows])
    figure = new_figure(1.45 + 0.46 * len(rows))
    axes = figure.subplots()
    axes.set_facecolor("#DDDDDD")
    mesh = axes.pcolormesh(np.ma.masked_invalid(grid), cmap="viridis", vmin=0, vmax=1, edgecolors="white", lw=1.2)
    for (i, j), share in np.ndenumerate(grid):
        if not np.isfinite(share):
            axes.text(j + 0.5, i + 0.5, "not met", ha="center", va="center", fontsize=7.5, color=GREY)
            continue
        colour = "black" if share > 0.6 else "white"
        low, high = rows[i][3][j]
        same = low == high
        style: dict[str, Any] = {"ha": "center", "va": "center", "color": colour}
        axes.text(j + 0.5, i + (0.5 if same else 0.36), f"{share:.2f}", fontsize=8.5, **style)
        if not same:
            axes.text(j + 0.5, i + 0.74, f"{low:.2f} to {high:.2f}", fontsize=6.5, **style)
    several = len({row[0] for row in rows}) > 1
    names = [f"{wrapped(name, 30, 2)}\n" * several + f"player {player}" for name, player, *_ in rows]
    axes.set_yticks(np.arange(len(rows)) + 0.5, names)
    axes.set_xticks(np.arange(len(labels)) + 0.5, [_LAST[label[1]] for label in labels])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    for place, own in enumerate("SCD"):
        _beside(axes, _LAST[own], 3 * place + 1.5, 22, "center")
    _beside(axes, "its own last pickup", -0.1, 22, "right")
    _beside(axes, "the other's last pickup", -0.1, 3.5, "right")
    for edge in (3, 6):
        axes.axvline(edge, color="white", lw=4)
    bar = figure.colorbar(mesh, ax=axes, fraction=0.04, pad=0.02)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_label("share of own colour")
    caption = (
        "Of the coins that a player took with its final policy, the share of its own colour, by what it picked up "
        "last in that episode and what the other player did (of several others, whoever was last): nothing yet, a "
        "coin of its own colour, or another's. Means over finite matches, with their 95 % intervals below where "
        "matches differ. A player that answers greed takes less of its own where the other last took another's. Where"
        " there is one coin at a time and its colours alternate, it is the colours' turn that makes shares 0 and 1. "
        "Not met: this history came up in no match."
    )
    return Picture("histories", "Cooperation by history", f"{caption} {chosen.note}".strip(), png(figure))


def _beside(axes: Axes, text: str, x: float, above: float, side: str) -> None:
    """Text so many points above the top of a map, at x in its columns."""
    axes.annotate(
        text,
        (x, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, above),
        textcoords="offset points",
        ha=side,
        va="bottom",
        fontsize=8,
        annotation_clip=False,
    )
