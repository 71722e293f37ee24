"""Single matches on the page of a run: what each earned, its policies, and the command that runs it again."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from shaping.analysis.axes import cell_name, sweep_axes
from shaping.analysis.charts import Chart, scatter
from shaping.analysis.markup import number, table
from shaping.analysis.record import Record

MOST = 200
"""Matches, or populations, that are listed."""
_STATES = 5


def listed_matches(record: Record, summary: dict[str, Any]) -> list[str | Chart]:
    """A chart of the values of single matches, or populations, and a table to whose rows it leads."""
    cells = summary["cells"]
    if not cells:
        return []
    chosen = _chosen(record)
    dataset = record.dataset
    values = dataset["value"].isel({"match": chosen, dataset["value"].dims[1]: -1}).values.astype(np.float64)
    axes = sweep_axes(cells)
    names = {cell["cell"]: cell_name(cell, axes) or "all" for cell in cells}
    number_of_cell, seeds = (dataset[name].isel(match=chosen).values for name in ("cell", "seed"))
    groups = [names.get(int(cell), str(cell)) for cell in number_of_cell]
    who = [str(name) for name in dataset["type"].values] if record.of_populations else _players(values)
    noun = "population" if record.of_populations else "match"
    commands = [f"shaping replay {record.directory} --match {match}" for match in chosen]
    policies = _policies(record, chosen)
    rows = []
    for place, match in enumerate(chosen.tolist()):
        row = [f"{noun} {match}", escape(groups[place]), str(int(seeds[place]))]
        row += [number(x) if np.isfinite(x) else "&ndash;" for x in values[place]]
        row += [policies[place]] if policies else []
        rows.append([*row, f"<code>{escape(commands[place])}</code>"])
    head = [noun, "cell", "seed", *(f"value of {escape(name)}" for name in who)]
    head += ["P(C | start, CC, CD, DC, DD)"] if policies else []
    total = dataset.sizes["match"]
    few = f"The first {len(chosen):,} of {total:,}, as many from every cell. " if len(chosen) < total else ""
    drawn = " `--episode FILE.gif` draws an episode." if (record.directory / "episode.gif").exists() else ""
    anchors = [f"match-{match}" for match in chosen]
    note = f'<p class="note">{few}Values after the last update. The command runs one again, step by step.{drawn}</p>'
    found: list[str | Chart] = [
        f'<h2 id="matches">Single {"populations" if record.of_populations else "matches"}</h2>'
        f"{table([*head, 'again'], rows, 2, anchors)}{note}"
    ]
    finite = np.isfinite(values).all(axis=1) if values.shape[1] else np.zeros(0, bool)
    if finite.sum() < 2:
        return found
    return [
        _chart(noun, few, who, chosen[finite], values[finite], np.flatnonzero(finite).tolist(), groups, commands),
        *found,
    ]


def _chart(
    noun: str,
    few: str,
    who: Sequence[str],
    chosen: np.ndarray,
    values: np.ndarray,
    places: Sequence[int],
    groups: Sequence[str],
    commands: Sequence[str],
) -> Chart:
    alone = len(who) == 1
    named = [f"value of {name}" for name in who]
    x, axes = (chosen, (noun, named[0])) if alone else (values[:, 0], (named[0], named[1]))
    hover = {
        noun: [str(match) for match in chosen],
        "cell": [groups[place] for place in places],
        "again": [commands[place] for place in places],
    }
    anchors = [f"match-{match}" for match in chosen]
    title = "Values of single " + ("populations" if noun == "population" else "matches")
    caption = f"{few}After the last update. A click leads to the {noun} in the table."
    shown = [groups[place] for place in places]
    return scatter("single_values", title, caption, x, values[:, 0 if alone else 1], axes, shown, hover, anchors)


def _chosen(record: Record) -> np.ndarray:
    """The first matches of every cell, at most `MOST` in all."""
    sizes = np.diff(record.starts)
    each = max(1, MOST // max(1, len(sizes)))
    picked = [start + np.arange(min(size, each)) for start, size in zip(record.starts[:-1], sizes, strict=True)]
    return np.concatenate(picked)[:MOST]


def _players(values: np.ndarray) -> list[str]:
    return [f"player {seat}" for seat in range(values.shape[1])]


def _policies(record: Record, chosen: np.ndarray) -> list[str]:
    """Tables of P(C) of one round, a line for each player; none if the record holds no such tables."""
    dataset = record.dataset
    if record.of_populations or "policy" not in dataset or dataset["policy"].dims[:2] != ("match", "player"):
        return []
    tables = dataset["policy"].isel(match=chosen).values
    if tables.ndim != 3 or tables.shape[-1] != _STATES:
        return []
    return [
        "<br>".join(
            ", ".join(number(float(x), 2) for x in row) if np.isfinite(row).all() else "&ndash;" for row in match
        )
        for match in tables
    ]
