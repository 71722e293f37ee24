"""`shaping compare`: runs side by side, cell by cell, as JSON and a page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shaping import __version__
from shaping.analysis.axes import cell_name, sweep_axes
from shaping.analysis.cell_analysis import mean_with_interval, share_with_interval
from shaping.analysis.paired_differences import difference
from shaping.analysis.strategies import cooperative
from shaping.config.dotted import seat_keys
from shaping.config.errors import ConfigError
from shaping.leagues.frozen_players import of_matches
from shaping.output_folders import output_folder
from shaping.results import Run
from shaping.runtime.existing_run import summary_of


def compare(sources: Sequence[str | Path], out: str | Path | None = None) -> Any:
    """Compares runs of one game: every measure of every cell side by side, and how the others differ from the first.

    Cells are matched by their coordinates; if every run has a single cell, these are compared. Where two cells have the
    same seed and number of matches, match m began alike in both, and the interval of the difference is a paired one.

    Args:
      sources: folders of finished runs, two or more.
      out: the folder to write, new or empty; by default a new one, `runs/comparison-N`.

    Returns:
      The folder, with comparison.json and report/index.html.

    Raises:
      ConfigError: bad input, in one line, before anything is computed.
    """
    places = [str(source) for source in sources]
    if len(places) < 2:
        raise ConfigError(f"compare: {len(places)} run given; allowed: two or more")
    runs = [of_matches(place) for place in places]
    told = [_cells(run, place) for run, place in zip(runs, places, strict=True)]
    for place, run in zip(places[1:], runs[1:], strict=True):
        _check_same_game(places[0], runs[0], place, run)
    names = _names(places)
    single = all(len(cells) == 1 for cells in told)
    axes = sweep_axes([cell for cells in told for cell in cells])
    rows: dict[str, dict[str, Any]] = {}
    for name, cells in zip(names, told, strict=True):
        for cell in cells:
            key = "" if single else json.dumps(cell["coordinates"], sort_keys=True, default=str)
            label = "all matches" if single else cell_name(cell, axes) or "all matches"
            rows.setdefault(key, {"name": label, "numbers": {}})["numbers"][name] = cell["cell"]
    found = {"version": __version__, "runs": dict(zip(names, places, strict=True)), "cells": []}
    by_name = dict(zip(names, runs, strict=True))
    for row in rows.values():
        found["cells"].append({"name": row["name"], "measures": _compared(by_name, row["numbers"])})
    with output_folder(out, "comparison") as folder:
        from shaping.analysis.comparison_report import write_comparison_report

        text = json.dumps(found, indent=1, allow_nan=False) + "\n"
        (folder / "comparison.json").write_text(text, encoding="utf-8")
        write_comparison_report(folder, found)
    return folder


def _cells(run: Run, place: str) -> list[dict[str, Any]]:
    summary = summary_of(run.folder)
    if summary is None:
        raise ConfigError(f"{place}: holds no finished run; it needs summary.json (`shaping report` writes it)")
    return summary["cells"]


def _names(places: Sequence[str]) -> list[str]:
    short = [Path(place).name for place in places]
    names = [last if short.count(last) == 1 else place for last, place in zip(short, places, strict=True)]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"compare: {name} is given twice; allowed: each run once")
    return names


def _check_same_game(first: str, one: Run, second: str, other: Run) -> None:
    """Refuses runs whose games differ in anything that neither sweeps."""
    games = [run.settings(0)["game"] for run in (one, other)]
    swept = {name for run in (one, other) for key in run.experiment.coordinates for name in seat_keys(key, 1)}
    varied = any(run.experiment.top["variants"] for run in (one, other))
    for key in {**games[0], **games[1]}:
        if f"game.{key}" in swept or "game" in swept or (varied and key != "name"):
            continue
        values = [game.get(key) for game in games]
        if values[0] != values[1]:
            raise ConfigError(
                f"{first} and {second} play different games (game.{key}: {values[0]} and {values[1]}); allowed: one "
                "game"
            )


def _compared(runs: dict[str, Run], numbers: dict[str, int]) -> dict[str, Any]:
    """Each measure of one cell: what every run has, and how the others differ from the first that has the cell."""
    values = {name: _measures(runs[name], number) for name, number in numbers.items()}
    first, *others = values
    found: dict[str, Any] = {}
    for measure in dict.fromkeys(key for each in values.values() for key in each):
        means, apart = {}, {}
        for name, each in values.items():
            if measure not in each:
                continue
            x = each[measure]
            ends = _range(runs[name], measure)
            flags = measure == "cooperative" and np.isfinite(x).any()
            means[name] = share_with_interval(x[np.isfinite(x)]) if flags else mean_with_interval(x, ends)
            means[name]["matches"] = int(np.isfinite(x).sum())
        for name in others:
            if measure in values[first] and measure in values[name]:
                paired = _paired(runs[first], numbers[first], runs[name], numbers[name])
                apart[name] = difference(values[first][measure], values[name][measure], paired)
        found[measure] = {"means": means, "differences": apart}
    return found


def _measures(run: Run, number: int) -> dict[str, np.ndarray]:
    """What is compared, [match] each: means over players at the last update, and values of every seat."""
    record = run.record
    at = np.flatnonzero(record["cell"].values == number)
    value = np.asarray(record["value"].values[at, -1], np.float64)
    seats = np.flatnonzero(np.isfinite(value).any(axis=0))
    value = value[:, seats] if len(seats) else value
    found = {"value": value.mean(axis=1)}
    found |= {f"value of player {seat}": value[:, i] for i, seat in enumerate(seats.tolist())}
    if "value_cooperation" in record and len(seats):
        bounds = [record[name].values[at][:, seats] for name in ("value_cooperation", "value_defection")]
        flags = np.asarray(cooperative(value, bounds[0], bounds[1]), float)
        found |= {"cooperative": flags} if np.isfinite(flags).any() else {}
    for name, variable in record.data_vars.items():
        if variable.dims == ("match", "update", "player") and name != "value":
            found[str(name)] = _mean(np.asarray(variable.values[at, -1], np.float64))
    trajectory = np.asarray(record["value_trajectory_mean"].values[at], np.float64)
    return found | {"value_trajectory_mean": _mean(trajectory)}


def _range(run: Run, measure: str) -> tuple[float, float]:
    """The ends of a measure's range that the record declares."""
    attributes = run.record[measure].attrs if measure in run.record else {}
    return float(attributes.get("low", -np.inf)), float(attributes.get("high", np.inf))


def _mean(x: np.ndarray) -> np.ndarray:
    """Over the players that have a value; NaN without any."""
    finite = np.isfinite(x)
    return np.where(finite, x, 0).sum(axis=1) / np.where(finite.any(axis=1), finite.sum(axis=1), np.nan)


def _paired(one: Run, first: int, other: Run, second: int) -> bool:
    """Whether match m of two cells began from the same seed."""
    seeds = []
    for run, cell in ((one, first), (other, second)):
        block = next(block for block in run.experiment.blocks if cell in block.cells)
        seeds.append((int(block.seeds[cell - block.cells.start]), run.experiment.top["matches"]))
    return seeds[0] == seeds[1]
