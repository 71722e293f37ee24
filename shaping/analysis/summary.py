"""summary.json: one entry per cell, and the published values next to ours."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from shaping.analysis import published
from shaping.analysis.axes import cell_name, sweep_axes
from shaping.analysis.cells import coordinates_of, drawn_in, of_other_kind, swept_in
from shaping.analysis.damaged_files import naming_damage
from shaping.analysis.declarations import Variable, labels_of
from shaping.analysis.derived_measures import FOUND, known_shares, mean_of_known
from shaping.analysis.failed_matches import failed_matches
from shaping.analysis.measures import Measures, measure
from shaping.analysis.populations.summary import summarise_cells
from shaping.analysis.record import UNFINISHED, Record, Shape, folder_of, groups, open_record
from shaping.analysis.statistics import BOOTSTRAP_LIMIT, mean_ci95_columns, resampling_counts, wilson_ci95
from shaping.classic_strategies import STRATEGIES, UNDEFINED

_RANGES = {"tft_match": (0.0, 1.0), "nash_match": (0.0, 1.0), "consistency_loss": (0.0, np.inf)}
"""Measures that no record declares, with the smallest and the largest value that they can have."""


def summarise(directory: Any, timing: dict[str, Any] | None = None) -> dict[str, Any]:
    """Summarise DIR/record.zarr and write DIR/summary.json (JSON null for what is undefined).

    Means are over the finite matches of a cell, those that did not diverge. Values are normalised as in the
    record.

    Args:
        directory: a record folder.
        timing: what the run measured about itself (compile_s, run_s, match_updates_per_s, devices, ...);
            without it the timing of an existing summary.json is kept.

        Returns:
        {"cells": [...], "variables": {...}, "failed": {...}, "published": [...], "timing": {...} or null}, as written;
        variables holds the record's declarations of the variables that cells contain.

        Raises:
        FileNotFoundError: if there is no record.
        DamagedRecordError: if a file of the folder cannot be read.
    """
    directory = folder_of(directory)
    record = open_record(directory)
    path = directory / "summary.json"
    if timing is None:
        timing = (written_summary(path) or {}).get("timing")
    with naming_damage(directory):
        cells, compared = summarise_cells(record) if record.of_populations else _cells(record)
        failed = failed_matches(record, swept_in(record))
    variables = {name: variable.as_dict() for name, variable in record.variables.items()}
    for name in known_shares(map(str, record.dataset.data_vars)):
        variables[name] = {"label": FOUND[name].label, "description": FOUND[name].description, "share": True}
    summary = _plain(
        {"cells": cells, "variables": variables, "failed": failed, "published": compared, "timing": timing}
    )
    temporary = path.with_suffix(".json.part")
    temporary.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)
    return summary


def written_summary(path: Any) -> dict[str, Any] | None:
    """The summary in a folder, or None if there is no readable one; it can be made again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _cells(record: Record) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The cells of the summary, and the published values with ours."""
    entries = record.config.get("published") or []
    found: list[list[dict[str, Any]]] = [[] for _ in entries]
    wrong: dict[int, str] = {}
    cells: list[dict[str, Any]] = []
    drawn = drawn_in(record)
    asked = {(entry["metric"], entry.get("player")) for entry in entries}
    means: dict[tuple[str, int | None], dict[int, float]] = {key: {} for key in asked}
    counts: np.ndarray | None = None
    labels = labels_of(record.dataset, record.variables)
    ranges = _RANGES | {name: (variable.low, variable.high) for name, variable in record.variables.items()}
    for cell_range in groups(record):
        lo, hi = record.starts[cell_range.start], record.starts[cell_range.stop]
        shape = record.shapes[cell_range.start]
        n = int((hi - lo) // len(cell_range))
        if n <= BOOTSTRAP_LIMIT and (counts is None or counts.shape[1] != n):
            counts = resampling_counts(n)
        measures = measure(record, int(lo), int(hi), shape)
        coordinates = coordinates_of(record, int(lo), int(hi), n, drawn)
        shared = counts if n <= BOOTSTRAP_LIMIT else None
        intervals = _intervals(measures, n, shared, record.variables, labels, ranges)
        for i, cell in enumerate(cell_range):
            mine = measures[slice(i * n, (i + 1) * n)]
            cells.append({"cell": cell} | coordinates[i] | _entry(mine, shape) | intervals[i])
            cells[-1] |= _measured(mine, record.variables, labels) | _found(mine)
            for key in asked:
                if (mean := _comparable(*key, mine)) is not None:
                    means[key][cell] = mean
            for k, entry in enumerate(entries):
                if published.matches_cell(entry.get("cell") or {}, coordinates[i]["coordinates"]):
                    try:
                        metric, ends = entry["metric"], ranges.get(entry["metric"], (-np.inf, np.inf))
                        value = published.ours(metric, entry.get("player"), mine, ends)
                        gone = {key: cells[-1][key] for key in ("diverged", "diverged_at_median")}
                        found[k].append(value | {"matches": n, "cell": cell} | gone)
                    except ValueError as error:
                        wrong[k] = str(error)
    compared = [published.compare(entry, f) for entry, f in zip(entries, found, strict=True)]
    for k, reason in wrong.items():
        compared[k]["basis"] = reason
    axes = sweep_axes(cells)
    for entry, here in zip(compared, found, strict=True):
        others = means[entry["metric"], entry.get("player")].items()
        own = [one["cell"] for one in here]
        named = [(cell_name(cells[c], axes), m) for c, m in others if own and of_other_kind(cells, axes, c, own)]
        entry["not_distinguished_from"] = published.not_distinguished(entry, named)
        variable = record.variables.get(entry["metric"])
        entry |= {"small": True} if variable is not None and variable.small else {}
    return cells, compared


def _comparable(metric: str, player: int | None, mine: Measures) -> float | None:
    """The value of a metric in a cell, for comparison with other cells; None if it is not defined."""
    try:
        x = mine.value[:0, 0] if metric == "value_sd" else published.samples(metric, player, mine)
    except ValueError:
        return None
    return float(x.mean()) if len(x) else None


def _intervals(
    measures: Measures,
    n: int,
    counts: np.ndarray | None,
    variables: dict[str, Variable],
    labels: dict[str, tuple[str, ...]],
    ranges: dict[str, tuple[float, float]],
) -> list[dict[str, Any]]:
    """Intervals of all cells of a group at once: they share one matrix of resampling counts."""
    averaged = {"value": measures.value, "tft_match": measures.tft, "nash_match": measures.nash} | measures.measured
    columns = np.concatenate([x.reshape(len(x), -1) for x in averaged.values()], axis=1)
    width = columns.shape[1]
    columns = columns.reshape(-1, n, width)  # [cell, match, column]
    cells = len(columns)
    low, high, methods = mean_ci95_columns(columns.transpose(1, 0, 2).reshape(n, -1), counts)
    ends = np.stack([low, high], axis=-1).reshape(cells, width, 2)
    out = []
    for i in range(cells):
        together = measures.cooperative[i * n : (i + 1) * n]
        together = together[np.isfinite(together)]
        found: dict[str, Any] = {}
        at = 0
        for name, x in averaged.items():
            size = int(np.prod(x.shape[1:], dtype=int))
            here = ends[i, at : at + size].reshape(*x.shape[1:], 2)
            # A mean stays in the range of its values, even where the interval does not.
            here = np.clip(here, *ranges[name]) if name in ranges else here
            found[f"{name}_ci95"] = _named(here, variables.get(name), labels)
            at += size
        first = {"value_ci95": found.pop("value_ci95"), "ci_method": methods[i * width]}
        first |= {"cooperative_ci95": wilson_ci95(together.sum(), len(together))}
        out.append(first | found)
    return out


def _named(x: np.ndarray, variable: Variable | None, labels: dict[str, tuple[str, ...]]) -> Any:
    """x [player, ...], or a mapping from labels to it if the variable has labels."""
    if variable is None or not variable.axis:
        return x
    return {label: x[:, i] for i, label in enumerate(labels[variable.axis][: x.shape[1]])}


def _measured(mine: Measures, variables: dict[str, Variable], labels: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """Means over matches of what was measured, if the record has it."""
    # Averaged along the last axis, so that non-finite values are left out in the same way everywhere.
    means = {name: mean_of_known(np.moveaxis(x, 0, -1)) for name, x in mine.measured.items()}
    return {name: _named(x, variables[name], labels) for name, x in means.items()}


def _found(mine: Measures) -> dict[str, Any]:
    """Shares of matches that have found something, with Wilson intervals."""
    out: dict[str, Any] = {}
    for name, x in mine.found.items():
        known = x[np.isfinite(x)]
        out |= {name: _mean(known), f"{name}_ci95": wilson_ci95(known.sum(), len(known))}
    return out


def _mean(x: np.ndarray) -> float:
    x = x[np.isfinite(x)]
    return float(x.mean()) if len(x) else float("nan")


def _entry(mine: Measures, shape: Shape) -> dict[str, Any]:
    finite, n = int(mine.finite.sum()), len(mine.finite)
    value = mine.value[mine.finite]
    diverged = mine.diverged_at[mine.diverged_at >= 0]
    nothing = np.full(shape.players, np.nan)
    label = mine.label[mine.label != UNDEFINED]
    shares = np.bincount(label, minlength=len(STRATEGIES)) / max(len(label), 1)
    nearest: dict[str, Any] | None = None
    if len(label):
        chi = mine.chi[np.isfinite(mine.chi)]
        nearest = dict(zip(STRATEGIES, shares, strict=True))
        nearest["extortionate_chi_mean"] = _mean(chi)
        # chi is a ratio with a heavy tail: the median is more typical.
        nearest["extortionate_chi_median"] = np.median(chi) if len(chi) else None
    return {
        "matches": n,
        "finite": finite,
        "unfinished": int((mine.diverged_at == UNFINISHED).sum()),
        "players": shape.players,
        "value_mean": value.mean(axis=0) if finite else nothing,
        "value_sd": value.std(axis=0, ddof=1) if finite > 1 else nothing,
        "value_trajectory_mean": [_mean(column) for column in mine.trajectory.T],
        "cooperative": _mean(mine.cooperative),
        "cooperative_matches": int(np.isfinite(mine.cooperative).sum()),
        "tft_match": _mean(mine.tft),
        "nash_match": _mean(mine.nash),
        "tft_found": _mean(mine.tft_found),
        "consistency_loss": _mean(mine.consistency),
        "nearest_strategy": nearest,
        "diverged": len(diverged) / n,
        "diverged_at_median": np.median(diverged) if len(diverged) else None,
    }


def _plain(x: Any) -> Any:
    """x converted to JSON types: lists, and null for what is not finite."""
    if isinstance(x, dict):
        return {str(k): _plain(v) for k, v in x.items()}
    if isinstance(x, list | tuple | np.ndarray):
        return [_plain(v) for v in x]
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, float) and not np.isfinite(x):
        return None
    return x
