"""OpenSpiel's small games as ours, and ours as OpenSpiel's. The package is imported only when a function is called."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from shaping.envs.adapters.peers import require
from shaping.envs.matrix.game import MatrixGame
from shaping.envs.sequential.game import SequentialEnv
from shaping.envs.sequential.tree import Chance, Decision, Node, Outcome

MOST_NODES = 20_000
"""Larger games of OpenSpiel are refused: all their information sets are unrolled."""


def from_openspiel(game: Any) -> MatrixGame | SequentialEnv:
    """A game of OpenSpiel as one of ours.

    A matrix game of two players becomes a one-shot `MatrixGame`. Any other game becomes a game in turns, in which
    players who move at the same time move one after the other without knowing; its information sets have the names that
    OpenSpiel gives them.

    Args:
        game: a `pyspiel.Game`, or the string by which `pyspiel.load_game` finds it, such as "kuhn_poker".

    Raises:
        ImportError: if OpenSpiel is not installed.
        ValueError: for a game with too many nodes, whose players have different numbers of actions, or whose players
            forget what they knew.
    """
    pyspiel = require("pyspiel")
    if isinstance(game, str):
        try:
            game = pyspiel.load_game(game)
        except pyspiel.SpielError as error:
            raise ValueError(f"OpenSpiel has no game {game!r}: {str(error).splitlines()[0]}") from None
    kind = game.get_type()
    if kind.information == pyspiel.GameType.Information.ONE_SHOT and game.num_players() == 2:
        matrix = pyspiel.extensive_to_matrix_game(game)
        payoffs = np.stack([np.asarray(matrix.row_utilities()), np.asarray(matrix.col_utilities())])
        if payoffs.shape[1] == payoffs.shape[2]:
            return MatrixGame(payoffs, name=kind.short_name, horizon=1)
    if kind.dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS:
        game = pyspiel.convert_to_turn_based(game)
    return _in_turns(game, kind.short_name)


def _in_turns(game: Any, name: str) -> SequentialEnv:
    count, labels = 0, {}

    def node(state: Any) -> Node:
        nonlocal count
        count += 1
        if count > MOST_NODES:
            raise ValueError(f"{name} has more than {MOST_NODES:,} nodes; allowed: smaller games")
        if state.is_terminal():
            return Outcome(tuple(float(reward) for reward in state.returns()))
        if state.is_chance_node():
            return Chance(tuple((odds, node(state.child(move))) for move, odds in state.chance_outcomes() if odds > 0))
        player, actions = state.current_player(), state.legal_actions()
        knows = state.information_state_string(player)
        for place, action in enumerate(actions):
            labels.setdefault(place, state.action_to_string(player, action))
        return Decision(player, knows, tuple(node(state.child(action)) for action in actions))

    root = node(game.new_initial_state())
    return SequentialEnv(name, root, game.num_players(), len(labels), tuple(labels[place] for place in sorted(labels)))


def to_openspiel(env: MatrixGame | SequentialEnv) -> Any:
    """One of our games as a `pyspiel.Game`: a one-shot `MatrixGame` of two players as OpenSpiel's matrix game, and a
    game in turns as a game of its Python interface.

    Raises:
        ImportError: if OpenSpiel is not installed.
        ValueError: for another environment.
    """
    pyspiel = require("pyspiel")
    if isinstance(env, SequentialEnv):
        from shaping.envs.adapters.openspiel_export import TreeGame

        return TreeGame(env)
    if not isinstance(env, MatrixGame) or env.num_players != 2 or env.horizon != 1:
        raise ValueError("env is no one-shot matrix game of two players, nor a game in turns; allowed: one of these")
    rows, columns = np.asarray(env.payoffs)
    labels = list(env.action_labels)
    return pyspiel.create_matrix_game(env.name, env.name, labels, labels, rows.tolist(), columns.tolist())


def to_openspiel_policy(env: SequentialEnv, probabilities: Sequence[Any], game: Any = None) -> Any:
    """Policies of a game in turns as an `open_spiel.python.policy.TabularPolicy`.

    Args:
        env: the game.
        probabilities: P(action | information set), [information sets, actions] for each player.
        game: the `pyspiel.Game` that it is for: the one from which `env` was made, or None for `to_openspiel(env)`.

    Raises:
        ImportError: if OpenSpiel is not installed.
        ValueError: not one array per player, or arrays that do not fit.
    """
    tabular = require("open_spiel.python.policy")
    if len(probabilities) != env.num_players:
        raise ValueError(f"{len(probabilities)} policies given; allowed: {env.num_players}, one per player")
    exported = game is None
    found = tabular.TabularPolicy(to_openspiel(env) if exported else game)
    for player, (names, own) in enumerate(zip(env.tree.names, probabilities, strict=True)):
        rows = np.asarray(own)
        if rows.shape[0] < len(names) or rows.shape[1:] != (env.num_actions,):
            allowed = f"[{len(names)}, {env.num_actions}]"
            raise ValueError(f"the policy of player {player} has the shape {list(rows.shape)}; allowed: {allowed}")
        for name, row in zip(names, rows, strict=False):
            legal = found.policy_for_key(known_as(player, name) if exported else name)
            legal[np.flatnonzero(legal > 0)] = row
    return found


def known_as(player: int, name: str) -> str:
    """The name of an information set in an exported game, where names of different players must differ."""
    return f"player {player}: {name}"
