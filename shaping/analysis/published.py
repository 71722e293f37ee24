"""Compares published values with ours, and gives a verdict and the reason for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from shaping.analysis.derived_measures import FOUND, known_shares
from shaping.analysis.measures import Measures
from shaping.analysis.statistics import (
    Z95,
    deviation_relative_error,
    mean_ci95,
    standard_error,
    wilson_ci95,
)

ERRORS = 3.5
"""Standard errors of the difference within which two values are said to agree."""

AGREES, DIFFERS, NO_UNCERTAINTY = "agrees", "differs", "no uncertainty published"
NOT_COMPARED = "not compared"
METRICS = (
    "value_mean",
    "value_sd",
    "tft_match",
    "tft_found",
    "nash_match",
    "value_trajectory_mean",
    "cooperative",
    "consistency_loss",
)
"""Metrics of every record; variables that a record declares are metrics too, see `known_metrics`."""
SMALL = ("consistency_loss",)
"""Metrics whose values near zero matter: shown with their digits instead of 0.000."""
SHARES = ("cooperative", "tft_found", *FOUND)
"""Metrics that are a share of the matches, with Wilson's interval."""
_NEEDS = {
    "tft_match": "two players with memory-one policies",
    "tft_found": "`record: [policies]`, two players with memory-one policies, and V_CC above V_DD",
    "nash_match": "two players with memory-one policies, and a stage game without a pure equilibrium",
    "cooperative": "V_CC above V_DD",
    "consistency_loss": "`record: [consistency]`",
    "value_sd": "two matches that did not diverge",
}
"""What a metric requires, apart from a match that did not diverge."""


def known_metrics(variables: Iterable[str]) -> tuple[str, ...]:
    """The metrics that `published:` may name if these variables are recorded along updates and players.

    They are the metrics of every record, the variables, and measures derived from them (`derived_measures.FOUND`).
    """
    recorded = tuple(variables)
    follows = ("own_fraction",) if "pickups" in recorded and "own_fraction" not in recorded else ()
    return (*METRICS, *(v for v in recorded if v != "pickups"), *follows, *known_shares(recorded))


def matches_cell(wanted: dict[str, Any], coordinates: dict[str, Any]) -> bool:
    """Whether a cell has all the given coordinates: numbers equal to 1e-6, everything else compared as text."""
    for key, value in wanted.items():
        key = key.replace("players.*.", "players.all.")
        if key not in coordinates:
            return False
        ours = coordinates[key]
        if isinstance(value, int | float) and isinstance(ours, int | float):
            if not np.isclose(value, ours, rtol=1e-6, atol=1e-12):
                return False
        elif str(value) != str(ours):
            return False
    return True


def coordinates_among(entries: Iterable[dict[str, Any]]) -> dict[str, list[Any]]:
    """The values of each coordinate named by entries, so that each can be shown with enough digits to identify it."""
    found: dict[str, list[Any]] = {}
    for entry in entries:
        for key, value in (entry.get("cell") or {}).items():
            found.setdefault(key, []).append(value)
    return found


def ours(
    metric: str, player: int | None, cell: Measures, ends: tuple[float, float] = (-np.inf, np.inf)
) -> dict[str, Any]:
    """Our value of a metric in a cell, with its 95 % interval, clipped to `ends`, and what a comparison needs.

    Returns:
        value, ci95, error (standard error of our value) and unit_error (our estimate of the standard error of the same
        metric from a single run; divided by sqrt(runs) it is that of `runs` runs). They are NaN if undefined; finite is
        the number of matches that did not diverge.

    Raises:
        ValueError: for an unknown metric or player.
    """
    found: dict[str, Any] = {"ci95": [None, None], "finite": int(cell.finite.sum())}
    if metric == "value_sd":
        _check(metric, player, cell)
        columns = cell.value[cell.finite]
        columns = columns if player is None else columns[:, [player]]
        if len(columns) < 2:
            return found | dict.fromkeys(("value", "error", "unit_error"), np.nan)
        sds = columns.std(axis=0, ddof=1)
        unit = float(np.mean([s * deviation_relative_error(c) for s, c in zip(sds, columns.T, strict=True)]))
        value, error = float(sds.mean()), unit / np.sqrt(len(columns))
        return found | {
            "value": value,
            "ci95": [max(value - Z95 * error, 0.0), value + Z95 * error],
            "error": error,
            "unit_error": unit,
        }
    x = samples(metric, player, cell)
    if len(x) == 0:
        return found | dict.fromkeys(("value", "error", "unit_error"), np.nan)
    value, error = float(x.mean()), standard_error(x)
    unit = error * np.sqrt(len(x))
    if metric in SHARES:
        low, high = wilson_ci95(x.sum(), len(x))
        error = share_error(value, len(x))
    else:
        low, high, _ = mean_ci95(x, ends)
    return found | {"value": value, "ci95": [low, high], "error": error, "unit_error": unit}


def samples(metric: str, player: int | None, cell: Measures) -> np.ndarray:
    """A metric in each match of a cell in which it is defined; its value is their mean. (`value_sd` has no such
    values.)

    Raises:
        ValueError: for an unknown metric or player.
    """
    along = _check(metric, player, cell)
    per_player = {"value_mean": cell.value, "value_trajectory_mean": cell.trajectory} | along
    if metric in per_player:
        x = per_player[metric]
        x = x.mean(axis=1) if player is None else x[:, player]
    else:
        per_match = {"tft_match": cell.tft, "nash_match": cell.nash, "cooperative": cell.cooperative} | cell.found
        x = (per_match | {"tft_found": cell.tft_found, "consistency_loss": cell.consistency})[metric]
    return x[np.isfinite(x)]


def _check(metric: str, player: int | None, cell: Measures) -> dict[str, np.ndarray]:
    """Variables along updates of a cell, which are metrics too.

    Raises:
        ValueError: for an unknown metric or player.
    """
    along = {name: x for name, x in cell.measured.items() if x.ndim == 2}
    known = (*METRICS, *along, *cell.found)
    if metric not in known:
        raise ValueError(f"this record has no {metric}; it has {', '.join(known)}")
    players = cell.value.shape[1]
    if player is not None and not 0 <= player < players:
        raise ValueError(f"player {player} is not one of 0..{players - 1}")
    return along


def share_error(share: float, runs: int) -> float:
    """Standard error of a share of so many runs; it is not zero even if all or none did."""
    low, high = wilson_ci95(share * runs, runs)
    assert low is not None and high is not None
    return (high - low) / (2 * Z95)


def _undefined(metric: str, finite: int) -> str:
    """Why a metric is not defined in a cell with so many finite matches."""
    if not finite and metric != "tft_found":
        return "every match of ours diverged"
    return f"ours is not defined in this cell: {metric} needs {_NEEDS.get(metric, 'a match in which it was measured')}"


def divergence(share: float | None, median: float | None) -> str:
    """What share of a cell's matches diverged and when, in words; empty if none did."""
    return f"{100 * share:.2g} % diverged, median update {median:g}" if share and median is not None else ""


def not_distinguished_from(entry: dict[str, Any]) -> str:
    """The other cells that an entry cannot distinguish from its own, in words; empty if there are none."""
    names = entry.get("not_distinguished_from") or []
    shown = "; ".join(names[:5]) + (f"; and {len(names) - 5} more" if len(names) > 5 else "")
    return f"cannot be distinguished from: {shown}" if names else ""


def compare(entry: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, Any]:
    """One entry of `published:`, compared with ours.

    Args:
        entry: {cell, metric, value, player?, sd?, runs?, rounding?, tolerance?, matches?, known?, source}; sd is over
            runs; rounding is how far rounding, or reading a figure, may have moved the value; matches is how many
            matches per cell the tolerance was chosen for.
        found: the result of `ours` for each cell with the entry's coordinates, including the cell's matches.

    Returns:
        the entry with ours, ours_ci95, difference (ours - published), limit, verdict and basis, and with diverged
        and diverged_at_median of the cell. The verdict is "agrees" if the difference is within `limit`, the smallest
        difference that could have been noticed, and otherwise "differs". The limit is `tolerance` if there is one (if
        our run has fewer matches than it was chosen for, hypot(tolerance, 3.5 standard errors of ours)); otherwise it
        is `rounding` plus 3.5 standard errors of the difference. The published standard error is sd/sqrt(runs). If runs
        but no sd is known (and for value_sd), their runs are assumed to vary as much as ours, and those of a share as
        shares of so many runs do; for a value that has only a rounding it is 0. The verdict is "no uncertainty
        published" if none of that is known, and "not compared" if there is not exactly one such cell.
    """
    nothing = {"ours": None, "ours_ci95": [None, None], "difference": None, "limit": None, "verdict": NOT_COMPARED}
    out = dict(entry) | nothing
    if len(found) != 1:
        out["basis"] = "no such cell" if not found else f"{len(found)} cells have these coordinates"
        return out
    mine = found[0]
    out["diverged"], out["diverged_at_median"] = mine.get("diverged"), mine.get("diverged_at_median")
    if not np.isfinite(mine["value"]):
        out["basis"] = _undefined(entry["metric"], mine["finite"])
        return out
    out["ours"], out["ours_ci95"] = mine["value"], mine["ci95"]
    out["difference"] = mine["value"] - float(entry["value"])
    limit, out["basis"] = _limit(entry, mine)
    if limit is None:
        out["verdict"] = NO_UNCERTAINTY
    elif np.isfinite(limit):
        out["limit"] = limit
        out["verdict"] = AGREES if abs(out["difference"]) <= limit else DIFFERS
    return out


def _limit(entry: dict[str, Any], mine: dict[str, Any]) -> tuple[float | None, str]:
    """The smallest difference that could be noticed, and the reason for it; None if no uncertainty was published, NaN
    if ours is not known."""
    alone = "ours has no standard error (one match)"
    if entry.get("tolerance") is not None:
        limit = float(entry["tolerance"])
        basis = f"stated tolerance {limit:.3g}"
        if mine["matches"] >= (entry.get("matches") or 0):
            return limit, basis
        if not np.isfinite(mine["error"]):
            return np.nan, alone
        wider = float(np.hypot(limit, ERRORS * mine["error"]))
        return wider, (
            f"{basis} for {entry['matches']:,} matches, widened to {wider:.2g} "
            f"by {ERRORS} standard errors of our {mine['matches']:,}"
        )
    runs, sd, rounding = entry.get("runs"), entry.get("sd"), entry.get("rounding")
    share = mine.get("share", entry["metric"] in SHARES)
    if not runs and rounding is None or runs and sd is None and not share and not np.isfinite(mine["unit_error"]):
        return None, "neither a tolerance nor a spread over a known number of runs"
    if not runs:
        theirs, whose = 0.0, "ours"
    elif sd is not None and entry["metric"] != "value_sd":
        theirs, whose = float(sd) / np.sqrt(runs), "the difference"
    elif share:
        theirs, whose = share_error(float(entry["value"]), runs), "the difference"
    else:
        theirs, whose = mine["unit_error"] / np.sqrt(runs), "the difference"
    if not np.isfinite(mine["error"]):
        return np.nan, alone
    limit = (rounding or 0.0) + ERRORS * float(np.hypot(theirs, mine["error"]))
    basis = f"{ERRORS} standard errors of {whose}"
    basis += f" and {float(rounding):.2g} for rounding" if rounding else ""
    basis += f" = {limit:.2g}"
    assumed = runs and not share and (sd is None or entry["metric"] == "value_sd")
    return limit, basis + ("; their runs assumed to vary as much as ours" if assumed else "")


def not_distinguished(entry: dict[str, Any], others: Iterable[tuple[str, float]]) -> list[str]:
    """Names of other cells whose value of the same metric is within `limit` of the published one: the entry cannot
    distinguish them from the cell it is about.

    Args:
        entry: as returned by `compare`.
        others: name and value of each other cell.
    """
    if entry["limit"] is None:
        return []
    return [name for name, value in others if abs(value - float(entry["value"])) <= entry["limit"]]
