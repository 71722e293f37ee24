"""Checks the arguments of functions of a payoff matrix."""

from __future__ import annotations

from typing import Any

import numpy as np


def payoff_matrix(payoffs: Any, name: str = "payoffs") -> np.ndarray:
    """float64 [strategies, strategies]; payoffs[row, column] is the payoff of row against column.

    Raises:
      ValueError: it is not a square matrix of finite numbers, or is empty.
    """
    try:
        found = np.asarray(payoffs, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is {payoffs!r}; allowed: a square matrix of numbers") from error
    if found.ndim != 2 or found.shape[0] != found.shape[1] or found.size == 0:
        raise ValueError(f"{name} has the shape {list(found.shape)}; allowed: [strategies, strategies]")
    if not np.isfinite(found).all():
        raise ValueError(
            f"{name} has {np.sum(~np.isfinite(found))} entries that are not finite; allowed: finite numbers"
        )
    return found


def population_size(population: Any) -> int:
    """An integer of at least 2.

    Raises:
      ValueError: it is not.
    """
    if isinstance(population, bool) or not isinstance(population, int | np.integer) or population < 2:
        raise ValueError(f"population is {population!r}; allowed: an integer of at least 2")
    return int(population)


def not_negative(name: str, value: Any, infinite: bool = False) -> float:
    """A number of at least 0.

    Raises:
      ValueError: it is not.
    """
    allowed = "a number of at least 0" + (", infinity included" if infinite else "")
    good = isinstance(value, int | float | np.number) and not isinstance(value, bool) and value >= 0
    if not good or (value == np.inf and not infinite):
        raise ValueError(f"{name} is {value!r}; allowed: {allowed}")
    return float(value)


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """One of the allowed words.

    Raises:
      ValueError: it is another one.
    """
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")
    return value


def strategy_number(name: str, value: Any, strategies: int) -> int:
    """The index of a strategy.

    Raises:
      ValueError: there is no such strategy.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < strategies:
        raise ValueError(f"{name} is {value!r}; allowed: 0 to {strategies - 1}")
    return int(value)


def start_shares(shares: Any, strategies: int) -> np.ndarray:
    """float64 [strategies], not negative, with sum 1.

    Raises:
      ValueError: they are not.
    """
    found = np.asarray(shares, np.float64)
    if found.shape != (strategies,):
        raise ValueError(f"shares have the shape {list(found.shape)}; allowed: [{strategies}], one for each strategy")
    if not (np.all(found >= 0) and abs(found.sum() - 1) < 1e-8):
        raise ValueError(f"shares are {found.tolist()}; allowed: numbers of at least 0 with sum 1")
    return found / found.sum()


def time_points(times: Any) -> np.ndarray:
    """float64 [times], increasing.

    Raises:
      ValueError: fewer than one, not finite, or not increasing.
    """
    found = np.asarray(times, np.float64)
    if found.ndim != 1 or found.size == 0 or not np.isfinite(found).all() or np.any(np.diff(found) <= 0):
        raise ValueError(f"times are {times!r}; allowed: finite numbers that increase, the first that of the start")
    return found
