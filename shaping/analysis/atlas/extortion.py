"""How near policies are to extortion, from tables of P(C) alone."""

from __future__ import annotations

import numpy as np

_FACTORS, _STRENGTHS = np.geomspace(1.5, 20, 24), np.linspace(0.1, 1, 19)


def extortion(tables: np.ndarray, payoffs: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """The extortionate strategy nearest to each policy, of those with a factor chi from 1.5 to 20.

    With a factor of 1 it is tit-for-tat, which takes no more than it gives.

    They are p_CC = 1 - phi (chi-1) c, p_CD = 1 - phi (1 + chi d), p_DC = phi (chi + d), p_DD = 0 with c = (R-P)/(P-S)
    and d = (T-P)/(P-S) (Press and Dyson 2012); phi is from a tenth of the most that chi allows, because with little of
    it everybody's rule is to repeat what it did.

    Args:
      tables: [policies, 5], P(C) at the start and after CC, CD, DC, DD, the own action first; NaN where unknown.
      payoffs: (R, S, T, P) of the player.

    Returns:
      The root mean square distance over the last four probabilities, and chi, [policies] each; NaN where a table is
      unknown, or the game is no prisoner's dilemma.
    """
    r, s, t, p = payoffs
    own = np.asarray(tables, float)[:, 1:]
    if not t > r > p > s:
        return np.full(len(own), np.nan), np.full(len(own), np.nan)
    c, d = (r - p) / (p - s), (t - p) / (p - s)
    chi, share = (x.ravel() for x in np.meshgrid(_FACTORS, _STRENGTHS, indexing="ij"))
    phi = share / np.maximum.reduce([(chi - 1) * c, 1 + chi * d, chi + d])
    points = np.stack([1 - phi * (chi - 1) * c, 1 - phi * (1 + chi * d), phi * (chi + d), np.zeros_like(phi)], axis=1)
    distance, factor = np.full(len(own), np.nan), np.full(len(own), np.nan)
    known = np.flatnonzero(np.isfinite(own).all(axis=1))
    for part in np.array_split(known, max(1, len(known) // 4096)):
        squares = ((own[part, None] - points) ** 2).mean(axis=2)
        at = squares.argmin(axis=1)
        distance[part], factor[part] = np.sqrt(squares[np.arange(len(part)), at]), chi[at]
    return distance, factor
