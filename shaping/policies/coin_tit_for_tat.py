"""Tit-for-tat in the Coin Game: does to others what was last done to it."""

from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.coin_game.game import CoinGame
from shaping.policies.coin_game_players import cooperate, greedy_any
from shaping.policies.coin_table import seen_cells
from shaping.policies.pickling import remakable
from shaping.policies.policy import Policy


@remakable
def coin_tit_for_tat(env: CoinGame, player: int = 0) -> Policy:
    """Takes only coins of its own colour (`coin_game_players.cooperate`) until another player takes one of them. Then
    it takes any coin (`coin_game_players.greedy_any`) until the last coin that another player took is not one of its
    own.

    It sees that a coin was taken when somebody stands on the coin's cell; theta is ().

    Args:
      env: the game it plays.
      player: its seat.

    Raises:
      ValueError: for egocentric observations, which do not show where a taken coin was, or an unknown seat.
    """
    if env.egocentric:
        raise ValueError("egocentric is True; allowed: False for tit-for-tat, which must see where a taken coin was")
    kind, unkind = cooperate(env, player), greedy_any(env, player)
    n = env.num_players

    def start(batch_shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
        return jnp.full((*batch_shape, n), -1, jnp.int32), jnp.zeros(batch_shape, bool)

    def apply(theta: Any, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        from shaping.policies.distributions import categorical

        players, coins = seen_cells(env, player, observation)
        before, angry = memory
        # The others, whose own seat is excluded on both sides: who stands where a coin of which colour was.
        there = (players[..., 1:, None] == before[..., None, :]) & (before >= 0)[..., None, :]
        taken = jnp.any(there, axis=-2)
        other = jnp.any(taken[..., 1:], axis=-1)
        angry = jnp.where(taken[..., 0], True, jnp.where(other, False, angry))
        logits = [policy.apply((), observation, None)[0].logits for policy in (kind, unkind)]
        return categorical(jnp.where(angry[..., None], logits[1], logits[0])), (coins, angry)

    def table(theta: Any) -> Any:
        raise ValueError("coin_tit_for_tat has no table of logits; allowed: policies made to learn, such as coin_table")

    return Policy(
        "coin_tit_for_tat",
        (env, player),
        kind.init,
        start,
        apply,
        table,
        scalars=False,
        tabulated=False,
        observation_space=env.observation_space,
        action_space=env.action_space,
    )
