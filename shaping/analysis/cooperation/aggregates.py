"""Scores of runs summarised over seeds and tasks (Agarwal et al. 2021, "Deep reinforcement learning at the edge of the
statistical precipice", NeurIPS)."""

from __future__ import annotations

from typing import Any

import numpy as np

from shaping.analysis.cooperation.bootstrap import Estimate, studentised
from shaping.analysis.statistics import student_t975, wilson_ci95


def iqm(scores: Any, resamples: int = 2000, seed: int = 0) -> Estimate:
    """The interquartile mean: the mean of the middle half of all scores, with a 95 % interval.

    A quarter of all scores, over seeds and tasks, is left out at each end. Where a quarter is not a whole number, a
    score is left out in part. Resamples draw seeds within each task (a stratified bootstrap). The interval is the
    bootstrap-t with the standard error of a trimmed mean, from winsorised scores (Tukey and McLaughlin 1963).

    Args:
      scores: [seeds] or [seeds, tasks].
      resamples, seed: of the bootstrap.

    Raises:
      ValueError: another shape, scores that are not finite, or fewer than four seeds.
    """
    x = np.asarray(scores, np.float64)
    if x.ndim not in (1, 2) or x.size == 0 or len(x) < 4:
        raise ValueError(f"scores have the shape {list(x.shape)}; allowed: [seeds] or [seeds, tasks], 4 seeds or more")
    if not np.isfinite(x).all():
        raise ValueError(f"scores has {np.sum(~np.isfinite(x))} entries that are not finite; allowed: finite numbers")
    return studentised(list(x.reshape(len(x), -1).T), _iqm_with_error, resamples, seed)


def _iqm_with_error(strata: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    x = np.stack(strata, axis=-1)  # [..., seeds, tasks]
    seeds = x.shape[-2]
    everything = np.sort(x.reshape(*x.shape[:-2], -1), axis=-1)
    n = everything.shape[-1]
    # Weight 1 in the middle half, a part of 1 for the scores at its two ends.
    weights = np.clip(np.minimum(np.arange(1, n + 1) - n / 4, 3 * n / 4 - np.arange(n)), 0, 1)
    estimate = everything @ weights / weights.sum()
    low, high = everything[..., int(np.floor(n / 4))], everything[..., int(np.ceil(3 * n / 4)) - 1]
    winsorised = np.clip(x, low[..., None, None], high[..., None, None])
    variance = winsorised.var(axis=-2, ddof=1).mean(axis=-1)
    return estimate, np.sqrt(variance / n) / 0.5 * np.sqrt(seeds / (seeds - 0.5))


def probability_of_improvement(scores: Any, others: Any) -> Estimate:
    """The probability that a run of the first group does better than one of the second; mean over tasks.

    P = mean of [x > y] + [x = y] / 2 over all pairs (Mann and Whitney 1947): a tie counts one half. The variance is
    that of the two placements (DeLong, DeLong and Clarke-Pearson 1988), and the interval is Student's on the logit
    scale. Where all pairs point the same way, it is Wilson's, with as many trials as the smaller group has runs.

    Args:
      scores, others: [seeds] or [seeds, tasks]; the numbers of seeds may differ.

    Raises:
      ValueError: another shape, fewer than two seeds, or different tasks.
    """
    x, y = (np.asarray(one, np.float64) for one in (scores, others))
    x, y = (one[:, None] if one.ndim == 1 else one for one in (x, y))
    if x.ndim != 2 or y.ndim != 2 or min(len(x), len(y)) < 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"scores have the shapes {list(np.shape(scores))} and {list(np.shape(others))}; allowed: [seeds] or "
            "[seeds, tasks] with the same tasks, 2 seeds or more"
        )
    wins = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])  # [seeds, seeds, tasks]
    value, tasks = float(wins.mean()), x.shape[1]
    parts = [wins.mean(axis=1).var(axis=0, ddof=1) / len(x), wins.mean(axis=0).var(axis=0, ddof=1) / len(y)]
    variances = [float(part.sum()) / tasks**2 for part in parts]
    error = float(np.sqrt(sum(variances)))
    fewest = min(len(x), len(y)) * tasks
    if error == 0 or value in (0.0, 1.0):
        low, high = wilson_ci95(value * fewest, fewest)
        return Estimate(value, (low or 0.0, 1.0 if high is None else high), error)
    # Welch and Satterthwaite's degrees of freedom.
    freedoms = [tasks * (len(x) - 1), tasks * (len(y) - 1)]
    freedom = sum(variances) ** 2 / sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    half = student_t975(max(1, int(freedom))) * error / (value * (1 - value))
    middle = np.log(value / (1 - value))
    low, high = 1 / (1 + np.exp(-(middle + np.array([-half, half]))))
    return Estimate(value, (float(low), float(high)), error)
