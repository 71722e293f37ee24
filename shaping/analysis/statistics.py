"""Intervals: percentile bootstrap for means, normal for large samples, Wilson for fractions."""

from __future__ import annotations

import numpy as np

BOOTSTRAP_LIMIT = 10_000
"""Most finite matches for which a mean's interval is bootstrapped; above it the normal interval is the
same.
"""

RESAMPLES = 2_000
Z95 = 1.959963984540054
_SEED = 20180711


def resampling_counts(matches: int) -> np.ndarray:
    """How often each bootstrap resample draws each match: float32 [RESAMPLES, matches], the same at every
    call.

    A resample's mean is a product with this matrix, so that one matrix serves all the cells of a sweep.
    """
    rng = np.random.default_rng(_SEED)
    counts = np.empty((RESAMPLES, matches), np.float32)
    rows = max(1, min(RESAMPLES, 2**21 // max(matches, 1)))
    for first in range(0, RESAMPLES, rows):
        n = min(rows, RESAMPLES - first)
        drawn = rng.integers(0, matches, (n, matches)) + matches * np.arange(n)[:, None]
        counts[first : first + n] = np.bincount(drawn.ravel(), minlength=n * matches).reshape(n, matches)
    return counts


def mean_ci95_columns(x: np.ndarray, counts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """95 % interval of the mean of each column of x [match, column] over its finite entries.

    Up to BOOTSTRAP_LIMIT finite entries it is the percentile bootstrap (Efron 1979) over matches, above it
    mean plus or minus 1.96 standard errors. A column with no finite entry gives NaN, one with a single or a
    constant entry that entry. `counts` is resampling_counts(len(x)), to share it between calls.

    Returns:
        low [column], high [column], and per column "percentile_bootstrap" or "normal".
    """
    x = np.asarray(x, np.float64)
    finite = np.isfinite(x)
    number = finite.sum(axis=0)
    filled = np.where(finite, x, 0.0)
    mean = filled.sum(axis=0) / np.maximum(number, 1)
    centred = np.where(finite, x - mean, 0.0)
    error = np.sqrt((centred**2).sum(axis=0) / np.maximum(number - 1, 1) / np.maximum(number, 1))
    low, high = mean - Z95 * error, mean + Z95 * error
    methods = np.where(number > BOOTSTRAP_LIMIT, "normal", "percentile_bootstrap")

    least = np.where(finite, x, np.inf).min(axis=0, initial=np.inf)
    most = np.where(finite, x, -np.inf).max(axis=0, initial=-np.inf)
    constant = (least == most) | (number == 0)
    low = np.where(constant, least, low)
    high = np.where(constant, least, high)
    low[number == 0] = high[number == 0] = np.nan

    todo = np.flatnonzero(~constant & (number <= BOOTSTRAP_LIMIT))
    if len(todo) and len(x) <= BOOTSTRAP_LIMIT:
        counts = resampling_counts(len(x)) if counts is None else counts
        step = max(1, 2**22 // RESAMPLES)
        for part in (todo[i : i + step] for i in range(0, len(todo), step)):
            ends = _percentiles(centred[:, part], finite[:, part], counts)
            low[part], high[part] = mean[part] + ends
    else:
        for column in todo:  # many matches of which few are finite
            kept = centred[finite[:, column], column][:, None]
            ends = _percentiles(kept, np.ones(kept.shape, bool), resampling_counts(len(kept)))
            low[column], high[column] = mean[column] + ends[:, 0]
    return low, high, methods.tolist()


def _percentiles(centred: np.ndarray, finite: np.ndarray, counts: np.ndarray) -> np.ndarray:
    # Scaled to order one before single precision; the resampling noise is a thousand times the rounding.
    scale = np.abs(centred).max(axis=0)
    sums = counts @ (centred / scale).astype(np.float32)
    if finite.all():
        means = sums / counts.shape[1]
    else:
        drawn = counts @ finite.astype(np.float32)
        means = np.where(drawn > 0, sums / np.maximum(drawn, 1), np.nan)
    percentile = np.nanpercentile if np.isnan(means).any() else np.percentile
    # Rounded to 2**-18 of the largest deviation: the order of summation in a matrix product must not show.
    ends = np.round(percentile(means, [2.5, 97.5], axis=0).astype(np.float64) * 2**18) / 2**18
    return ends * scale


def mean_ci95(x: np.ndarray) -> tuple[float | None, float | None, str]:
    """95 % interval (low, high, method) of the mean of the finite entries of x [match]; None where there is
    none.
    """
    low, high, method = mean_ci95_columns(np.asarray(x, np.float64).reshape(-1, 1))
    if np.isnan(low[0]):
        return None, None, method[0]
    return float(low[0]), float(high[0]), method[0]


def wilson_ci95(successes: float, trials: int) -> tuple[float | None, float | None]:
    """95 % interval (low, high) of a probability after `successes` of `trials` (Wilson 1927); None without
    trials.
    """
    if trials == 0:
        return None, None
    fraction, z2 = successes / trials, Z95**2
    centre = (fraction + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 / (1 + z2 / trials) * np.sqrt(fraction * (1 - fraction) / trials + z2 / (4 * trials**2))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def standard_error(x: np.ndarray) -> float:
    """Standard error of the mean of the finite entries of x; NaN with fewer than two."""
    x = x[np.isfinite(x)]
    return float(x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else float("nan")


def deviation_relative_error(x: np.ndarray) -> float:
    """sqrt(kurtosis - 1) / 2 of the finite entries of x.

    Divided by sqrt(n) it is the large-sample relative standard error of a standard deviation over n such
    runs. NaN with fewer than two entries or none that differ.
    """
    x = x[np.isfinite(x)]
    if len(x) < 2 or np.ptp(x) == 0:
        return float("nan")
    z = (x - x.mean()) / x.std()
    return float(np.sqrt(max(np.mean(z**4) - 1, 0.0)) / 2)
