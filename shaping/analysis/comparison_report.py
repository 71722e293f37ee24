"""The page of `shaping compare`, made from comparison.json alone."""

from __future__ import annotations

from html import escape
from typing import Any

from shaping.analysis.markup import interval, number, table
from shaping.analysis.page import page

_MOST_ROWS = 200


def write_comparison_report(folder: Any, found: dict[str, Any]) -> Any:
    """Writes report/index.html; returns its path."""
    place = folder / "report"
    place.mkdir(exist_ok=True)
    names = list(found["runs"])
    listed = "; ".join(f"<b>{escape(name)}</b> is {escape(path)}" for name, path in found["runs"].items())
    parts = [
        "<h1>Runs side by side</h1>",
        f"<p>{listed}. Brackets hold 95 % intervals over matches. {_note(found)}</p>",
    ]
    measures = dict.fromkeys(key for cell in found["cells"] for key in cell["measures"])
    for measure in measures:
        rows = [_row(cell, measure, names) for cell in found["cells"] if measure in cell["measures"]]
        head = ["cell", *map(escape, names), *(f"{escape(name)} &minus; {escape(names[0])}" for name in names[1:])]
        left_out = len(rows) - _MOST_ROWS
        more = f'<p class="note">{left_out:,} more rows are in comparison.json.</p>' if left_out > 0 else ""
        title = escape(measure.replace("_", " ").capitalize())
        parts.append(f"<h2>{title}</h2>{table(head, rows[:_MOST_ROWS], 1)}{more}")
    path = place / "index.html"
    path.write_text(page("Runs side by side", parts), encoding="utf-8")
    return path


def _note(found: dict[str, Any]) -> str:
    """How differences were taken."""
    every = [
        one["pairs"] is not None
        for cell in found["cells"]
        for measure in cell["measures"].values()
        for one in measure["differences"].values()
    ]
    if not every:
        return "No cell is in two runs, so nothing is subtracted."
    if all(every):
        return "Matches of the same number began alike, so differences are those of pairs."
    if not any(every):
        return "Seeds or numbers of matches differ, so differences are those of independent matches."
    return "Differences marked with * are those of pairs, which began alike; the others of independent matches."


def _row(cell: dict[str, Any], measure: str, names: list[str]) -> list[str]:
    told = cell["measures"][measure]
    row = [escape(cell["name"])]
    for name in names:
        mean = told["means"].get(name)
        row.append("&ndash;" if not mean or mean["mean"] is None else number(mean["mean"]) + interval(mean["ci95"]))
    for name in names[1:]:
        apart = told["differences"].get(name)
        if not apart or apart["difference"] is None:
            row.append("&ndash;")
            continue
        star = "*" if apart["pairs"] is not None else ""
        row.append(number(apart["difference"]) + star + interval(apart["ci95"]))
    return row
