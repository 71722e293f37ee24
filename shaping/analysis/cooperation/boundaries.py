"""Where a share of matches crosses a level along a swept axis: the boundary of a phase of cooperation.

Shares are made monotone by isotonic regression (pool adjacent violators: Ayer et al. 1955, Annals of Mathematical
Statistics 26), rising or falling, whichever fits better. The boundary is where they cross the level, interpolated
between the two neighbouring values of the axis. Nothing is known about the shares between these two, so the interval
never ends between two values of the axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Boundary:
    """Where a share crosses a level.

    Attributes:
      position: on the axis; NaN if the shares do not cross the level.
      ci95: a 95 % interval, whose ends are values of the axis; -inf or inf where the boundary may lie beyond the axis;
        (NaN, NaN) if there is no boundary.
      rising: whether the share is above the level beyond the boundary.
    """

    position: float
    ci95: tuple[float, float]
    rising: bool


def boundary(
    axis: Any, successes: Any, trials: Any, level: float = 0.5, resamples: int = 2000, seed: int = 0
) -> Boundary:
    """Finds the boundary.

    The interval comes from shares drawn from their posterior distributions Beta(successes + 1/2, failures + 1/2)
    (Jeffreys), so that shares of exactly 0 and 1 are not taken as certain.

    Args:
      axis: [values], strictly ascending, two or more.
      successes, trials: [values], for example how many matches of each cell cooperate, of how many.
      level: between 0 and 1.
      resamples, seed: of the interval.

    Raises:
      ValueError: shapes that do not fit, an axis that does not ascend, or no trials.
    """
    x, s, n = (np.asarray(each, np.float64) for each in (axis, successes, trials))
    if x.ndim != 1 or len(x) < 2 or s.shape != x.shape or n.shape != x.shape:
        raise ValueError(
            f"axis, successes and trials have the shapes {list(x.shape)}, {list(s.shape)} and {list(n.shape)}; "
            "allowed: [values], two or more"
        )
    if not np.all(np.diff(x) > 0):
        raise ValueError(f"axis is {x.tolist()}; allowed: strictly ascending")
    if not (np.all(n > 0) and np.all((s >= 0) & (s <= n))):
        raise ValueError("there are values without trials, or with more successes than trials; allowed: 0 to trials")
    fits = [_isotonic(sign * s / n, n)[0] for sign in (1, -1)]
    errors = [float(np.sum(n * (fit - sign * s / n) ** 2)) for fit, sign in zip(fits, (1, -1), strict=True)]
    rising = errors[0] <= errors[1]
    sign = 1 if rising else -1
    place, position = _crossing(x, fits[0] if rising else fits[1], sign * level)
    if not 0 < place < len(x):
        return Boundary(np.nan, (np.nan, np.nan), rising)
    drawn = np.random.default_rng(seed).beta(s + 0.5, n - s + 0.5, (resamples, len(x)))
    smooth = _isotonic(sign * drawn, n)
    below = np.sum(smooth < sign * level, axis=1)
    low, high = np.quantile(below, [0.025, 0.975], method="nearest")
    ends = np.concatenate([[-np.inf], x, [np.inf]])
    return Boundary(float(position), (float(ends[int(low)]), float(ends[int(high) + 1])), rising)


def _crossing(x: np.ndarray, rising: np.ndarray, level: float) -> tuple[int, float]:
    """How many of the rising shares are below the level, and where they cross it."""
    place = int(np.sum(rising < level))
    if not 0 < place < len(x):
        return place, np.nan
    before, after = rising[place - 1], rising[place]
    return place, x[place - 1] + (level - before) / (after - before) * (x[place] - x[place - 1])


def _isotonic(shares: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The nearest rising sequences [..., values], by weighted least squares: max-min of the means of blocks."""
    shares = np.atleast_2d(shares)
    size = shares.shape[-1]
    sums = np.concatenate([np.zeros((*shares.shape[:-1], 1)), np.cumsum(shares * weights, axis=-1)], axis=-1)
    totals = np.concatenate([[0.0], np.cumsum(weights)])
    found = np.full(shares.shape, -np.inf)
    for first in range(size):
        ends = np.arange(first + 1, size + 1)
        means = (sums[..., ends] - sums[..., [first]]) / (totals[ends] - totals[first])
        # The least mean of the blocks that begin here and reach at least to each later place.
        least = np.minimum.accumulate(means[..., ::-1], axis=-1)[..., ::-1]
        found[..., first:] = np.maximum(found[..., first:], least)
    return found


def boundaries(
    cells: Sequence[dict[str, Any]], axis: str, others: Sequence[str], level: float = 0.5
) -> list[dict[str, Any]]:
    """The boundary along one axis for each setting of the other axes.

    Args:
      cells: each with `coordinates`, `cooperative_count` and `finite`.
      axis, others: the key of the numeric axis, and those of the others.
      level: see `boundary`.
    """
    lines: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for cell in cells:
        if cell["finite"] and axis in cell["coordinates"]:
            lines.setdefault(tuple(cell["coordinates"].get(key) for key in others), []).append(cell)
    found = []
    for fixed, members in lines.items():
        members = sorted(members, key=lambda cell: cell["coordinates"][axis])
        x = [cell["coordinates"][axis] for cell in members]
        if len(set(x)) < max(2, len(x)):
            continue
        one = boundary(x, [c["cooperative_count"] for c in members], [c["finite"] for c in members], level)
        row = {"axis": axis, "fixed": dict(zip(others, fixed, strict=True)), "position": one.position}
        found.append(row | {"ci95": list(one.ci95), "rising": one.rising})
    return found
