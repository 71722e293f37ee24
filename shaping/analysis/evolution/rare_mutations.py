"""Evolution with rare mutations: a mutant's strategy replaces the population's one strategy, or dies out.

If mutations are so rare that each mutant takes over or dies out before the next one appears, the population nearly
always has a single strategy. It goes from s to r with probability rho_sr / (strategies - 1), where rho is the mutant's
fixation probability. The stationary distribution of this chain is the share of time of each strategy (Fudenberg and
Imhof 2006, Journal of Economic Theory 131; Imhof, Fudenberg and Nowak 2005, PNAS 102).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shaping.analysis.evolution.fixation import log_fixation_probabilities
from shaping.analysis.evolution.state_reduction import log_stationary


def stationary_distribution(
    payoffs: Any, population: int, intensity: float, fitness: str = "exponential"
) -> np.ndarray:
    """The share of time of each strategy, [strategies].

    Args:
      payoffs: [strategies, strategies], payoff of row against column.
      population: number of players, at least 2.
      intensity: of selection, at least 0.
      fitness: see `fixation_probability`.

    Raises:
      ValueError: an argument out of its range.
    """
    return np.exp(log_stationary(log_fixation_probabilities(payoffs, population, intensity, fitness)))
