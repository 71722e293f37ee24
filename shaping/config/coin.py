"""The key `game` of a Coin Game, and its policy, in normal form."""

from collections.abc import Mapping
from typing import Any

from shaping import envs
from shaping.config.checks import check_number, discount_range
from shaping.config.errors import ConfigError, not_allowed, unknown_key
from shaping.envs.coin_game.chain import check_size
from shaping.envs.coin_game.game import CoinGame
from shaping.schema import Field, Range

NAME = "coin_game"
REWARDS = ("own", "other", "taken")
_RULES = ("coins", "tie", "moves", "stay", "start_players", "start_coins", "respawn", "penalty", "last_step")
_KEYS = ("name", "dialect", "num_players", "grid", *_RULES, *REWARDS, "discount", "horizon", "noise")


def is_coin(game: Mapping[str, Any]) -> bool:
    """Whether a normal game is the Coin Game, played with reactive policies on its enumerated chain."""
    return game["name"] == NAME


def coin_fields() -> dict[str, Field]:
    """Its numbers, besides discount and noise."""
    return {name: Field(name, "number", None, Range()) for name in REWARDS}


def normal_coin_game(given: Mapping[str, Any]) -> dict[str, Any]:
    """The normal form: the dialect, every rule that it or the user sets, and the numbers.

    What players are shown is none of it: exact returns do not depend on it.
    """
    for key in given:
        if key not in _KEYS:
            raise unknown_key(f"game.{key}", [f"game.{k}" for k in _KEYS])
    discount = given.get("discount", 0.96)
    structure = {key: given[key] for key in ("dialect", "num_players", "grid", *_RULES) if key in given}
    numbers = {key: given[key] for key in REWARDS if key in given}
    horizon = {"horizon": given["horizon"]} if given.get("horizon") is not None else {}
    for key, value in numbers.items():
        check_number(f"game.{key}", value, Range())
    try:
        # Swept numbers are checked above; what they are does not matter to the rules.
        env = envs.make(NAME, **structure, **horizon)
        check_size(env)
    except ValueError as error:
        raise ConfigError(f"game.{error}") from None
    if horizon.get("horizon") == 1 and env.last_step != "play":
        raise ConfigError(f"game.horizon: 1 leaves no step that pays, as last_step is {env.last_step}; give 2 or more")
    rows, columns = env.grid
    game = {"name": NAME, "dialect": given.get("dialect", "pola"), "num_players": env.num_players}
    game |= {"grid": rows if rows == columns else [rows, columns]} | {key: getattr(env, key) for key in _RULES}
    game |= {key: numbers.get(key, getattr(env, key)) for key in REWARDS}
    horizon = given.get("horizon", env.horizon)
    game["discount"] = check_number("game.discount", discount, discount_range(horizon))
    game["horizon"] = horizon
    return game | {"noise": given.get("noise", 0.0)}


def coin_env(game: Mapping[str, Any], last_takers: bool) -> CoinGame:
    """The environment of a normal game as its dialect shows it, with the dialect's rewards: the chain is the same
    whatever they are. Policies that remember see the board from outside: an egocentric view hides where a coin was."""
    structure = {key: game[key] for key in ("dialect", "num_players", *_RULES)}
    grid = game["grid"] if isinstance(game["grid"], int) else tuple(game["grid"])
    view = {"egocentric": False} if last_takers else {}
    return envs.make(NAME, **structure, grid=grid, horizon=game["horizon"], **view)


def normal_last_takers(value: Any, game: Mapping[str, Any]) -> bool:
    """The key `policy.last_takers`; with it the chain is larger."""
    if value is not None and not isinstance(value, bool):
        raise not_allowed("policy.last_takers", value, "true or false")
    try:
        check_size(coin_env(game, bool(value)), memory=bool(value))
    except ValueError as error:
        raise ConfigError(f"policy.last_takers: {error}") from None
    return bool(value)
