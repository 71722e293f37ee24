"""Curves of measured variables next to the value: rows are cells, columns variables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from shaping.analysis.axes import wrapped
from shaping.analysis.curve_figures import bounds, curve
from shaping.analysis.declarations import Variable
from shaping.analysis.matches_over_updates import SEEDS, Trace, trace
from shaping.analysis.play_tables import SCRIPTED
from shaping.analysis.record import Record
from shaping.analysis.shown_cells import Selection
from shaping.analysis.style import COLOURS, GREY, Picture, new_figure, nothing_here, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRAWN_APART = ("value_exact", "model_error", "model_trust", "shaping_norm", "shaping_sd")
"""Variables drawn in other figures, or drawn over the value."""
_VALUE = Variable("value", ("match", "update", "player"), label="value")
_MOST_COLUMNS = 4


def play_curves(record: Record, summary: dict[str, Any], chosen: Selection) -> list[Picture]:
    """Every variable that was measured along updates, next to the value, at most four in a picture."""
    shown = {name: v for name, v in record.variables.items() if v.label and not v.axis and name not in DRAWN_APART}
    names = ("value", *shown, "value_exact")
    found = [{name: trace(record, cell, name) for name in names} for cell in chosen.cells]
    along = [v for name, v in shown.items() if any((one := row[name]) and one.along for row in found)]
    columns = [_VALUE, *along]
    if not along and not any(row["value_exact"] for row in found):
        return []
    scripts = [summary["cells"][cell].get(SCRIPTED, {}) for cell in chosen.cells]
    parts = [columns[i : i + _MOST_COLUMNS] for i in range(0, len(columns), _MOST_COLUMNS)]
    return [_picture(record, found, part, scripts, chosen, number) for number, part in enumerate(parts)]


def _picture(
    record: Record,
    found: list[dict[str, Trace | None]],
    columns: list[Variable],
    scripts: list[dict[str, Any]],
    chosen: Selection,
    number: int,
) -> Picture:
    marks = [curve(record, cell).game for cell in chosen.cells]
    levels = [_scripted(one) for one in scripts]
    ends = {v.name: _ends(found, marks, levels, v) for v in columns}
    figure = new_figure(0.75 + len(found) * (2.0 if len(found) > 1 else 2.8))
    grid = figure.subplots(len(found), len(columns), squeeze=False)
    for i, row in enumerate(found):
        for j, variable in enumerate(columns):
            axes, one = grid[i, j], row[variable.name]
            if one is None and (variable is not _VALUE or i < len(found) - 1 and not any(row.values())):
                axes.set_axis_off()
                continue
            if one is None:
                nothing_here(axes)
                continue
            axes.set_ylim(*ends[variable.name][i])
            if variable.bounded and (variable.low, variable.high) == (0, 1):
                axes.set_yticks((0, 0.5, 1))
                axes.grid(axis="y", color="#DDDDDD", lw=0.6)
                axes.set_axisbelow(True)
            _traces(axes, one)
            if variable is _VALUE:
                _exact(axes, row["value_exact"], _seats(one))
                game = marks[i]
                if game is not None and game[0] > game[1]:
                    bounds(axes, game)
            if variable.name == "reward_per_step":
                _levels(axes, levels[i])
            axes.set_ylabel(wrapped(variable.label, 30 if len(found) > 1 else 40, 2))
            axes.xaxis.get_major_locator().set_params(integer=True)
            if i == len(found) - 1 or found[i + 1][variable.name] is None:
                axes.set_xlabel("updates")
            else:
                axes.tick_params(labelbottom=False)
        if len(found) > 1:
            grid[i, 0].set_title(wrapped(chosen.names[i], 120 // len(columns), 2), loc="left", fontsize=8.5)
    drawn = [_seats(one) for row in found for one in (row[v.name] for v in columns) if one is not None]
    exact = _VALUE in columns and any(row["value_exact"] for row in found)
    _legend(figure, sorted({seat for seats in drawn for seat in seats}), exact)
    most = max(int(record.starts[c + 1] - record.starts[c]) for c in chosen.cells)
    text = [
        "Thin lines are matches"
        + (f" (the first {SEEDS} of a cell)" if most > SEEDS else "")
        + ", the thick line is their mean, and the band is its 95 % interval, as in the tables. Matches that diverged "
        "are left out. If players end up unequal, each has its own lines; if what one gains the others lose, only "
        "player 0 is drawn; otherwise the mean over players."
    ]
    for variable in columns[1:] if columns[0] is _VALUE else columns:
        if variable.description:
            text.append(f"{variable.label[:1].upper()}{variable.label[1:]}: {variable.description.rstrip('.')}.")
    if exact:
        text.append("Dashed: the mean of the exact value, which play estimates.")
    if any(levels) and any(v.name == "reward_per_step" for v in columns):
        text.append("Dotted: the reward per step, mean over players, if everybody plays the script with that name.")
    if _VALUE in columns and any(marks):
        text.append("V_CC and V_DD are the values if everybody always cooperates and if everybody always defects.")
    name, title = ("play_curves", "Play over updates")
    if number:
        name, title = f"{name}_{number + 1}", f"{title} ({number + 1})"
    return picture(name, title, f"{' '.join(text)} {chosen.note}".strip(), figure)


def _scripted(cell: dict[str, Any]) -> dict[str, float]:
    """Reward per step for each script, mean over players, in a cell for which scripts were played."""
    known = {script: [v for v in values if v is not None] for script, values in cell.items()}
    return {script: sum(values) / len(values) for script, values in known.items() if values}


def _levels(axes: Axes, levels: dict[str, float]) -> None:
    """Dotted lines at what scripts earn, named at the right edge; scripts that earn the same share a label."""
    low, high = axes.get_ylim()
    together: list[tuple[float, list[str]]] = []
    for script, at in sorted(levels.items(), key=lambda pair: pair[1]):
        axes.axhline(at, color="black", lw=0.8, ls=":", zorder=1)
        if together and at - together[-1][0] < 0.07 * (high - low):
            together[-1][1].append(script)
        else:
            together.append((at, [script]))
    for at, scripts in together:
        style: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "fontsize": 7.5}
        style["bbox"] = {"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 0.6}
        axes.annotate(", ".join(scripts), (1, at), xytext=(-2, 2), ha="right", va="bottom", color=GREY, **style)


def _ends(
    found: list[dict[str, Trace | None]],
    marks: list[tuple[float, float] | None],
    levels: list[dict[str, float]],
    variable: Variable,
) -> list[tuple[float, float]]:
    """For each cell the range of a variable's axis: as declared, or the range of the curves, shared by cells of a
    game."""
    if variable.bounded:
        margin = 0.04 * (variable.high - variable.low)
        return [(variable.low - margin, variable.high + margin)] * len(found)
    groups: dict[Any, list[float]] = {}
    keys = []
    for row, mark, level in zip(found, marks, levels, strict=True):
        # Cells of other games measure other things.
        keys.append(
            (
                tuple(round(v, 4) for v in mark) if mark else None,
                tuple(n for n, one in row.items() if one and n not in DRAWN_APART),
            )
        )
        seen = groups.setdefault(keys[-1], [])
        one = row[variable.name]
        if one is not None:
            seats = _seats(one)
            drawn = np.concatenate([one.each[..., seats].ravel(), one.mean[:, seats].ravel()])
            seen += [float(np.nanmin(drawn)), float(np.nanmax(drawn))]
        seen += list(mark or ()) if variable is _VALUE else []
        seen += level.values() if variable.name == "reward_per_step" else []
    out = []
    for key in keys:
        low, high = (min(groups[key]), max(groups[key])) if groups[key] else (0.0, 1.0)
        margin = 0.08 * (high - low) or 0.5
        low = low - margin if math.isinf(variable.low) else variable.low
        high = high + margin if math.isinf(variable.high) else variable.high
        out.append((low, high) if low < high else (low - 0.5, high + 0.5))
    return out


def _seats(one: Trace) -> list[int]:
    """Which of a trace's columns are drawn: every player's if they are unequal, player 0's where the mean over players
    is always the same, as in zero-sum games, and otherwise that mean."""
    if one.unequal:
        return list(range(one.mean.shape[1] - 1))
    return [0] if _constant_sum(one) else [-1]


def _constant_sum(one: Trace) -> bool:
    players, mean = one.each[..., :-1], one.each[..., -1]
    if players.shape[-1] < 2 or not np.isfinite(mean).any():
        return False
    within = [np.nanmax(x) - np.nanmin(x) for x in (mean, players)]
    return bool(within[0] < 1e-3 * within[1])


def _traces(axes: Axes, one: Trace) -> None:
    for seat in _seats(one):
        colour = COLOURS[seat + 1]  # the mean is the last column and has the first colour
        axes.plot(one.updates, one.each[:, :, seat].T, color=colour, lw=0.6, alpha=0.35)
        axes.fill_between(one.updates, one.low[:, seat], one.high[:, seat], color=colour, alpha=0.2, lw=0)
        axes.plot(one.updates, one.mean[:, seat], color=colour, lw=1.8)


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
