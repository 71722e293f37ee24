"""Players that follow a strategy and never learn: `{strategy: tft}` in place of a rule."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from shaping.config.checks import named
from shaping.config.errors import ConfigError, errors_about
from shaping.config.games import MATRIX, family_of, num_actions
from shaping.policies import STRATEGIES, Policy, fixed, scripted_players, strategy
from shaping.policies.automaton import Machine
from shaping.policies.memory_one import logit
from shaping.signatures import Field, fields

Normal = Mapping[str, Any]


def strategy_fields(name: str) -> dict[str, Field]:
    """The settings of a strategy of matrix games; a scripted player of another environment has none."""
    return fields(STRATEGIES[name]) if name in STRATEGIES else {}


def normal_strategy(
    where: str, given: Normal, game: Normal, policy: Normal, objective: Normal, one_shot: bool = False
) -> dict[str, Any]:
    """The normal form of a player's entry. Of a game of one round, which is allowed if `one_shot`, a strategy plays the
    first move."""
    family, exact = family_of(game), objective["kind"] == "exact"
    if family is not MATRIX:
        if not family.sampled_kinds:
            raise ConfigError(f"{where}.strategy: {game['name']} has no strategies; give a rule")
        if exact:
            who = f"{where}.strategy: in {game['name']}, strategies need sampled returns"
            raise ConfigError(f"{who}; objective.kind must be dice, not exact")
        return named(where, given, "strategy", scripted_players(family.env(game, policy)), lambda name: {})
    player = named(where, given, "strategy", STRATEGIES, strategy_fields)
    if MATRIX.seats(game) != 2 or num_actions(game) != 2 or (game["horizon"] == 1 and not one_shot):
        raise ConfigError(f"{where}.strategy: strategies are for two players, two actions and more than one round")
    if policy.get("state_view", "own") != "own" or policy.get("memory", 1) != 1:
        raise ConfigError(f"{where}.strategy: strategies need policy.state_view own and policy.memory 1")
    with errors_about(where):
        found = _of_matrix_game(player)[1]
    if isinstance(found, Machine) and exact:
        who = f"{where}.strategy: {player['strategy']} remembers more than a round"
        raise ConfigError(f"{who}; objective.kind must be dice")
    return player


def _of_matrix_game(player: Normal) -> tuple[Policy, Any]:
    return strategy(player["strategy"], **{key: value for key, value in player.items() if key != "strategy"})


def strategy_table(player: Normal) -> Any:
    """P(cooperate | own state) of a strategy of matrix games; a `Machine` if it remembers more than a round."""
    return _of_matrix_game(player)[1]


def strategy_logits(player: Normal, policy: Policy) -> np.ndarray:
    """The logits with which a table of the kind of `policy` plays a memory-one strategy, [states]; in a game of one
    round that of its first move."""
    own = {key: value for key, value in player.items() if key not in ("share", "policy")}
    return np.asarray(logit(np.asarray(strategy_table(own), float)[: policy.num_parameters]))


def strategy_policy(player: Normal, game: Normal, seat: int, env: Any) -> Policy:
    """The policy of a player that follows a strategy. Its machine is part of the policy."""
    if family_of(game) is not MATRIX:
        return scripted_players(env)[player["strategy"]][seat]
    policy, theta = _of_matrix_game(player)
    return fixed(policy, theta) if isinstance(theta, Machine) else policy


def strategy_theta(player: Normal, policy: Policy, params: Any, number: Any) -> Any:
    """The strategy's parameters, leaves [matches, ...]: a table, or what a script needs of the numbers of its
    environment; () for none."""
    if player["strategy"] in STRATEGIES and policy.tabulated:
        theta = _of_matrix_game(player)[1]
        return () if isinstance(theta, Machine) else number(np.asarray(theta), rank=1)
    return () if jax.tree.leaves(policy.shapes) else jax.vmap(policy.for_params)(params.env)
