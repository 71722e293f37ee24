"""Evolution with rare mutations: a population of one strategy is replaced by that of a mutant, or keeps its place.

With mutations so rare that each fixes or dies before the next, the population is nearly always of one strategy. It goes
from s to r with probability rho_sr / (strategies - 1), rho the mutant's fixation probability, and the stationary
distribution of this chain says how long each strategy rules (Fudenberg and Imhof 2006, Journal of Economic Theory 131;
Imhof, Fudenberg and Nowak 2005, PNAS 102).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shaping.analysis.evolution.fixation import log_fixation_probabilities
from shaping.analysis.evolution.state_reduction import log_stationary


def stationary_distribution(
    payoffs: Any, population: int, intensity: float, fitness: str = "exponential"
) -> np.ndarray:
    """The share of time that each strategy rules, [strategies].

    Args:
      payoffs: [strategies, strategies], what row gets from column.
      population: players, at least 2.
      intensity: of selection, at least 0.
      fitness: see `fixation_probability`.

    Raises:
      ValueError: an argument out of its range.
    """
    return np.exp(log_stationary(log_fixation_probabilities(payoffs, population, intensity, fitness)))
