"""The game of a league of frozen players: given, or the one that its runs played."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from shaping.config.errors import ConfigError
from shaping.config.games import MATRIX, family_of, normal_game
from shaping.envs import MatrixGame
from shaping.envs.matrix.games import GAMES
from shaping.leagues.stepwise_players import environment_as_played, identity
from shaping.objectives.played_league_values import PlayedGame


def about_game(name: str, game: MatrixGame | PlayedGame) -> dict[str, Any]:
    """What is told of a game: its name and numbers, as attributes of a Dataset."""
    return _about_matrix(game) if isinstance(game, MatrixGame) else _about_environment(name, game)


def _about_matrix(game: MatrixGame) -> dict[str, Any]:
    return {
        "game": game.name,
        "payoffs": np.asarray(game.payoffs).tolist(),
        "discount": game.discount,
        "noise": np.broadcast_to(np.asarray(game.noise), (2,)).tolist(),
        "horizon": "infinite" if game.horizon is None else game.horizon,
    }


def _about_environment(name: str, game: PlayedGame) -> dict[str, Any]:
    noise = getattr(game.numbers, "noise", None)
    found = {} if noise is None or np.ndim(noise) != 1 else {"noise": np.asarray(noise, float).round(7).tolist()}
    horizon = "infinite" if game.horizon is None else game.horizon
    return {"game": name, "discount": game.discount, "horizon": horizon} | found


def given_game(raw: Any) -> tuple[str, MatrixGame | PlayedGame]:
    """A game of a configuration, with its name.

    Raises:
      ConfigError: it has no actions, or not two players, or of a matrix game not two actions.
    """
    normal = normal_game(raw)
    if family_of(normal) is not MATRIX:
        if not family_of(normal).sampled_kinds:
            raise ConfigError(f"game: {normal['name']} has no actions; allowed: games that are played in steps")
        return environment_as_played(raw)
    beside = ("name", "discount", "noise", "horizon", "payoffs")
    own = {key: value for key, value in normal.items() if key not in beside}
    payoffs = normal["payoffs"] if "payoffs" in normal else GAMES[normal["name"]](**own)
    noise = normal["noise"]
    found = MatrixGame(
        payoffs,
        normal["discount"],
        tuple(noise) if isinstance(noise, list) else noise,
        normal["horizon"],
        name=normal["name"],
    )
    if found.num_players != 2:
        raise ConfigError(f"game: {found.name} has {found.num_players} players; allowed: 2")
    if found.num_actions != 2:
        raise ConfigError(f"game: {found.name} has {found.num_actions} actions; allowed: 2")
    return found.name, found


def common_game(numbers: Sequence[tuple[str, dict[str, Any]]]) -> tuple[str, MatrixGame | PlayedGame]:
    """The game that all runs played, with its name; the prisoner's dilemma if there are no runs.

    Args:
      numbers: each run and its game, as `frozen_players.learned` and `stepwise_players.learned_to_play` return it.

    Raises:
      ConfigError: they played different games.
    """
    if not numbers:
        return given_game("ipd")
    first, played = numbers[0]
    for other, theirs in numbers[1:]:
        differs = (
            "kind"
            if played.keys() != theirs.keys()
            else next((key for key, value in played.items() if not _same(value, theirs[key])), None)
        )
        if differs:
            raise ConfigError(
                f"{first} and {other} play different games (their {differs}); allowed: one game, or --game"
            )
    if "played" in played:
        return played["game"], played["played"]
    payoffs = np.asarray(played["payoffs"]).reshape(2, 2, 2)
    noise = np.asarray(played["noise"])
    game = MatrixGame(payoffs, float(played["discount"]), tuple(noise.tolist()), played["horizon"])
    return game.name, game


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, PlayedGame):
        return identity(value) == identity(other)
    return np.array_equal(np.asarray(value, object), np.asarray(other, object))
