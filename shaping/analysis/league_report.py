"""A league's summary and report page, made from its Dataset alone."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from shaping.analysis.charts import Chart, heat_map
from shaping.analysis.damaged_files import DamagedRecordError, unreadable_piece
from shaping.analysis.derived_measures import mean_of_known
from shaping.analysis.evolution.alpha_rank import alpha_rank
from shaping.analysis.evolution.invasion import invasion_graph
from shaping.analysis.figures import save
from shaping.analysis.league_by_method import by_method
from shaping.analysis.markup import interval, number, percent, table
from shaping.analysis.page import figure, page
from shaping.analysis.style import RC, Picture, import_matplotlib, new_figure, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INTENSITY, POPULATION = 10.0, 50
_MOST_ROWS = 200
_MOST_NAMES = 60
_MOST_METHODS = 30
_NEEDED = ("value", "standard_error", "cooperation", "best_response", "best_response_error", "value_at_worst")
_NEEDED += ("row", "column", "source", "match", "player", "cell")


def summary_of(league: Any) -> dict[str, Any]:
    """The content of summary.json: the game, and for each player its mean value over all columns, its value against
    itself, its cooperation, the values under a best response, its share in alpha-rank, and how many others invade it.

    Args:
      league: the Dataset of league.zarr.
    """
    value, cooperation = league["value"].values.mean(axis=2), league["cooperation"].values.mean(axis=2)
    error = np.sqrt((league["standard_error"].values ** 2).sum(axis=2)) / 2
    ranks = alpha_rank(value, INTENSITY, POPULATION)
    invaders = invasion_graph(value).sum(axis=1)
    rows = []
    for i, name in enumerate(league["row"].values.tolist()):
        rows.append(
            {
                "name": name,
                "number": i,
                "source": str(league["source"].values[i]),
                "value_mean": float(value[i].mean()),
                "value_mean_error": float(np.sqrt((error[i] ** 2).sum()) / len(error)),
                "value_self": float(value[i, i]),
                "opponents_value_mean": float(value[:, i].mean()),
                "cooperation_mean": _finite(mean_of_known(cooperation[i])),
                "cooperation_self": _finite(cooperation[i, i]),
                "best_response": _finite(league["best_response"].values[i]),
                "best_response_error": _finite(league["best_response_error"].values[i]),
                "value_at_worst": _finite(league["value_at_worst"].values[i]),
                "alpha_rank": float(ranks[i]),
                "invaders": int(invaders[i]),
                "policy": _policy(league, i),
            }
        )
    rows.sort(key=lambda row: -row["value_mean"])
    known = ("game", "payoffs", "discount", "noise", "horizon", "cooperation_measure")
    about = {key: league.attrs[key] for key in known if key in league.attrs}
    about |= {key: np.asarray(about[key]).tolist() for key in ("payoffs", "noise") if key in about}
    about["discount"] = float(about["discount"])
    return {
        "game": about,
        "sampling": _sampling(league),
        "methods": by_method(league),
        "alpha_rank": {"intensity": INTENSITY, "population": POPULATION, "selection": "local"},
        "players": rows,
    }


def _policy(league: Any, i: int) -> list[float] | None:
    """P(C) after the start and each joint action, for a table of one round."""
    row = league["policy"].values[i] if "policy" in league else np.full(1, np.nan)
    return [float(x) for x in row] if np.isfinite(row).all() else None


def _sampling(league: Any) -> dict[str, Any] | None:
    """What was played rather than computed; None if nothing was."""
    if "episodes" not in league:
        return None
    episodes = league["episodes"].values
    return {
        "cells": int((episodes > 0).sum()),
        "exact_cells": int((episodes == 0).sum()),
        "episodes": int(episodes.sum()),
        "standard_error_max": float(np.nanmax(league["standard_error"].values)),
    }


def _finite(x: Any) -> float | None:
    return float(x) if np.isfinite(x) else None


def write_league(folder: Any, pdfs: bool = False) -> Any:
    """Writes summary.json, report/index.html and its figures from the league.zarr of a folder, with `pdfs` also as PDF;
    returns the path of the page.

    Raises:
      DamagedRecordError: if league.zarr cannot be read, or is of another version.
    """
    import xarray

    path = folder / "league.zarr"
    if told := unreadable_piece(path):
        raise DamagedRecordError(told)
    with xarray.open_zarr(str(path), consolidated=False, chunks=None) as opened:
        league = opened.load()
    missing = [name for name in _NEEDED if name not in league]
    if missing or "discount" not in league.attrs or not league.sizes.get("row"):
        what = missing[0] if missing else "discount" if league.sizes.get("row") else "row"
        raise DamagedRecordError(f"{path}: has no {what}; run `shaping league` again into a new folder")
    summary = {"version": str(league.attrs.get("version", ""))} | summary_of(league)
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return _write_page(folder, league, summary, pdfs)


def _write_page(folder: Any, league: Any, summary: dict[str, Any], pdfs: bool) -> Any:
    """Writes report/index.html; returns its path."""
    place = folder / "report"
    place.mkdir(exist_ok=True)
    pictures = [("value", "What row earns from column", league["value"].values.mean(axis=2), "viridis")]
    cooperation, measure = league["cooperation"].values.mean(axis=2), _measure(summary["game"])
    if np.isfinite(cooperation).any():
        title = "How often row cooperates with column" if measure == "cooperation" else f"Row's {measure} with column"
        pictures.append(("cooperation", title, cooperation, "cividis"))
    names = league["row"].values.tolist()
    order = _clustered(pictures[0][2])
    parts: list[str | Chart] = [f"<h1>League of {len(names)}</h1>", f"<p>{escape(_game(summary))}</p>"]
    parts += [_table(summary, _from(league)), _methods(summary["methods"])]
    for name, title, matrix, colours in pictures:
        drawn = _heat_map(matrix[np.ix_(order, order)], [names[i] for i in order], colours)
        caption = "Mean over seats. Similar players are next to each other."
        shown = picture(name, title, caption, drawn)
        save([shown], place, pdfs)
        charted = len(names) <= _MOST_NAMES
        parts.append(_chart(shown, league, matrix, order, colours) if charted else figure(shown))
    path = place / "index.html"
    path.write_text(page("League", parts), encoding="utf-8")
    return path


def _chart(shown: Picture, league: Any, matrix: np.ndarray, order: np.ndarray, colours: str) -> Chart:
    """The matrix as a chart, whose cells lead to the row's player in the table."""
    names = [str(name) for name in league["row"].values]
    error = np.sqrt((league["standard_error"].values ** 2).sum(axis=2)) / 2
    told, pairs = _from(league), [(i, j) for i in order for j in order]
    hover = {
        "standard error": [f"{error[i, j]:.2g}" if error[i, j] else "0 (exact)" for i, j in pairs],
        "row is from": [told[i] for i, _ in pairs],
        "column is from": [told[j] for _, j in pairs],
    }
    if shown.name != "value":
        del hover["standard error"]
    caption = f"{shown.caption} A click leads to the row's player."
    anchors = [f"player-{i}" for i, _ in pairs]
    ordered, named = matrix[np.ix_(order, order)], [names[i] for i in order]
    palette = f"{colours.capitalize()}256"
    return heat_map(shown.name, shown.title, caption, ordered, named, hover, anchors, palette, shown)


def _from(league: Any) -> list[str]:
    """Where each player is from: the command that runs its match again, a file, or "strategy"."""
    found = []
    for source, match in zip(league["source"].values, league["match"].values, strict=True):
        found.append(f"shaping replay {source} --match {int(match)}" if match >= 0 else str(source))
    return found


def _measure(game: dict[str, Any]) -> str:
    return str(game["cooperation_measure"]).replace("_", " ") or "cooperation"


def _game(summary: dict[str, Any]) -> str:
    game, sampling = summary["game"], summary["sampling"]
    told = [f"{key} {game[key]}" for key in ("payoffs", "noise") if key in game]
    text = f"Game {game['game']}, {', '.join([*told, ''])}discount {game['discount']:g}, horizon {game['horizon']}. "
    text += "Values are on the scale of one round, means over both seats. "
    if sampling is None:
        return text + "They are exact."
    return text + (
        f"{sampling['cells']:,} pairs were played, {sampling['episodes']:,} episodes in all; the largest standard "
        f"error of a value in one seat is {sampling['standard_error_max']:.2g}. {sampling['exact_cells']:,} pairs "
        "are exact."
    )


def _table(summary: dict[str, Any], origins: list[str]) -> str:
    cooperates = "cooperates" if _measure(summary["game"]) == "cooperation" else _measure(summary["game"])
    head = ["player", "mean value", "against itself", "others earn", cooperates, "best response", "at worst"]
    head += ["alpha-rank", "invaders", "P(C | start, CC, CD, DC, DD)", "from"]
    listed = summary["players"][:_MOST_ROWS]
    rows = [
        [
            escape(row["name"]),
            number(row["value_mean"]) + _error(row["value_mean_error"]),
            number(row["value_self"]),
            number(row["opponents_value_mean"]),
            percent(row["cooperation_mean"]),
            number(row["best_response"]) + _error(row["best_response_error"] or 0.0),
            number(row["value_at_worst"]),
            percent(row["alpha_rank"]),
            str(row["invaders"]),
            ", ".join(number(x, 2) for x in row["policy"]) if row["policy"] else "&ndash;",
            f"<code>{escape(origins[row['number']])}</code>",
        ]
        for row in listed
    ]
    rank = summary["alpha_rank"]
    note = (
        "Mean value: over all columns, itself included. Best response: the most that anybody can earn against it; "
        "with an error, the most that was found in learning, a lower bound. At "
        "worst: its own value then. alpha-rank: "
        f"its share at intensity {rank['intensity']:g}, population {rank['population']}, {rank['selection']} "
        "selection. Invaders: how many others do better than it while rare."
    )
    left_out = len(summary["players"]) - len(rows)
    more = f" {left_out} more are in summary.json." if left_out else ""
    anchors = [f"player-{row['number']}" for row in listed]
    return table(head, rows, 1, anchors) + f'<p class="note">{note}{more}</p>'


def _methods(found: dict[str, Any]) -> str:
    """Means of methods, where one of them has several players."""
    methods = found["methods"]
    several = any(one["pairs"] > 1 for one in found["values"])
    if not several or len(methods) > _MOST_METHODS:
        return ""
    told: dict[tuple[str, str], list[str]] = {}
    for one in found["values"]:
        shown = number(one["mean"]) + interval(one["ci95"])
        told.setdefault((one["row"], one["column"]), []).append(
            shown if one["who"] == "others" else f"{one['who']} {shown}"
        )
    rows = [
        [escape(row), *("<br>".join(told.get((row, column), ["&ndash;"])) for column in methods)] for row in methods
    ]
    note = (
        "What the row's learners earn from the column's, means over pairs with 95 % intervals over learners of both. "
        "Partners learned together in one match; strangers never met."
    )
    return f"<h2>By method</h2>{table(['method', *map(escape, methods)], rows, 1)}" + f'<p class="note">{note}</p>'


def _error(error: float) -> str:
    return f" <small>&plusmn; {error:.2g}</small>" if error else ""


def _clustered(value: np.ndarray) -> np.ndarray:
    """An order of rows and columns that puts similar ones next to each other (average linkage)."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    if not 2 < len(value) <= 2000:
        return np.arange(len(value))
    return leaves_list(linkage(np.concatenate([value, value.T], axis=1), "average"))


def _heat_map(matrix: np.ndarray, names: list[str], colours: str) -> Figure:
    matplotlib = import_matplotlib()
    with matplotlib.rc_context(RC):
        n = len(names)
        side = min(9.0, 3.0 + 0.16 * n) if n <= _MOST_NAMES else 8.0
        figure = new_figure(side, side + 1.0)
        axes = figure.subplots()
        shown = axes.imshow(matrix, cmap=colours, aspect="equal", interpolation="nearest")
        figure.colorbar(shown, ax=axes)
        axes.set_xlabel("column")
        axes.set_ylabel("row")
        if n <= _MOST_NAMES:
            axes.set_xticks(range(n), names, rotation=90)
            axes.set_yticks(range(n), names)
        return figure
