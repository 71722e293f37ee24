"""Rest points of the replicator equation, and whether they are stable."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.analysis.evolution.checks import payoff_matrix

_MOST = 16
_RANK = 1e-10


@dataclass(frozen=True)
class RestPoint:
    """Shares at which the dynamics rest.

    Attributes:
      shares: [strategies].
      payoff: what every strategy that is present earns.
      eigenvalues: complex [strategies - 1], of the dynamics linearised there within the simplex, largest real part
        first.
      stability: "stable" (all real parts are negative: nearby shares return), "unstable" (one is positive) or
        "neutral" (neither: the linear terms do not decide).
    """

    shares: np.ndarray
    payoff: float
    eigenvalues: np.ndarray
    stability: str


def rest_points(payoffs: Any) -> list[RestPoint]:
    """All isolated rest points of the replicator equation, pure strategies first.

    On the face of each set of strategies, they solve (M x)_i = v for all i in the set. If there is a continuum of
    solutions (strategies that do the same against each other, such as ALLC and tit-for-tat without noise), the
    interior of the face is left out; its corners are still found. A stable rest point is an evolutionarily stable
    state or at least an attractor (Hofbauer and Sigmund 1998, section 7).

    Args:
      payoffs: [strategies, strategies], up to 16 strategies, payoff of row against column.

    Raises:
      ValueError: not a square matrix, or one that is too large.
    """
    M = payoff_matrix(payoffs)
    n = len(M)
    if n > _MOST:
        raise ValueError(f"there are {n} strategies; allowed: up to {_MOST}, as all sets of them are tried")
    return [
        _around(M, x)
        for size in range(1, n + 1)
        for support in itertools.combinations(range(n), size)
        if (x := _on_face(M, list(support))) is not None
    ]


def _on_face(M: np.ndarray, support: list[int]) -> np.ndarray | None:
    """The rest point at which exactly these strategies are present; None if there is none or more than one."""
    size = len(support)
    system = np.ones((size + 1, size + 1))
    system[:size, :size] = M[np.ix_(support, support)] - M.mean()
    system[:size, size], system[size, size] = -1, 0
    values = np.linalg.svd(system, compute_uv=False)
    if values[-1] <= _RANK * values[0]:
        return None
    shares = np.linalg.solve(system, np.eye(size + 1)[size])[:size]
    if np.any(shares <= _RANK):
        return None
    x = np.zeros(len(M))
    x[support] = shares / shares.sum()
    return x


def _around(M: np.ndarray, x: np.ndarray) -> RestPoint:
    n = len(M)
    f = M @ x
    mean = float(x @ f)
    jacobian = np.diag(np.where(x > 0, 0, f - mean)) + x[:, None] * (M - f - M.T @ x)
    # An orthonormal basis of the directions that keep the sum of shares.
    basis = np.linalg.svd(np.ones((1, n)))[2][1:].T
    eigenvalues = np.linalg.eigvals(basis.T @ jacobian @ basis)
    eigenvalues = eigenvalues[np.argsort(-eigenvalues.real, kind="stable")]
    # Payoffs that are all alike leave eigenvalues of the size of their rounding errors.
    slack = 1e-9 * np.ptp(M) + 10 * n * np.finfo(float).eps * np.abs(M).max()
    largest = eigenvalues[0].real if n > 1 else -np.inf
    stability = "stable" if largest < -slack else "unstable" if largest > slack else "neutral"
    return RestPoint(x, mean, eigenvalues, stability)
