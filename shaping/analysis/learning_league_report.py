"""A learning league's statistics and page: who shapes whom, made from its Dataset alone."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from shaping.analysis.cell_analysis import mean_with_interval
from shaping.analysis.charts import Chart, heat_map
from shaping.analysis.figures import save
from shaping.analysis.league_by_method import mean_of_pairs
from shaping.analysis.markup import interval, number, table
from shaping.analysis.page import figure, page
from shaping.analysis.paired_differences import difference
from shaping.analysis.statistics import mean_ci95_columns
from shaping.analysis.style import RC, import_matplotlib, new_figure, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_PANELS = 8


def trajectories(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means over matches with the ends of 95 % intervals, [row, column, update, player], from values
    [row, column, match, update, player]."""
    moved = np.moveaxis(values, 2, 0)
    low, high, _ = mean_ci95_columns(moved.reshape(len(moved), -1))
    finite = np.isfinite(moved)
    with np.errstate(invalid="ignore"):
        mean = np.where(finite, moved, 0).sum(axis=0) / np.where(finite.any(axis=0), finite.sum(axis=0), np.nan)
    return mean, low.reshape(mean.shape), high.reshape(mean.shape)


def summary_of(league: Any) -> dict[str, Any]:
    """The content of league.json: for each pair the final values of row and column, the row's lead, and what the row
    gains by its rule: its value less that of the first rule in its place, against the same column. The two began from
    the same seeds, so the interval is that of pairs. Where final policies of other matches have met, `other_seeds` is
    what the row's learners earn from the column's that they did not learn with, over pairs of seeds.

    Args:
      league: the Dataset of league.zarr.
    """
    names = [str(name) for name in league["row"].values.tolist()]
    final = league["value_final"].values
    pairs = []
    for i, row in enumerate(names):
        for j, column in enumerate(names):
            own, other = final[i, j, :, 0], final[i, j, :, 1]
            told: dict[str, Any] = {"row": row, "column": column, "matches": int(np.isfinite(own).sum())}
            told["value"] = mean_with_interval(own)
            told["opponent_value"] = mean_with_interval(other)
            told["lead"] = mean_with_interval(own - other)
            if "value_crossed" in league:
                crossed = league["value_crossed"].values[i, j, :, :, 0]
                told["other_seeds"] = mean_of_pairs(crossed, np.isfinite(crossed) & ~np.eye(len(crossed), dtype=bool))
            if i:
                gain = difference(final[0, j, :, 0], own, paired=True)
                told["gain"] = {"mean": gain["difference"], "ci95": gain["ci95"]}
            pairs.append(told)
    return {"baseline": names[0], "learners": names, "pairs": pairs}


def write_learning_report(folder: Any, league: Any, summary: dict[str, Any], pdfs: bool = False) -> Any:
    """Writes league/index.html; returns its path."""
    place = folder / "league"
    place.mkdir(exist_ok=True)
    names, baseline = summary["learners"], summary["baseline"]
    matches = league.sizes["match"]
    parts: list[str | Chart] = [
        f"<h1>Learning league of {len(names)}</h1>",
        f"<p>Every rule learns against every other and itself, the row in seat 0 and the column in seat 1, {matches:,} "
        f"matches each, {int(league['update'].values[-1]):,} updates. Brackets hold 95 % intervals over matches.</p>",
        _chart(league, summary),
        _matrix("What row earns from column in the end", summary, "value"),
        _matrix("Lead of row over column", summary, "lead"),
        _matrix(f"What row gains over {baseline} in its place, against the same column", summary, "gain"),
        _methods(summary),
        f'<p class="note">Gains are differences of matches that began from the same seeds. A rule shapes a column if '
        f"the interval of its gain lies above 0: {escape(_who(summary))}.</p>",
    ]
    if len(names) <= _MOST_PANELS:
        caption = "Values over updates, of the row's learner (solid) and the column's (dashed), with 95 % intervals."
        curves = picture("trajectories", "Trajectories", caption, _curves(league, names))
        save([curves], place, pdfs)
        parts.append(figure(curves))
    parts.append(_pairs(folder, league, summary))
    path = place / "index.html"
    path.write_text(page("Learning league", parts), encoding="utf-8")
    return path


def _chart(league: Any, summary: dict[str, Any]) -> Chart:
    """What row earns from column in the end; a click leads to the pair in the table."""
    names, pairs = summary["learners"], summary["pairs"]
    values = [np.nan if one["value"]["mean"] is None else one["value"]["mean"] for one in pairs]
    hover = {
        "interval": [_plain(one["value"]["ci95"]) for one in pairs],
        "column earns": [_plain([one["opponent_value"]["mean"]]) for one in pairs],
        "matches": [str(one["matches"]) for one in pairs],
    }
    anchors = [f"pair-{i}" for i in range(len(pairs))]
    caption = "Means over matches after the last update, the row in seat 0. A click leads to the pair."
    matrix = np.array(values, float).reshape(len(names), len(names))
    return heat_map("final_values", "Everyone against everyone", caption, matrix, names, hover, anchors)


def _plain(numbers: list[float | None]) -> str:
    return " to ".join("?" if x is None else f"{x:.3f}" for x in numbers)


def _pairs(folder: Any, league: Any, summary: dict[str, Any]) -> str:
    """A row for each pair, with its matches in the report of the run and the command that runs the first again."""
    names = summary["learners"]
    rows = []
    for place, one in enumerate(summary["pairs"]):
        first = int(league["number"].values[place // len(names), place % len(names), 0])
        command = f"shaping replay {folder} --match {first}"
        link = f'<a href="../report/index.html#match-{first}">{first} and following</a>'
        told = [number(one[key]["mean"]) + interval(one[key]["ci95"]) for key in ("value", "opponent_value", "lead")]
        rows.append([escape(one["row"]), escape(one["column"]), *told, link, f"<code>{escape(command)}</code>"])
    head = ["row", "column", "row earns", "column earns", "lead of row", "matches", "again"]
    return "<h2>Pairs</h2>" + table(head, rows, 2, [f"pair-{i}" for i in range(len(rows))])


def _methods(summary: dict[str, Any]) -> str:
    """Values of row against column, learned together and not, side by side."""
    names = summary["learners"]
    if not any("other_seeds" in one for one in summary["pairs"]):
        return ""
    by_pair = {(one["row"], one["column"]): one for one in summary["pairs"]}
    rows = []
    for row in names:
        cells = []
        for column in names:
            same, other = (by_pair[row, column][key] for key in ("value", "other_seeds"))
            cells.append(
                f"{number(same['mean'])}{interval(same['ci95'])}<br>{number(other['mean'])}{interval(other['ci95'])}"
            )
        rows.append([escape(row), *cells])
    note = (
        "What the row's learners earn from the column's at the end, the row in seat 0. First line: same seed, the two "
        "learned together. Second line: other seeds, final policies that never met, with intervals over learners of "
        "both."
    )
    return f"<h2>By method</h2>{table(['row', *map(escape, names)], rows, 1)}" + f'<p class="note">{note}</p>'


def _who(summary: dict[str, Any]) -> str:
    pairs = [
        f"{one['row']} shapes {one['column']}"
        for one in summary["pairs"]
        if "gain" in one and one["gain"]["ci95"][0] is not None and one["gain"]["ci95"][0] > 0
    ]
    return "; ".join(pairs) or "here none does"


def _matrix(title: str, summary: dict[str, Any], key: str) -> str:
    names = summary["learners"]
    by_pair = {(one["row"], one["column"]): one for one in summary["pairs"]}
    rows = []
    for row in names:
        cells = [by_pair[row, column].get(key) for column in names]
        if any(cells):
            shown = ["&ndash;" if one is None else number(one["mean"]) + interval(one["ci95"]) for one in cells]
            rows.append([escape(row), *shown])
    return f"<h2>{escape(title)}</h2>{table(['row', *map(escape, names)], rows, 1)}" if rows else ""


def _curves(league: Any, names: list[str]) -> Figure:
    matplotlib = import_matplotlib()
    with matplotlib.rc_context(RC):
        n = len(names)
        figure = new_figure(1.0 + 1.7 * n, 1.0 + 1.4 * n)
        grid = np.atleast_2d(figure.subplots(n, n, sharex=True, sharey=True, squeeze=False))
        updates = league["update"].values
        mean, low, high = (league[name].values for name in ("value", "low", "high"))
        for i, row in enumerate(names):
            for j, column in enumerate(names):
                axes = grid[i, j]
                for player, style in ((0, "-"), (1, "--")):
                    axes.plot(updates, mean[i, j, :, player], style, color=f"C{player}", linewidth=1)
                    ends = (low[i, j, :, player], high[i, j, :, player])
                    axes.fill_between(updates, *ends, color=f"C{player}", alpha=0.2, linewidth=0)
                if i == 0:
                    axes.set_title(column)
                if j == 0:
                    axes.set_ylabel(row)
        return figure
