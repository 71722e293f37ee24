"""The key `game`: the table of all families of games; matrix games and analytic games."""

import dataclasses
from collections.abc import Mapping
from inspect import signature
from typing import Any

import numpy as np

from shaping import envs
from shaping.config.checks import check_number, mapping, numbers, settings
from shaping.config.coin_game import COIN
from shaping.config.coin_game import KEYS as COIN_KEYS
from shaping.config.dotted import entries
from shaping.config.environments import ENVIRONMENT, environment_settings, environments
from shaping.config.errors import ConfigError, not_allowed
from shaping.config.game_family import HORIZON, Family, common_fields, discount_field, noise_of, normal_noise, trembles
from shaping.config.messages import with_messages
from shaping.config.sequential import SEQUENTIAL
from shaping.envs import MatrixGameParams
from shaping.envs.matrix.analytic import ANALYTIC_GAMES
from shaping.envs.matrix.game import MAX_ACTIONS, MAX_JOINT_ACTIONS, MAX_PLAYERS
from shaping.envs.matrix.games import GAMES
from shaping.envs.sequential.games import SEQUENTIAL_GAMES
from shaping.objectives import ExactMatrixGame, analytic_game
from shaping.objectives.exact_many_actions import ManyActionGame
from shaping.policies.kinds import NETWORKS, OF_STATES, parameters
from shaping.signatures import Field, Range, fields

MATRIX_SETTINGS = {
    "discount": Field("discount", "number", 0.96, Range(0, 1)),
    "noise": Field("noise", "number", 0.0, Range(0, 1)),
    "horizon": HORIZON,
}
"""The settings that every matrix game has besides its payoffs."""
_PAYOFFS = (
    f"payoffs[player][action_0]...[action_n-1] for 2 to {MAX_PLAYERS} players with 2 to {MAX_ACTIONS} actions each, at "
    f"most {MAX_JOINT_ACTIONS} joint actions"
)


def game_names() -> list[str]:
    """Every game that a configuration can name."""
    return [*GAMES, *ANALYTIC_GAMES, *SEQUENTIAL_GAMES, *environments()]


def family_of(game: Mapping[str, Any]) -> Family:
    """The family of a game given by its name, or by payoffs.

    Raises:
      ConfigError: there is no such game.
    """
    silent = _silent_family_of(game)
    return silent if game.get("messages") is None else next(talk for family, talk in _TALKING if family is silent)


def _silent_family_of(game: Mapping[str, Any]) -> Family:
    name = game.get("name")
    if "payoffs" in game and not (isinstance(name, str) and name in environments()):
        return MATRIX
    families = ((MATRIX, GAMES), (ANALYTIC, ANALYTIC_GAMES), (COIN, ["coin_game"]), (SEQUENTIAL, SEQUENTIAL_GAMES))
    for family, names in families:
        if isinstance(name, str) and name in names:
            return family
    if not isinstance(name, str) or name not in environments():
        known = game_names()
        adds = "--plugin, or in Python shaping.plugins.use_plugin(FILE), adds names"
        allowed = f"one of {', '.join(known)}, or give game.payoffs ({adds})"
        if name is None:
            raise ConfigError(f"game.name: missing; must be {allowed}")
        raise not_allowed("game.name", name, allowed, known)
    return ENVIRONMENT


def normal_game(raw: Any) -> dict[str, Any]:
    """The key `game` in normal form."""
    given = mapping("game", raw, "name")
    if given.get("messages", ...) is None:
        given = {key: value for key, value in given.items() if key != "messages"}
    return family_of(given).normal(given)


def num_players(game: Mapping[str, Any]) -> int:
    """How many seats a normal game has."""
    return family_of(game).seats(game)


def game_settings(name: str) -> dict[str, Field]:
    """The settings of a game by name, whatever else is given."""
    if name in GAMES:
        return fields(GAMES[name]) | MATRIX_SETTINGS
    if name in ANALYTIC_GAMES:
        return fields(ANALYTIC_GAMES[name])
    if name in SEQUENTIAL_GAMES:
        return fields(SEQUENTIAL_GAMES[name], others=True)
    common = {key: MATRIX_SETTINGS[key] for key in ("discount", "horizon")}
    own = environment_settings(name)
    return common | ({key: own[key] for key in own if key in COIN_KEYS} if name == "coin_game" else own)


def _others() -> dict[str, Any]:
    """The settings of all games by name, to say which game an unknown setting belongs to."""
    return {name: game_settings(name) for name in [*GAMES, *ANALYTIC_GAMES]}


def _checked(given: Mapping[str, Any], own: dict[str, Any], known: Mapping[str, Field]) -> dict[str, Any]:
    """`own`, which has been checked, with the other settings of a game."""
    game = own | settings("game", given, known, ("name", *own), own["name"], _others)
    if "num_players" in game:
        check_number("game.num_players", game["num_players"], Range(2, MAX_PLAYERS), integer=True)
    return game


def _normal_matrix_game(given: dict[str, Any]) -> dict[str, Any]:
    name = given.get("name")
    common = MATRIX_SETTINGS | {"discount": discount_field(given.get("horizon"))}
    if "payoffs" not in given:
        own, common = {"name": name}, fields(GAMES[str(name)]) | common
    elif isinstance(name, str) and name in (*GAMES, *ANALYTIC_GAMES):
        raise ConfigError(f"game.payoffs: the game {name} has payoffs of its own; leave out game.name or game.payoffs")
    elif not isinstance(name, str | None):
        raise not_allowed("game.name", name, "text, or left out beside game.payoffs")
    else:
        payoffs = given["payoffs"]
        n = len(payoffs) if isinstance(payoffs, list | tuple) else 0
        each = len(payoffs[0]) if n and isinstance(payoffs[0], list | tuple) else 0
        fits = 2 <= n <= MAX_PLAYERS and 2 <= each <= MAX_ACTIONS and each**n <= MAX_JOINT_ACTIONS
        if not fits:
            raise not_allowed("game.payoffs", payoffs, _PAYOFFS)
        own = {"name": "matrix_game", "payoffs": numbers("game.payoffs", payoffs, (n,) + (each,) * n, _PAYOFFS)}
    game = _checked({**given, "noise": 0.0}, own, common)
    return game | {"noise": normal_noise(given.get("noise", 0.0), _seats(game))}


def _seats(game: Mapping[str, Any]) -> int:
    return len(game["payoffs"]) if "payoffs" in game else int(game.get("num_players", 2))


def num_actions(game: Mapping[str, Any]) -> int:
    """How many actions everybody has in a normal matrix game."""
    return len(game["payoffs"][0]) if "payoffs" in game else 2


def _own_numbers(game: Mapping[str, Any]) -> dict[str, Field]:
    """The numbers that are arguments of the game's own function."""
    known = fields((GAMES | ANALYTIC_GAMES)[game["name"]])
    return {name: field for name, field in known.items() if field.kind == "number"}


def _matrix_fields(game: Mapping[str, Any]) -> dict[str, Field]:
    payoffs = game.get("payoffs")
    own = _own_numbers(game) if payoffs is None else entries("payoffs", payoffs, Field("payoffs", "number", None))
    return own | common_fields(game)


def _matrix_params(game: Mapping[str, Any], seats: int, number: Any) -> MatrixGameParams:
    payoffs = game.get("payoffs")
    if payoffs is None:
        factory = GAMES[game["name"]]
        payoffs = factory(**{name: game[name] for name in signature(factory).parameters})
    return MatrixGameParams(
        number(payoffs, rank=1 + seats), number(game["discount"], rank=0), number(noise_of(game, seats), rank=1)
    )


def _matrix_env(game: Mapping[str, Any], policy: Mapping[str, Any]) -> Any:
    payoffs = np.zeros((_seats(game),) + (num_actions(game),) * _seats(game))
    one_shot = 1 if game["horizon"] == 1 else None
    return envs.make("matrix_game", payoffs=payoffs, horizon=one_shot, state_view=policy.get("state_view", "own"))


def _exact_matrix_game(game: Mapping[str, Any], policy: Mapping[str, Any], policies: Any, horizon: int | None) -> Any:
    if num_actions(game) > 2:
        return ManyActionGame(_matrix_env(game, policy), horizon, policies)
    return ExactMatrixGame(_seats(game), horizon, policy.get("state_view", "own"), policies)


def _analytic(game: Mapping[str, Any], *_: Any) -> Any:
    return analytic_game(game["name"], **{key: game[key] for key in ("num_players",) if key in game})


MATRIX = Family(
    normal=_normal_matrix_game,
    fields=_matrix_fields,
    seats=_seats,
    env=_matrix_env,
    policies=NETWORKS | OF_STATES,
    exact_kinds=("tabular", "preconditioned", "mlp"),
    sampled_kinds=("tabular", "preconditioned", "mlp", "gru", "lstm"),
    hidden=("channels", "layout"),
    view={"state_view": Field("state_view", "choice", "own", choices=("own", "shared"))},
    written=True,
    params=_matrix_params,
    exact=_exact_matrix_game,
    played=lambda game, played, exact, number: exact if trembles(game) else dataclasses.replace(exact, noise=None),
    tabular=lambda game: num_actions(game) == 2,
)
ANALYTIC = Family(
    normal=lambda given: _checked(given, {"name": given["name"]}, fields(ANALYTIC_GAMES[given["name"]])),
    fields=_own_numbers,
    seats=lambda game: int(game.get("num_players", 2)),
    env=_analytic,
    policies={"parameters": parameters},
    exact_kinds=("parameters",),
    sampled_kinds=(),
    written=True,
    params=lambda game, seats, number: {name: number(game[name], rank=0) for name in _own_numbers(game)},
    exact=_analytic,
)
_TALKING = tuple((family, with_messages(family)) for family in (MATRIX, ANALYTIC, COIN, SEQUENTIAL, ENVIRONMENT))
"""Each family, and the same with messages."""
