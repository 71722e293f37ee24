"""Nash equilibria of two-player games, by nashpy (Knight and Campbell 2018, JOSS 3)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from shaping.analysis.evolution.checks import one_of, payoff_matrix

METHODS = ("support_enumeration", "vertex_enumeration", "lemke_howson")
_MOST = 14


def nash_equilibria(
    payoffs: Any, column_payoffs: Any = None, method: str = "support_enumeration"
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mixed strategies of the row and the column player in equilibrium, each [strategies].

    Enumeration finds all equilibria of a nondegenerate game, in time that grows exponentially with the number of
    strategies. Lemke-Howson finds one for each label that is dropped first, which may not be all. A degenerate game
    (strategies with equal payoffs) has infinitely many equilibria, of which some are found.

    Args:
      payoffs: [strategies, strategies], payoff of row against column.
      column_payoffs: [strategies, strategies], the column player's payoffs as [row, column]; None for the symmetric
        game, where they are the transpose.
      method: "support_enumeration", "vertex_enumeration" (both up to 14 strategies) or "lemke_howson".

    Raises:
      ValueError: an argument out of its range.
    """
    import nashpy

    M = payoff_matrix(payoffs)
    other = M.T if column_payoffs is None else payoff_matrix(column_payoffs, "column_payoffs")
    if other.shape != M.shape:
        raise ValueError(f"column_payoffs have the shape {list(other.shape)}; allowed: {list(M.shape)}")
    one_of("method", method, METHODS)
    if method != "lemke_howson" and len(M) > _MOST:
        raise ValueError(f"there are {len(M)} strategies; allowed: up to {_MOST} with {method}, or lemke_howson")
    game = nashpy.Game(M, other)
    solve = game.lemke_howson_enumeration if method == "lemke_howson" else getattr(game, method)
    with warnings.catch_warnings():
        # nashpy warns of degenerate games; the docstring says that not all their equilibria are found.
        warnings.simplefilter("ignore")
        found = [(np.asarray(x, float), np.asarray(y, float)) for x, y in solve()]
    return _distinct([pair for pair in found if _in_equilibrium(M, other, *pair)])


def _in_equilibrium(M: np.ndarray, other: np.ndarray, x: np.ndarray, y: np.ndarray) -> bool:
    """Whether neither player can gain; Lemke-Howson may end elsewhere in a degenerate game."""
    if x.shape != (len(M),) or y.shape != (len(M),) or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return False
    slack = 1e-8 * max(float(np.ptp(M)), float(np.ptp(other)), 1.0)
    return bool((M @ y).max() <= x @ M @ y + slack and (x @ other).max() <= x @ other @ y + slack)


def _distinct(pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for x, y in pairs:
        if not any(np.allclose(x, a, atol=1e-8) and np.allclose(y, b, atol=1e-8) for a, b in kept):
            kept.append((x, y))
    return kept
