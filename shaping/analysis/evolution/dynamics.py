"""Evolutionary dynamics of infinite populations: shares x of strategies, payoffs f = M x, their mean fbar = x . f.

    replicator           x_i' = x_i (f_i - fbar)                                   Taylor and Jonker 1978
    fermi                x_i' = x_i sum_j x_j tanh(intensity (f_i - f_j) / 2)      Traulsen et al. 2005, PRL 95
    replicator-mutator   x_i' = sum_j x_j f_j Q_ji - x_i fbar                      Page and Nowak 2002, JTB 219
      beside selection   x_i' = x_i (f_i - fbar) + sum_j x_j Q_ji - x_i            Bomze and Buerger 1995, GEB 11
    logit                x_i' = exp(f_i / noise) / sum_j exp(f_j / noise) - x_i    Hofbauer and Sandholm 2007, JET 132
    Boltzmann Q          x_i' = x_i (f_i - fbar) / noise - x_i (log x_i - sum_j x_j log x_j)
                                                                                   Tuyls, Verbeeck, Lenaerts 2003

Dynamics that multiply shares (the replicator equation, fermi and Boltzmann Q) are solved for the logarithms of shares,
so that a strategy may become arbitrarily rare; an absent strategy stays absent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from shaping.analysis.evolution.checks import not_negative, payoff_matrix, start_shares, time_points

_RELATIVE, _ABSOLUTE = 1e-10, 1e-12

Field = Callable[[np.ndarray], np.ndarray]


def replicator(payoffs: Any, shares: Any, times: Any) -> np.ndarray:
    """Shares along the replicator equation, [times, strategies].

    Args:
      payoffs: [strategies, strategies], payoff of row against column.
      shares: [strategies], at the first of the times, with sum 1.
      times: [times], increasing.

    Raises:
      ValueError: an argument out of its range.
    """
    return _multiplied(replicator_growth(payoffs), payoffs, shares, times)


def fermi(payoffs: Any, shares: Any, times: Any, intensity: float) -> np.ndarray:
    """Shares when players imitate random others by pairwise comparison, [times, strategies].

    In one unit of time everybody compares itself with one other player. For a small intensity this is the replicator
    equation with time scaled by intensity / 2.

    Args:
      payoffs, shares, times: see `replicator`.
      intensity: of selection, at least 0.

    Raises:
      ValueError: an argument out of its range.
    """
    return _multiplied(fermi_growth(payoffs, intensity), payoffs, shares, times)


def boltzmann_q(payoffs: Any, shares: Any, times: Any, noise: float) -> np.ndarray:
    """Probabilities of a Q-learner with Boltzmann exploration, in the limit of small steps, as shares,
    [times, strategies].

    Args:
      payoffs, shares, times: see `replicator`.
      noise: the temperature, above 0.

    Raises:
      ValueError: an argument out of its range.
    """
    M, temperature = payoff_matrix(payoffs), _positive("noise", noise)

    def growth(log_x: np.ndarray) -> np.ndarray:
        x = np.exp(log_x)
        f = x @ M.T
        entropy = np.sum(np.where(x > 0, x * log_x, 0), axis=-1, keepdims=True)
        return (f - np.sum(x * f, axis=-1, keepdims=True)) / temperature - (log_x - entropy)

    return _multiplied(growth, payoffs, shares, times)


def replicator_mutator(payoffs: Any, shares: Any, times: Any, mutation: Any, at_birth: bool = True) -> np.ndarray:
    """Shares along the replicator-mutator equation, [times, strategies].

    Args:
      payoffs, shares, times: see `replicator`. With mutation at birth, payoffs are birth rates: they are at least 0,
        and adding a constant to all of them changes the outcome.
      mutation: the probability that an offspring takes a random strategy, possibly its parent's; or the matrix Q
        [strategies, strategies] of probabilities from parent (row) to offspring (column).
      at_birth: whether offspring mutate; otherwise everybody does at any time, at rate 1 times Q, whatever it earns.

    Raises:
      ValueError: an argument out of its range.
    """
    field = mutator_field(payoffs, mutation, at_birth)
    return _solved(field, start_shares(shares, len(payoff_matrix(payoffs))), times)


def logit(payoffs: Any, shares: Any, times: Any, noise: float) -> np.ndarray:
    """Shares along the logit dynamics, [times, strategies]; rest points are the logit (quantal response) equilibria.

    Args:
      payoffs, shares, times: see `replicator`.
      noise: above 0; with less noise, players take the best response more often.

    Raises:
      ValueError: an argument out of its range.
    """
    return _solved(logit_field(payoffs, noise), start_shares(shares, len(payoff_matrix(payoffs))), times)


def replicator_growth(payoffs: Any) -> Field:
    """d log x / dt of the replicator equation, from log x [..., strategies]."""
    M = payoff_matrix(payoffs)

    def growth(log_x: np.ndarray) -> np.ndarray:
        x = np.exp(log_x)
        f = x @ M.T
        return f - np.sum(x * f, axis=-1, keepdims=True) / np.sum(x, axis=-1, keepdims=True)

    return growth


def fermi_growth(payoffs: Any, intensity: float) -> Field:
    """d log x / dt of imitation by pairwise comparison, from log x [..., strategies]."""
    M, beta = payoff_matrix(payoffs), not_negative("intensity", intensity)

    def growth(log_x: np.ndarray) -> np.ndarray:
        x = np.exp(log_x)
        f = x @ M.T
        gains = np.tanh(beta / 2 * (f[..., :, None] - f[..., None, :]))
        return np.sum(x[..., None, :] * gains, axis=-1)

    return growth


def mutator_field(payoffs: Any, mutation: Any, at_birth: bool = True) -> Field:
    """dx / dt of the replicator-mutator equation, from x [..., strategies]."""
    M = payoff_matrix(payoffs)
    Q = _mutation_matrix(mutation, len(M))
    if at_birth and M.min() < 0:
        raise ValueError(
            f"payoffs go down to {M.min():g}; allowed: at least 0 where they are rates of birth, or at_birth=False"
        )

    def field(x: np.ndarray) -> np.ndarray:
        f = x @ M.T
        mean = np.sum(x * f, axis=-1, keepdims=True)
        if at_birth:
            return (x * f) @ Q - x * mean
        return x * (f - mean) + x @ Q - x * np.sum(Q, axis=1)

    return field


def logit_field(payoffs: Any, noise: float) -> Field:
    """dx / dt of the logit dynamics, from x [..., strategies]."""
    M, temperature = payoff_matrix(payoffs), _positive("noise", noise)

    def field(x: np.ndarray) -> np.ndarray:
        f = (x @ M.T) / temperature
        weights = np.exp(f - f.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True) - x

    return field


def _multiplied(growth: Field, payoffs: Any, shares: Any, times: Any) -> np.ndarray:
    """Shares [times, strategies] of the dynamics x_i' = x_i g_i(x), solved for log x; strategies with a share of 0 keep
    it."""
    from scipy.integrate import solve_ivp

    x, points = start_shares(shares, len(payoff_matrix(payoffs))), time_points(times)
    present = x > 0
    start = np.log(x[present])

    def change(_: float, log_x: np.ndarray) -> np.ndarray:
        everybody = np.full(len(x), -np.inf)
        everybody[present] = log_x
        with np.errstate(invalid="ignore"):
            return growth(everybody)[present]

    found = np.zeros((len(points), len(x)))
    found[0] = x
    if len(points) > 1:
        solved = solve_ivp(change, (points[0], points[-1]), start, "DOP853", points, rtol=_RELATIVE, atol=_ABSOLUTE)
        found[:, present] = np.exp(solved.y.T)
    return found / found.sum(axis=1, keepdims=True)


def _solved(field: Field, x: np.ndarray, times: Any) -> np.ndarray:
    from scipy.integrate import solve_ivp

    points = time_points(times)
    if len(points) == 1:
        return x[None]
    solved = solve_ivp(
        lambda _, y: field(y), (points[0], points[-1]), x, "LSODA", points, rtol=_RELATIVE, atol=_ABSOLUTE
    )
    found = np.clip(solved.y.T, 0, None)
    return found / found.sum(axis=1, keepdims=True)


def _mutation_matrix(mutation: Any, strategies: int) -> np.ndarray:
    Q = np.asarray(mutation, float)
    if Q.ndim == 0:
        if not 0 <= Q <= 1:
            raise ValueError(f"mutation is {mutation!r}; allowed: a probability from 0 to 1, or a matrix of them")
        return (1 - Q) * np.eye(strategies) + Q / strategies
    good = Q.shape == (strategies, strategies) and np.all(Q >= 0) and np.allclose(Q.sum(axis=1), 1, rtol=0, atol=1e-9)
    if not good:
        raise ValueError(
            f"mutation has the shape {list(Q.shape)} and rows that sum to {np.sum(Q, axis=-1).tolist()}; allowed: "
            f"[{strategies}, {strategies}], numbers of at least 0 with rows that sum to 1"
        )
    return Q


def _positive(name: str, value: Any) -> float:
    found = not_negative(name, value)
    if found == 0:
        raise ValueError(f"{name} is {value!r}; allowed: a number above 0")
    return found
