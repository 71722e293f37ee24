"""Fixation: how likely a single mutant's strategy is to take over a population of residents.

In a population of N players of which k are mutants, everybody earns its mean payoff against all other players, without
itself:

    f_mutant(k)   = ((k - 1) a + (N - k) b) / (N - 1),       a = M[mutant, mutant], b = M[mutant, resident]
    f_resident(k) = (k c + (N - k - 1) d) / (N - 1),         c = M[resident, mutant], d = M[resident, resident]

The number of mutants is a birth-death process in which steps down and up have the ratio T-(k) / T+(k). From one
mutant it reaches N with probability

    rho = 1 / (1 + sum_{k=1}^{N-1} prod_{l=1}^{k} T-(l) / T+(l))

(Karlin and Taylor 1975; Nowak, Sasaki, Taylor and Fudenberg 2004, Nature 428). In pairwise comparison, a player copies
a random other player with the Fermi probability 1 / (1 + exp(-intensity (f_other - f_own))), so the ratio is
exp(-intensity (f_mutant - f_resident)) (Traulsen, Nowak and Pacheco 2006, Physical Review E 74). The Moran process with
fitness exp(intensity f) has the same ratio; with linear fitness 1 + intensity f it is the ratio of the fitnesses.

All sums are computed in logarithms: a probability of e^-5000 is as accurate as any other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shaping.analysis.evolution.checks import not_negative, one_of, payoff_matrix, population_size, strategy_number

FITNESS = ("exponential", "linear")
_CHUNK = 2**21


def fixation_probability(
    payoffs: Any,
    resident: int,
    mutant: int,
    population: int,
    intensity: float,
    fitness: str = "exponential",
    mutants: int = 1,
) -> float:
    """The probability that mutants take over; see the top of this module.

    Args:
      payoffs: [strategies, strategies], payoff of row against column.
      resident, mutant: indices of strategies.
      population: N, at least 2.
      intensity: of selection, at least 0; at 0 the result is mutants / N.
      fitness: "exponential" (also pairwise comparison) or "linear" (1 + intensity payoff, in the Moran process).
      mutants: their initial number, 1 to N - 1.

    Raises:
      ValueError: an argument out of its range, or a linear fitness that is not positive.
    """
    M = payoff_matrix(payoffs)
    i, j = strategy_number("resident", resident, len(M)), strategy_number("mutant", mutant, len(M))
    size = population_size(population)
    if isinstance(mutants, bool) or not isinstance(mutants, int | np.integer) or not 1 <= mutants < size:
        raise ValueError(f"mutants is {mutants!r}; allowed: 1 to {size - 1}")
    ratios = log_ratios(M[j, j], M[j, i], M[i, j], M[i, i], size, not_negative("intensity", intensity), fitness)
    return float(np.exp(log_fixation(ratios, int(mutants))))


def log_fixation_probabilities(
    payoffs: Any, population: int, intensity: float, fitness: str = "exponential"
) -> np.ndarray:
    """Logarithms of all fixation probabilities, [resident, mutant]. The diagonal is that of a neutral mutant, -log N.

    Arguments and errors as in `fixation_probability`.
    """
    M = payoff_matrix(payoffs)
    size, beta = population_size(population), not_negative("intensity", intensity)
    n, own = len(M), np.diagonal(M)
    found = np.empty((n, n))
    rows = max(1, _CHUNK // (n * size))
    for first in range(0, n, rows):
        part = slice(first, first + rows)
        ratios = log_ratios(own[None, :], M.T[part], M[part], own[part, None], size, beta, fitness)
        found[part] = log_fixation(ratios, 1)
    np.fill_diagonal(found, -np.log(size))
    return found


def fixation_from_advantages(advantages: Any, intensity: float, mutants: int = 1) -> np.ndarray:
    """The probability that mutants take over, for payoffs of any game, for example one played in groups.

    Args:
      advantages: [..., N - 1], payoff of a mutant minus that of a resident with 1, ..., N - 1 mutants.
      intensity: of selection; fitness is exponential, or players imitate by pairwise comparison.
      mutants: their initial number.

    Returns:
      [...].

    Raises:
      ValueError: advantages that are not finite or are empty, or another argument out of its range.
    """
    found = np.asarray(advantages, np.float64)
    if found.ndim == 0 or found.shape[-1] == 0 or not np.isfinite(found).all():
        raise ValueError(
            f"advantages have the shape {list(found.shape)}; allowed: finite numbers [..., population - 1]"
        )
    if isinstance(mutants, bool) or not isinstance(mutants, int | np.integer) or not 1 <= mutants <= found.shape[-1]:
        raise ValueError(f"mutants is {mutants!r}; allowed: 1 to {found.shape[-1]}")
    return np.exp(log_fixation(-not_negative("intensity", intensity) * found, int(mutants)))


def log_ratios(a: Any, b: Any, c: Any, d: Any, size: int, intensity: float, fitness: str) -> np.ndarray:
    """log T-(k) / T+(k) for k = 1, ..., N - 1 mutants, [..., N - 1]."""
    one_of("fitness", fitness, FITNESS)
    a, b, c, d = (np.asarray(x, float)[..., None] for x in (a, b, c, d))
    k = np.arange(1, size)
    if fitness == "exponential":
        return (-intensity / (size - 1)) * ((k - 1) * a + (size - k) * b - k * c - (size - k - 1) * d)
    mutant = 1 + intensity * ((k - 1) * a + (size - k) * b) / (size - 1)
    resident = 1 + intensity * (k * c + (size - k - 1) * d) / (size - 1)
    least = min(mutant.min(), resident.min())
    if least <= 0:
        raise ValueError(f"linear fitness falls to {least:g}; allowed: above 0, a smaller intensity or larger payoffs")
    return np.log(resident) - np.log(mutant)


def log_fixation(log_ratios: np.ndarray, mutants: int) -> np.ndarray:
    """log of (1 + sum of the first mutants - 1 products) / (1 + sum of all of them), [...]."""
    products = np.cumsum(log_ratios, axis=-1)
    top = np.maximum(products.max(axis=-1), 0)
    terms = np.exp(products - top[..., None])
    # The first terms may be negligible compared with the largest of the rest, so they are summed on their own scale.
    head = products[..., : mutants - 1].max(axis=-1, initial=0.0)
    above = np.exp(-head) + np.exp(products[..., : mutants - 1] - head[..., None]).sum(axis=-1)
    return head + np.log(above) - top - np.log(np.exp(-top) + terms.sum(axis=-1))
