"""Players that follow a strategy and never learn: `{strategy: tft}` in the place of a rule."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from shaping.config.checks import settings
from shaping.config.errors import ConfigError, not_allowed, unknown_key
from shaping.config.games import MATRIX, family_of
from shaping.policies import STRATEGIES, Policy, fixed, scripted_players, strategy
from shaping.policies.automaton import Machine
from shaping.schema import Field, fields

Normal = Mapping[str, Any]


def strategy_fields(name: str) -> dict[str, Field]:
    """The settings of a strategy of matrix games."""
    return fields(STRATEGIES[name]) if name in STRATEGIES else {}


def normal_strategy(where: str, given: Normal, game: Normal, policy: Normal, objective: Normal) -> dict[str, Any]:
    """The normal form of a player's entry."""
    family = family_of(game)
    if family is not MATRIX and objective["kind"] == "exact":
        raise ConfigError(
            f"{where}.strategy: in {game['name']} strategies play; objective.kind must be dice, not exact"
        )
    known = STRATEGIES if family is MATRIX else scripted_players(family.env(game, policy))
    name = given["strategy"]
    if not isinstance(name, str) or name not in known:
        raise not_allowed(f"{where}.strategy", name, f"one of {', '.join(known)}", known)
    own = strategy_fields(name) if family is MATRIX else {}
    for key in given:
        if key not in own and key != "strategy":
            raise unknown_key(f"{where}.{key}", [f"{where}.{k}" for k in ("strategy", *own)], " of a strategy")
    player = {"strategy": name} | settings(where, given, own, ("strategy",))
    if family is MATRIX:
        if MATRIX.seats(game) != 2 or game["horizon"] == 1:
            raise ConfigError(f"{where}.strategy: strategies are for two players and more than one round")
        if policy.get("state_view", "own") != "own" or policy.get("memory", 1) != 1:
            raise ConfigError(f"{where}.strategy: strategies need policy.state_view own and policy.memory 1")
        try:
            found = _of_matrix_game(player)[1]
        except ValueError as error:
            raise ConfigError(f"{where}.{error}") from None
        if isinstance(found, Machine) and objective["kind"] == "exact":
            raise ConfigError(f"{where}.strategy: {name} remembers more than a round; objective.kind must be dice")
    return player


def _of_matrix_game(player: Normal) -> tuple[Policy, Any]:
    return strategy(player["strategy"], **{key: value for key, value in player.items() if key != "strategy"})


def strategy_policy(player: Normal, game: Normal, seat: int, env: Any) -> Policy:
    """The policy of a player that follows a strategy. A machine is a part of it."""
    if family_of(game) is not MATRIX:
        return scripted_players(env)[player["strategy"]][seat]
    policy, theta = _of_matrix_game(player)
    return fixed(policy, theta) if isinstance(theta, Machine) else policy


def strategy_theta(player: Normal, policy: Policy, params: Any, number: Any) -> Any:
    """Its parameters, leaves [matches, ...]: a table, or what a script needs of the numbers of its environment; () for
    none."""
    if player["strategy"] in STRATEGIES and policy.tabulated:
        theta = _of_matrix_game(player)[1]
        return () if isinstance(theta, Machine) else number(np.asarray(theta), rank=1)
    if not jax.tree.leaves(policy.shapes):
        return jax.vmap(policy.for_params)(params.env)
    return ()
