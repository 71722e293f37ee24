"""alpha-rank (Omidshafiei et al. 2019, "alpha-Rank: Multi-agent evaluation by evolution", Scientific Reports 9).

Strategies are ranked by the share of time that each has in a single population with rare mutations. The chain goes from
s to r with probability rho_sr / (strategies - 1); alpha is the intensity of selection, m the population size.

    local     a mutant meets only residents, u = alpha (M[r, s] - M[s, r]):
              rho = (1 - e^-u) / (1 - e^(-m u)), and 1 / m at u = 0
    global    everybody meets everybody: `fixation_probability`

In the limit of infinite alpha (section 2.5.2 of the paper, where a small epsilon keeps the chain irreducible), a mutant
takes over with probability 1 - epsilon if M[r, s] > M[s, r], epsilon if it is less, and 1/2 if they are equal. Payoffs
are used as they are, not divided by the population size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shaping.analysis.evolution.checks import not_negative, one_of, payoff_matrix, population_size
from shaping.analysis.evolution.fixation import log_fixation_probabilities
from shaping.analysis.evolution.state_reduction import log_stationary

SELECTION = ("local", "global")
_TIE = 1e-14
_ROWS = 512


def alpha_rank(
    payoffs: Any,
    intensity: float = 100.0,
    population: int = 50,
    selection: str = "local",
    epsilon: float = 0.01,
) -> np.ndarray:
    """The share of time of each strategy, [strategies]; the larger, the better its rank.

    Args:
      payoffs: [strategies, strategies], payoff of row against column.
      intensity: alpha, at least 0; `math.inf` for the limit.
      population: m, at least 2.
      selection: "local" or "global".
      epsilon: used only in the limit, above 0 and below 1/2.

    Raises:
      ValueError: an argument out of its range.
    """
    M = payoff_matrix(payoffs)
    alpha = not_negative("intensity", intensity, infinite=True)
    size = population_size(population)
    one_of("selection", selection, SELECTION)
    if not 0 < epsilon < 0.5:
        raise ValueError(f"epsilon is {epsilon!r}; allowed: above 0 and below 0.5")
    if alpha < np.inf and selection == "global":
        return np.exp(log_stationary(log_fixation_probabilities(M, size, alpha)))
    rates = np.empty(M.shape)
    for first in range(0, len(M), _ROWS):
        part = slice(first, first + _ROWS)
        ahead = M.T[part] - M[part]  # [resident, mutant]
        if alpha == np.inf:
            steps = np.where(ahead > _TIE, 1 - epsilon, np.where(ahead < -_TIE, epsilon, 0.5))
            rates[part] = np.log(steps)
        else:
            rates[part] = _log_local(alpha * ahead, size)
    return np.exp(log_stationary(rates))


def _log_local(u: np.ndarray, size: int) -> np.ndarray:
    """log (1 - e^-u) / (1 - e^(-m u))."""
    distance = np.maximum(np.abs(u), _TIE)
    with np.errstate(under="ignore"):
        found = np.log(-np.expm1(-distance)) - np.log(-np.expm1(-size * distance))
    # For a negative u the fraction is e^((m - 1) u) times that of -u.
    found += (size - 1) * np.minimum(u, 0)
    return found
