"""How zero-determinant a player is, and how extortionate: fits to its policy, or to what it and others earned.

With payoffs s_x, s_y of a joint action, a memory-one policy enforces  s_x - l = chi (s_y - l)  against any opponent if

    p(s) - [s begins with C] = phi ((s_x(s) - l) - chi (s_y(s) - l)),    s = CC, CD, DC, DD

(Press and Dyson 2012, PNAS 109; with discount d, d p(s) + (1 - d) p(start) in place of p(s): Hilbe, Traulsen and
Sigmund 2015, GEB 92). The right-hand side is linear in a = phi, b = -phi chi, c = phi (chi - 1) l, which are found by
least squares; then chi = -b / a and l = -c / (a + b). l = P is extortion, l = R generosity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ZeroDeterminant:
    """A fit. Every field has the leading shape of what was fitted, and is NaN where the data do not determine it.

    Attributes:
      chi: the extortion factor, 1 for tit-for-tat, infinite for an equaliser.
      baseline: l, the value at which both earn the same; undetermined at chi = 1.
      generosity: position of the baseline between mutual defection (0, extortionate) and mutual cooperation (1,
        generous).
      phi: how strongly the player responds; NaN in a fit to values.
      residual: root mean square of the residuals, of the four probabilities or of the player's own values.
      chi_error: standard error of chi; NaN for exact policies.
      chi_square: sum of squared residuals in units of their errors, with `freedom` degrees; NaN for exact policies.
      freedom: number of observations minus number of fitted parameters."""

    chi: np.ndarray
    baseline: np.ndarray
    generosity: np.ndarray
    phi: np.ndarray
    residual: np.ndarray
    chi_error: np.ndarray
    chi_square: np.ndarray
    freedom: np.ndarray


def zero_determinant_fit(policy: Any, payoffs: Any, steps: Any = None, discount: float = 1.0) -> ZeroDeterminant:
    """Fits memory-one policies, exact or measured.

    A measured probability has the variance p (1 - p) / steps and is weighted by its inverse. Standard errors follow
    from these variances to first order. Payoffs are known, so the only errors are in p.

    Args:
      policy: [..., 5], P(execute C) at the start and after CC, CD, DC, DD, own action first.
      payoffs: [4], own payoffs R, S, T, P (after CC, CD, DC, DD), of a symmetric game.
      steps: [..., 5], how often each state occurred, if the policy was measured (`cooperation_by_history`); None for
        exact policies.
      discount: that of the game's values, above 0; 1 for the mean per step.

    Raises:
      ValueError: other shapes, or a discount out of range.
    """
    p, own = np.asarray(policy, np.float64), np.asarray(payoffs, np.float64)
    if p.ndim == 0 or p.shape[-1] != 5:
        raise ValueError(f"policy has the shape {list(p.shape)}; allowed: [..., 5], the start first")
    if own.shape != (4,):
        raise ValueError(f"payoffs have the shape {list(own.shape)}; allowed: [4], R, S, T, P")
    if not 0 < discount <= 1:
        raise ValueError(f"discount is {discount!r}; allowed: above 0, up to 1")
    design = np.stack([own, own[[0, 2, 1, 3]], np.ones(4)], axis=1)
    start = np.where(np.isfinite(p[..., :1]), p[..., :1], 0) if discount == 1 else p[..., :1]
    target = discount * p[..., 1:] + (1 - discount) * start - np.array([1, 1, 0, 0.0])
    if steps is None:
        weights = np.broadcast_to(np.ones(4), target.shape)
    else:
        n = np.asarray(steps, np.float64)
        if n.shape != p.shape:
            raise ValueError(f"steps have the shape {list(n.shape)}; allowed: {list(p.shape)}, as policy")
        n = n[..., 1:]
        # Moved towards 1/2 by one step, so that what always happened is not taken as certain.
        likely = (n * np.where(n > 0, p[..., 1:], 0) + 0.5) / (n + 1)
        weights = n / (discount**2 * likely * (1 - likely))
        target = np.where(n > 0, target, 0)
    known = np.sum(weights > 0, axis=-1)
    normal = np.einsum("ki,...k,kj->...ij", design, weights, design)
    fits = (known >= 3) & (np.linalg.matrix_rank(normal) == 3) & np.isfinite(target).all(axis=-1)
    normal = np.where(fits[..., None, None], normal, np.eye(3))
    right = np.einsum("ki,...k,...k->...i", design, weights, np.where(fits[..., None], target, 0))
    solution = np.linalg.solve(normal, right[..., None])[..., 0]
    left = np.where(weights > 0, target - solution @ design.T, 0)
    a, b, c = np.moveaxis(np.where(fits[..., None], solution, np.nan), -1, 0)
    r, punishment = own[0], own[3]
    slack = 1e-9 * np.abs(design).max()
    with np.errstate(divide="ignore", invalid="ignore"):
        chi = np.where(np.abs(a) * slack < 1e-300, np.inf, -b / a)
        baseline = np.where(np.abs(a + b) > 1e-9 * (np.abs(a) + np.abs(b)), -c / (a + b), np.nan)
        generosity = (baseline - punishment) / (r - punishment)
        residual = np.sqrt(np.sum(left**2, axis=-1) / np.maximum(known, 1)) / discount
        error = square = np.full(chi.shape, np.nan)
        if steps is not None:
            covariance = np.linalg.inv(normal)
            slope = np.stack([b / a**2, -1 / a, np.zeros_like(a)], axis=-1)
            error = np.sqrt(np.einsum("...i,...ij,...j->...", slope, covariance, slope))
            square = np.sum(weights * left**2, axis=-1)

    def kept(x: np.ndarray) -> np.ndarray:
        return np.where(fits, x, np.nan)

    return ZeroDeterminant(
        chi=kept(chi),
        baseline=kept(baseline),
        generosity=kept(generosity),
        phi=a,
        residual=kept(residual),
        chi_error=kept(error),
        chi_square=kept(square),
        freedom=np.where(fits, known - 3, 0),
    )


def zero_determinant_line(own: Any, other: Any, errors: Any = None, payoffs: Any = None) -> ZeroDeterminant:
    """Fits the line own - l = chi (other - l) through what a player and its opponents earned, both with errors.

    For players of any kind, measured against several opponents. Minimises the sum of (own - l - chi (other - l))^2 /
    (variance of own + chi^2 variance of other - 2 chi covariance) (effective variance: York 1966; Deming 1943).
    Ordinary least squares would underestimate chi.

    Args:
      own, other: [opponents], three or more: the values of the player and of each opponent.
      errors: [opponents, 2, 2], covariance of the errors of (own, other). None for errors of the same size in both and
        for all opponents (orthogonal regression); their size is then estimated.
      payoffs: [4], R, S, T, P, for the generosity; None leaves it NaN.

    Raises:
      ValueError: fewer than three opponents, or shapes that do not fit.
    """
    from scipy.optimize import minimize_scalar

    y, x = np.asarray(own, np.float64), np.asarray(other, np.float64)
    if y.ndim != 1 or x.shape != y.shape or len(y) < 3:
        raise ValueError(f"values have the shapes {list(y.shape)} and {list(x.shape)}; allowed: [opponents], 3 or more")
    given = errors is not None
    covariance = np.asarray(errors, np.float64) if given else np.broadcast_to(np.eye(2), (len(y), 2, 2))
    if covariance.shape != (len(y), 2, 2):
        raise ValueError(f"errors have the shape {list(covariance.shape)}; allowed: {[len(y), 2, 2]}")
    floor = 1e-300

    def at(angle: float) -> tuple[float, float, np.ndarray]:
        """Sum of squares and distance of the best line in this direction, cos y - sin x = distance; and weights."""
        normal = np.array([np.cos(angle), -np.sin(angle)])
        weights = 1 / np.maximum(np.einsum("i,kij,j->k", normal, covariance, normal), floor)
        beside = normal[0] * y + normal[1] * x
        distance = float(np.sum(weights * beside) / weights.sum())
        return float(np.sum(weights * (beside - distance) ** 2)), distance, weights

    angles = np.linspace(-np.pi / 2, np.pi / 2, 181)
    best = angles[np.argmin([at(angle)[0] for angle in angles])]
    step = angles[1] - angles[0]
    near = (best - step, best + step)
    found: Any = minimize_scalar(lambda v: at(v)[0], bounds=near, method="bounded", options={"xatol": 1e-12})
    angle = float(found.x)
    square, distance, _ = at(angle)
    chi = np.tan(angle)
    intercept = distance / np.cos(angle)
    baseline = intercept / (1 - chi) if abs(1 - chi) > 1e-9 else np.nan
    h = 1e-4
    curvature = max((at(angle + h)[0] - 2 * square + at(angle - h)[0]) / h**2, floor)
    size = 1.0 if given else square / (len(y) - 2)
    error = np.sqrt(2 * size / curvature) * (1 + chi**2)
    generosity = np.nan
    if payoffs is not None:
        r, _, _, p = np.asarray(payoffs, np.float64)
        generosity = (baseline - p) / (r - p)
    residual = np.sqrt(np.mean((y - intercept - chi * x) ** 2))
    numbers = (chi, baseline, generosity, np.nan, residual, error, square if given else np.nan, len(y) - 2)
    return ZeroDeterminant(*(np.asarray(number) for number in numbers))
