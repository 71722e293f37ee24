"""The key `game` in normal form."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from shaping.config.checks import check_number, discount_range, plain, settings
from shaping.config.coin import NAME, coin_fields, is_coin, normal_coin_game
from shaping.config.errors import ConfigError, not_allowed, unknown_key
from shaping.envs.matrix.analytic import ANALYTIC_GAMES
from shaping.envs.matrix.game import MAX_PLAYERS
from shaping.envs.matrix.games import GAMES
from shaping.objectives.memory_k import num_histories
from shaping.schema import Field, Range, fields


def is_analytic(game: Mapping[str, Any]) -> bool:
    """Whether a normal game is played with the parameters themselves."""
    return game["name"] in ANALYTIC_GAMES


def is_matrix(game: Mapping[str, Any]) -> bool:
    """Whether a normal game is a matrix game, whose policies are tables of P(cooperate | state)."""
    return not is_analytic(game) and not is_coin(game)


def game_fields(name: str) -> dict[str, Field]:
    """The settings of a game by name that are its own."""
    return coin_fields() if name == NAME else fields(ANALYTIC_GAMES.get(name) or GAMES[name])


def normal_game(raw: Any) -> dict[str, Any]:
    """The key `game` in normal form."""
    given = plain("game", raw, "name")
    if isinstance(given.get("name"), str) and given["name"] in ANALYTIC_GAMES and "payoffs" not in given:
        name = given.pop("name")
        game = {"name": name} | settings("game", given, game_fields(name), ("name",))
        if "num_players" in game:
            check_number("game.num_players", game["num_players"], Range(2, MAX_PLAYERS), integer=True)
        return game
    if given.get("name") == NAME and "payoffs" not in given:
        return _with_noise(normal_coin_game(given))
    horizon = given.pop("horizon", None)
    if horizon is not None:
        horizon = check_number("game.horizon", horizon, Range(1, 10**6), integer=True)
    common = {
        "discount": given.pop("discount", 0.96),
        "noise": given.pop("noise", 0.0),
        "horizon": horizon,
    }
    common["discount"] = check_number("game.discount", common["discount"], discount_range(horizon))
    if "payoffs" in given:
        name = given.pop("name", "matrix_game")
        if isinstance(name, str) and (name in GAMES or name in ANALYTIC_GAMES):
            raise ConfigError(
                f"game.payoffs: the game {name} has payoffs of its own; leave out game.name or game.payoffs"
            )
        own: dict[str, Any] = {"name": "matrix_game", "payoffs": _payoffs(given.pop("payoffs"))}
        if given:
            raise unknown_key(f"game.{next(iter(given))}", [f"game.{key}" for key in ("payoffs", *common)])
    else:
        name = given.pop("name", None)
        if not isinstance(name, str) or name not in GAMES:
            names = [*GAMES, *ANALYTIC_GAMES, NAME]
            raise not_allowed("game.name", name, f"one of {', '.join(names)}, or give game.payoffs", names)
        known = game_fields(name)
        for key in given:
            if key not in known:
                raise unknown_key(f"game.{key}", [f"game.{k}" for k in ("name", *known, *common)])
        own = {"name": name} | settings("game", given, known, ())
        if name == "contribution":
            check_number("game.num_players", own["num_players"], Range(2, MAX_PLAYERS), integer=True)
    return _with_noise(own | common)


def _with_noise(game: dict[str, Any]) -> dict[str, Any]:
    players = num_players(game)
    noise = game["noise"]
    if isinstance(noise, list | tuple):
        if len(noise) != players:
            raise not_allowed("game.noise", noise, f"a number, or a list of {players}, one per player")
        game["noise"] = [check_number(f"game.noise.{i}", x, Range(0, 1)) for i, x in enumerate(noise)]
    else:
        game["noise"] = check_number("game.noise", noise, Range(0, 1))
    return game


def num_players(game: Mapping[str, Any]) -> int:
    """How many seats a normal game has."""
    if "payoffs" in game:
        payoffs = game["payoffs"]
        return payoffs.shape[1] if isinstance(payoffs, np.ndarray) else len(payoffs)
    return int(game.get("num_players", 2))


def num_states(game: Mapping[str, Any], memory: int = 1) -> int:
    """How many states a policy of a matrix game has that remembers `memory` rounds; 1 in an analytic game."""
    if not is_matrix(game) or game["horizon"] == 1:
        return 1
    return 1 + 2 ** num_players(game) if memory == 1 else num_histories(memory)


def _payoffs(value: Any) -> Any:
    """Nested lists payoffs[player][a_0]...[a_{n-1}], entries numbers or arrays over cells; or an array [cells, ...]."""
    if isinstance(value, np.ndarray):
        return value
    wanted = f"payoffs[player][action_0]...[action_n-1], 2 actions each, for 2 to {MAX_PLAYERS} players"
    n = len(value) if isinstance(value, list | tuple) else 0
    if not 2 <= n <= MAX_PLAYERS:
        raise not_allowed("game.payoffs", value, wanted)

    def checked(entry: Any, depth: int, key: str) -> Any:
        if depth == 0:
            return check_number(key, entry, Range())
        if not isinstance(entry, list | tuple) or len(entry) != 2:
            raise not_allowed("game.payoffs", value, f"{wanted} (see {key})")
        return [checked(part, depth - 1, f"{key}.{i}") for i, part in enumerate(entry)]

    return [checked(part, n, f"game.payoffs.{i}") for i, part in enumerate(value)]
