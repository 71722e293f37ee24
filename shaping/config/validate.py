"""The normal form of one experiment: every default filled in, every value checked, one line of error for the first
that is not allowed."""

from collections.abc import Mapping, Sequence
from typing import Any

from shaping.config.checks import check_number, discount_range, plain, settings
from shaping.config.errors import ConfigError, not_allowed, unknown_key
from shaping.config.game import game_fields, is_analytic, normal_game, num_players
from shaping.config.initial import entries, init_fields, normal_init
from shaping.config.learning import KEY as MODEL
from shaping.config.learning import model_fields, normal_model
from shaping.config.objective import normal_objective, objective_fields
from shaping.config.policy import init_shape, normal_policy
from shaping.learners import Learner, named_learner, named_players
from shaping.learners.optimizer import named_optimizers, optimizer_fields
from shaping.rules import Rule, named_rules
from shaping.schema import Field, Range, fields

TOP = {
    "title": "",
    "description": "",
    "game": {"name": "ipd"},
    "players": {"rule": "naive"},
    "optimizer": "sgd",
    "policy": {"kind": "tabular"},
    "objective": {"kind": "exact"},
    "precision": "float32",
    "matches": 100,
    "updates": 100,
    "record_every": 1,
    "record": [],
    "seed": 0,
    "memory_gib": 2.0,
    "chunk_matches": None,
    "checkpoint": {},
    "sweep": {},
    "tie": [],
    "variants": {},
    "published": [],
    "quick": None,
}
CELL = ("game", "players", "optimizer", "policy", "objective")
"""The keys a variant or an axis of structure changes the program by."""
LIMITS = {
    "matches": Range(1, 10**9),
    "updates": Range(0, 10**9),
    "record_every": Range(1, 10**9),
    "seed": Range(0, 2**31 - 1),
}
CHECKPOINT = {
    "every_s": Field("every_s", "number", 60.0, Range(0, open_low=True), optional=True),
    "every_updates": Field("every_updates", "integer", None, Range(1, 10**9), optional=True),
    "keep": Field("keep", "integer", 3, Range(1, 1000)),
}
EXTRAS = ("policies", "consistency", "shaping")
"""What a record may hold besides; see `population.program.Timetable`."""


def check_top(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The top level with defaults filled in; the keys of `CELL` are checked by `normal_cell`."""
    for key in raw:
        if key not in TOP:
            raise unknown_key(str(key), TOP)
    top = {key: raw.get(key, default) for key, default in TOP.items()}
    for key, allowed in LIMITS.items():
        top[key] = check_number(key, top[key], allowed, integer=True)
    top["memory_gib"] = check_number("memory_gib", top["memory_gib"], Range(0, open_low=True))
    if top["precision"] not in ("float32", "float64"):
        raise not_allowed("precision", top["precision"], "float32 or float64", ("float32", "float64"))
    top["checkpoint"] = settings(
        "checkpoint", plain("checkpoint", {} if top["checkpoint"] is None else top["checkpoint"]), CHECKPOINT, ()
    )
    top["chunk_matches"] = _chunk_matches(top["chunk_matches"])
    for key, kind, name in (
        ("sweep", Mapping, "a mapping of keys to axes"),
        ("variants", Mapping, "a mapping of names to replacements of top-level keys"),
        ("tie", list, "a list of lists of swept keys"),
        ("record", list, f"a list of some of {', '.join(EXTRAS)}"),
        ("published", list, "a list of published values"),
    ):
        top[key] = top[key] if top[key] is not None else kind() if kind is list else {}
        if not isinstance(top[key], kind):
            raise not_allowed(key, top[key], name)
    for entry in top["record"]:
        if entry not in EXTRAS:
            raise not_allowed("record", entry, f"some of {', '.join(EXTRAS)}", EXTRAS)
    for place, entry in enumerate(top["published"]):
        _check_published(f"published.{place}", entry)
    _check_quick(top["quick"], top["variants"])
    for name, variant in top["variants"].items():
        where = f"variants.{name}"
        if not isinstance(variant, Mapping):
            raise not_allowed(where, variant, "a mapping of top-level keys")
        for key in variant:
            if key not in CELL:
                raise unknown_key(f"{where}.{key}", CELL, " in a variant")
    return top


def _chunk_matches(value: Any) -> Any:
    """None, a number, or a list of numbers."""
    if value is None:
        return None
    if isinstance(value, list):
        return [check_number(f"chunk_matches.{i}", v, LIMITS["matches"], integer=True) for i, v in enumerate(value)]
    return check_number("chunk_matches", value, LIMITS["matches"], integer=True)


_PUBLISHED = ("cell", "metric", "player", "value", "sd", "runs", "rounding", "tolerance", "matches", "known", "source")


def _check_published(where: str, entry: Any) -> None:
    """A published value must be one the summary can set ours beside."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("metric"), str) or "value" not in entry:
        raise not_allowed(where, entry, "a mapping with metric, value, and where known cell, player, sd, runs, source")
    for key in entry:
        if key not in _PUBLISHED:
            raise unknown_key(f"{where}.{key}", [f"{where}.{name}" for name in _PUBLISHED])
    if not isinstance(entry.get("cell") or {}, Mapping):
        raise not_allowed(f"{where}.cell", entry["cell"], "a mapping of coordinates, for example {variant: name}")
    for key, allowed in (("value", Range()), ("sd", Range(0)), ("rounding", Range(0)), ("tolerance", Range(0))):
        if key == "value" or entry.get(key) is not None:
            check_number(f"{where}.{key}", entry[key], allowed)
    for key, allowed in (("player", Range(0)), ("runs", Range(1)), ("matches", Range(1))):
        if entry.get(key) is not None:
            check_number(f"{where}.{key}", entry[key], allowed, integer=True)
    if entry.get("known") is not None and not (isinstance(entry["known"], str) and entry["known"].strip()):
        raise not_allowed(f"{where}.known", entry["known"], "text: why ours differs")


_QUICK = ("matches", "variants")


def _check_quick(value: Any, variants: Mapping[str, Any]) -> None:
    """What a quick check changes: null for the default, false for no quick check, or a mapping."""
    if value is None or value is False:
        return
    if not isinstance(value, Mapping):
        raise not_allowed("quick", value, f"a mapping of {' and '.join(_QUICK)}, or false")
    for key in value:
        if key not in _QUICK:
            raise unknown_key(f"quick.{key}", [f"quick.{name}" for name in _QUICK])
    if "matches" in value:
        check_number("quick.matches", value["matches"], LIMITS["matches"], integer=True)
    kept = value.get("variants", [*variants])
    if not isinstance(kept, list) or any(name not in variants for name in kept) or ("variants" in value and not kept):
        wanted = f"a list of {', '.join(map(str, variants))}" if variants else "left out: there are no variants"
        raise not_allowed("quick.variants", kept, wanted)


def normal_cell(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of `CELL` in normal form; numbers may be numpy arrays over cells or matches."""
    game = normal_game(raw["game"])
    objective = normal_objective(raw["objective"], game)
    policy = normal_policy(raw["policy"], game, objective["kind"] != "exact")
    players = _players(raw["players"], game, policy, objective)
    for where, init in [
        ("policy", policy["init"]),
        *((f"players.{i}", p.get("init", {})) for i, p in enumerate(players)),
    ]:
        if "m_maml" in init and objective["kind"] != "exact":
            raise ConfigError(f"{where}.init.m_maml: it learns about the game beforehand; objective.kind must be exact")
    return {
        "game": game,
        "players": players,
        "optimizer": _optimizer(raw["optimizer"]),
        "policy": policy,
        "objective": objective,
    }


def number_fields(normal: Mapping[str, Any]) -> dict[str, Field]:
    """Every number of a normal form that may carry the population axis, by dotted key, with its range."""
    found: dict[str, Field] = {}
    game = normal["game"]
    if "payoffs" in game:
        found |= entries("game.payoffs", game["payoffs"], Field("payoffs", "number", None, Range()))
    else:
        for name, field in game_fields(game["name"]).items():
            if field.kind == "number":
                found[f"game.{name}"] = field
    if not is_analytic(game):
        found["game.discount"] = Field("discount", "number", None, discount_range(game["horizon"]))
        found |= entries("game.noise", game["noise"], Field("noise", "number", None, Range(0, 1)))
    for seat, player in enumerate(normal["players"]):
        for name, field in player_fields(player["rule"]).items():
            if field.kind == "number":
                found[f"players.{seat}.{name}"] = field
        if "init" in player:
            found |= init_fields(f"players.{seat}.init", player["init"])
        for name, field in model_fields().items():
            if field.kind == "number" and player.get(MODEL, {}).get(name) is not None:
                found[f"players.{seat}.{MODEL}.{name}"] = field
    for name, field in objective_fields().items():
        if field.kind == "number" and normal["objective"].get(name) is not None:
            found[f"objective.{name}"] = field
    for name, field in optimizer_fields(normal["optimizer"]["name"]).items():
        if field.kind == "number" and normal["optimizer"].get(name) is not None:
            found[f"optimizer.{name}"] = field
    found |= init_fields("policy.init", normal["policy"]["init"])
    return found


def check_record(record: Sequence[str], normal: Mapping[str, Any]) -> None:
    """Refuses to record of a cell what it has not."""
    if "consistency" in record:
        for seat, player in enumerate(normal["players"]):
            who = f"players.{seat}.rule {player['rule']}"
            if "lookahead_rate" not in player_fields(player["rule"]):
                raise ConfigError(f"record: consistency needs a lookahead_rate; {who} has none")
            rule = build_rule(player)
            if rule is None or not rule.differentiable:
                raise ConfigError(f"record: consistency needs directions that can be differentiated, not {who}")
        if normal["objective"]["kind"] != "exact":
            raise ConfigError("record: consistency needs exact returns; objective.kind must be exact")
    if "shaping" in record:
        if normal["objective"]["kind"] == "exact":
            raise ConfigError("record: shaping is the spread of an estimate; objective.kind must be dice, not exact")
        rules = [build_rule(player) for player in normal["players"]]
        if all(rule is None or rule.shaping is None for rule in rules):
            raise ConfigError("record: shaping needs a rule with a shaping term: lola, lookahead or first_order")


def player_fields(rule: str) -> dict[str, Field]:
    return {"step_size": Field("step_size", "number", 1.0, Range(0)), **fields(named_players()[rule])}


_NOT_OF_THE_RULE = ("rule", "step_size", "init", MODEL)


def rule_settings(player: Mapping[str, Any]) -> dict[str, Any]:
    """What a player's entry says of its rule."""
    return {key: value for key, value in player.items() if key not in _NOT_OF_THE_RULE}


def _players(
    raw: Any, game: Mapping[str, Any], policy: Mapping[str, Any], objective: Mapping[str, Any]
) -> list[dict[str, Any]]:
    seats = num_players(game)
    if isinstance(raw, Mapping):
        raw = [dict(raw) for _ in range(seats)]
    if not isinstance(raw, list | tuple) or len(raw) != seats:
        raise not_allowed(
            "players", raw, f"a list of {seats}, one entry per seat of {game['name']}, or one mapping for all seats"
        )
    players = []
    for seat, entry in enumerate(raw):
        where = f"players.{seat}"
        given = plain(where, entry, "rule")
        rule = given.get("rule", None)
        if not isinstance(rule, str) or rule not in named_players():
            raise not_allowed(f"{where}.rule", rule, f"one of {', '.join(named_players())}", named_players())
        player = {"rule": rule} | settings(where, given, player_fields(rule), ("rule", "init", MODEL))
        try:
            made = named_learner(rule, rule_settings(player))
        except ValueError as error:
            raise ConfigError(f"{where}.{error}") from None
        if made.needs_distance and is_analytic(game):
            raise ConfigError(f"{where}.rule: {rule} measures steps between policies, which {game['name']} has not")
        _check_sampling(where, made, objective)
        if MODEL in given and given[MODEL] is not None and given[MODEL] is not False:
            player[MODEL] = normal_model(f"{where}.{MODEL}", given[MODEL], objective)
        if "init" in given:
            player["init"] = normal_init(f"{where}.init", given["init"], init_shape(game, policy))
        players.append(player)
    return players


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


def build_rule(player: Mapping[str, Any]) -> Rule | None:
    """The update rule of a normal player, None where it is a learner of another kind.

    Raises:
      ValueError: for settings that do not fit together.
    """
    if player["rule"] not in named_rules():
        return None
    return named_rules()[player["rule"]](**rule_settings(player))


def _optimizer(raw: Any) -> dict[str, Any]:
    given = plain("optimizer", raw, "name")
    name = given.get("name")
    if not isinstance(name, str) or name not in named_optimizers():
        raise not_allowed("optimizer.name", name, f"one of {', '.join(named_optimizers())}", named_optimizers())
    if "learning_rate" in given:
        raise ConfigError("optimizer.learning_rate: not allowed; a player's step_size is its learning rate")
    known = optimizer_fields(name)
    return {"name": name} | settings("optimizer", given, known, ("name",))
