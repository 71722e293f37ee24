"""The keys `players` and `optimizer`: who learns how."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shaping.config.checks import mapping, settings
from shaping.config.errors import ConfigError, not_allowed, shown, unknown_key
from shaping.config.games import ANALYTIC, family_of, num_players
from shaping.config.initial import normal_init
from shaping.config.policy import init_shape
from shaping.config.strategies import normal_strategy
from shaping.extensions import Named
from shaping.learners import Common, Learner, frozen, named_players
from shaping.learners.gradient import learner_of
from shaping.learners.opponent_model import opponent_model
from shaping.learners.optimizer import named_optimizers, optimizer_fields
from shaping.learners.schedule import SCHEDULES
from shaping.rules import Rule, named_rules
from shaping.schema import Field, Range, fields

_NOTHING = Common()
MODEL = "opponent_model"
BESIDE = ("rule", "step_size", "init", MODEL, "share")
"""Keys of a player that are not its rule's own settings."""
_STEP = Field("step_size", "number", 1.0, Range(0))


def rules() -> Mapping[str, Callable[..., Any]]:
    """Factories of update rules and learners by name; `rule:` names them alike."""
    return Named("rules", Named("learners", named_players()))


def is_learner(rule: str) -> bool:
    """Whether the name is that of a learner, not of an update rule."""
    return rule not in Named("rules", named_rules())


def player_fields(rule: str) -> dict[str, Field]:
    """What a player with this rule may set."""
    return {"step_size": _STEP, **fields(rules()[rule], skip=("common",))}


def model_fields() -> dict[str, Field]:
    """The settings of an opponent model."""
    return fields(opponent_model)


def rule_settings(player: Mapping[str, Any]) -> dict[str, Any]:
    """What a player's entry says of its rule."""
    return {key: value for key, value in player.items() if key not in BESIDE}


def build_rule(player: Mapping[str, Any]) -> Rule | None:
    """The update rule of a normal player; None where it is a learner of another kind, or plays a strategy."""
    if "strategy" in player or is_learner(player["rule"]):
        return None
    return rules()[player["rule"]](**rule_settings(player))


def build_learner(player: Mapping[str, Any], own: Mapping[str, Any], common: Common = _NOTHING) -> Learner:
    """The learner of a normal player.

    Args:
      player: its entry.
      own: the settings of its rule, numbers possibly arrays.
      common: what every learner is given.

    Raises:
      ValueError: for settings that do not fit together.
    """
    if "strategy" in player:
        return frozen(common)
    factory = rules()[player["rule"]]
    return factory(**own, common=common) if is_learner(player["rule"]) else learner_of(factory(**own), common)


def played_by(players: Sequence[Mapping[str, Any]]) -> tuple[int, ...] | None:
    """For each seat which learner plays it, None where each has its own: seats with `share` have one together."""
    shared = [seat for seat, player in enumerate(players) if player.get("share")]
    if not shared:
        return None
    alone = [seat for seat in range(len(players)) if seat not in shared]
    learners = sorted([shared[0], *alone])
    return tuple(learners.index(shared[0] if seat in shared else seat) for seat in range(len(players)))


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
    players = [_normal_player(f"players.{seat}", entry, game, policy, objective) for seat, entry in enumerate(raw)]
    shared = [(seat, player) for seat, player in enumerate(players) if player.get("share")]
    for seat, player in shared:
        for key in {**player, **shared[0][1]}:
            if player.get(key) != shared[0][1].get(key):
                wanted = f"{shown(shared[0][1].get(key))}, as of players.{shared[0][0]}, with which it shares a learner"
                raise not_allowed(f"players.{seat}.{key}", player.get(key), wanted)
    return players


def _normal_player(
    where: str, entry: Any, game: Mapping[str, Any], policy: Mapping[str, Any], objective: Mapping[str, Any]
) -> dict[str, Any]:
    given = mapping(where, entry, "rule")
    if "strategy" in given:
        return normal_strategy(where, given, game, policy, objective)
    rule = given.get("rule", None)
    if not isinstance(rule, str) or rule not in rules():
        raise not_allowed(f"{where}.rule", rule, f"one of {', '.join(rules())}", rules())
    known = player_fields(rule)
    for key in given:
        if key not in known and key not in BESIDE:
            raise unknown_key(
                f"{where}.{key}", [f"{where}.{name}" for name in dict.fromkeys((*BESIDE, *known))], _whose(key, rule)
            )
    step = given.get("step_size", 1.0)
    if isinstance(step, Mapping):
        step = _normal_schedule(f"{where}.step_size", step)
        given["step_size"] = 1.0
    player = {"rule": rule} | settings(where, given, known, BESIDE)
    player["step_size"] = step if isinstance(step, dict) else player["step_size"]
    try:
        made = build_learner(player, rule_settings(player))
    except ValueError as error:
        raise ConfigError(f"{where}.{error}") from None
    if made.needs_distance and family_of(game) is ANALYTIC:
        raise ConfigError(f"{where}.rule: {rule} measures steps between policies, which {game['name']} has not")
    _check_sampling(where, made, objective)
    if given.get(MODEL) is not None and given[MODEL] is not False:
        if build_rule(player) is None:
            raise ConfigError(f"{where}.{MODEL}: {rule} does not ask what its opponents do; allowed with update rules")
        player[MODEL] = _normal_model(f"{where}.{MODEL}", given[MODEL], objective)
    if given.get("share") not in (None, False):
        if given["share"] is not True:
            raise not_allowed(f"{where}.share", given["share"], "true or false")
        if not made.shareable:
            raise ConfigError(f"{where}.share: {rule} cannot play several seats at once")
        player["share"] = True
    if "init" in given:
        player["init"] = normal_init(f"{where}.init", given["init"], init_shape(game, policy))
    return player


def _whose(key: str, rule: str) -> str:
    """To which other rules an unknown key belongs."""
    others = [name for name, factory in named_players().items() if key in fields(factory, skip=("common",))]
    return f" of {rule}, but of {', '.join(others)}" if others else f" of {rule}"


def _normal_schedule(where: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A step size that changes along the run."""
    name = given.get("schedule")
    if not isinstance(name, str) or name not in SCHEDULES:
        raise not_allowed(f"{where}.schedule", name, f"one of {', '.join(SCHEDULES)}", SCHEDULES)
    return {"schedule": name} | settings(where, given, fields(SCHEDULES[name]), ("schedule",), f" of {name}")


def _check_sampling(where: str, learner: Learner, objective: Mapping[str, Any]) -> None:
    """Refuses a learner that needs returns to be computed otherwise."""
    exact = objective["kind"] == "exact"
    if learner.needs_sampler and exact:
        raise ConfigError(f"{where}.rule: it learns from play; objective.kind must be dice, not exact")
    if learner.prepares and not exact:
        raise ConfigError(f"{where}.rule: it learns about the game beforehand; objective.kind must be exact")
    if not exact and objective["batch"] % learner.minibatches:
        raise not_allowed(
            f"{where}.minibatches", learner.minibatches, f"a divisor of objective.batch, {objective['batch']}"
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


def optimizer_settings(name: str) -> dict[str, Field]:
    """The settings of an optimiser."""
    clip = Field("clip_norm", "number", None, Range(0, open_low=True), optional=True)
    return optimizer_fields(name) | {"clip_norm": clip}


def normal_optimizer(raw: Any) -> dict[str, Any]:
    """The key `optimizer`: an optimiser of optax and its settings."""
    given = mapping("optimizer", raw, "name")
    name = given.get("name")
    if not isinstance(name, str) or name not in named_optimizers():
        raise not_allowed("optimizer.name", name, f"one of {', '.join(named_optimizers())}", named_optimizers())
    if "learning_rate" in given:
        raise ConfigError("optimizer.learning_rate: not allowed; a player's step_size is its learning rate")
    found = {"name": name} | settings("optimizer", given, optimizer_settings(name), ("name",))
    return {key: value for key, value in found.items() if key != "clip_norm" or value is not None}


def check_record(record: Sequence[str], normal: Mapping[str, Any]) -> None:
    """Refuses to record of a cell what it has not."""
    rules_of = [build_rule(player) for player in normal["players"]]
    if "consistency" in record:
        for seat, (player, rule) in enumerate(zip(normal["players"], rules_of, strict=True)):
            who = f"players.{seat}.rule {player.get('rule', 'of a strategy')}"
            if rule is None or "lookahead_rate" not in player_fields(player["rule"]):
                raise ConfigError(f"record: consistency needs a lookahead_rate; {who} has none")
            if not rule.differentiable:
                raise ConfigError(f"record: consistency needs directions that can be differentiated, not {who}")
        if normal["objective"]["kind"] != "exact":
            raise ConfigError("record: consistency needs exact returns; objective.kind must be exact")
    if "shaping" in record:
        if normal["objective"]["kind"] == "exact":
            raise ConfigError("record: shaping is the spread of an estimate; objective.kind must be dice, not exact")
        if all(rule is None or rule.shaping is None for rule in rules_of):
            raise ConfigError("record: shaping needs a rule with a shaping term: lola, lookahead or first_order")
