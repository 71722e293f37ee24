"""Per-match measures of the matches of a record: a few tens of bytes for each."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from shaping.analysis import strategies
from shaping.analysis.record import BLOCK, Record, Shape, finite_matches, read

_READ = (
    "value",
    "value_trajectory_mean",
    "policy",
    "diverged_at",
    "payoffs",
    "noise",
    "value_cooperation",
    "value_defection",
)


@dataclass(frozen=True)
class Measures:
    """Measures of matches that share a shape. What is undefined, and all of a diverged match, is NaN (label
    -1).

    value [match, player] is at the last update, trajectory [match, player] the mean over updates 1 to the
    last; cooperative, tft, nash [match]; label, chi [match, player]; finite [match] bool; diverged_at
    [match], -1 where not.
    """

    value: np.ndarray
    trajectory: np.ndarray
    cooperative: np.ndarray
    tft: np.ndarray
    nash: np.ndarray
    label: np.ndarray
    chi: np.ndarray
    finite: np.ndarray
    diverged_at: np.ndarray

    def __getitem__(self, index: slice) -> Measures:
        return Measures(*(getattr(self, f.name)[index] for f in fields(self)))


def measure(record: Record, lo: int, hi: int, shape: Shape) -> Measures:
    """Measures of matches lo .. hi - 1, which all have this shape; the record is read in blocks."""
    parts = [_measure(record, a, min(a + BLOCK, hi), shape) for a in range(lo, hi, BLOCK)]
    if len(parts) == 1:
        return parts[0]
    return Measures(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Measures)))


def _measure(record: Record, lo: int, hi: int, shape: Shape) -> Measures:
    data = read(record, _READ, lo, hi, shape)
    value = data["value"]
    n = len(value)
    diverged_at = data.get("diverged_at", np.full(n, -1))
    finite = finite_matches(value, diverged_at)
    trajectory = data.get("value_trajectory_mean", np.full_like(value, np.nan))
    policy = data.get("policy", np.full((n, shape.players, 0), np.nan))
    noise = data.get("noise", np.zeros(value.shape))
    label, chi = strategies.nearest_strategy(policy, data["payoffs"], shape.state_view)
    each, row = finite[:, None], finite

    def kept(x: np.ndarray, where: np.ndarray) -> np.ndarray:
        return np.where(where, x, np.nan)

    return Measures(
        value=kept(value, each),
        trajectory=kept(trajectory, each),
        cooperative=kept(strategies.cooperative(value, data["value_cooperation"], data["value_defection"]), row),
        tft=kept(strategies.tft_match(policy, shape.state_view), row),
        nash=kept(strategies.nash_match(policy, data["payoffs"], noise, shape.state_view), row),
        label=np.where(each, label, strategies.UNDEFINED).astype(np.int8),
        chi=kept(chi, each),
        finite=finite,
        diverged_at=np.where(np.isfinite(diverged_at), diverged_at, -1).astype(np.int64),
    )
