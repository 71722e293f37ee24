"""Differences between two groups of matches, with 95 % intervals, paired where matches share their randomness."""

from __future__ import annotations

from typing import Any

import numpy as np

from shaping.analysis.statistics import mean_ci95, student_t975


def difference(first: Any, second: Any, paired: bool) -> dict[str, Any]:
    """Mean of the second minus mean of the first.

    Args:
      first, second: [match]; NaN for matches without a value.
      paired: whether entry m of both began alike, from the same seed. The interval is then that of the mean difference
        of the pairs; otherwise that of Welch (1947, Biometrika 34), whose matches are independent.

    Returns:
      {"difference", "ci95", "pairs"}: None for what is not known; the number of pairs, None if not paired.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if paired:
        apart = y - x
        low, high, _ = mean_ci95(apart)
        known = apart[np.isfinite(apart)]
        return {"difference": float(known.mean()) if len(known) else None, "ci95": [low, high], "pairs": len(known)}
    x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    if not (len(x) and len(y)):
        return {"difference": None, "ci95": [None, None], "pairs": None}
    apart = float(y.mean() - x.mean())
    if min(len(x), len(y)) < 2:
        return {"difference": apart, "ci95": [None, None], "pairs": None}
    parts = [each.var(ddof=1) / len(each) for each in (x, y)]
    total = parts[0] + parts[1]
    if total == 0:
        return {"difference": apart, "ci95": [apart, apart], "pairs": None}
    # Welch and Satterthwaite's degrees of freedom.
    freedom = total**2 / (parts[0] ** 2 / (len(x) - 1) + parts[1] ** 2 / (len(y) - 1))
    half = student_t975(max(1, int(freedom))) * float(np.sqrt(total))
    return {"difference": apart, "ci95": [apart - half, apart + half], "pairs": None}
