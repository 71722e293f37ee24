"""A league's summary and report page, made from its Dataset alone."""

from __future__ import annotations

import base64
from html import escape
from typing import Any

import numpy as np

from shaping.analysis.evolution.alpha_rank import alpha_rank
from shaping.analysis.evolution.invasion import invasion_graph
from shaping.analysis.markup import number, percent, table
from shaping.analysis.report import page
from shaping.analysis.style import RC, import_matplotlib, new_figure, png

INTENSITY, POPULATION = 10.0, 50
_MOST_ROWS = 200
_MOST_NAMES = 60


def summary_of(league: Any) -> dict[str, Any]:
    """The content of summary.json: the game, and for each player its mean value over all columns, its value against
    itself, its cooperation, the values under a best response, its share in alpha-rank, and how many others invade it.

    Args:
      league: the Dataset of league.zarr.
    """
    value, cooperation = league["value"].values.mean(axis=2), league["cooperation"].values.mean(axis=2)
    ranks = alpha_rank(value, INTENSITY, POPULATION)
    invaders = invasion_graph(value).sum(axis=1)
    rows = []
    for i, name in enumerate(league["row"].values.tolist()):
        rows.append(
            {
                "name": name,
                "source": str(league["source"].values[i]),
                "value_mean": float(value[i].mean()),
                "value_self": float(value[i, i]),
                "opponents_value_mean": float(value[:, i].mean()),
                "cooperation_mean": float(cooperation[i].mean()),
                "cooperation_self": float(cooperation[i, i]),
                "best_response": float(league["best_response"].values[i]),
                "value_at_worst": float(league["value_at_worst"].values[i]),
                "alpha_rank": float(ranks[i]),
                "invaders": int(invaders[i]),
            }
        )
    rows.sort(key=lambda row: -row["value_mean"])
    about = {key: league.attrs[key] for key in ("game", "payoffs", "discount", "noise", "horizon")}
    about["payoffs"] = np.asarray(about["payoffs"]).tolist()
    about["noise"] = np.asarray(about["noise"]).tolist()
    about["discount"] = float(about["discount"])
    return {
        "game": about,
        "alpha_rank": {"intensity": INTENSITY, "population": POPULATION, "selection": "local"},
        "players": rows,
    }


def write_league_report(folder: Any, league: Any, summary: dict[str, Any]) -> Any:
    """Writes report/index.html; returns its path."""
    place = folder / "report"
    place.mkdir(exist_ok=True)
    pictures = [
        ("value", "What row earns from column", league["value"].values.mean(axis=2), "viridis"),
        ("cooperation", "How often row cooperates with column", league["cooperation"].values.mean(axis=2), "cividis"),
    ]
    names = league["row"].values.tolist()
    order = _clustered(pictures[0][2])
    parts = [f"<h1>League of {len(names)}</h1>", f"<p>{escape(_game(summary['game']))}</p>", _table(summary)]
    for name, title, matrix, colours in pictures:
        image = _heat_map(matrix[np.ix_(order, order)], [names[i] for i in order], colours)
        (place / f"{name}.png").write_bytes(image)
        source = base64.b64encode(image).decode()
        parts.append(
            f'<h2>{title}</h2><figure><img alt="{title}" src="data:image/png;base64,{source}"><figcaption>Mean over '
            "seats. Similar players are next to each other.</figcaption></figure>"
        )
    path = place / "index.html"
    path.write_text(page("League", parts), encoding="utf-8")
    return path


def _game(game: dict[str, Any]) -> str:
    return (
        f"Game {game['game']}, payoffs {game['payoffs']}, discount {game['discount']:g}, noise {game['noise']}, "
        f"horizon {game['horizon']}. Values are exact and on the scale of one round, means over both seats."
    )


def _table(summary: dict[str, Any]) -> str:
    head = ["player", "mean value", "against itself", "others earn", "cooperates", "at worst", "alpha-rank", "invaders"]
    rows = [
        [
            escape(row["name"]),
            number(row["value_mean"]),
            number(row["value_self"]),
            number(row["opponents_value_mean"]),
            percent(row["cooperation_mean"]),
            number(row["value_at_worst"]),
            percent(row["alpha_rank"]),
            str(row["invaders"]),
        ]
        for row in summary["players"][:_MOST_ROWS]
    ]
    rank = summary["alpha_rank"]
    note = (
        "Mean value: over all columns, itself included. At worst: its value against a best response. alpha-rank: "
        f"its share at intensity {rank['intensity']:g}, population {rank['population']}, {rank['selection']} "
        "selection. Invaders: how many others do better than it while rare."
    )
    left_out = len(summary["players"]) - len(rows)
    more = f" {left_out} more are in summary.json." if left_out else ""
    return table(head, rows, 1) + f'<p class="note">{note}{more}</p>'


def _clustered(value: np.ndarray) -> np.ndarray:
    """An order of rows and columns that puts similar ones next to each other (average linkage)."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    if not 2 < len(value) <= 2000:
        return np.arange(len(value))
    return leaves_list(linkage(np.concatenate([value, value.T], axis=1), "average"))


def _heat_map(matrix: np.ndarray, names: list[str], colours: str) -> bytes:
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
        return png(figure)
