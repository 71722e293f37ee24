"""Exact values of everyone against everyone in the Coin Game, for players that act on what the chain's states hold.

A player that remembers nothing is a table over the boards, whatever form it has: a network that reads the board is
asked once for every board. A table with `last_takers` has the states of the chain with memory. `CoinChain` describes
both.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.coin_game.chain import board_number, board_of, num_boards
from shaping.envs.coin_game.game import CoinGame
from shaping.envs.measures import fraction
from shaping.objectives.exact_coin import ExactCoinGame, ExactCoinParams
from shaping.objectives.played_league_values import Seated
from shaping.policies.coin_table import coin_table
from shaping.policies.policy import Policy

_PAIRS = 256


def remembers(policy: Policy) -> bool:
    """Whether a player's action depends on more than the board."""
    return bool(jax.tree.leaves(jax.eval_shape(lambda: policy.start(()))))


def has_coin_chain(env: Any) -> bool:
    """Whether the states of an environment can be enumerated as those of the Coin Game are."""
    return hasattr(env, "begin_ranges")


def has_coin_table(policy: Policy) -> bool:
    """Whether `coin_probabilities` can describe the player."""
    return policy.kind == "coin_table" or not remembers(policy)


def coin_game_of(env: CoinGame, horizon: int | None, players: Sequence[Seated]) -> ExactCoinGame:
    """The exact game in which all these players have tables: with memory if one of them has memory, and with boards
    that are not folded if one of them may act on where on the board things are.

    Args:
      env: the environment; its own horizon is not used.
      horizon: steps of an episode; None for a game without end.
      players: each with `has_coin_table`.
    """
    policies = [policy for player in players for policy in player.policies]
    memory = any(policy.kind == "coin_table" and policy.structure[2] for policy in policies)
    folded = all(policy.kind != "coin_table" or policy.structure[3] for policy in policies) and all(
        policy.kind == "coin_table" or not policy.num_parameters for policy in policies
    )
    tables = tuple(coin_table(env, seat, memory, folded) for seat in (0, 1))
    return ExactCoinGame(env, horizon, tables, memory, folded)


def coin_probabilities(game: ExactCoinGame, player: Seated) -> list[np.ndarray]:
    """For each seat P(action | state) [states, actions], float64, states as the player sees them."""
    return [_table(game, player.policies[seat], player.thetas[seat], seat) for seat in (0, 1)]


def _table(game: ExactCoinGame, policy: Policy, theta: Any, seat: int) -> np.ndarray:
    chain, env = game.chain, game.env
    if policy.kind == "coin_table":
        logits = np.asarray(theta, np.float64)
        _, _, memory, folded = policy.structure
        if folded and not game.folded:
            logits = _unfolded(env, logits, 1 if not memory else chain.memories)
        logits = logits if memory or not game.memory else np.tile(logits, (chain.memories, 1))
        return _softmax(logits)
    boards = jax.tree.map(jnp.asarray, chain.boards)
    seen = jax.vmap(lambda board: env.observe(board, env.default_params))(boards)[:, seat]
    logits = jax.vmap(lambda one: policy.apply(theta, one, policy.start(()))[0].logits)(seen)
    found = np.tile(_softmax(np.asarray(logits, np.float64)), (chain.memories, 1))
    own = np.empty_like(found)
    own[chain.own_states(seat)] = found
    return own


def _unfolded(env: CoinGame, table: np.ndarray, memories: int) -> np.ndarray:
    """A table over folded boards as one over all boards."""
    boards = board_of(env, np.arange(num_boards(env, False)), False)
    folded = np.asarray(board_number(env, boards, True))
    return table.reshape(memories, num_boards(env, True), -1)[:, folded].reshape(memories * len(folded), -1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    found = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return found / found.sum(axis=-1, keepdims=True)


def coin_league_values(
    game: ExactCoinGame, params: ExactCoinParams, tables: Sequence[Sequence[np.ndarray]], pairs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Normalised values, and shares of own coins among all that a player takes.

    Args:
      game, params: the game and its numbers.
      tables: of each player, see `coin_probabilities`.
      pairs: int [pairs, 2], the players in seats 0 and 1.

    Returns:
      [pairs, seat] each; the share is NaN for a player that never takes a coin.
    """
    with jax.enable_x64(True):
        numbers = jax.tree.map(lambda x: jnp.asarray(np.asarray(x, np.float64)), params)
        # A probability of 0 has no logarithm, and one of 1e-300 never matters.
        logits = [jnp.log(jnp.maximum(jnp.asarray([each[seat] for each in tables]), 1e-300)) for seat in (0, 1)]
        width, found = min(_PAIRS, len(pairs)), []
        for start in range(0, len(pairs), width):
            part = pairs[start : start + width]
            padded = np.pad(part, ((0, width - len(part)), (0, 0)), mode="edge")
            met = _values(game, numbers, logits[0][padded[:, 0]], logits[1][padded[:, 1]])
            found.append([np.asarray(x)[: len(part)] for x in met])
    value, own = (np.concatenate(each) for each in zip(*found, strict=True))
    return value, own


@partial(jax.jit, static_argnames="game")
def _values(game: ExactCoinGame, params: Any, first: jax.Array, second: jax.Array) -> tuple[jax.Array, jax.Array]:
    def pair(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
        pickups = game.pickups(params, [a, b])
        return game.evaluate(params, [a, b])["value"], fraction(jnp.diagonal(pickups), pickups.sum(1))

    return jax.vmap(pair)(first, second)
