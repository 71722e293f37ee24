"""The studentised bootstrap (bootstrap-t), with resamples drawn within strata."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LEAST_ERROR = 0.15
"""The standard error of a resample counts as at least this part of the sample's. Without this bound, resamples that
miss the few values which differ could make an interval arbitrarily wide. It is smaller than the bound for means,
`statistics.LEAST_ERROR`, because the standard error of an interquartile mean varies more: for eight exponential values
the coverage is 89 % at 0.3 and 94 % at 0.15.
"""

WithError = Callable[[list[np.ndarray]], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Estimate:
    """A number with a 95 % interval.

    Attributes:
      value: the estimate.
      ci95: (low, high).
      error: its standard error.
    """

    value: float
    ci95: tuple[float, float]
    error: float


def studentised(
    strata: list[np.ndarray],
    statistic: WithError,
    resamples: int,
    seed: int,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """The bootstrap-t (Efron 1979; Hall 1988): the estimate minus its standard error times quantiles of
    (resampled estimate - estimate) / resampled standard error.

    Unlike percentiles of resampled estimates, its coverage is about nominal even with ten values. The standard error of
    a resample counts as at least LEAST_ERROR of the sample's.

    Args:
      strata: arrays [values]; each is resampled within itself.
      statistic: maps arrays [..., values], one per stratum, to the estimate and its standard error, [...] each.
      resamples: number of resamples.
      seed: of the resamples.
      bounds: the interval is clipped to these.

    Raises:
      ValueError: fewer than 100 resamples.
    """
    if isinstance(resamples, bool) or not isinstance(resamples, int | np.integer) or resamples < 100:
        raise ValueError(f"resamples is {resamples!r}; allowed: an integer of at least 100")
    value, error = (float(x) for x in statistic(strata))
    if not error > 0:
        return Estimate(value, (value, value), error)
    generator = np.random.default_rng(seed)
    drawn = [x[generator.integers(0, len(x), (resamples, len(x)))] for x in strata]
    values, errors = statistic(drawn)
    low, high = np.quantile((values - value) / np.fmax(errors, LEAST_ERROR * error), [0.025, 0.975])
    ends = value - high * error, value - low * error
    return Estimate(value, (float(np.clip(ends[0], *bounds)), float(np.clip(ends[1], *bounds))), error)
