"""What is trained in one cell: the keys of `top_level.CELL` in normal form, with every default filled in and every
value checked, and which of their numbers may differ from match to match within one program.

A new key needs code in four places: its own file (such as `objective.py`), `normal_cell`, `number_fields`, and `TOP`
and `CELL` of `top_level.py`. `json_schema.py` shows it to editors.
"""

from collections.abc import Mapping
from typing import Any

from shaping.config.dotted import keys_of, numbers_in
from shaping.config.errors import ConfigError, not_allowed
from shaping.config.games import family_of, normal_game
from shaping.config.initial_parameters import init_fields
from shaping.config.objective import is_sampled, normal_objective, objective_fields
from shaping.config.players import (
    PLAYER_KEYS,
    check_learns_over_trials,
    normal_optimizer,
    normal_players,
    optimizer_settings,
    seat_fields,
    wants_critic,
)
from shaping.config.policy import normal_policy
from shaping.config.population import normal_population, population_fields
from shaping.config.trial import normal_trial, outer_objective, shaper_policy, trial_numbers, trial_players
from shaping.signatures import Field


def normal_cell(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of `CELL` in normal form.

    Raises:
      ConfigError: for the first thing that is not allowed.
    """
    if raw.get("trial") is not None:
        return _normal_trial_cell(raw)
    game = normal_game(raw["game"])
    objective = normal_objective(raw["objective"], game)
    meets = raw.get("population") is not None
    start, shared = _from_one_draw(raw["policy"]) if meets else (raw["policy"], False)
    policy = normal_policy(start, game, objective["kind"] != "exact")
    # The learners of a population have types instead of seats.
    players = [] if meets else normal_players(raw["players"], game, policy, objective)
    optimizer = normal_optimizer(raw["optimizer"])
    normal = {"game": game, "players": players, "optimizer": optimizer, "policy": policy, "objective": objective}
    if meets:
        normal["population"] = normal_population(raw["population"], game, policy, objective)
        normal["population"]["shared"] |= shared
    types = normal.get("population", {}).get("types", {})
    everyone = {f"players.{seat}": player for seat, player in enumerate(players)}
    everyone |= {f"population.types.{name}": player for name, player in types.items()}
    for where, player in everyone.items():
        check_learns_over_trials(where, player)
    inits = {"policy": policy["init"]} | {f"players.{seat}": p.get("init", {}) for seat, p in enumerate(players)}
    for where, init in inits.items():
        if "m_maml" in init and is_sampled(normal):
            raise ConfigError(f"{where}.init.m_maml: it learns about the game beforehand; objective.kind must be exact")
    return normal


def _normal_trial_cell(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a cell in which somebody learns over trials, in normal form."""
    if raw.get("population") is not None:
        raise ConfigError("population: not allowed beside trial")
    game = normal_game(raw["game"])
    trial = normal_trial(raw["trial"], game)
    objective, policy = outer_objective(raw["objective"], trial), shaper_policy(raw["policy"], trial)
    players = trial_players(raw["players"], game, trial, policy, objective)
    learning = {f"trial.pool.{i}": one for i, one in enumerate(trial["pool"] or ())}
    learning |= {f"trial.strangers.{name}": one for name, one in trial["strangers"].items()}
    for seat, player in enumerate(players):
        learning |= {f"players.{seat}": player} if player.get("within") or trial["rounds"] is None else {}
    for where, player in learning.items():
        check_learns_over_trials(where, player)
    optimizer = normal_optimizer(raw["optimizer"])
    return {
        "game": game,
        "players": players,
        "optimizer": optimizer,
        "policy": policy,
        "objective": objective,
        "trial": trial,
    }


def _from_one_draw(policy: Any) -> tuple[Any, bool]:
    """The key `policy` without `init.shared`, which lets all learners of a population start from one draw, and whether
    it was true."""
    init = policy.get("init") if isinstance(policy, Mapping) else None
    if not isinstance(init, Mapping) or "shared" not in init:
        return policy, False
    if not isinstance(init["shared"], bool):
        raise not_allowed("policy.init.shared", init["shared"], "true or false")
    return {**policy, "init": {key: value for key, value in init.items() if key != "shared"}}, init["shared"]


def number_fields(normal: Mapping[str, Any]) -> dict[str, Field]:
    """Every number of a normal form that may have the population axis, by dotted key, with its range."""
    family, policy, optimizer = family_of(normal["game"]), normal["policy"], normal["optimizer"]
    objective = normal["objective"]
    found = {f"game.{name}": field for name, field in family.fields(normal["game"]).items()}
    found |= seat_fields(normal["players"])
    found |= population_fields(normal["population"]) if "population" in normal else {}
    found |= numbers_in("objective", objective, objective_fields())
    everyone = [*normal["players"], *normal.get("population", {}).get("types", {}).values()]
    if not any(wants_critic(player, objective) for player in everyone):
        found = {key: field for key, field in found.items() if not key.startswith("objective.critic")}
    found |= numbers_in("optimizer", optimizer, optimizer_settings(optimizer["name"]))
    found |= trial_numbers(normal) if "trial" in normal else {}
    return found | init_fields("policy.init", policy["init"])


def structure_keys(normal: Mapping[str, Any]) -> list[str]:
    """Every key of a cell that may be swept if each of its values is compiled as its own program."""
    seats = range(len(normal["players"]))
    return [*keys_of(normal), *(f"players.{seat}.{key}" for seat in seats for key in PLAYER_KEYS)]
