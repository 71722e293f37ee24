"""The game of a league of frozen players: given, or the one that its runs played."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.config.errors import ConfigError
from shaping.config.games import MATRIX, family_of, normal_game
from shaping.envs import MatrixGame
from shaping.envs.matrix.games import GAMES
from shaping.leagues.frozen_players import Player, strategies_of_matrix
from shaping.leagues.stepwise_players import environment_as_played, identity, matrix_as_played, strategies_in_play
from shaping.objectives.played_league_values import PlayedGame


@dataclass(frozen=True)
class LeagueGame:
    """A game of two players in which frozen players meet.

    Attributes:
      name: in a configuration.
      played: how it is played step by step.
      matrix: the same as a matrix game of two actions, if it is one: then tables of P(C) can play it, and values
        between them are exact. None for every other game.
    """

    name: str
    played: PlayedGame
    matrix: MatrixGame | None = None

    def about(self) -> dict[str, Any]:
        """What is told of the game: its name and numbers, as attributes of a Dataset."""
        return _about_environment(self.name, self.played) if self.matrix is None else _about_matrix(self.matrix)

    def strategies(self, names: str, key: str = "--against") -> list[Player]:
        """Its strategies or scripted players by name: "classic", "all", "none", or names separated by commas, in upper
        or lower case. `key` is what gave the names, for errors.

        Raises:
          ConfigError: an unknown name.
        """
        if self.matrix is None:
            return strategies_in_play(names, self.played, key)
        return strategies_of_matrix(names, self.matrix, key)

    def check_tables(self, players: Sequence[Player]) -> None:
        """Refuses tables of P(C) where they cannot play.

        Raises:
          ConfigError: a player is a table, and the game is no matrix game of two actions.
        """
        for player in players:
            if self.matrix is None and not hasattr(player.behaviour, "policies"):
                raise ConfigError(
                    f"{player.name}: a table of P(C) cannot play {self.name}; allowed: policies of its runs"
                )


def of_matrix(game: MatrixGame) -> LeagueGame:
    """A matrix game of two players and two actions, as the game of a league."""
    return LeagueGame(game.name, matrix_as_played(game), game)


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


def given_game(raw: Any) -> LeagueGame:
    """A game of a configuration.

    Raises:
      ConfigError: it is neither a matrix game nor an environment, it does not have two players, or it is a matrix game
        without exactly two actions.
    """
    normal = normal_game(raw)
    if family_of(normal) is not MATRIX:
        if not family_of(normal).sampled_kinds:
            name = normal["name"]
            raise ConfigError(f"game: {name} is only known in closed form; allowed: matrix games and environments")
        return LeagueGame(*environment_as_played(raw))
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
    return of_matrix(found)


def common_game(numbers: Sequence[tuple[str, dict[str, Any]]]) -> LeagueGame:
    """The game that all runs played; the prisoner's dilemma if there are no runs.

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
        return LeagueGame(played["game"], played["played"])
    payoffs = np.asarray(played["payoffs"]).reshape(2, 2, 2)
    noise = np.asarray(played["noise"])
    return of_matrix(MatrixGame(payoffs, float(played["discount"]), tuple(noise.tolist()), played["horizon"]))


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, PlayedGame):
        return identity(value) == identity(other)
    return np.array_equal(np.asarray(value, object), np.asarray(other, object))
