"""Exact best responses in the Coin Game: how much each player could gain by deviating while the others do not.

If the policies of all others are fixed and depend only on the state, a player faces a Markov decision problem, and no
strategy exceeds its optimum, whatever it remembers. The problem is solved by value iteration on the states of
`CoinChain`: backwards from the horizon or, in a game without end, until the bounds of MacQueen (1966; Puterman 1994,
section 6.6) differ only by rounding. Uses numpy and float64, one game at a time; nothing here is differentiated.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from shaping.objectives.exact_coin import ExactCoinGame, ExactCoinParams, coins_taken
from shaping.objectives.game import value_scale

# Actions whose values differ by less than this fraction of the largest value are equally good.
_TIE = 1e-11


@dataclass(frozen=True)
class BestResponse:
    """A best response of one player.

    Attributes:
      value: its return, unnormalised, expected over starts.
      actions: int [states], or [paid steps, states] in a finite game, where the response also depends on the time.
        States are numbered as the player sees them, like the rows of `shaping.coin_table`. Of equally good actions, the
        first.
    """

    value: float
    actions: np.ndarray


@dataclass(frozen=True)
class Exploitability:
    """How far policies are from an equilibrium, in the units of reports (`game.value_scale`): returns times
    (1 - discount), the mean per step at discount 1, and plain returns if there is one step.

    Attributes:
      gains: [players] value of the best response minus that of the player's own policy; below 0 only by rounding.
      nash_conv: the sum of the gains, 0 exactly at Nash equilibria (NashConv, Lanctot et al. 2017).
      values: [players] values of the policies as given.
      best_values: [players] values of the best responses to the others.
    """

    gains: np.ndarray
    nash_conv: float
    values: np.ndarray
    best_values: np.ndarray


def best_response(
    game: ExactCoinGame, params: ExactCoinParams, thetas: Sequence[Any], player: int, probabilities: bool = False
) -> BestResponse:
    """The best that one player can do while the others keep their policies.

    In a game without end the best response is stationary. In a finite game it also depends on the time, so it can be
    better than the best stationary policy, the kind of policy that an `ExactCoinGame` has.

    Args:
      game: the game, see `shaping.exact_coin_game`; its states are what the response may depend on.
      params: its numbers, for one game: discount [] without leading axes.
      thetas: parameters of all seats; those of `player` are not used.
      player: the seat.
      probabilities: whether `thetas` are tables of probabilities [states, actions] instead of parameters; states are
        numbered as each player sees them.

    Raises:
      ValueError: for a seat that the game does not have, for numbers of several games, or for tables that are not
        policies of this game.
    """
    if player not in range(game.env.num_players):
        raise ValueError(f"player is {player!r}; allowed: 0 to {game.env.num_players - 1}")
    return _best(game, params, _executed(game, params, thetas, probabilities), player)


def exploitability(
    game: ExactCoinGame, params: ExactCoinParams, thetas: Sequence[Any], probabilities: bool = False
) -> Exploitability:
    """What each player would gain by a best response to the others; the arguments are those of `best_response`.

    Raises:
      ValueError: see `best_response`.
    """
    tables = _executed(game, params, thetas, probabilities)
    seats, discount = range(game.env.num_players), float(params.discount)
    scale = float(value_scale(discount, game.horizon))
    own = np.array([_own_value(game, params, tables, player) for player in seats]) * scale
    best = np.array([_best(game, params, tables, player).value for player in seats]) * scale
    return Exploitability(best - own, float(np.sum(best - own)), own, best)


def _best(game: ExactCoinGame, params: ExactCoinParams, tables: list[np.ndarray], player: int) -> BestResponse:
    noise = float(params.noise[player])

    def best(worth: np.ndarray) -> np.ndarray:
        return (1 - noise) * worth.max(1) + noise * worth.mean(1)

    decisions = _decisions(game, params, tables, player)
    values = _values(game.chain.num_states, decisions, best, float(params.discount), _steps(game))
    chosen = []
    for following in values[1:]:
        worth = decisions(following)
        slack = _TIE * max(np.abs(worth).max(), np.finfo(float).tiny)
        chosen.append(np.argmax(worth >= worth.max(1, keepdims=True) - slack, axis=1))
    actions = np.empty((len(chosen), game.chain.num_states), np.int32)
    actions[:, game.chain.own_states(player)] = chosen
    return BestResponse(float(game.chain.start @ values[0]), actions[0] if game.horizon is None else actions)


def _own_value(game: ExactCoinGame, params: ExactCoinParams, tables: list[np.ndarray], player: int) -> float:
    decisions = _decisions(game, params, tables, player)

    def own(worth: np.ndarray) -> np.ndarray:
        return np.sum(tables[player] * worth, axis=1)

    values = _values(game.chain.num_states, decisions, own, float(params.discount), _steps(game))
    return float(game.chain.start @ values[0])


def _steps(game: ExactCoinGame) -> int | None:
    """The number of steps that pay."""
    return None if game.horizon is None else game.horizon - (game.env.last_step != "play")


def _executed(
    game: ExactCoinGame, params: ExactCoinParams, thetas: Sequence[Any], probabilities: bool
) -> list[np.ndarray]:
    """Probabilities of executed actions of all players, by state of the chain, [states, actions] float64 each."""
    n, chain, actions = game.env.num_players, game.chain, game.env.action_space.num_values
    if np.ndim(params.discount) or np.shape(params.rewards) != (n, 3) or np.shape(params.noise) != (n,):
        raise ValueError(
            f"discount, rewards and noise have shapes {list(np.shape(params.discount))}, "
            f"{list(np.shape(params.rewards))} and {list(np.shape(params.noise))}; allowed: [], [{n}, 3] and [{n}], "
            "one game at a time"
        )
    if len(thetas) != n:
        raise ValueError(f"thetas has the length {len(thetas)}; allowed: {n}, one per seat")
    executed = []
    for player, theta in enumerate(thetas):
        table = np.asarray(theta if probabilities else game.policies[player].table(theta), float)
        if table.shape != (chain.num_states, actions):
            raise ValueError(
                f"player {player} has a table of shape {list(table.shape)}; allowed: [{chain.num_states}, {actions}], "
                "states and actions of one game"
            )
        if not probabilities:
            table = np.exp(table - table.max(1, keepdims=True))
            table = table / table.sum(1, keepdims=True)
        if not (np.all(table >= 0) and np.allclose(table.sum(1), 1, rtol=0, atol=1e-6)):
            raise ValueError(
                f"player {player} has rows that sum to {table.sum(1).min():g} to {table.sum(1).max():g}, the least "
                f"entry {table.min():g}; allowed: probabilities, finite and with sum 1"
            )
        noise = float(params.noise[player])
        executed.append(((1 - noise) * table + noise / actions)[chain.own_states(player)])
    return executed


def _decisions(
    game: ExactCoinGame, params: ExactCoinParams, tables: list[np.ndarray], player: int
) -> Callable[[np.ndarray], np.ndarray]:
    """The player's problem: maps values of next states [states] to values of its executed actions [states, actions]."""
    chain, n, actions = game.chain, game.env.num_players, game.env.action_space.num_values
    states, joint = chain.transition.shape
    played = [np.ones_like(table) if seat == player else table for seat, table in enumerate(tables)]
    others = functools.reduce(lambda a, b: (a[:, :, None] * b[:, None, :]).reshape(states, -1), played)
    # The player's own action comes first, so that the others' joint actions are contiguous for each of its actions.
    order = np.moveaxis(np.arange(joint).reshape((actions,) * n), player, 0).reshape(-1)
    weights, transition = others[:, order], chain.transition[:, order]
    rows = np.arange(0, weights.size + 1, joint // actions)
    meets = sparse.csr_array(
        (weights.reshape(-1), transition.reshape(-1), rows), (states * actions, len(chain.successors))
    )
    pointers = np.arange(0, chain.successors.size + 1, chain.successors.shape[1])
    leads = sparse.csr_array(
        (chain.probabilities.reshape(-1), chain.successors.reshape(-1), pointers), (len(chain.successors), states)
    )
    rewards = coins_taken(chain, "float64")[:, :, player] @ np.asarray(params.rewards[player], float)  # [boards, joint]
    paid = np.tile(rewards[:, order], (chain.memories, 1)) * weights
    paid = paid.reshape(states, actions, -1).sum(-1)
    discount = float(params.discount)
    return lambda values: paid + discount * (meets @ (leads @ values)).reshape(states, actions)


def _values(
    states: int,
    decisions: Callable[[np.ndarray], np.ndarray],
    settle: Callable[[np.ndarray], np.ndarray],
    discount: float,
    steps: int | None,
) -> list[np.ndarray]:
    """Values [states] after 0, 1, ... steps, up to the end. In a game without end, the stationary values, twice.

    Args:
      states: the number of states.
      decisions: see `_decisions`.
      settle: maps values of actions [states, actions] to values of states, by a maximum or by a policy.
      discount: below 1 in a game without end.
      steps: the number of steps; None for a game without end.
    """
    if steps is not None:
        values = [np.zeros(states)]
        for _ in range(steps):
            values.append(settle(decisions(values[-1])))
        return values[::-1]
    now, rounding = np.zeros(states), np.finfo(float).eps
    most = int(np.ceil(np.log(rounding * (1 - discount)) / np.log(max(discount, 1e-3))))
    beyond = discount / (1 - discount)
    for _ in range(most):
        before, now = now, settle(decisions(now))
        change = now - before
        # The values lie between now + beyond * the smallest change and now + beyond * the largest.
        middle, span = (change.max() + change.min()) / 2, change.max() - change.min()
        if span <= 32 * rounding * np.abs(now).max():
            now = now + beyond * middle
            break
    return [now, now]
