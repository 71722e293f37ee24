"""Intervals: bootstrap-t for means, normal for large samples, Wilson for fractions."""

from __future__ import annotations

from functools import cache

import numpy as np

BOOTSTRAP_LIMIT = 10_000
"""The largest number of finite matches for which the interval of a mean is bootstrapped; above it the normal interval
is the same.
"""

RESAMPLES = 2_000
LEAST_ERROR = 0.3
"""Part of the sample's standard error below which that of a bootstrap resample is not taken.

If all matches but one agree, a third of the resamples miss that one and have hardly any spread, and Student's ratio in
them is as large as one likes. With this bound an interval is at most about twice as wide as Student's. In simulations
its coverage is that of the unbounded one to 0.003 for normal, exponential and log-normal samples of 8 or more.
"""
Z95 = 1.959963984540054
_SEED = 20180711
_FEW = 8


def resampling_counts(matches: int) -> np.ndarray:
    """How often each bootstrap resample draws each match: float32 [RESAMPLES, matches], the same at every
    call.

    The mean of a resample is a product with this matrix, so one matrix serves all cells of a sweep.
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

    Up to BOOTSTRAP_LIMIT finite entries it is the bootstrap-t (Efron 1979; Hall 1988): the mean minus the standard
    error times quantiles of Student's ratio over resamples. Unlike the percentile bootstrap, it has the stated coverage
    even with 8 matches, and it adapts to skewed data. The standard error of a resample counts as at least LEAST_ERROR
    of the sample's, so that matches which nearly all agree have an interval of use too. With fewer than 8 entries those
    quantiles are noise, and Student's t is used instead. Above the limit it is the mean plus or minus 1.96 standard
    errors. A column with no finite entry gives NaN; a column with a single or a constant entry gives that entry.
    `counts` is resampling_counts(len(x)), to share it between calls.

    Returns:
        low [column], high [column], and per column "bootstrap_t", "student_t" or "normal".
    """
    x = np.asarray(x, np.float64)
    finite = np.isfinite(x)
    number = finite.sum(axis=0)
    filled = np.where(finite, x, 0.0)
    mean = filled.sum(axis=0) / np.maximum(number, 1)
    centred = np.where(finite, x - mean, 0.0)
    error = np.sqrt((centred**2).sum(axis=0) / np.maximum(number - 1, 1) / np.maximum(number, 1))
    low, high = mean - Z95 * error, mean + Z95 * error
    methods = np.where(number > BOOTSTRAP_LIMIT, "normal", "bootstrap_t")

    least = np.where(finite, x, np.inf).min(axis=0, initial=np.inf)
    most = np.where(finite, x, -np.inf).max(axis=0, initial=-np.inf)
    constant = (least == most) | (number == 0)
    low = np.where(constant, least, low)
    high = np.where(constant, least, high)
    low[number == 0] = high[number == 0] = np.nan

    todo = np.flatnonzero(~constant & (number <= BOOTSTRAP_LIMIT))
    quantiles = np.full((2, len(number)), np.nan)
    if len(todo) and len(x) <= BOOTSTRAP_LIMIT:
        counts = resampling_counts(len(x)) if counts is None else counts
        step = max(1, 2**21 // RESAMPLES)
        for part in (todo[i : i + step] for i in range(0, len(todo), step)):
            quantiles[:, part] = _student_ratios(centred[:, part], finite[:, part], counts)
    else:
        for column in todo:  # many matches, few of them finite
            kept = centred[finite[:, column], column][:, None]
            ratios = _student_ratios(kept, np.ones(kept.shape, bool), resampling_counts(len(kept)))
            quantiles[:, column] = ratios[:, 0]
    few = todo[number[todo] < _FEW]
    methods[few] = "student_t"
    t = np.array([student_t975(int(n) - 1) for n in number[few]])
    quantiles[:, few] = np.stack([-t, t])
    low[todo] = mean[todo] - quantiles[1, todo] * error[todo]
    high[todo] = mean[todo] - quantiles[0, todo] * error[todo]
    return low, high, methods.tolist()


def _student_ratios(centred: np.ndarray, finite: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The 2.5 % and 97.5 % quantiles [2, column] of (resampled mean - mean) / its standard error."""
    if len(centred) <= 1024:
        counts = counts.astype(np.float64)  # with few matches, float32 would show
    scaled = (centred / np.abs(centred).max(axis=0)).astype(counts.dtype)
    number = counts @ finite.astype(counts.dtype)
    known = np.maximum(number, 1)
    mean = counts @ scaled / known
    square = np.maximum(counts @ scaled**2 / known - mean**2, 0)
    error = np.sqrt(square / np.maximum(known - 1, 1))
    entries = np.maximum(finite.sum(axis=0), 2)
    least = LEAST_ERROR * np.sqrt((scaled**2).sum(axis=0) / entries / (entries - 1))
    ratio = (mean / np.maximum(error, least)).astype(np.float64)
    low, high = np.percentile(ratio, [2.5, 97.5], axis=0)
    # Rounded, so that the order of summation in a matrix product has no effect.
    return np.round(np.stack([low, high]) * 2**14) / 2**14


@cache
def student_t975(freedom: int) -> float:
    """The 97.5 % quantile of Student's t with so many degrees of freedom, at least 1, accurate to 1e-9.

    By bisection of its distribution function, which for whole degrees of freedom is a finite sum (Abramowitz and
    Stegun 26.7.3 and 26.7.4).
    """
    if freedom > 1000:
        return Z95 + (Z95**3 + Z95) / (4 * freedom)  # their 26.7.5; exact to 1e-5 here
    low, high = 1.0, 13.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        low, high = (middle, high) if _student_within(middle, freedom) < 0.95 else (low, middle)
    return low


BAND_ELEMENTS = 2**20
"""The most numbers, matches times columns, for which bands of curves are bootstrapped: about a second."""


def bands(
    every: np.ndarray | None, mean: np.ndarray, error: np.ndarray, number: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95 % intervals of means [...] along curves: those of `mean_ci95_columns` of `every` [match, ...], as
    in tables; by Student's t where that is None, for more than BAND_ELEMENTS numbers, where both are nearly the
    same."""
    if every is None or not len(every):
        half = student_half(error, np.broadcast_to(number, mean.shape))
        return mean - half, mean + half
    low, high, _ = mean_ci95_columns(every.reshape(len(every), -1))
    return low.reshape(mean.shape), high.reshape(mean.shape)


def student_half(error: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Half the width of Student's 95 % interval for means with these standard errors over so many matches."""
    numbers, where = np.unique(number, return_inverse=True)
    quantiles = np.array([student_t975(max(int(n) - 1, 1)) for n in numbers])
    return quantiles[where].reshape(number.shape) * error


def _student_within(t: float, freedom: int) -> float:
    """P(|T| < t)."""
    angle = np.arctan(t / np.sqrt(freedom))
    sine, square = np.sin(angle), np.cos(angle) ** 2
    odd = freedom % 2
    term, total = (np.cos(angle), np.cos(angle)) if odd else (1.0, 1.0)
    if odd and freedom == 1:
        return float(2 * angle / np.pi)
    for k in range(2 if odd else 1, freedom - 1, 2):
        term *= square * k / (k + 1)
        total += term
    return float(2 / np.pi * (angle + sine * total)) if odd else float(sine * total)


def mean_ci95(x: np.ndarray, ends: tuple[float, float] = (-np.inf, np.inf)) -> tuple[float | None, float | None, str]:
    """95 % interval (low, high, method) of the mean of the finite entries of x [match], clipped to `ends`, the range of
    x; None if there are none.
    """
    low, high, method = mean_ci95_columns(np.asarray(x, np.float64).reshape(-1, 1))
    if np.isnan(low[0]):
        return None, None, method[0]
    return float(np.clip(low[0], *ends)), float(np.clip(high[0], *ends)), method[0]


def wilson_ci95(successes: float, trials: int) -> tuple[float | None, float | None]:
    """95 % interval (low, high) of a probability after `successes` of `trials` (Wilson 1927); None without
    trials.
    """
    if trials == 0:
        return None, None
    fraction, z2 = min(max(successes / trials, 0.0), 1.0), Z95**2
    centre = (fraction + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 / (1 + z2 / trials) * np.sqrt(fraction * (1 - fraction) / trials + z2 / (4 * trials**2))
    # At the ends these are exactly 0 and 1, which rounding would miss.
    low = 0.0 if successes <= 0 else max(0.0, centre - half)
    high = 1.0 if successes >= trials else min(1.0, centre + half)
    return float(low), float(high)


def standard_error(x: np.ndarray) -> float:
    """Standard error of the mean of the finite entries of x; NaN with fewer than two."""
    x = x[np.isfinite(x)]
    return float(x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else float("nan")


def deviation_relative_error(x: np.ndarray) -> float:
    """sqrt(kurtosis - 1) / 2 of the finite entries of x.

    Divided by sqrt(n) it is the large-sample relative standard error of a standard deviation over n such
    runs. NaN with fewer than two entries, or if all are equal.
    """
    x = x[np.isfinite(x)]
    if len(x) < 2 or np.ptp(x) == 0:
        return float("nan")
    z = (x - x.mean()) / x.std()
    return float(np.sqrt(max(np.mean(z**4) - 1, 0.0)) / 2)
