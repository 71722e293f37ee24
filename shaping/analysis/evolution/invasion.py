"""Which strategies invade which: the graph of invasions, evolutionary stability, and walks of successive mutants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from shaping.analysis.evolution.checks import not_negative, payoff_matrix, population_size
from shaping.analysis.evolution.fixation import log_fixation, log_fixation_probabilities, log_ratios


def invasion_graph(payoffs: Any, population: int | None = None, intensity: float = 1.0) -> np.ndarray:
    """Which mutants invade which residents, bool [resident, mutant].

    In an infinite population, a mutant r invades s if it does better while it is rare: M[r, s] > M[s, s], or M[r, s] =
    M[s, s] and M[r, r] > M[s, r] (Maynard Smith 1982). In a finite one, it does if selection favours its fixation: the
    probability is above that of a neutral mutant, 1 / N (Nowak et al. 2004, Nature 428).

    `networkx.from_numpy_array(graph, create_using=networkx.DiGraph)` turns it into a graph.

    Args:
      payoffs: [strategies, strategies], payoff of row against column.
      population: number of players; None for infinitely many.
      intensity: of selection, in a finite population.

    Raises:
      ValueError: an argument out of its range.
    """
    M = payoff_matrix(payoffs)
    if population is not None:
        logs = log_fixation_probabilities(M, population, intensity)
        return logs > -np.log(population) + 1e-9
    own = np.diagonal(M)
    slack = 1e-12 * max(float(np.abs(M).max()), 1.0)
    rare = M.T - own[:, None]
    later = own[None, :] - M
    found = (rare > slack) | ((np.abs(rare) <= slack) & (later > slack))
    np.fill_diagonal(found, False)
    return found


def evolutionarily_stable(payoffs: Any) -> np.ndarray:
    """Which strategies cannot be invaded by any other, not even by drift, bool [strategies].

    s is evolutionarily stable if for every other r: M[s, s] > M[r, s], or M[s, s] = M[r, s] and M[s, r] > M[r, r]
    (Maynard Smith and Price 1973).

    Raises:
      ValueError: not a square matrix.
    """
    M = payoff_matrix(payoffs)
    own = np.diagonal(M)
    slack = 1e-12 * max(float(np.abs(M).max()), 1.0)
    ahead = own[:, None] - M.T  # [resident, mutant]
    resists = (ahead > slack) | ((np.abs(ahead) <= slack) & (M - own[None, :] > slack))
    np.fill_diagonal(resists, True)
    return np.asarray(resists.all(axis=1))


def invasion_walk(
    payoffs: Callable[[np.ndarray, np.ndarray], np.ndarray] | None,
    mutants: Callable[[np.random.Generator, np.ndarray], np.ndarray],
    residents: Any,
    steps: int,
    population: int,
    intensity: float,
    record_every: int = 1,
    seed: int = 0,
    fixation: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Residents along walks with rare mutations, where each mutant takes over with its fixation probability.

    For spaces of strategies that are too large for `stationary_distribution` (Imhof and Nowak 2010, Proceedings of the
    Royal Society B 277). Walks are independent and advance together.

    Args:
      payoffs: `(residents, mutants) -> [walks, 2, 2]`, payoffs of row against column, for resident and mutant in this
        order; None if `fixation` is given.
      mutants: `(generator, residents) -> mutants`, one for each walk.
      residents: [walks, numbers that describe a strategy], at the start.
      steps: number of mutants in each walk.
      population: number of players.
      intensity: of selection.
      fixation: `(residents, mutants) -> [walks]`, how likely mutants are to take over, in place of pairwise comparison
        with expected payoffs; see `fixation_from_advantages`. Population and intensity are then its own.
      record_every: number of mutants between two residents that are returned.
      seed: of the walks.

    Returns:
      [1 + steps // record_every, walks, numbers that describe a strategy], the start first.

    Raises:
      ValueError: an argument out of its range.
    """
    now = np.array(residents, float)
    size, beta = population_size(population), not_negative("intensity", intensity)
    if now.ndim != 2:
        raise ValueError(f"residents have the shape {list(now.shape)}; allowed: [walks, numbers of a strategy]")
    for name, value in (("steps", steps), ("record_every", record_every)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} is {value!r}; allowed: an integer of at least 1")
    if (payoffs is None) == (fixation is None):
        raise ValueError("payoffs and fixation are both given, or neither; allowed: one of them")
    generator = np.random.default_rng(seed)
    found = [now.copy()]
    for step in range(1, steps + 1):
        new = np.asarray(mutants(generator, now), float)
        if new.shape != now.shape:
            raise ValueError(f"mutants have the shape {list(new.shape)}; allowed: {list(now.shape)}")
        if fixation is not None:
            takes_over = np.asarray(fixation(now, new), float)
        else:
            assert payoffs is not None
            M = np.asarray(payoffs(now, new), float)
            if M.shape != (len(now), 2, 2):
                raise ValueError(f"payoffs have the shape {list(M.shape)}; allowed: {[len(now), 2, 2]}")
            ratios = log_ratios(M[:, 1, 1], M[:, 1, 0], M[:, 0, 1], M[:, 0, 0], size, beta, "exponential")
            takes_over = np.exp(log_fixation(ratios, 1))
        wins = generator.random(len(now)) < takes_over
        now[wins] = new[wins]
        if step % record_every == 0:
            found.append(now.copy())
    return np.stack(found)
