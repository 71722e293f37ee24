"""Measures of each match of a record, which take a few tens of bytes per match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from shaping.analysis import strategies
from shaping.analysis.derived_measures import FOUND, completed, known_shares
from shaping.analysis.record import BLOCK, Record, Shape, finite_matches, read

_READ = (
    "value",
    "consistency_loss",
    "value_trajectory_mean",
    "policy",
    "diverged_at",
    "payoffs",
    "noise",
    "value_cooperation",
    "value_defection",
)
_FOUND = ("value", "policy_trajectory")
_ROWS = 2**14
_ELEMENTS = 2**23


@dataclass(frozen=True)
class Measures:
    """Measures of matches that have the same shape. Whatever is undefined, and everything of a diverged match, is NaN
    (label -1).

    value [match, player] is at the last update, trajectory [match, player] the mean over updates 1 to the last;
    cooperative, tft, nash, tft_found, consistency [match]; label, chi [match, player]; finite [match] bool;
    diverged_at [match], -1 if it did not diverge. tft_found also counts what a match was before it diverged. measured
    holds the variables that the record declares, at the last update, [match, player] or [match, player, label]; found
    holds those of `derived_measures.FOUND`, [match] 0 or 1.
    """

    value: np.ndarray
    trajectory: np.ndarray
    cooperative: np.ndarray
    tft: np.ndarray
    nash: np.ndarray
    tft_found: np.ndarray
    consistency: np.ndarray
    label: np.ndarray
    chi: np.ndarray
    finite: np.ndarray
    diverged_at: np.ndarray
    measured: dict[str, np.ndarray] = field(default_factory=dict)
    found: dict[str, np.ndarray] = field(default_factory=dict)

    def __getitem__(self, index: slice) -> Measures:
        return _together([self], lambda parts: parts[0][index])


def measure(record: Record, lo: int, hi: int, shape: Shape) -> Measures:
    """Measures of matches lo .. hi - 1, which all have this shape; the record is read in blocks."""
    parts = [_measure(record, a, min(a + BLOCK, hi), shape) for a in range(lo, hi, BLOCK)]
    return parts[0] if len(parts) == 1 else _together(parts, np.concatenate)


def _together(parts: list[Measures], join: Callable[[list[np.ndarray]], np.ndarray]) -> Measures:
    """Measures in which every array is `join` of the arrays of the parts."""

    def joined(key: str) -> Any:
        first = getattr(parts[0], key)
        if isinstance(first, dict):
            return {name: join([getattr(p, key)[name] for p in parts]) for name in first}
        return join([getattr(p, key) for p in parts])

    return Measures(**{f.name: joined(f.name) for f in fields(Measures)})


def _measure(record: Record, lo: int, hi: int, shape: Shape) -> Measures:
    names = (*_READ, *record.variables, *(need for share in FOUND.values() for need in share.needs))
    data = read(record, tuple(dict.fromkeys(names)), lo, hi, shape)
    value = data["value"]
    data = completed(data, value)
    n = len(value)
    diverged_at = data.get("diverged_at", np.full(n, -1))
    finite = finite_matches(value, diverged_at)
    trajectory = data.get("value_trajectory_mean", np.full_like(value, np.nan))
    policy = data.get("policy", np.full((n, shape.players, 0), np.nan))
    noise = data.get("noise", np.zeros(value.shape))
    payoffs = data.get("payoffs", np.full((n, shape.players, 2**shape.players), np.nan))
    bounds = [data.get(name, np.full_like(value, np.nan)) for name in ("value_cooperation", "value_defection")]
    label, chi = strategies.nearest_strategy(policy, payoffs, shape.state_view)

    def kept(x: np.ndarray) -> np.ndarray:
        return np.where(finite.reshape(-1, *[1] * (x.ndim - 1)), x, np.nan)

    return Measures(
        value=kept(value),
        trajectory=kept(trajectory),
        cooperative=kept(strategies.cooperative(value, bounds[0], bounds[1])),
        tft=kept(strategies.tft_match(policy, shape.state_view)),
        nash=kept(strategies.nash_match(policy, payoffs, noise, shape.state_view)),
        tft_found=_tft_found(record, lo, hi, shape, *bounds),
        consistency=kept(data.get("consistency_loss", np.full(n, np.nan))),
        label=np.where(finite[:, None], label, strategies.UNDEFINED).astype(np.int8),
        chi=kept(chi),
        finite=finite,
        diverged_at=np.where(np.isfinite(diverged_at), diverged_at, -1).astype(np.int64),
        measured={name: kept(data[name]) for name in record.variables},
        found={name: kept(FOUND[name].of(data)) for name in known_shares(map(str, record.dataset.data_vars))},
    )


def _tft_found(
    record: Record, lo: int, hi: int, shape: Shape, cooperating: np.ndarray, defecting: np.ndarray
) -> np.ndarray:
    """[match] 1 if after some recorded update both players had found tit-for-tat, otherwise 0; NaN without policies.

    As in the program of Zhao et al. (2022), which checks after each update, the untrained policies do not
    count.
    """
    found = np.full(hi - lo, np.nan)
    if "policy_trajectory" not in record.dataset or shape.states == 0:
        return found
    trained = np.flatnonzero(record.dataset["update"].values > 0)
    if not len(trained):
        return found
    begin, updates = int(trained[0]), record.dataset.sizes["update"]
    for a in range(0, hi - lo, _ROWS):
        rows = slice(a, min(a + _ROWS, hi - lo))
        ends = cooperating[rows], defecting[rows]
        n = len(ends[0])
        # As many updates at a time as fit, because the record is compressed in chunks of many updates.
        stretch = max(1, _ELEMENTS // max(1, n * shape.players * shape.states))
        for first in range(begin, updates, stretch):
            now = read(record, _FOUND, lo + a, lo + rows.stop, shape, slice(first, first + stretch))
            policy, value = now["policy_trajectory"], now["value"]
            policy, value = policy.reshape(-1, *policy.shape[2:]), value.reshape(-1, shape.players)
            best, worst = (np.repeat(end, len(value) // n, axis=0) for end in ends)
            each = strategies.tft_found(policy, value, best, worst, shape.state_view)
            here = each.reshape(n, -1).max(axis=1)
            found[rows] = here if first == begin else np.maximum(found[rows], here)
    return found
