"""Elo ratings that fit results best.

P(row beats column) = 1 / (1 + 10^((rating_column - rating_row) / 400)) (Elo 1978), fitted to all results at once, like
the model of Bradley and Terry (1952), by Newton's method on its concave log-likelihood.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shaping.analysis.evolution.checks import payoff_matrix

_POINTS = 400 / np.log(10)


def elo(scores: Any, mean: float = 0.0) -> np.ndarray:
    """Maximum-likelihood ratings [strategies].

    Args:
      scores: [strategies, strategies], at least 0: how often row beat column, where a draw counts 1/2 for both; or the
        probability that row beats column. The diagonal is not used.
      mean: of all ratings.

    Raises:
      ValueError: scores below 0, or two groups of strategies of which one never scored against the other, so that
        ratings would be infinitely far apart.
    """
    from scipy.sparse.csgraph import connected_components

    wins = payoff_matrix(scores, "scores").copy()
    if wins.min() < 0:
        raise ValueError(f"scores go down to {wins.min():g}; allowed: at least 0, as they count wins")
    np.fill_diagonal(wins, 0)
    groups, group = connected_components(wins > 0, connection="strong")
    if groups > 1:
        raise ValueError(
            f"strategies fall into {groups} groups that did not all score against each other (strategy 0 and "
            f"{int(np.argmax(group != group[0]))} are in two); allowed: wins that lead from anybody to anybody"
        )
    played, won = wins + wins.T, wins.sum(axis=1)
    ratings = np.zeros(len(wins))
    for _ in range(200):
        chance = 1 / (1 + np.exp(ratings[None, :] - ratings[:, None]))
        slope = won - np.sum(played * chance, axis=1)
        weights = played * chance * (1 - chance)
        curvature = np.diag(weights.sum(axis=1)) - weights
        # Ratings are determined up to a constant; the matrix of ones keeps their sum.
        step = np.linalg.solve(curvature + 1 / len(wins), slope)
        ratings = ratings + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < 1e-12:
            break
    return mean + _POINTS * (ratings - ratings.mean())
