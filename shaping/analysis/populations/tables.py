"""The text and the table of cells of a report on populations, as HTML."""

from __future__ import annotations

from html import escape
from typing import Any

from shaping.analysis.axes import Columns, key_name, sweep_axes
from shaping.analysis.markup import interval, number, percent, table
from shaping.analysis.record import Record

_NOTE = (
    "Value: mean normalised value of learners against whom they met in the last generation. Cooperation: how often "
    "they cooperated. Cooperative: share of populations whose learners cooperate more often than not. Fixed: share of "
    "populations whose learners are all of one type. Brackets hold 95 % intervals over populations."
)


def what_was_run(record: Record, summary: dict[str, Any], games: list[str]) -> str:
    """One paragraph in plain words.

    Args:
        games: the games, in words.
    """
    cells = summary["cells"]
    populations = sum(cell["matches"] for cell in cells)
    size, generations = record.dataset.sizes["learner"], record.dataset.attrs.get("generations")
    text = [f"{populations:,} populations of {size:,} learners met for {generations} generations"]
    if games:
        text.append(f" in {' and '.join(games)}")
    text.append(". ")
    if len(cells) > 1:
        axes = [f"{key_name(axis.key)} ({len(axis.values)} values)" for axis in sweep_axes(cells)]
        text.append(f"There are {len(cells):,} cells of {cells[0]['matches']:,} populations each")
        text.append(f"; they differ in {', '.join(axes)}. " if axes else ". ")
    gone = sum(round(cell["diverged"] * cell["matches"]) for cell in cells)
    text.append(f"In {gone:,} of them some learner stopped being finite." if gone else "No learner diverged.")
    waiting = sum(cell["unfinished"] for cell in cells)
    if waiting:
        text.append(f" {waiting:,} are not finished yet and left out.")
    return "".join(text)


def cell_table(cells: list[dict[str, Any]], most: int) -> str:
    """Measures of every cell, then those of every type."""
    found, cooperates = Columns.of(cells), any(cell["cooperative"] is not None for cell in cells)
    kinds = list(cells[0]["types"])
    heads = [escape(head) for head in found.heads()]
    own = ["cooperation", "cooperative"] if cooperates else []
    head = [*heads, "populations", "value", *own, "fixed", *(escape(f"share of {kind}") for kind in kinds)]
    rows = []
    for cell in cells[:most]:
        row = [escape(name) for name in found.names(cell)]
        row += [f"{cell['matches']:,}", _with(number(cell["value_mean"][0]), interval(cell["value_ci95"][0]))]
        if cooperates:
            row.append(_with(number(cell["cooperation"]), interval(cell["cooperation_ci95"])))
            row.append(percent(cell["cooperative"]))
        when = cell["fixed_at_median"]
        row.append(percent(cell["fixed"]) + (f"<br><small>median generation {when:g}</small>" if when else ""))
        row += [_share(cell["types"][kind]) for kind in kinds]
        rows.append(row)
    more = f" The first {most} of {len(cells):,} cells are listed; summary.json has them all." * (len(cells) > most)
    return f'{table(head, rows, left=len(heads))}<p class="note">{escape(_NOTE + more)}</p>'


def _share(of_type: dict[str, Any]) -> str:
    value = of_type["value"]
    worth = f"<br><small>value {number(value)}</small>" if value is not None else ""
    return _with(number(of_type["share"]), interval(of_type["share_ci95"])) + worth


def _with(mean: str, ends: str) -> str:
    return mean + ends
