"""What cooperation is made of in one cell of a run: numbers with 95 % intervals, as plain data.

Players of one match are not independent. Intervals are therefore over matches, after a mean over the players of each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shaping.analysis.cooperation.aggregates import iqm
from shaping.analysis.cooperation.traits import TRAITS, traits
from shaping.analysis.cooperation.welfare import gini, price_of_anarchy, welfare
from shaping.analysis.cooperation.zero_determinant import zero_determinant_fit
from shaping.analysis.statistics import mean_ci95, wilson_ci95

ZERO_DETERMINANT_RMS = 0.05
"""A policy whose fit leaves a larger root mean square is not called zero-determinant, as in `strategies`."""
_EXTORTION, _GENEROUS = 1.05, 0.5


PROBABILITY = (0.0, 1.0)
_POSITIVE = (0.0, np.inf)


def mean_with_interval(x: Any, ends: tuple[float, float] = (-np.inf, np.inf)) -> dict[str, Any]:
    """{"mean", "ci95"} of numbers [match] or [match, player]; None for what is not known. The interval is clipped to
    `ends`, the range of the numbers."""
    x = np.asarray(x, np.float64)
    x = x.reshape(len(x), -1)
    finite = np.isfinite(x)
    with np.errstate(invalid="ignore"):
        of_match = np.where(finite, x, 0).sum(axis=1) / np.where(finite.any(axis=1), finite.sum(axis=1), np.nan)
    low, high, _ = mean_ci95(of_match, ends)
    known = of_match[np.isfinite(of_match)]
    return {"mean": float(known.mean()) if len(known) else None, "ci95": [low, high]}


def share_with_interval(x: Any) -> dict[str, Any]:
    """{"mean", "ci95"} of flags [match] or [match, player]: Wilson's interval, with as many trials as matches."""
    x = np.asarray(x, np.float64)
    mean = float(x.mean()) if x.size else None
    return {"mean": mean, "ci95": list(wilson_ci95((mean or 0) * len(x), len(x)))}


def histories(tables: Any, labels: Any) -> dict[str, Any]:
    """P(C | history) by label of the history, from tables [match, player, histories]."""
    tables = np.asarray(tables)
    return {str(label): mean_with_interval(tables[..., i], PROBABILITY) for i, label in enumerate(labels)}


def trait_means(tables: Any) -> dict[str, Any]:
    """The four traits of tables [match, player, 5 or 21]."""
    found = traits(tables)
    return {name: mean_with_interval(getattr(found, name), PROBABILITY) for name in TRAITS}


def zero_determinant(tables: Any, payoffs: Any, discount: float, steps: Any = None) -> dict[str, Any]:
    """Zero-determinant fits of all players, tables [match, player, 5]: the shares that are zero-determinant, and of
    those extortionate or generous; and quartiles of chi and generosity among the zero-determinant ones."""
    fit = zero_determinant_fit(tables, payoffs, steps, discount)
    good = (fit.residual < ZERO_DETERMINANT_RMS) & np.isfinite(fit.chi) & (fit.chi > 0)
    extorts = good & (fit.chi > _EXTORTION) & (fit.generosity < _GENEROUS)
    gives = good & (fit.chi > _EXTORTION) & (fit.generosity >= _GENEROUS)
    found: dict[str, Any] = {
        "zero_determinant": share_with_interval(good),
        "extortionate": share_with_interval(extorts),
        "generous": share_with_interval(gives),
        "residual": mean_with_interval(fit.residual, _POSITIVE),
    }
    for name in ("chi", "generosity"):
        values = getattr(fit, name)[good]
        values = values[np.isfinite(values)]
        found[f"{name}_quartiles"] = np.quantile(values, [0.25, 0.5, 0.75]).tolist() if len(values) else None
    return found


def welfare_of(values: Any, best: float | None, worst: float | None) -> dict[str, Any]:
    """Welfare, inequality and what is lost to it.

    Args:
      values: [match, player], finite.
      best: the highest mean over players that is possible; None if it is not known.
      worst: the least payoff, from which the Gini coefficient and the price of anarchy count; None if not known.
    """
    values = np.asarray(values, np.float64)
    together = welfare(values)
    found: dict[str, Any] = {"welfare": mean_with_interval(together)}
    if len(values) >= 4:
        middle = iqm(together)
        found["welfare_iqm"] = {"mean": middle.value, "ci95": list(middle.ci95)}
    found["gap"] = mean_with_interval(values.max(axis=1) - values.min(axis=1), _POSITIVE)
    if worst is None:
        return found
    above = np.maximum(values - worst, 0)
    paid = above.sum(axis=1) > 0
    if paid.any():
        found["gini"] = mean_with_interval(gini(above[paid]), PROBABILITY)
    if best is not None and together.mean() > worst:
        lost = float(price_of_anarchy([together.mean() - worst], best - worst))
        low, high = found["welfare"]["ci95"]
        ends = [None if end is None or end <= worst else (best - worst) / (end - worst) for end in (high, low)]
        found["price_of_anarchy"] = {"mean": lost, "ci95": ends}
    return found
