"""The cells of summary.json for populations, and the published values next to ours."""

from __future__ import annotations

from typing import Any

import numpy as np

from shaping.analysis import published
from shaping.analysis.axes import cell_name, sweep_axes
from shaping.analysis.cells import coordinates_of, drawn_in, of_other_kind
from shaping.analysis.derived_measures import mean_of_known
from shaping.analysis.populations.measures import is_share, measures, range_of, types_of
from shaping.analysis.record import UNFINISHED, Record
from shaping.analysis.statistics import mean_ci95, standard_error, wilson_ci95

_OF_TYPE = ("share", "value", "value_sd", "cooperation", "fixed")
_OVERALL = ("cooperation", "mutual_cooperation", "assortment")


def summarise_cells(record: Record) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The cells of the summary, and the published values with ours.

    A cell has matches (its populations), finite, diverged and unfinished; value_mean, cooperation, mutual_cooperation,
    assortment, cooperative (the share of populations in which learners cooperate more often than not) and fixed, each
    with its interval; generations to fixation (fixed_at_median); and for every type share, value, value_sd, cooperation
    and fixed.
    """
    entries = record.config.get("published") or []
    found: list[list[dict[str, Any]]] = [[] for _ in entries]
    wrong: dict[int, str] = {}
    cells: list[dict[str, Any]] = []
    drawn, names = drawn_in(record), types_of(record)
    means: dict[str, dict[int, float]] = {entry["metric"]: {} for entry in entries}
    for cell in range(record.cells):
        lo, hi = int(record.starts[cell]), int(record.starts[cell + 1])
        mine = measures(record, lo, hi)
        ends = {name: record.dataset[name].isel(match=slice(lo, hi)).values for name in ("diverged_at", "fixed_at")}
        where = coordinates_of(record, lo, hi, hi - lo, drawn)[0]
        cells.append({"cell": cell} | where | _entry(mine, ends, names))
        for metric, known in means.items():
            if metric in mine and np.isfinite(mine[metric]).any():
                known[cell] = float(mean_of_known(mine[metric]))
        for place, entry in enumerate(entries):
            if published.matches_cell(entry.get("cell") or {}, where["coordinates"]):
                try:
                    gone = {key: cells[-1][key] for key in ("diverged", "diverged_at_median")}
                    found[place].append(_ours(entry["metric"], mine) | {"matches": hi - lo, "cell": cell} | gone)
                except ValueError as error:
                    wrong[place] = str(error)
    compared = [published.compare(entry, own) for entry, own in zip(entries, found, strict=True)]
    for place, reason in wrong.items():
        compared[place]["basis"] = reason
    axes = sweep_axes(cells)
    for entry, own in zip(compared, found, strict=True):
        here = [one["cell"] for one in own]
        others = [
            (cell_name(cells[cell], axes), mean)
            for cell, mean in means[entry["metric"]].items()
            if here and of_other_kind(cells, axes, cell, here)
        ]
        entry["not_distinguished_from"] = published.not_distinguished(entry, others)
    return cells, compared


def _entry(mine: dict[str, np.ndarray], ends: dict[str, np.ndarray], names: list[str]) -> dict[str, Any]:
    diverged = ends["diverged_at"][ends["diverged_at"] >= 0]
    unfinished = int((ends["diverged_at"] == UNFINISHED).sum())
    fixed = ends["fixed_at"][(ends["fixed_at"] >= 0) & (ends["diverged_at"] != UNFINISHED)]
    matches = len(ends["diverged_at"])
    low, high, method = mean_ci95(mine["value"])
    found: dict[str, Any] = {
        "matches": matches,
        "finite": int(np.isfinite(mine["value"]).sum()),
        "unfinished": unfinished,
        "value_mean": [float(mean_of_known(mine["value"]))],
        "value_ci95": [[low, high]],
        "ci_method": method,
        "cooperative": float(mean_of_known(mine["cooperative"])) if "cooperative" in mine else None,
        "cooperative_matches": int(np.isfinite(mine.get("cooperative", np.zeros(0))).sum()),
        "diverged": len(diverged) / matches,
        "diverged_at_median": np.median(diverged) if len(diverged) else None,
        "fixed_at_median": np.median(fixed) if len(fixed) else None,
    }
    found["cooperative_ci95"] = _interval("cooperative", mine["cooperative"]) if "cooperative" in mine else [None, None]
    for name in (*_OVERALL, "fixed"):
        if name in mine:
            found |= {name: float(mean_of_known(mine[name])), f"{name}_ci95": _interval(name, mine[name])}
    found["types"] = {kind: _of_type(mine, kind) for kind in names}
    return found


def _of_type(mine: dict[str, np.ndarray], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _OF_TYPE:
        key = f"{name}.{kind}"
        if key in mine:
            found |= {name: float(mean_of_known(mine[key])), f"{name}_ci95": _interval(key, mine[key])}
    return found


def _interval(name: str, x: np.ndarray) -> Any:
    known = x[np.isfinite(x)]
    return wilson_ci95(known.sum(), len(known)) if is_share(name) else mean_ci95(x, range_of(name))[:2]


def _ours(metric: str, mine: dict[str, np.ndarray]) -> dict[str, Any]:
    """Our value of a metric, as `published.ours` returns it."""
    if metric not in mine:
        raise ValueError(f"this record has no {metric}; it has {', '.join(mine)}")
    x = mine[metric][np.isfinite(mine[metric])]
    found: dict[str, Any] = {"finite": len(x), "ci95": _interval(metric, x), "share": is_share(metric)}
    if not len(x):
        return found | dict.fromkeys(("value", "error", "unit_error"), np.nan)
    value, error = float(x.mean()), standard_error(x)
    own = published.share_error(value, len(x)) if is_share(metric) else error
    return found | {"value": value, "error": own, "unit_error": error * np.sqrt(len(x))}
