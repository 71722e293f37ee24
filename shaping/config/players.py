"""The keys `players` and `optimizer`: who learns how."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shaping.config.checks import mapping, settings
from shaping.config.errors import ConfigError, not_allowed, unknown_key
from shaping.config.games import ANALYTIC, family_of, num_players
from shaping.config.initial import normal_init
from shaping.config.policy import init_shape
from shaping.extensions import Named
from shaping.learners.opponent_model import opponent_model
from shaping.learners.optimizer import named_optimizers, optimizer_fields
from shaping.rules import Rule, named_rules
from shaping.schema import Field, Range, fields

MODEL = "opponent_model"
_BESIDE = ("rule", "step_size", "init", MODEL)
"""Keys of a player that are not its rule's own settings."""


def rules() -> Mapping[str, Callable[..., Any]]:
    """Factories of update rules and learners by name."""
    return Named("rules", named_rules())


def player_fields(rule: str) -> dict[str, Field]:
    """What a player with this rule may set."""
    return {"step_size": Field("step_size", "number", 1.0, Range(0)), **fields(rules()[rule])}


def model_fields() -> dict[str, Field]:
    """The settings of an opponent model."""
    return fields(opponent_model)


def rule_settings(player: Mapping[str, Any]) -> dict[str, Any]:
    """What a player's entry says of its rule."""
    return {key: value for key, value in player.items() if key not in _BESIDE}


def build_rule(player: Mapping[str, Any]) -> Rule:
    """The rule of a normal player.

    Raises:
      ValueError: for settings that do not fit together.
    """
    return rules()[player["rule"]](**rule_settings(player))


def normal_players(
    raw: Any, game: Mapping[str, Any], policy: Mapping[str, Any], objective: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """One entry a seat."""
    seats = num_players(game)
    if isinstance(raw, Mapping):
        raw = [dict(raw) for _ in range(seats)]
    if not isinstance(raw, list | tuple) or len(raw) != seats:
        raise not_allowed(
            "players", raw, f"a list of {seats}, one entry per seat of {game['name']}, or one mapping for all seats"
        )
    return [_normal_player(f"players.{seat}", entry, game, policy, objective) for seat, entry in enumerate(raw)]


def _normal_player(
    where: str, entry: Any, game: Mapping[str, Any], policy: Mapping[str, Any], objective: Mapping[str, Any]
) -> dict[str, Any]:
    given = mapping(where, entry, "rule")
    rule = given.get("rule", None)
    if not isinstance(rule, str) or rule not in rules():
        raise not_allowed(f"{where}.rule", rule, f"one of {', '.join(rules())}", rules())
    known = player_fields(rule)
    for key in given:
        if key not in known and key not in _BESIDE:
            raise unknown_key(f"{where}.{key}", [f"{where}.{name}" for name in (*_BESIDE, *known)], _whose(key, rule))
    player = {"rule": rule} | settings(where, given, known, _BESIDE)
    try:
        made = build_rule(player)
    except ValueError as error:
        raise ConfigError(f"{where}.{error}") from None
    if made.needs_distance and family_of(game) is ANALYTIC:
        raise ConfigError(f"{where}.rule: {rule} measures steps between policies, which {game['name']} has not")
    _check_sampling(where, made, objective)
    if given.get(MODEL) is not None and given[MODEL] is not False:
        player[MODEL] = _normal_model(f"{where}.{MODEL}", given[MODEL], objective)
    if "init" in given:
        player["init"] = normal_init(f"{where}.init", given["init"], init_shape(game, policy))
    return player


def _whose(key: str, rule: str) -> str:
    """To which other rules an unknown key belongs."""
    others = [name for name in named_rules() if key in fields(named_rules()[name])]
    return f" of {rule}, but of {', '.join(others)}" if others else f" of {rule}"


def _check_sampling(where: str, rule: Rule, objective: Mapping[str, Any]) -> None:
    """Refuses a rule that needs returns to be computed otherwise."""
    exact = objective["kind"] == "exact"
    if rule.needs_sampler and exact:
        raise ConfigError(f"{where}.rule: it learns from play; objective.kind must be dice, not exact")
    if rule.prepare is not None and not exact:
        raise ConfigError(f"{where}.rule: it learns about the game beforehand; objective.kind must be exact")
    if rule.collect is not None and objective["batch"] % getattr(rule.settings, "minibatches", 1):
        raise not_allowed(
            f"{where}.minibatches", rule.settings.minibatches, f"a divisor of objective.batch, {objective['batch']}"
        )


def _normal_model(where: str, raw: Any, objective: Mapping[str, Any]) -> dict[str, Any]:
    """A model of its opponents; `true` takes the defaults."""
    if objective["kind"] == "exact":
        raise ConfigError(f"{where}: models are fitted to play; objective.kind must be dice, not exact")
    found = settings(where, {} if raw is True else mapping(where, raw), model_fields())
    if found["trust"] is not None and found["members"] < 2:
        raise not_allowed(f"{where}.members", found["members"], "2 or more, where trust rests on what members agree on")
    shown = objective["batch"] if found["streams"] is None else found["streams"]
    if shown > objective["batch"]:
        raise not_allowed(f"{where}.streams", shown, f"at most objective.batch, {objective['batch']}")
    if found["members"] > shown:
        raise not_allowed(f"{where}.members", found["members"], f"at most as many as it sees streams of play, {shown}")
    return found


def normal_optimizer(raw: Any) -> dict[str, Any]:
    """The key `optimizer`: an optimiser of optax and its settings."""
    given = mapping("optimizer", raw, "name")
    name = given.get("name")
    if not isinstance(name, str) or name not in named_optimizers():
        raise not_allowed("optimizer.name", name, f"one of {', '.join(named_optimizers())}", named_optimizers())
    if "learning_rate" in given:
        raise ConfigError("optimizer.learning_rate: not allowed; a player's step_size is its learning rate")
    return {"name": name} | settings("optimizer", given, optimizer_fields(name), ("name",))


def check_record(record: Sequence[str], normal: Mapping[str, Any]) -> None:
    """Refuses to record of a cell what it has not."""
    if "consistency" in record:
        for seat, player in enumerate(normal["players"]):
            who = f"players.{seat}.rule {player['rule']}"
            if "lookahead_rate" not in player_fields(player["rule"]):
                raise ConfigError(f"record: consistency needs a lookahead_rate; {who} has none")
            if not build_rule(player).differentiable:
                raise ConfigError(f"record: consistency needs directions that can be differentiated, not {who}")
        if normal["objective"]["kind"] != "exact":
            raise ConfigError("record: consistency needs exact returns; objective.kind must be exact")
    if "shaping" in record:
        if normal["objective"]["kind"] == "exact":
            raise ConfigError("record: shaping is the spread of an estimate; objective.kind must be dice, not exact")
        if all(build_rule(player).shaping is None for player in normal["players"]):
            raise ConfigError("record: shaping needs a rule with a shaping term: lola, lookahead or first_order")
