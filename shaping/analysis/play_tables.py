"""Tables for the report of what was measured: at the end, and against scripted opponents."""

from __future__ import annotations

from html import escape
from typing import Any

from shaping.analysis.axes import Columns
from shaping.analysis.markup import each, interval, number, percent, table

SCRIPTED = "scripted_reward_per_step"
"""Reward per step of every player if everybody plays the script named by the label."""
_PLAY = "Measured with the final policies, one line per player, with 95 % intervals over matches in brackets."
OTHERS = {
    "opponent": "Each player's final policy with a scripted opponent in every other seat, one line per player.",
    "stranger": "Trials of the final shapers in which strangers learn within, one line per player.",
}
"""Whom final policies meet, by the dimension along which they are named, and what is measured of it."""


def play_table(summary: dict[str, Any], places: list[int], most: int) -> str:
    """What was measured in these cells of a summary, in at most so many rows."""
    cells, told = summary["cells"], summary["variables"]
    along = [name for name, one in told.items() if one["label"] and not one.get("share") and not one["axis"]]
    known = [name for name in along if any(_any(cells[i].get(name)) for i in places)]
    shares = [n for n, one in told.items() if one.get("share") and any(cells[i].get(n) is not None for i in places)]
    columns = Columns.of(cells)
    heads = [escape(h) for h in columns.heads()]
    rows = []
    for i in places[:most]:
        c = cells[i]
        row = [escape(n) for n in columns.names(c)]
        row += [each(c[name], c[f"{name}_ci95"], small=told[name]["small"]) for name in known]
        for name in shares:
            row.append(percent(c[name]) + (interval(c[f"{name}_ci95"]) if c[name] is not None else ""))
        rows.append(row)
    head = [*heads, *(escape(told[name]["label"]) for name in (*known, *shares))]
    said = [*(_meaning(told[name]) for name in known), *(_share(told[name]) for name in shares)]
    return table(head, rows, left=len(heads)) + _note(_PLAY, said, places, most)


def against_table(summary: dict[str, Any], places: list[int], most: int, whom: str = "opponent") -> str:
    """How players fare against scripted opponents, or others of `OTHERS`; empty if there were none."""
    cells, told = summary["cells"], summary["variables"]
    measures = [name for name, one in told.items() if one.get("axis") == whom and name != SCRIPTED]
    columns = []
    for measure in measures:
        labels = dict.fromkeys(label for i in places for label in cells[i].get(measure, {}))
        columns += [(measure, label) for label in labels if any(_any(cells[i][measure][label]) for i in places)]
    if not columns:
        return ""
    found = Columns.of(cells)
    heads = [escape(h) for h in found.heads()]
    head = [*heads, *(escape(f"{told[measure]['label'] or measure} {label}") for measure, label in columns)]
    rows = [
        [escape(n) for n in found.names(cells[i])]
        + [each(cells[i][m][label], cells[i][f"{m}_ci95"][label], small=told[m]["small"]) for m, label in columns]
        for i in places[:most]
    ]
    said = [_meaning(told[name]) for name in measures if any(name == m for m, _ in columns)]
    return table(head, rows, left=len(heads)) + _note(OTHERS[whom], said, places, most)


def welfare_table(summary: dict[str, Any], places: list[int], most: int) -> str:
    """Welfare, the mean over players of the reward per step, compared with that of everybody playing one script; empty
    if no script was played."""
    cells = summary["cells"]
    scripts = dict.fromkeys(s for i in places for s, x in cells[i].get(SCRIPTED, {}).items() if _any(x))
    if not scripts:
        return ""
    found = Columns.of(cells)
    heads = [escape(h) for h in found.heads()]
    rows = []
    for i in places[:most]:
        c = cells[i]
        row = [escape(n) for n in found.names(c)] + [_welfare(c["reward_per_step"])]
        rows.append(row + [_welfare(c.get(SCRIPTED, {}).get(script)) for script in scripts])
    note = (
        "Welfare is the mean over players of the reward per step: with the final policies, and if everybody plays "
        "the same script instead."
    )
    return table([*heads, "learned", *map(escape, scripts)], rows, left=len(heads)) + _note(note, [], places, most)


def _welfare(values: list[Any] | None) -> str:
    known = [v for v in values or () if v is not None]
    return number(sum(known) / len(known) if known else None)


def _meaning(told: dict[str, Any]) -> str:
    label = told["label"]
    return f"{label[:1].upper()}{label[1:]}: {told['description'].rstrip('.')}."


def _share(told: dict[str, Any]) -> str:
    label = told["label"]
    description = told["description"].removeprefix("whether ")
    return f"{label[:1].upper()}{label[1:]}: the share of matches in which {description}, with its Wilson interval."


def _any(values: list[Any] | None) -> bool:
    return any(v is not None for v in values or ())


def _note(first: str, said: list[str], places: list[int], most: int) -> str:
    rest = f"The first {most} of {len(places):,} cells are listed; summary.json has them all."
    text = " ".join([first, *(s for s in said if not s.startswith(":")), *[rest] * (len(places) > most)])
    return f'<p class="note">{escape(text)}</p>'
