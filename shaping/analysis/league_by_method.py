"""A league by method: means over the learners of one cell of a run, or of one strategy, against those of another."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import numpy as np

from shaping.analysis.statistics import student_t975


def method_names(league: Any) -> list[str]:
    """For each player the name of its method: the run and cell that it is from, with its rule where the learners of the
    cell had several, or its own name."""
    sources = [str(source) for source in league["source"].values]
    short = {source: PurePath(source).name for source in sources}
    of_runs: dict[str, set[int]] = {}
    for source, cell in zip(sources, league["cell"].values, strict=True):
        of_runs.setdefault(source, set()).add(int(cell))
    rules = [str(rule) for rule in league["rule"].values] if "rule" in league.coords else [""] * len(sources)
    places = list(zip(sources, league["cell"].values.tolist(), strict=True))
    several: dict[tuple[str, int], set[str]] = {}
    for place, rule in zip(places, rules, strict=True):
        several.setdefault(place, set()).add(rule)
    found = []
    for name, source, cell, rule in zip(league["row"].values, sources, league["cell"].values, rules, strict=True):
        if cell < 0:
            found.append(str(name))
            continue
        unique = sum(other == short[source] for other in short.values()) == 1
        shown = short[source] if unique else source
        shown += "" if len(of_runs[source]) == 1 else f" cell {int(cell)}"
        found.append(shown + (f", {rule}" if len(several[source, int(cell)]) > 1 else ""))
    return found


def by_method(league: Any) -> dict[str, Any]:
    """Mean values of row methods against column methods, with 95 % intervals.

    Pairs that learned together in one match, from one seed (`partners`), are told apart from those that never met
    (`strangers`).

    Returns:
      {"methods": names, "values": [{"row", "column", "who", "mean", "ci95", "pairs"}]}, where who is "others" for two
      methods whose learners never learned together.
    """
    names = method_names(league)
    methods = list(dict.fromkeys(names))
    value = league["value"].values.mean(axis=2)
    match, source = league["match"].values, np.array([str(s) for s in league["source"].values], object)
    together = (match[:, None] == match[None]) & (match[:, None] >= 0) & (source[:, None] == source[None])
    members = {name: np.flatnonzero(np.array(names, object) == name) for name in methods}
    found = []
    for row in methods:
        for column in methods:
            at = np.ix_(members[row], members[column])
            apart = row != column and not together[at].any()
            if apart or (row == column and len(members[row]) == 1):
                found.append(
                    {"row": row, "column": column, "who": "others"}
                    | mean_of_pairs(value[at], np.ones_like(together[at]))
                )
                continue
            itself = members[row][:, None] == members[column][None]
            for who, chosen in (("partners", together[at] & ~itself), ("strangers", ~together[at])):
                if chosen.any():
                    found.append({"row": row, "column": column, "who": who} | mean_of_pairs(value[at], chosen))
    return {"methods": methods, "values": found}


def mean_of_pairs(values: np.ndarray, chosen: np.ndarray) -> dict[str, Any]:
    """Mean of the chosen entries [rows, columns], and an interval. Pairs share their players, so the variance is that
    of the means of rows over the number of rows, plus that of the means of columns over the number of columns (as in
    DeLong, DeLong and Clarke-Pearson 1988)."""
    if not chosen.any():
        return {"mean": None, "pairs": 0, "ci95": [None, None]}
    mean = float(values[chosen].mean())
    told = {"mean": mean, "pairs": int(chosen.sum()), "ci95": [None, None]}
    parts, freedoms = [], []
    for axis in (1, 0):
        counts = chosen.sum(axis=axis)
        means = np.where(chosen, values, 0).sum(axis=axis)[counts > 0] / counts[counts > 0]
        if len(means) > 1:
            parts.append(float(means.var(ddof=1)) / len(means))
            freedoms.append(len(means) - 1)
    if not parts:
        return told
    total = sum(parts)
    if total > 0:
        freedom = total**2 / sum(part**2 / each for part, each in zip(parts, freedoms, strict=True))
        half = student_t975(max(1, int(freedom))) * float(np.sqrt(total))
        told["ci95"] = [mean - half, mean + half]
    else:
        told["ci95"] = [mean, mean]
    return told
