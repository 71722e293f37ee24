"""Basins of attraction: which share of all starts leads to which rest point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.analysis.evolution.checks import one_of, payoff_matrix
from shaping.analysis.evolution.dynamics import Field, fermi_growth, logit_field, mutator_field, replicator_growth
from shaping.analysis.statistics import wilson_ci95

_MULTIPLIED = {"replicator": replicator_growth, "fermi": fermi_growth}
_FIELDS = {"logit": logit_field, "replicator_mutator": mutator_field}
DYNAMICS = (*_MULTIPLIED, *_FIELDS)
_STEP = 0.1
_STILL = 1e-7
_PRESENT = 1e-3
_APART = 1e-2
_SIZE = 2**18


@dataclass(frozen=True)
class Basin:
    """A basin of attraction.

    Attributes:
      shares: [strategies], the mean of the end points; None for starts that did not come to rest.
      volume: the fraction of starts that end here.
      ci95: its 95 % interval (Wilson 1927).
    """

    shares: np.ndarray | None
    volume: float
    ci95: tuple[float, float]


def basins(
    payoffs: Any, dynamics: str = "replicator", samples: int = 1000, steps: int = 20_000, seed: int = 0, **settings: Any
) -> list[Basin]:
    """Basins of attraction by volume, largest first; starts that did not come to rest (cycles) are listed last.

    Starts are uniform over all shares. For the replicator equation and "fermi", two ends are the same if the same
    strategies are left (with a share above 0.001), so a continuum of neutral mixtures counts as one. For other dynamics
    they are the same if they are within 0.01.

    Args:
      payoffs: [strategies, strategies], payoff of row against column.
      dynamics: "replicator", "fermi", "logit" or "replicator_mutator".
      samples: number of starts.
      steps: maximum number of steps of a fourth-order Runge-Kutta method; a step is 0.1 / the range of payoffs, or 0.1
        if that is less.
      seed: of the starts.
      **settings: what else the dynamics need: `intensity`, `noise`, or `mutation` and `at_birth`.

    Raises:
      ValueError: an argument out of its range.
    """
    M = payoff_matrix(payoffs)
    one_of("dynamics", dynamics, DYNAMICS)
    for name, value in (("samples", samples), ("steps", steps)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} is {value!r}; allowed: an integer of at least 1")
    multiplied = dynamics in _MULTIPLIED
    try:
        field = (_MULTIPLIED if multiplied else _FIELDS)[dynamics](M, **settings)
    except TypeError as error:
        raise ValueError(f"settings of {dynamics} are {settings}: {error}") from error
    starts = np.random.default_rng(seed).dirichlet(np.ones(len(M)), samples)
    rows = max(1, _SIZE // len(M) ** (3 if dynamics == "fermi" else 2))
    ends = [_end(field, starts[i : i + rows], multiplied, _step(M, multiplied), steps) for i in range(0, samples, rows)]
    x, still = (np.concatenate(parts) for parts in zip(*ends, strict=True))
    groups = _by_support(x) if multiplied else _by_distance(x)
    groups = np.where(still, groups, -1)
    found = []
    for group in np.unique(groups):
        chosen = groups == group
        shares = None if group == -1 else x[chosen].mean(axis=0)
        low, high = wilson_ci95(int(chosen.sum()), samples)
        found.append(Basin(shares, float(chosen.mean()), (low or 0.0, 1.0 if high is None else high)))
    return sorted(found, key=lambda basin: (basin.shares is None, -basin.volume))


def _step(M: np.ndarray, multiplied: bool) -> float:
    fastest = float(np.ptp(M)) if multiplied else max(float(np.abs(M).max()), 1.0)
    return _STEP / max(fastest, 1e-12)


def _end(field: Field, x: np.ndarray, multiplied: bool, step: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares at the end [starts, strategies], and whether they are at rest [starts]."""
    y = np.log(x) if multiplied else x
    for number in range(steps):
        first = field(y)
        second = field(y + step / 2 * first)
        third = field(y + step / 2 * second)
        y = y + step / 6 * (first + 2 * second + 2 * third + field(y + step * third))
        if multiplied:
            y = np.maximum(y - np.log(np.sum(np.exp(y), axis=1, keepdims=True)), -700)
        if number % 50 == 49 and _still(field, y, multiplied, step).all():
            break
    found = np.exp(y) if multiplied else np.clip(y, 0, 1)
    return found / found.sum(axis=1, keepdims=True), _still(field, y, multiplied, step)


def _still(field: Field, y: np.ndarray, multiplied: bool, step: float) -> np.ndarray:
    """Whether present strategies do not change, and absent ones would not come in."""
    speed = field(y) * step
    if not multiplied:
        return np.abs(speed).max(axis=1) < _STILL
    there = np.exp(y) > _PRESENT
    return np.asarray(np.where(there, np.abs(speed) < _STILL, speed < _STILL).all(axis=1))


def _by_support(x: np.ndarray) -> np.ndarray:
    return np.unique(x > _PRESENT, axis=0, return_inverse=True)[1].reshape(-1)


def _by_distance(x: np.ndarray) -> np.ndarray:
    """Groups ends: each joins the first earlier one that is close, or starts a group."""
    leaders: list[np.ndarray] = []
    groups = np.empty(len(x), int)
    for i, end in enumerate(x):
        near = [j for j, leader in enumerate(leaders) if np.abs(leader - end).max() < _APART]
        if not near:
            leaders.append(end)
        groups[i] = near[0] if near else len(leaders) - 1
    return groups
