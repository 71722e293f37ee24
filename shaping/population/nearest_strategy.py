"""The classic strategies that the learners of a population are nearest to, counted within a program; see
`classic_strategies`."""

from typing import Any

import jax
import jax.numpy as jnp

from shaping import classic_strategies
from shaping.classic_strategies import STRATEGIES
from shaping.objectives.game import Game


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
    own, other = payoffs[0], jnp.stack([payoffs[1, 0], payoffs[1, 2], payoffs[1, 1], payoffs[1, 3]])
    symmetric = jnp.all(jnp.abs(own - other) <= 1e-6 * jnp.abs(other))
    return classic_strategies.nearest(jnp, jnp.asarray(tables)[..., 1:], own, symmetric)[0].astype(jnp.int32)


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
