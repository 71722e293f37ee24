"""`shaping analyze`: what cooperation in a run is made of, as JSON and a page."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from shaping import __version__
from shaping.analysis import cell_analysis as of_cell
from shaping.analysis.axes import cell_name, sweep_axes
from shaping.analysis.cooperation.aggregates import iqm, probability_of_improvement
from shaping.analysis.cooperation.boundaries import boundaries
from shaping.analysis.cooperation.welfare import welfare
from shaping.analysis.strategies import cooperative
from shaping.config.errors import ConfigError
from shaping.cooperation_by_history import tables_of_play
from shaping.envs import MatrixGame
from shaping.leagues.frozen_players import of_matches
from shaping.objectives.partners_and_rivals import relations
from shaping.output_folders import output_folder
from shaping.recorded_tables import as_written, own_tables
from shaping.results import Run
from shaping.runtime.existing_run import summary_of

_MOST_CELLS = 60
_RELATIONS = ("partner", "rival", "friendly_rival", "equaliser")


def analyze(source: str | Path, out: str | Path | None = None, rounds: int | None = None, seed: int = 0) -> Any:
    """Says what cooperation is made of in each cell of a run, and where it begins.

    Args:
      source: the folder of a finished run.
      out: the folder to write, new or empty; by default a new one, `runs/analysis-N`.
      rounds: length of the histories of P(C | history), in games with two actions; final policies are then played and
        counted. None takes what the record holds: tables of policies, or what was counted in its play.
      seed: of that play.

    Returns:
      The folder, with analysis.json and report/index.html. Of each cell: P(C | history), traits, zero-determinant fits,
      and relations to opponents where policies are tables of P(C) of two players; welfare, its interquartile mean,
      inequality and the price of anarchy in every game. Of the run: probabilities of improvement between cells,
      and boundaries of cooperation along swept numbers.

    Raises:
      ConfigError: bad input, in one line, before anything is computed.
    """
    if rounds is not None and not 0 <= rounds <= 5:
        raise ConfigError(f"--rounds {rounds}: allowed: 0 to 5")
    run = of_matches(str(source))
    summary = summary_of(run.folder)
    if summary is None:
        raise ConfigError(f"{source}: holds no finished run; it needs summary.json (`shaping report` writes it)")
    with output_folder(out, "analysis") as folder:
        found = _plain(_analysed(run, summary, str(source), rounds, seed))
        from shaping.analysis.analysis_report import write_analysis_report

        (folder / "analysis.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        write_analysis_report(folder, found)
    return folder


def _analysed(run: Run, summary: dict[str, Any], place: str, rounds: int | None, seed: int) -> dict[str, Any]:
    played = None if rounds is None else tables_of_play(run, place, rounds, seed)
    cells = [_cell(run, told, played) for told in summary["cells"]]
    axes = sweep_axes(summary["cells"])
    for cell in cells:
        cell["name"] = cell_name(cell, axes) or "all matches"
    found = {
        "version": __version__,
        "run": place,
        "cells": cells,
        "improvement": _improvement(run, cells),
        "boundaries": _boundaries(cells, axes),
    }
    overall = _overall(run, cells)
    if overall:
        found["welfare_iqm"] = overall
    return found


def _cell(run: Run, told: dict[str, Any], played: Any) -> dict[str, Any]:
    record = run.record
    values = _last_values(record)
    kept = np.flatnonzero((record["cell"].values == told["cell"]) & np.isfinite(values).all(axis=1))
    values = values[kept]
    found: dict[str, Any] = {"cell": told["cell"], "coordinates": told["coordinates"], "finite": len(kept)}
    if not len(kept):
        return found
    if "value_cooperation" in record:
        bounds = [record[name].values[kept][:, : values.shape[1]] for name in ("value_cooperation", "value_defection")]
        flags = cooperative(values, bounds[0], bounds[1])
        if np.isfinite(flags).all():
            found |= {"cooperative": of_cell.share_with_interval(flags), "cooperative_count": float(flags.sum())}
    payoffs, one_game = None, False
    if "payoffs" in record:
        payoffs = as_written(record["payoffs"].values[kept[0]])
        payoffs = payoffs[: values.shape[1], np.isfinite(payoffs[0])]
        every = record["payoffs"].values[kept]
        one_game = bool(np.array_equal(every, np.broadcast_to(every[:1], every.shape), equal_nan=True))
    best = float(payoffs.mean(axis=0).max()) if payoffs is not None and one_game else None
    worst = float(payoffs.min()) if payoffs is not None and one_game else None
    found["welfare"] = of_cell.welfare_of(values, best, worst)
    found |= _policies(run, kept, payoffs if one_game else None)
    if "cooperation_by_history" not in found and "cooperation_by_state" in record:
        by_state = record["cooperation_by_state"].values[kept]
        found["cooperation_by_history"] = of_cell.histories(by_state, record["state"].values)
    if played is not None:
        labels, tables = played
        found["cooperation_in_play"] = of_cell.histories(tables[kept], labels)
    return found


def _policies(run: Run, kept: np.ndarray, payoffs: np.ndarray | None) -> dict[str, Any]:
    """What the tables of P(C) of learners say, for two players with two actions."""
    record = run.record
    tables = own_tables(record)
    if tables is None:
        return {}
    seats = [seat for seat in (0, 1) if run.learns(int(kept[0]), seat)]
    tables = tables[kept][:, seats]
    if not seats:
        return {}
    known = np.isfinite(tables).all(axis=(0, 1))
    tables = tables[..., known]
    if tables.shape[-1] not in (5, 21):
        return {}
    found: dict[str, Any] = {"cooperation_by_history": of_cell.histories(tables, record["state"].values[known])}
    found["traits"] = of_cell.trait_means(tables)
    symmetric = payoffs is not None and np.array_equal(payoffs[1], payoffs[0].reshape(2, 2).T.ravel())
    if payoffs is None or not symmetric:
        return found
    numbers = [as_written(record[name].values[kept]) for name in ("discount", "noise")]
    discount, noise = float(numbers[0][0]), numbers[1][0][:2]
    alike = all(np.array_equal(each, np.broadcast_to(each[:1], each.shape)) for each in numbers)
    horizon = record.attrs.get("horizon", "infinite")
    executed = tables + noise[seats, None] * (1 - 2 * tables)
    if alike and horizon == "infinite" and discount > 0 and tables.shape[-1] == 5:
        found["zero_determinant"] = of_cell.zero_determinant(executed, payoffs[0], discount)
    if alike and noise[0] == noise[1] and horizon != 1:
        steps = None if horizon == "infinite" else int(horizon)
        game = MatrixGame(payoffs.reshape(2, 2, 2), discount, tuple(noise.tolist()), steps)
        # Learned tables are never exactly those of a partner: they may differ by a hundredth of the range.
        kinds = relations(game, tables.reshape(-1, tables.shape[-1]), tolerance=0.01)
        shape = tables.shape[:2]
        found["relations"] = {
            name: of_cell.share_with_interval(getattr(kinds, name).reshape(shape)) for name in _RELATIONS
        }
    return found


def _last_values(record: Any) -> np.ndarray:
    return np.asarray(record["value"].values[:, -1], np.float64)


def _of_cell(run: Run, number: int) -> np.ndarray:
    """Welfare of the finite matches of a cell."""
    values = _last_values(run.record)[run.record["cell"].values == number]
    return welfare(values[np.isfinite(values).all(axis=1)])


def _improvement(run: Run, cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """P(a match of one cell has more welfare than one of another), for every two cells."""
    good = [cell for cell in cells if cell["finite"] >= 2][:_MOST_CELLS]
    scores = {cell["cell"]: _of_cell(run, cell["cell"]) for cell in good}
    found = []
    for a, b in itertools.combinations(scores, 2):
        one = probability_of_improvement(scores[a], scores[b])
        found.append({"cell": a, "over": b, "probability": one.value, "ci95": list(one.ci95)})
    return found


def _overall(run: Run, cells: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The interquartile mean of welfare over all cells, seeds resampled within cells."""
    each = [_of_cell(run, cell["cell"]) for cell in cells]
    sizes = {len(one) for one in each}
    if len(cells) < 2 or len(sizes) != 1 or min(sizes) < 4:
        return None
    one = iqm(np.stack(each, axis=1))
    return {"mean": one.value, "ci95": list(one.ci95)}


def _boundaries(cells: list[dict[str, Any]], axes: Any) -> list[dict[str, Any]]:
    known = [cell for cell in cells if "cooperative_count" in cell]
    found = []
    for axis in axes:
        if axis.numeric and len(axis.values) >= 3 and known:
            found += boundaries(known, axis.key, [other.key for other in axes if other.key != axis.key])
    return found


def _plain(value: Any) -> Any:
    """JSON's own types; what is not a number becomes null, and infinite ends of intervals the words -inf and inf."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else "inf" if value > 0 else "-inf"
    return value
