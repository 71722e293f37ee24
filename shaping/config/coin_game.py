"""The Coin Game as a family of games. Its chain can be enumerated, so its returns can be exact."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from shaping import envs
from shaping.config.checks import check_known, check_number
from shaping.config.errors import ConfigError, errors_about
from shaping.config.game_family import Family, common_fields, discount_field, noise_of, normal_noise, trembles
from shaping.envs import CoinGameParams
from shaping.envs.coin_game.chain import check_size
from shaping.envs.coin_game.game import CoinGame
from shaping.objectives.exact_coin import ExactCoinGame, ExactCoinParams
from shaping.objectives.sampled_game import SampledGame
from shaping.policies.kinds import NETWORKS, board_table
from shaping.signatures import Field, Range

NAME = "coin_game"
REWARDS = ("own", "other", "taken")
_RULES = ("coins", "tie", "moves", "stay", "start_players", "start_coins", "respawn", "penalty", "last_step")
KEYS = ("name", "dialect", "num_players", "grid", *_RULES, *REWARDS, "egocentric", "discount", "horizon", "noise")


def _normal(given: Mapping[str, Any]) -> dict[str, Any]:
    """The dialect, every rule that the dialect or the user sets, and the numbers.

    What players are shown is part of it only if the user says so: exact returns do not depend on it.
    """
    check_known("game", given, KEYS, NAME)
    structure = {key: given[key] for key in ("dialect", "num_players", "grid", *_RULES) if key in given}
    view = {"egocentric": given["egocentric"]} if given.get("egocentric") is not None else {}
    numbers = {key: check_number(f"game.{key}", given[key], Range()) for key in REWARDS if key in given}
    horizon = {"horizon": given["horizon"]} if given.get("horizon") is not None else {}
    with errors_about("game"):
        env = envs.make(NAME, **structure, **horizon, **view)
        check_size(env)
    if horizon.get("horizon") == 1 and env.last_step != "play":
        raise ConfigError(f"game.horizon: 1 leaves no step that pays, as last_step is {env.last_step}; give 2 or more")
    rows, columns = env.grid
    game = {"name": NAME, "dialect": given.get("dialect", "pola"), "num_players": env.num_players}
    game |= {"grid": rows if rows == columns else [rows, columns]} | {key: getattr(env, key) for key in _RULES}
    game |= {key: numbers.get(key, float(getattr(env, key))) for key in REWARDS}
    game |= view
    horizon = given.get("horizon", env.horizon)
    game["discount"] = check_number("game.discount", given.get("discount", 0.96), discount_field(horizon).range)
    return game | {"horizon": horizon, "noise": normal_noise(given.get("noise", 0.0), env.num_players)}


def _params(game: Mapping[str, Any], seats: int, number: Any) -> ExactCoinParams:
    rewards = number([[game[name] for name in REWARDS]] * seats, rank=2)
    return ExactCoinParams(rewards, number(game["discount"], rank=0), number(noise_of(game, seats), rank=1))


def coin_env(game: Mapping[str, Any], last_takers: bool) -> CoinGame:
    """The environment of a normal game as its dialect shows it, with the dialect's rewards: the chain is the same
    whatever they are. Policies with memory see the board from outside, as an egocentric view hides where a coin was."""
    structure = {key: game[key] for key in ("dialect", "num_players", *_RULES)}
    grid = game["grid"] if isinstance(game["grid"], int) else tuple(game["grid"])
    view = {key: game[key] for key in ("egocentric",) if key in game}
    if last_takers and view.get("egocentric"):
        raise ConfigError("policy.last_takers: not allowed with game.egocentric, which hides where a taken coin was")
    view = {"egocentric": False} if last_takers else view
    return envs.make(NAME, **structure, grid=grid, horizon=game["horizon"], **view)


def _env(game: Mapping[str, Any], policy: Mapping[str, Any]) -> CoinGame:
    env = coin_env(game, policy.get("last_takers", False))
    # Convolutions need a board, whatever the dialect shows.
    env = dataclasses.replace(env, flat=False) if policy.get("channels") else env
    return dataclasses.replace(env, noise=0.0) if trembles(game) else env


def _exact(game: Mapping[str, Any], policy: Mapping[str, Any], policies: Any, horizon: int | None) -> ExactCoinGame:
    remembers = policy["last_takers"]
    return ExactCoinGame(coin_env(game, remembers), horizon, policies, remembers)


def _played(game: Mapping[str, Any], played: SampledGame, exact: ExactCoinParams, number: Any) -> CoinGameParams:
    steps: Any = np.full(len(exact.discount), played.horizon, np.int32)
    return CoinGameParams(exact.rewards, steps, exact.noise if trembles(game) else None)


COIN = Family(
    normal=_normal,
    fields=lambda game: {name: Field(name, "number", None) for name in REWARDS} | common_fields(game),
    seats=lambda game: game["num_players"],
    env=_env,
    policies=NETWORKS | {"coin_table": board_table},
    exact_kinds=("coin_table",),
    sampled_kinds=("coin_table", "mlp", "conv", "gru", "lstm"),
    hidden=("layout",),
    params=_params,
    exact=_exact,
    played=_played,
)
