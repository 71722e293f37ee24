"""The classic strategy that a memory-one policy is nearest to: the one definition for programs and reports, in NumPy or
JAX arrays.

The nearest is at the smallest Euclidean distance over the four probabilities of cooperation after CC, CD, DC, DD, the
own action first; ties go to the strategy named first:

    ALLC           1, 1, 1, 1
    ALLD           0, 0, 0, 0
    TFT            1, 0, 1, 0
    GRIM           1, 0, 0, 0
    WSLS           1, 0, 0, 1
    generous TFT   1, q, 1, q with q = min(1 - (T-R)/(R-S), (R-P)/(T-P)) in a prisoner's dilemma (Nowak and Sigmund
                   1992), 1/3 elsewhere
    extortionate   the best fit of 1 - phi (chi-1) c, 1 - phi (1 + chi d), phi (chi + d), 0 with c = (R-P)/(P-S) and d =
                   (T-P)/(P-S) (Press and Dyson 2012), in a symmetric prisoner's dilemma, if its root mean square error
                   is below 0.05, phi above 0 and chi above 1.05
"""

from typing import Any

STRATEGIES = ("ALLC", "ALLD", "TFT", "GRIM", "WSLS", "generous TFT", "extortionate")
EXTORTIONATE = STRATEGIES.index("extortionate")
UNDEFINED = -1
"""Label of a policy that is not finite."""

_PURE = ((1, 1, 1, 1), (0, 0, 0, 0), (1, 0, 1, 0), (1, 0, 0, 0), (1, 0, 0, 1))
_LARGEST_ERROR, _LEAST_CHI = 0.05, 1.05


def nearest(xp: Any, policy: Any, payoffs: Any, symmetric: Any) -> tuple[Any, Any]:
    """The nearest strategies.

    Args:
      xp: numpy or jax.numpy.
      policy: [..., 4], P(C) after CC, CD, DC, DD, the own action first.
      payoffs: [..., 4], the player's own R, S, T, P.
      symmetric: [...] bool, whether they are those of the other player too.

    Returns:
      labels int [...], indices into STRATEGIES, or UNDEFINED; the factor chi of the extortionate fit [...], whatever
      the label is. Strategies that depend on payoffs are not the nearest where payoffs are not known.
    """
    r, s, t, p = (payoffs[..., place] for place in range(4))
    dilemma = (t > r) & (r > p) & (p > s)
    generosity = xp.clip(xp.where(dilemma, xp.minimum(1 - (t - r) / (r - s), (r - p) / (t - p)), 1 / 3), 0, 1)
    one = xp.ones_like(generosity)
    points = [*xp.asarray(_PURE, policy.dtype), xp.stack([one, generosity, one, generosity], axis=-1)]
    distances = [xp.sqrt(xp.sum((policy - point) ** 2, axis=-1)) for point in points]
    phi, phi_chi, residual = _extortion(xp, policy, (r - p) / (p - s), (t - p) / (p - s))
    extorts = dilemma & symmetric & (residual / 2 < _LARGEST_ERROR) & (phi > 0) & (phi_chi > _LEAST_CHI * phi)
    distances.append(xp.where(extorts, residual, xp.inf))
    each = xp.stack([xp.nan_to_num(distance, nan=xp.inf, posinf=xp.inf) for distance in distances])
    labels = xp.where(xp.all(xp.isfinite(policy), axis=-1), xp.argmin(each, axis=0), UNDEFINED)
    return labels, phi_chi / phi


def _extortion(xp: Any, policy: Any, c: Any, d: Any) -> tuple[Any, Any, Any]:
    """(phi, phi chi, residual norm) of the least-squares fit of an extortionate strategy, [...] each."""
    # Columns of the design are (c, -1, d) for phi and (-c, -d, 1) for phi chi.
    y1, y2, y3 = policy[..., 0] - 1, policy[..., 1] - 1, policy[..., 2]
    aa, bb, ab = c * c + 1 + d * d, c * c + d * d + 1, -c * c + 2 * d
    ay, by = c * y1 - y2 + d * y3, -c * y1 - d * y2 + y3
    det = aa * bb - ab * ab
    phi, phi_chi = (bb * ay - ab * by) / det, (aa * by - ab * ay) / det
    e1, e2, e3 = y1 - c * (phi - phi_chi), y2 + phi + d * phi_chi, y3 - d * phi - phi_chi
    return phi, phi_chi, xp.sqrt(e1 * e1 + e2 * e2 + e3 * e3 + policy[..., 3] ** 2)
