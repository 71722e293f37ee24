"""Small games in turns as a family of games. All their information sets are known, so their returns are exact."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from shaping.config.checks import check_known
from shaping.config.errors import ConfigError, errors_about
from shaping.config.game_family import Family
from shaping.config.yaml_text import plain_data
from shaping.envs.sequential.game import SequentialEnv, SequentialParams
from shaping.envs.sequential.games import SEQUENTIAL_GAMES
from shaping.objectives.exact_sequential import SequentialGame
from shaping.policies.kinds import shown_table
from shaping.signatures import fields


def _normal(given: Mapping[str, Any]) -> dict[str, Any]:
    name = str(given["name"])
    known = fields(SEQUENTIAL_GAMES[name], others=True)
    check_known("game", given, dict.fromkeys(("name", *known)), name)
    for key in known:
        if key not in given:
            raise ConfigError(f"game.{key}: must be given for the game {name}")
    game = {"name": name, **{key: plain_data(given[key]) for key in known}}
    _env(game)
    return game


def _env(game: Mapping[str, Any], policy: Mapping[str, Any] | None = None) -> SequentialEnv:
    del policy
    with errors_about("game"):
        return SEQUENTIAL_GAMES[game["name"]](**{key: value for key, value in game.items() if key != "name"})


def _params(game: Mapping[str, Any], seats: int, number: Any) -> SequentialParams:
    del seats
    return SequentialParams(number(np.asarray(_env(game).tree.rewards), rank=2))


SEQUENTIAL = Family(
    normal=_normal,
    fields=lambda game: {},
    seats=lambda game: _env(game).num_players,
    env=_env,
    policies={"tabular": shown_table},
    exact_kinds=("tabular",),
    sampled_kinds=(),
    params=_params,
    exact=lambda game, policy, policies, horizon: SequentialGame(_env(game), policies),
)
