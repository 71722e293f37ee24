"""Stationary distributions of Markov chains whose probabilities span any number of orders of magnitude.

State reduction (Grassmann, Taksar and Heyman 1985, Operations Research 33; Sheskin 1985) removes one state after
another and redirects the flow through it:

    p_ij <- p_ij + p_ik p_kj / sum_{l < k} p_kl                            for all i, j < k

Nothing is ever subtracted, so every entry of the result keeps its relative accuracy however small it is (O'Cinneide
1993, Numerische Mathematik 65), where eigensolvers lose it. Diagonals are not needed, and a row may be multiplied by
any number: that only changes how long the chain stays in that state.

Numbers too small for a float64 are handled in logarithms. Large chains are reduced block by block with matrix products.
Each row is scaled by its largest entry, and the states that are left most rarely come last. If something that matters
may have been lost, the chain is reduced again in logarithms.
"""

from __future__ import annotations

import numpy as np

SMALL = 128
"""Chains of up to this many states are reduced in logarithms directly."""
_BLOCK = 64
_ROWS = 512
# Matrix products are trusted if every state is left with at least this fraction of its fastest exit, so that what
# underflows (below 1e-308) has no weight.
_LEAST_EXIT = 1e-60
_LEAST_SHARE = 1e-150


def log_stationary(log_rates: np.ndarray, small: int = SMALL) -> np.ndarray:
    """The logarithm of the stationary distribution, [states].

    Args:
      log_rates: [states, states], logarithm of the probability (or the rate) from row to column, -inf for never. The
        diagonal is not used. The array is overwritten.
      small: up to this many states, only logarithms are used.

    Raises:
      ValueError: the chain has more than one closed class, so there is more than one stationary distribution.
    """
    np.fill_diagonal(log_rates, -np.inf)
    if len(log_rates) > small:
        found = _in_blocks(log_rates)
        if found is not None:
            return found
    return _in_logarithms(log_rates)


def _in_logarithms(L: np.ndarray) -> np.ndarray:
    n = len(L)
    # The state that is left most rarely is removed last, as it may never be left.
    order = np.argsort(L.max(axis=1), kind="stable")
    L = L[np.ix_(order, order)]
    for k in range(n - 1, 0, -1):
        leaves = _log_sum(L[k, :k])
        if leaves == -np.inf:
            raise ValueError("the chain has more than one closed class; allowed: one, where every other state leads")
        L[:k, k] -= leaves
        rest = L[:k, :k]
        np.logaddexp(rest, L[:k, k, None] + L[k, :k], out=rest)
    log_pi = np.zeros(n)
    for k in range(1, n):
        log_pi[k] = _log_sum(log_pi[:k] + L[:k, k])
    found = np.empty(n)
    found[order] = log_pi - _log_sum(log_pi)
    return found


def _in_blocks(L: np.ndarray) -> np.ndarray | None:
    """As `_in_logarithms`, by float64 matrix products; None if something that matters may have been lost."""
    n = len(L)
    scale = L.max(axis=1)
    if not np.isfinite(scale).all():
        return None
    order = np.argsort(scale, kind="stable")
    P = np.empty((n, n))
    for first in range(0, n, _ROWS):
        rows = order[first : first + _ROWS]
        np.subtract(L[rows][:, order], scale[rows, None], out=P[first : first + _ROWS])
        np.exp(P[first : first + _ROWS], out=P[first : first + _ROWS])
    starts = list(range(0, n, _BLOCK))
    for start in starts[:0:-1]:
        block = slice(start, min(start + _BLOCK, n))
        visits, least = _visits(P[block, block], P[block, :start].sum(axis=1))
        if least < _LEAST_EXIT:
            return None
        # Expected visits to the block's states, for each way into it.
        P[:start, block] = P[:start, block] @ visits
        for first in range(0, start, _ROWS):
            rows = slice(first, min(first + _ROWS, start))
            P[rows, :start] += P[rows, block] @ P[block, :start]
    np.fill_diagonal(P, 0)
    pi = np.zeros(n)
    with np.errstate(divide="ignore"):
        first = np.exp(_in_logarithms(np.log(P[: starts[1], : starts[1]])))
    pi[: starts[1]] = first
    for start in starts[1:]:
        block = slice(start, min(start + _BLOCK, n))
        pi[block] = pi[:start] @ P[:start, block]
    pi /= pi.sum()
    with np.errstate(divide="ignore"):
        weights = np.where(pi > _LEAST_SHARE, np.log(pi), np.log(_LEAST_SHARE)) - scale[order]
    lost = pi <= _LEAST_SHARE
    most = weights[~lost].max()
    if np.any(weights[lost] > most - 50):
        return None
    weights[lost] = -np.inf
    found = np.empty(n)
    found[order] = weights - _log_sum(weights)
    return found


def _visits(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, float]:
    """Expected visits (I - inside)^-1 of a block before it is left, and the smallest probability of leaving a state.

    Args:
      inside: [states, states], non-negative; the diagonal is not used.
      outside: [states], the sums of the entries that lead out of the block.

    With the states removed from the last one on, I - inside = (I - X) D (I - Y): X is strictly upper triangular, Y
    strictly lower, and D is diagonal with the sums of what remains. None of them, nor (I - X)^-1 and (I - Y)^-1, has a
    negative entry.
    """
    b = len(inside)
    A, out = inside.copy(), outside.copy()
    leaves = np.empty(b)
    for k in range(b - 1, -1, -1):
        leaves[k] = A[k, :k].sum() + out[k]
        if leaves[k] <= 0:
            return A, 0.0
        A[:k, k] /= leaves[k]
        A[:k, :k] += A[:k, k, None] * A[k, :k]
        out[:k] += A[:k, k] * out[k]
    left, right = np.eye(b), np.eye(b)
    for k in range(b - 1, -1, -1):
        left[k, k + 1 :] = A[k, k + 1 :] @ left[k + 1 :, k + 1 :]
    for k in range(b):
        right[k, :k] = (A[k, :k] / leaves[k]) @ right[:k, :k]
    return (right / leaves) @ left, float(leaves.min())


def _log_sum(x: np.ndarray) -> float:
    top = x.max()
    return float(top if top == -np.inf else top + np.log(np.exp(x - top).sum()))
