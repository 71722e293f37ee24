"""Matches that stopped being finite: how many, which ones, and with what settings."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from shaping.analysis.axes import value_name
from shaping.analysis.markup import table
from shaping.analysis.record import BLOCK, Record

LISTED = 1000
"""The number of failed matches that are listed with their settings; all are counted."""
_SHOWN = 20


def failed_matches(record: Record, names: list[str]) -> dict[str, Any]:
    """{"matches": how many failed, "listed": the first of them}, each with match, cell, match_in_cell, seed,
    diverged_at and settings, a mapping from `names` (coordinates on match) to values."""
    if "diverged_at" not in record.dataset:
        return {"matches": 0, "listed": []}
    variable = record.dataset["diverged_at"]
    found, count = [], 0
    for first in range(0, variable.sizes["match"], BLOCK):
        column = variable.isel(match=slice(first, first + BLOCK)).values
        failed = first + np.flatnonzero(column >= 0)
        count += len(failed)
        found.append(failed[: LISTED - sum(map(len, found))])
    chosen = np.concatenate(found) if found else np.zeros(0, int)
    own = ("cell", "match_in_cell", "seed", "diverged_at")
    columns = {name: record.dataset[name].isel(match=chosen).values for name in (*own, *names)}
    listed = [
        {"match": match}
        | {name: columns[name][place] for name in own}
        | {"settings": {name: columns[name][place] for name in names}}
        for place, match in enumerate(chosen.tolist())
    ]
    return {"matches": count, "listed": listed}


def failed_table(failed: dict[str, Any], directory: str) -> str:
    """The first failed matches as HTML; empty if there are none."""
    listed = failed["listed"][:_SHOWN]
    if not listed:
        return ""
    names = list(listed[0]["settings"])
    among = {name: [one["settings"][name] for one in listed] for name in names}
    head = ["match", "cell", "stopped being finite at update", *map(escape, names)]
    rows = [
        [str(one["match"]), str(one["cell"]), str(one["diverged_at"])]
        + [escape(value_name(one["settings"][name], among[name])) for name in names]
        for one in listed
    ]
    text = (
        f"<p>{failed['matches']:,} matches stopped being finite and were frozen at their last finite state"
        f"{f'; the first {len(rows)} of them' if failed['matches'] > len(rows) else ''}. "
        f"<code>shaping replay {escape(directory)} --match {listed[0]['match']}</code> runs one again, update by "
        "update.</p>"
    )
    return text + table(head, rows, left=0)
