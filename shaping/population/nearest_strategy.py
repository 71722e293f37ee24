"""The classic strategy that a memory-one policy is nearest to, computed within a program.

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

import jax
import jax.numpy as jnp

from shaping.objectives.game import Game

STRATEGIES = ("ALLC", "ALLD", "TFT", "GRIM", "WSLS", "generous TFT", "extortionate")
_PURE = ((1, 1, 1, 1), (0, 0, 0, 0), (1, 0, 1, 0), (1, 0, 0, 0), (1, 0, 0, 1))


def classifies(game: Game) -> bool:
    """Whether the policies of a game can be compared with classic strategies: tables that remember one round of two
    players, and mean the same in both seats."""
    if not game.tabular or len(game.policies) != 2 or not game.exchangeable:
        return False
    thetas = [policy.shapes for policy in game.policies]
    tables: Any = jax.eval_shape(game.cooperation, thetas)
    return tables is not None and tables.shape == (2, 5)


def nearest(tables: jax.Array, payoffs: jax.Array) -> jax.Array:
    """The number of the nearest strategy, among `STRATEGIES`, [...] int32; -1 where a probability is not finite.

    Args:
      tables: [..., 5], P(cooperate | start, CC, CD, DC, DD), the own action first.
      payoffs: [2, 4], what CC, CD, DC, DD pay each player, player 0's action first. Those of player 0 count.
    """
    tables = jnp.asarray(tables)
    own = tables[..., 1:]
    r, s, t, p = payoffs[0]
    dilemma = (t > r) & (r > p) & (p > s)
    other = jnp.stack([payoffs[1, 0], payoffs[1, 2], payoffs[1, 1], payoffs[1, 3]])
    symmetric = jnp.all(jnp.abs(payoffs[0] - other) <= 1e-6 * jnp.abs(other))
    generosity = jnp.clip(jnp.where(dilemma, jnp.minimum(1 - (t - r) / (r - s), (r - p) / (t - p)), 1 / 3), 0, 1)
    one = jnp.ones_like(generosity)
    points = [*jnp.asarray(_PURE, tables.dtype), jnp.stack([one, generosity, one, generosity])]
    distances = [jnp.sqrt(jnp.sum((own - point) ** 2, axis=-1)) for point in points]
    phi, phi_chi, residual = _extortion(own, (r - p) / (p - s), (t - p) / (p - s))
    extorts = dilemma & symmetric & (residual / 2 < 0.05) & (phi > 0) & (phi_chi > 1.05 * phi)
    distances.append(jnp.where(extorts, residual, jnp.inf))
    each = jnp.stack([jnp.nan_to_num(distance, nan=jnp.inf, posinf=jnp.inf) for distance in distances])
    return jnp.where(jnp.all(jnp.isfinite(own), axis=-1), jnp.argmin(each, axis=0), -1).astype(jnp.int32)


def counts_of_nearest(game: Game, params: jax.Array, thetas: jax.Array) -> jax.Array:
    """How many learners are nearest to each classic strategy, [strategies] int32; those whose policies are not finite
    do not count.

    Args:
      game: one that `classifies`.
      params: its numbers.
      thetas: parameters of learners of a population, leaves [learners, ...].
    """
    tables = jax.vmap(lambda theta: game.cooperation([theta, theta])[0])(thetas)  # pyright: ignore
    payoffs = game.round_payoffs(params)
    assert payoffs is not None
    found = nearest(tables, payoffs)
    return jnp.stack([jnp.sum(found == place, dtype=jnp.int32) for place in range(len(STRATEGIES))])


def _extortion(own: jax.Array, c: jax.Array, d: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(phi, phi chi, residual norm) of the least-squares fit of an extortionate strategy, [...] each."""
    # Columns of the design are (c, -1, d) for phi and (-c, -d, 1) for phi chi.
    y1, y2, y3 = own[..., 0] - 1, own[..., 1] - 1, own[..., 2]
    aa, bb, ab = c * c + 1 + d * d, c * c + d * d + 1, -c * c + 2 * d
    ay, by = c * y1 - y2 + d * y3, -c * y1 - d * y2 + y3
    det = aa * bb - ab * ab
    phi, phi_chi = (bb * ay - ab * by) / det, (aa * by - ab * ay) / det
    e1, e2, e3 = y1 - c * (phi - phi_chi), y2 + phi + d * phi_chi, y3 - d * phi - phi_chi
    return phi, phi_chi, jnp.sqrt(e1 * e1 + e2 * e2 + e3 * e3 + own[..., 3] ** 2)
