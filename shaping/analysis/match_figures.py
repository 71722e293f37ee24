"""Figures of the matches in single cells: policies and outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shaping.analysis.axes import wrapped
from shaping.analysis.record import Record, Shape, finite_matches, read
from shaping.analysis.shown_cells import Selection
from shaping.analysis.strategies import as_joint, mixed_equilibrium
from shaping.analysis.style import COLOURS, GREY, Picture, new_figure, nothing_here, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 2000
_TFT_QUADRANT = {
    0: (1, 1),
    1: (1, 1),
    2: (0, 1),
    3: (1, 0),
    4: (0, 0),
}  # joint state: (player 0, player 1) cooperates


def _shown_states(shape: Shape) -> list[int]:
    if shape.players == 2 and shape.states > 5:
        # For longer histories, those in which every round was the same.
        last = (3 * shape.states + 1) // 4
        return [0, *(shape.states - last + action * (last - 1) // 3 for action in range(4))]
    if shape.players < 3 or shape.states != 1 + 2**shape.players:
        return list(range(shape.states))
    all_d, first, second = 2**shape.players - 1, 2 ** (shape.players - 1), 2 ** (shape.players - 2)
    return [0, 1, 1 + first, 1 + second, 1 + all_d - first, 1 + all_d - second, 1 + all_d]


def _state_label(shape: Shape, state: int) -> str:
    players = shape.players
    if state == 0:
        return "start"
    if players == 2 and shape.states > 5:
        return f"always {('CC', 'CD', 'DC', 'DD')[_shown_states(shape).index(state) - 1]}"
    return "after " + f"{state - 1:0{players}b}".replace("0", "C").replace("1", "D")


def policies(record: Record, summary: dict[str, Any], chosen: Selection) -> Picture | None:
    """P(C | state) of player 0 against player 1: rows are cells, panels joint states, points matches."""
    # Analytic games have no policies.
    cells = [(c, name, record.shapes[c]) for c, name in zip(chosen.cells, chosen.names, strict=True)]
    cells = [cell for cell in cells if cell[2].states]
    if not cells:
        return None
    shapes = [shape for _, _, shape in cells]
    states = [_shown_states(s) for s in shapes]
    columns = max(len(s) for s in states)
    rows = len(cells)
    panel = min(10.0 / (columns + 0.8), 2.4)
    figure = new_figure(0.85 + rows * (panel + 0.12), width=min(10.0, 1.6 + columns * panel))
    grid = figure.subplots(rows, columns, squeeze=False)
    mixed = dilemma = False
    for row, (cell, name, shape) in enumerate(cells):
        points = _final_policies(record, cell, shape)
        equilibrium = _equilibrium(record, cell, shape)
        mixed |= equilibrium is not None
        dilemma |= equilibrium is None and shape.players == 2 and shape.states == 5
        for column in range(columns):
            axes = grid[row, column]
            if column >= len(states[row]):
                axes.set_axis_off()
                continue
            state = states[row][column]
            _policy_panel(axes, points[:, :, state], shape, state, equilibrium)
            different = row == 0 or states[row] != states[row - 1]
            if different:
                axes.set_title(_state_label(shape, state))
            if row == rows - 1 or states[row] != states[row + 1]:
                axes.set_xlabel("P(C), player 0" if shape.players > 1 else "P(C)")
            else:
                axes.tick_params(labelbottom=False)
            if column:
                axes.tick_params(labelleft=False)
            elif rows > 1:
                side = "P(C), player 1" if shape.players > 1 else "share of matches"
                axes.set_ylabel(f"{wrapped(name, int(16 * panel), 4)}\n{side}", fontsize=8)
            else:
                axes.set_ylabel("P(C), player 1" if shape.players > 1 else "share of matches")
    many = any(record.starts[c + 1] - record.starts[c] > _POINTS for c, _, _ in cells)
    alone = all(s.players == 1 for s in shapes)
    caption = (
        "Final probability of cooperating in each state, over the finite matches."
        if alone
        else (
            "One point per match: the probability of cooperating in each joint state (as player 0 sees it), "
            "player 0 on the horizontal axis, player 1 on the vertical. Numbers are the percentage of points in the "
            "region around them" + (f", for the first {_POINTS:,} finite matches of a cell" if many else "") + "."
        )
    )
    if dilemma:
        caption += (
            " The shaded quadrant is where both players are within 0.5 of tit-for-tat; the mean of its shares over "
            "the five states is TFT match."
        )
    if mixed:
        caption += (
            " If the stage game has only a mixed equilibrium, the shaded square is within 0.25 of it instead, and "
            "the mean of its shares is Nash match."
        )
    if any(s.players == 2 and s.states > 5 for s in shapes):
        caption += (
            " Of policies that remember several rounds, the histories in which all rounds were the same are shown."
        )
    if any(s.players > 2 for s in shapes):
        caption += " With three or more players only players 0 and 1 and the states nearest to unanimity are shown."
    return picture("policies", "Learned policies", f"{caption} {chosen.note}".strip(), figure)


def _final_policies(record: Record, cell: int, shape: Shape) -> np.ndarray:
    lo = int(record.starts[cell])
    hi = min(int(record.starts[cell + 1]), lo + 2 * _POINTS)
    data = read(record, ("policy", "value", "diverged_at"), lo, hi, shape)
    finite = finite_matches(data["value"], data.get("diverged_at"))
    policy = as_joint(data["policy"], shape.state_view)[finite]
    return policy[np.isfinite(policy).any(axis=(1, 2))][:_POINTS]


def _equilibrium(record: Record, cell: int, shape: Shape) -> np.ndarray | None:
    """P(C) [player] of the mixed equilibrium if every match of the cell plays the same game, otherwise None."""
    lo, hi = int(record.starts[cell]), int(record.starts[cell + 1])
    data = read(record, ("payoffs", "noise"), lo, min(hi, lo + 2 * _POINTS), shape)
    known = np.isfinite(data["payoffs"]).all(axis=(1, 2))
    payoffs = data["payoffs"][known]
    if shape.states not in (1, 5) or not len(payoffs) or np.ptp(payoffs, axis=0).max() > 0:
        return None
    noise = data["noise"][known] if "noise" in data else np.zeros(payoffs.shape[:2])
    mixture = mixed_equilibrium(payoffs[:1], noise[:1])[0]
    return mixture if np.isfinite(mixture).all() else None


def _policy_panel(axes: Axes, points: np.ndarray, shape: Shape, state: int, equilibrium: np.ndarray | None) -> None:
    if shape.players == 1:
        weights = np.full(len(points), 1 / max(len(points), 1))
        axes.hist(points[:, 0], bins=20, range=(0, 1), weights=weights, color=COLOURS[0])
        axes.set(xlim=(0, 1), ylim=(0, 1))
        return
    axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), aspect="equal")
    axes.set_xticklabels(["0", ".5", "1"])
    axes.set_yticklabels(["0", ".5", "1"])
    if len(points) == 0:
        nothing_here(axes, "no finite\nmatch")
        return
    # Where policies are measured, a match may never have visited a state.
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) == 0:
        nothing_here(axes, "not met")
        return
    for line in (axes.axhline, axes.axvline):
        line(0.5, color="#BBBBBB", lw=0.6, zorder=0)
    if equilibrium is not None:
        at_x, at_y = equilibrium
        _shade(axes, (at_x - 0.25, at_x + 0.25), (at_y - 0.25, at_y + 0.25))
    elif shape.players == 2 and shape.states == 5:
        right, up = _TFT_QUADRANT[state]
        _shade(axes, (0.5, 1.04) if right else (-0.04, 0.5), (0.5, 1.04) if up else (-0.04, 0.5))
    alpha = float(np.clip(60 / len(points), 0.12, 0.7))
    axes.scatter(points[:, 0], points[:, 1], s=9, color=COLOURS[0], alpha=alpha, lw=0, clip_on=False)
    if equilibrium is not None:
        inside = np.all(np.abs(points - equilibrium) < 0.25, axis=1)
        _share(axes, equilibrium[0], equilibrium[1] - 0.16 * (1 if equilibrium[1] > 0.2 else -1), inside)
        return
    for right in (0, 1):
        for up in (0, 1):
            inside = ((points[:, 0] >= 0.5) == right) & ((points[:, 1] >= 0.5) == up)
            _share(axes, 0.25 + 0.5 * right, 0.25 + 0.5 * up, inside)


def _shade(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    axes.fill_between(x, y[0], y[1], color="#0072B2", alpha=0.09, lw=0, zorder=0)


def _share(axes: Axes, x: float, y: float, inside: np.ndarray) -> None:
    box = {"facecolor": "white", "alpha": 0.65, "lw": 0, "pad": 0.8}
    axes.text(x, y, f"{100 * inside.mean():.0f}", ha="center", va="center", fontsize=8, bbox=box)


def outcomes(record: Record, summary: dict[str, Any], chosen: Selection) -> Picture | None:
    """Histogram of the players' mean value at the last update, one panel per cell, with V_CC and V_DD marked."""
    panels = [_outcome(record, cell) for cell in chosen.cells]
    if not panels:
        return None
    columns = min(len(panels), 2 if len(panels) <= 4 else 3)
    rows = -(-len(panels) // columns)
    figure = new_figure(0.3 + 2.05 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.ravel()[len(panels) :]:
        axes.set_axis_off()
    ranges = _ranges(panels)
    alone = False
    for i, (panel, name) in enumerate(zip(panels, chosen.names, strict=True)):
        axes = grid[i // columns, i % columns]
        alone |= panel["one_player"]
        axes.set_title(wrapped(name, 120 // columns, 3) if len(panels) > 1 else "", loc="left", fontsize=8.5)
        _outcome_panel(axes, panel, ranges[_game(panel)])
        if i % columns == 0:
            axes.set_ylabel("% of matches")
    figure.supxlabel("value", fontsize=9)
    caption = (
        "How the matches of a cell ended: the players' mean normalised value at the last update. Dotted "
        "lines mark the values if everybody always cooperates (V_CC) and if everybody always defects (V_DD), if "
        "all matches play the same game."
    )
    if alone:
        caption += " Where the players' values sum to a constant, player 0's value is shown instead."
    return picture("outcomes", "Distribution of outcomes", f"{caption} {chosen.note}".strip(), figure)


def _outcome(record: Record, cell: int) -> dict[str, Any]:
    lo, hi, shape = int(record.starts[cell]), int(record.starts[cell + 1]), record.shapes[cell]
    names = ("value", "diverged_at", "value_cooperation", "value_defection")
    data = read(record, names, lo, hi, shape)
    value = data["value"][finite_matches(data["value"], data.get("diverged_at"))]
    bounds = {"V_CC": "value_cooperation", "V_DD": "value_defection"}
    marks = {mark: data[name].mean(axis=1) for mark, name in bounds.items() if name in data}
    marks = {mark: known[np.isfinite(known)] for mark, known in marks.items()}
    x = value.mean(axis=1)
    spread = value.std(axis=0).max() if len(value) else 0.0
    one_player = bool(shape.players > 1 and len(x) > 1 and x.std() < 1e-3 * spread)
    if one_player:
        x, marks = value[:, 0], {}
    fixed = {k: float(v[0]) for k, v in marks.items() if len(v) and np.ptp(v) <= 1e-5 * (1 + abs(v[0]))}
    return {"x": x, "marks": fixed, "one_player": one_player}


def _game(panel: dict[str, Any]) -> tuple[Any, ...]:
    return panel["one_player"], *(round(v, 4) for v in panel["marks"].values())


def _ranges(panels: list[dict[str, Any]]) -> dict[Any, tuple[float, float]]:
    """One range of values for all panels of a game, so that they can be compared."""
    ends: dict[Any, list[float]] = {}
    for panel in panels:
        if len(panel["x"]):
            found = [*panel["marks"].values(), panel["x"].min(), panel["x"].max()]
            ends.setdefault(_game(panel), []).extend(found)
    out = {}
    for panel in panels:
        found = ends.get(_game(panel), [0.0, 1.0])
        low, high = float(min(found)), float(max(found))
        flat = high - low < 1e-6 * (1 + abs(low))
        out[_game(panel)] = (low - 0.5, high + 0.5) if flat else (low, high)
    return out


def _outcome_panel(axes: Axes, panel: dict[str, Any], ends: tuple[float, float]) -> None:
    x, marks = panel["x"], panel["marks"]
    if len(x) == 0:
        nothing_here(axes)
        axes.set(xticks=(), yticks=())
        return
    low, high = ends
    axes.hist(x, bins=40, range=(low, high), weights=np.full(len(x), 100 / len(x)), color=COLOURS[0])
    margin = 0.04 * (high - low)
    axes.set_xlim(low - margin, high + margin)
    top = axes.get_ylim()[1] * 1.18
    axes.set_yticks([t for t in axes.get_yticks() if t <= min(top, 100)])
    axes.set_ylim(0, top)
    for k, (name, at) in enumerate(marks.items()):
        if k and abs(at - marks["V_CC"]) < 0.12 * (high - low):
            name = "V_CC, V_DD" if abs(at - marks["V_CC"]) < 1e-6 else ""
            axes.texts[-1].set_text(name or "V_CC")
            name = ""
        axes.axvline(at, color="black", lw=1, ls=":")
        right = at > (low + high) / 2
        axes.annotate(
            name,
            (at, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if right else 3, -2),
            textcoords="offset points",
            ha="right" if right else "left",
            va="top",
            fontsize=8,
        )
    note = f"player 0; {len(x):,} matches" if panel["one_player"] else f"{len(x):,} matches"
    axes.text(0.5, 0.97, note, transform=axes.transAxes, ha="center", va="top", fontsize=8, color=GREY)
