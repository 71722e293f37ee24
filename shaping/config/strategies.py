"""Players that follow a strategy and never learn: `{strategy: tft}` in the place of a rule."""

from collections.abc import Mapping
from typing import Any

from shaping.config.checks import settings
from shaping.config.errors import ConfigError, not_allowed, unknown_key
from shaping.config.games import MATRIX, family_of
from shaping.policies import STRATEGIES, Policy, fixed, strategy
from shaping.policies.automaton import Machine
from shaping.schema import Field, fields

Normal = Mapping[str, Any]


def strategy_fields(name: str) -> dict[str, Field]:
    """The settings of a strategy of matrix games."""
    return fields(STRATEGIES[name]) if name in STRATEGIES else {}


def normal_strategy(where: str, given: Normal, game: Normal, policy: Normal, objective: Normal) -> dict[str, Any]:
    """The normal form of a player's entry."""
    name = given["strategy"]
    known = _names(game)
    if not known:
        raise ConfigError(f"{where}.strategy: there are none in {game['name']}; give a rule")
    if not isinstance(name, str) or name not in known:
        raise not_allowed(f"{where}.strategy", name, f"one of {', '.join(known)}", known)
    own = strategy_fields(name)
    for key in given:
        if key not in own and key != "strategy":
            raise unknown_key(f"{where}.{key}", [f"{where}.{k}" for k in ("strategy", *own)], " of a strategy")
    player = {"strategy": name} | settings(where, given, own, ("strategy",))
    if family_of(game) is MATRIX:
        _check_states(where, game, policy)
        try:
            _, theta = strategy(name, **{key: value for key, value in player.items() if key != "strategy"})
        except ValueError as error:
            raise ConfigError(f"{where}.{error}") from None
        if isinstance(theta, Machine) and objective["kind"] == "exact":
            raise ConfigError(f"{where}.strategy: {name} remembers more than a round; objective.kind must be dice")
    return player


def _names(game: Normal) -> tuple[str, ...]:
    return tuple(STRATEGIES) if family_of(game) is MATRIX else ()


def _check_states(where: str, game: Normal, policy: Normal) -> None:
    if MATRIX.seats(game) != 2 or game["horizon"] == 1:
        raise ConfigError(f"{where}.strategy: strategies are for two players and more than one round")
    if policy.get("state_view", "own") != "own" or policy.get("memory", 1) != 1:
        raise ConfigError(f"{where}.strategy: strategies need policy.state_view own and policy.memory 1")


def strategy_of(player: Normal) -> tuple[Policy, Any]:
    """The policy of a strategy, and its parameters: of a table data, so that several are one program; of a machine
    nothing, as it is a part of the policy."""
    own = {key: value for key, value in player.items() if key != "strategy"}
    policy, theta = strategy(player["strategy"], **own)
    return (fixed(policy, theta), ()) if isinstance(theta, Machine) else (policy, theta)
