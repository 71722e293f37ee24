"""Exact best responses in repeated two-player games with two actions, for thousands of policies at once.

Against a player that remembers k rounds, or is a machine, the other player faces a Markov decision problem whose states
are the histories or the machine's states. No strategy, whatever it remembers, does better than the best stationary one
(Press and Dyson 2012, PNAS 109, appendix A, for memory-one players). Without a horizon the problem is solved by policy
iteration (Howard 1960), with one by backward induction. In NumPy and float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.envs import MatrixGame
from shaping.objectives.behaviour_tables import behaviours, lengthened, memory_of, next_histories
from shaping.objectives.game import value_scale
from shaping.objectives.returns_memory_k import own_histories

# Actions whose values differ by less than this fraction of the range of values, or by rounding, are equally good.
_TIE = 1e-11
_ROUNDING = 64 * np.finfo(float).eps
_MOST_ROUNDS = 1000
_BYTES = 2**27
# Joint actions of the responder and its opponent, the responder's first.
_OWN, _OTHER = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])


@dataclass(frozen=True)
class BestResponses:
    """A best response to each of many players.

    Attributes:
      value: [players], the response's normalised value.
      opponent_value: [players], what the player itself gets against the response.
      actions: int8 [players, states], or [players, steps, states] with a horizon: 0 to cooperate, 1 to defect, after
        each history as the player sees it (its own action first), or in each state of its machine. Among equally good
        actions, the first; 0 for states beyond a machine's own.
    """

    value: np.ndarray
    opponent_value: np.ndarray
    actions: np.ndarray


@dataclass(frozen=True)
class Exploitabilities:
    """How far pairs of policies are from an equilibrium, in normalised values.

    Attributes:
      gains: [pairs, 2], what each seat would gain by a best response to the other.
      nash_conv: [pairs], their sum; 0 only at a Nash equilibrium (Lanctot et al. 2017).
      values: [pairs, 2], values of the policies as they are.
      best_values: [pairs, 2], values of best responses.
    """

    gains: np.ndarray
    nash_conv: np.ndarray
    values: np.ndarray
    best_values: np.ndarray


def best_responses(game: MatrixGame, players: Any, seat: int = 0) -> BestResponses:
    """Best responses to fixed players.

    Args:
      game: of two players, with any horizon; its payoffs, discount and noise are used.
      players: see `shaping.league_values`.
      seat: the seat of the responses; the players sit in the other one.

    Raises:
      ValueError: a game of more players, no such seat, or a player that is neither table nor machine.
    """
    if game.num_players != 2:
        raise ValueError(f"the game has {game.num_players} players; allowed: 2")
    if isinstance(seat, bool) or seat not in (0, 1):
        raise ValueError(f"seat is {seat!r}; allowed: 0 or 1")
    cooperation, follows = _chains(behaviours(players))
    parts = [
        _solved(game, cooperation[part], follows[part] if len(follows) > 1 else follows, seat)
        for part in _parts(*cooperation.shape)
    ]
    value, other, actions = (np.concatenate(each) for each in zip(*parts, strict=True))
    scale = float(value_scale(game.discount, game.horizon))
    return BestResponses(value * scale, other * scale, actions)


def exploitabilities(game: MatrixGame, first: Any, second: Any) -> Exploitabilities:
    """What each of two players would gain by a best response to the other, for many pairs.

    Args:
      game: see `best_responses`.
      first, second: players in seats 0 and 1: tables [pairs, histories] or other forms that `shaping.league_values`
        takes, equally many in both.

    Raises:
      ValueError: as `best_responses`; different numbers of players, or machines.
    """
    sides = [behaviours(players) for players in (first, second)]
    if any(isinstance(side, list) for side in sides):
        raise ValueError("there are machines among the players; allowed: tables")
    tables = [np.asarray(side) for side in sides]
    if len(tables[0]) != len(tables[1]):
        raise ValueError(f"there are {len(tables[0])} and {len(tables[1])} players; allowed: as many in each seat")
    best = np.stack([best_responses(game, tables[1], 0).value, best_responses(game, tables[0], 1).value], axis=1)
    values = pair_values(game, tables[0], tables[1])
    gains = best - values
    return Exploitabilities(gains, gains.sum(axis=1), values, best)


def pair_values(game: MatrixGame, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Normalised values [pairs, 2] of tables [pairs, histories] that meet pair by pair."""
    memory = max(memory_of(first), memory_of(second))
    first, second = (lengthened(table, memory) for table in (first, second))
    p, q = (c + eps * (1 - 2 * c) for c, eps in zip((first, second), _noise(game), strict=True))
    if game.state_view == "own":
        q = q[:, own_histories(memory)]
    weights = np.stack([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)], axis=2)
    payoffs = np.asarray(game.payoffs).reshape(2, 4)
    follows = next_histories(memory)[None, :, 1:]
    found = []
    for part in _parts(*first.shape):
        rewards = weights[part] @ payoffs.T
        if game.horizon is None:
            found.append(_stationary(weights[part], follows, rewards, game.discount)[:, 0])
            continue
        ahead = np.zeros_like(rewards)
        for _ in range(game.horizon):
            ahead = rewards + game.discount * np.stack(
                [_ahead(weights[part], follows, ahead[..., i]) for i in (0, 1)], -1
            )
        found.append(ahead[:, 0])
    return np.concatenate(found) * float(value_scale(game.discount, game.horizon))


def _chains(found: Any) -> tuple[np.ndarray, np.ndarray]:
    """P(choose C) [players, states], and the state after each observation CC, CD, DC, DD, [players or 1, states, 4].
    Play starts in state 0."""
    if isinstance(found, np.ndarray):
        return found, next_histories(memory_of(found))[None, :, 1:]
    states = max(len(machine.cooperation) for machine in found)
    cooperation = np.zeros((len(found), states))
    follows = np.zeros((len(found), states, 4), np.int32)
    for i, machine in enumerate(found):
        moves = np.asarray(machine.transition)
        # The state in which play begins comes first: it swaps its number with state 0.
        order = np.arange(len(moves))
        start = int(moves[0, 0])
        order[[0, start]] = order[[start, 0]]
        cooperation[i, : len(moves)] = np.asarray(machine.cooperation)[order]
        follows[i, : len(moves)] = order[moves[order, 1:]]
    return cooperation, follows


def _parts(players: int, states: int) -> Iterator[slice]:
    rows = max(1, _BYTES // (8 * states * max(states, 8)))
    for first in range(0, players, rows):
        yield slice(first, min(first + rows, players))


def _noise(game: MatrixGame) -> np.ndarray:
    return np.broadcast_to(np.asarray(game.noise, float), (2,))


def _solved(
    game: MatrixGame, chosen: np.ndarray, follows: np.ndarray, seat: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unscaled values of responses and of players, [players] each, and actions."""
    noise, payoffs = _noise(game), np.asarray(game.payoffs)
    own, other = noise[seat], noise[1 - seat]
    # Rewards by the responder's action, then the opponent's.
    both = np.stack([payoffs[i] if seat == 0 else payoffs[i].T for i in (seat, 1 - seat)]).reshape(2, 4)
    cooperates = chosen + other * (1 - 2 * chosen)
    # What the player observes of each joint action: its own first, or seat 0's.
    own_first = game.state_view == "own" or seat == 1
    follows = follows[..., 2 * _OTHER + _OWN if own_first else 2 * _OWN + _OTHER]
    meets = np.stack([cooperates, 1 - cooperates], axis=2)
    # P(joint action | state, chosen action), [players, states, chosen, 4].
    hand = np.array([[1 - own, own], [own, 1 - own]])
    weights = hand[:, _OWN] * meets[:, :, None, _OTHER]
    rewards = weights @ both.T  # [players, states, chosen, 2]
    if game.horizon is None:
        return _without_end(weights, follows, rewards, game.discount)
    ahead = np.zeros((*chosen.shape, 2))
    actions = []
    for _ in range(game.horizon):
        worth = rewards + game.discount * np.stack([_ahead(weights, follows, ahead[..., i]) for i in (0, 1)], axis=-1)
        best = _first_best(worth[..., 0])
        actions.append(best.astype(np.int8))
        ahead = np.take_along_axis(worth, best[:, :, None, None], axis=2)[:, :, 0]
    return ahead[:, 0, 0], ahead[:, 0, 1], np.stack(actions[::-1], axis=1)


def _without_end(
    weights: np.ndarray, follows: np.ndarray, rewards: np.ndarray, discount: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Policy iteration, among the players whose response still changes."""
    players, states = rewards.shape[:2]
    actions = np.argmax(rewards[..., 0], axis=2)
    ahead = np.zeros((players, states))
    todo = np.arange(players)
    for _ in range(_MOST_ROUNDS):  # few are needed, as each round improves the values, up to rounding
        if not len(todo):
            break
        moves, next_states = weights[todo], follows if len(follows) == 1 else follows[todo]
        now = actions[todo]
        taken, paid = _take(moves, now), _take(rewards[todo], now)[..., :1]
        ahead[todo] = _stationary(taken, next_states, paid, discount)[..., 0]
        worth = rewards[todo][..., 0] + discount * _ahead(moves, next_states, ahead[todo])
        gain = worth.max(axis=2) - np.take_along_axis(worth, now[:, :, None], axis=2)[:, :, 0]
        better = gain > _slack(worth)[:, None]
        actions[todo] = np.where(better, np.argmax(worth, axis=2), now)
        todo = todo[better.any(axis=1)]
    best = _first_best(rewards[..., 0] + discount * _ahead(weights, follows, ahead))
    both = _stationary(_take(weights, best), follows, _take(rewards, best), discount)[:, 0]
    return both[:, 0], both[:, 1], best.astype(np.int8)


def _stationary(weights: np.ndarray, follows: np.ndarray, rewards: np.ndarray, discount: float) -> np.ndarray:
    """Discounted sums [players, states, kinds] of these kinds of rewards, from P(joint action | state)."""
    players, states = weights.shape[:2]
    system = np.zeros((players, states, states))
    rows, columns = np.arange(players)[:, None], np.arange(states)[None, :]
    for action in range(4):
        # Each joint action leads a state to one other, so no entry occurs twice.
        system[rows, columns, follows[:, :, action]] -= discount * weights[:, :, action]
    system[:, np.arange(states), np.arange(states)] += 1
    return np.linalg.solve(system, rewards)


def _ahead(weights: np.ndarray, follows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Expected values of the next state, [players, states, ...], from values [players, states]."""
    players, states = values.shape
    index = np.broadcast_to(follows, (players, states, 4)).reshape(players, -1)
    following = np.take_along_axis(values, index, axis=1).reshape(players, states, 4)
    if weights.ndim == 4:
        following = following[:, :, None, :]
    return np.sum(weights * following, axis=-1)


def _take(x: np.ndarray, actions: np.ndarray) -> np.ndarray:
    return np.take_along_axis(x, actions[:, :, None, None], axis=2)[:, :, 0]


def _first_best(worth: np.ndarray) -> np.ndarray:
    return np.argmax(worth >= worth.max(axis=2, keepdims=True) - _slack(worth)[:, None, None], axis=2)


def _slack(worth: np.ndarray) -> np.ndarray:
    high, low = worth.max(axis=(1, 2)), worth.min(axis=(1, 2))
    return _TIE * (high - low) + _ROUNDING * np.maximum(np.abs(high), np.abs(low)) + np.finfo(float).tiny
