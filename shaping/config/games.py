"""The key `game`: the kinds of games there are, in one table; matrix games and analytic ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from shaping import envs
from shaping.config.checks import check_number, mapping, settings
from shaping.config.coin import COIN
from shaping.config.coin import KEYS as COIN_KEYS
from shaping.config.environments import ENVIRONMENT, environment_settings, environments
from shaping.config.errors import ConfigError, not_allowed
from shaping.config.family import Family, discount_range, entries, noise_fields, normal_noise
from shaping.envs import MatrixGameParams
from shaping.envs.matrix.analytic import ANALYTIC_GAMES
from shaping.envs.matrix.game import MAX_PLAYERS
from shaping.envs.matrix.games import GAMES
from shaping.objectives import ExactMatrixGame, analytic_game
from shaping.schema import Field, Range, fields

MATRIX_SETTINGS = {
    "discount": Field("discount", "number", 0.96, Range(0, 1)),
    "noise": Field("noise", "number", 0.0, Range(0, 1)),
    "horizon": Field("horizon", "integer", None, Range(1, 10**6), optional=True),
}
"""What every matrix game has besides its payoffs."""
_PLAYERS = Range(2, MAX_PLAYERS)


def game_names() -> list[str]:
    """Every game that a configuration can name."""
    return [*GAMES, *ANALYTIC_GAMES, *environments()]


def family_of(game: Mapping[str, Any]) -> Family:
    """What kind of game a mapping with a name, or payoffs of its own, is.

    Raises:
      ConfigError: there is no such game.
    """
    name = game.get("name")
    if "payoffs" in game and name not in environments():
        return MATRIX
    for family, names in ((MATRIX, GAMES), (ANALYTIC, ANALYTIC_GAMES), (COIN, ["coin_game"])):
        if isinstance(name, str) and name in names:
            return family
    if not isinstance(name, str) or name not in environments():
        raise not_allowed("game.name", name, f"one of {', '.join(game_names())}, or give game.payoffs", game_names())
    return ENVIRONMENT


def normal_game(raw: Any) -> dict[str, Any]:
    """The key `game` in normal form."""
    given = mapping("game", raw, "name")
    return family_of(given).normal(given)


def _normal_matrix_game(given: dict[str, Any]) -> dict[str, Any]:
    name = given.get("name")
    horizon = given.get("horizon")
    common = MATRIX_SETTINGS | {"discount": Field("discount", "number", 0.96, discount_range(horizon))}
    if "payoffs" in given:
        if isinstance(name, str) and (name in GAMES or name in ANALYTIC_GAMES):
            raise ConfigError(
                f"game.payoffs: the game {name} has payoffs of its own; leave out game.name or game.payoffs"
            )
        own: dict[str, Any] = {"name": "matrix_game", "payoffs": _payoffs(given["payoffs"])}
        known, skip = common, ("payoffs", "name")
    else:
        own, known, skip = {"name": name}, fields(GAMES[str(name)]) | common, ("name",)
    noise = given.get("noise", 0.0)
    game = own | settings("game", {**given, "noise": 0.0}, known, skip)
    if "num_players" in game:
        check_number("game.num_players", game["num_players"], _PLAYERS, integer=True)
    return game | {"noise": normal_noise(noise, _seats(game))}


def _payoffs(value: Any) -> Any:
    """Nested lists payoffs[player][a_0]...[a_{n-1}]."""
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


def _seats(game: Mapping[str, Any]) -> int:
    if "payoffs" in game:
        payoffs = game["payoffs"]
        return payoffs.shape[1] if isinstance(payoffs, np.ndarray) else len(payoffs)
    return int(game.get("num_players", 2))


def _matrix_fields(game: Mapping[str, Any]) -> dict[str, Field]:
    if "payoffs" in game:
        own = entries("payoffs", game["payoffs"], Field("payoffs", "number", None))
    else:
        own = {name: field for name, field in fields(GAMES[game["name"]]).items() if field.kind == "number"}
    return own | {"discount": Field("discount", "number", 0.96, discount_range(game["horizon"]))} | noise_fields(game)


def _matrix_params(game: Mapping[str, Any], number: Any) -> MatrixGameParams:
    seats = _seats(game)
    noise = game["noise"] if isinstance(game["noise"], list) else [game["noise"]] * seats
    payoffs = game.get("payoffs")
    if payoffs is None:
        payoffs = GAMES[game["name"]](**{name: game[name] for name in fields(GAMES[game["name"]])})
    return MatrixGameParams(number(payoffs, rank=1 + seats), number(game["discount"], rank=0), number(noise, rank=1))


def _matrix_env(game: Mapping[str, Any], policy: Mapping[str, Any]) -> Any:
    seats = _seats(game)
    one_shot = 1 if game["horizon"] == 1 else None
    view = policy.get("state_view", "own")
    return envs.make("matrix_game", payoffs=np.zeros((seats,) + (2,) * seats), horizon=one_shot, state_view=view)


def _normal_analytic_game(given: dict[str, Any]) -> dict[str, Any]:
    name = given["name"]
    game = {"name": name} | settings("game", given, fields(ANALYTIC_GAMES[name]), ("name",))
    if "num_players" in game:
        check_number("game.num_players", game["num_players"], _PLAYERS, integer=True)
    return game


def _analytic_fields(game: Mapping[str, Any]) -> dict[str, Field]:
    return {name: field for name, field in fields(ANALYTIC_GAMES[game["name"]]).items() if field.kind == "number"}


MATRIX = Family(
    normal=_normal_matrix_game,
    fields=_matrix_fields,
    seats=_seats,
    exact_kinds=("tabular", "preconditioned", "mlp"),
    sampled_kinds=("tabular", "preconditioned", "mlp", "gru", "lstm"),
    params=_matrix_params,
    exact=lambda game, policy, policies, horizon: ExactMatrixGame(
        _seats(game), horizon, policy.get("state_view", "own"), policies
    ),
    env=_matrix_env,
    played=lambda game, objective, exact, number, noise: MatrixGameParams(exact.payoffs, exact.discount, noise),
    tabular=True,
)
ANALYTIC = Family(
    normal=_normal_analytic_game,
    fields=_analytic_fields,
    seats=lambda game: int(game.get("num_players", 2)),
    exact_kinds=("parameters",),
    sampled_kinds=(),
    params=lambda game, number: {name: number(game[name], rank=0) for name in _analytic_fields(game)},
    exact=lambda game, policy, policies, horizon: analytic_game(
        game["name"], **{key: game[key] for key in ("num_players",) if key in game}
    ),
)


def num_players(game: Mapping[str, Any]) -> int:
    """How many seats a normal game has."""
    return family_of(game).seats(game)


def game_settings(name: str) -> dict[str, Field]:
    """What a game by name lets one set, whatever else is."""
    if name in GAMES:
        return fields(GAMES[name]) | MATRIX_SETTINGS
    if name in ANALYTIC_GAMES:
        return fields(ANALYTIC_GAMES[name])
    own = environment_settings(name)
    if name == "coin_game":
        own = {key: field for key, field in own.items() if key in COIN_KEYS}
    common = {key: MATRIX_SETTINGS[key] for key in ("discount", "horizon")}
    return common | own
