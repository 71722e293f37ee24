"""The normal form of one experiment: every default filled in, every value checked, one line of error for the first
that is not allowed."""

from collections.abc import Mapping
from typing import Any

from shaping.config.checks import check_number, mapping, settings
from shaping.config.errors import ConfigError, not_allowed, unknown_key
from shaping.config.games import family_of, normal_game
from shaping.config.initial import init_fields
from shaping.config.objective import normal_objective, objective_fields
from shaping.config.players import MODEL, model_fields, normal_optimizer, normal_players, player_fields
from shaping.config.policy import kind_of, normal_policy
from shaping.learners.optimizer import optimizer_fields
from shaping.schema import Field, Range

TOP = {
    "title": "",
    "description": "",
    "game": {"name": "ipd"},
    "players": {"rule": "naive"},
    "optimizer": "sgd",
    "policy": {},
    "objective": {},
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
        "checkpoint", mapping("checkpoint", {} if top["checkpoint"] is None else top["checkpoint"]), CHECKPOINT, ()
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


_PUBLISHED = ("cell", "metric", "player", "value", "sd", "runs", "tolerance", "matches", "known", "source")


def _check_published(where: str, entry: Any) -> None:
    """A published value must be one the summary can set ours beside."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("metric"), str) or "value" not in entry:
        raise not_allowed(where, entry, "a mapping with metric, value, and where known cell, player, sd, runs, source")
    for key in entry:
        if key not in _PUBLISHED:
            raise unknown_key(f"{where}.{key}", [f"{where}.{name}" for name in _PUBLISHED])
    if not isinstance(entry.get("cell") or {}, Mapping):
        raise not_allowed(f"{where}.cell", entry["cell"], "a mapping of coordinates, for example {variant: name}")
    for key, allowed in (("value", Range()), ("sd", Range(0)), ("tolerance", Range(0))):
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
    """The keys of `CELL` in normal form."""
    game = normal_game(raw["game"])
    objective = normal_objective(raw["objective"], game)
    policy = normal_policy(raw["policy"], game, objective["kind"] != "exact")
    players = normal_players(raw["players"], game, policy, objective)
    for where, init in [
        ("policy", policy["init"]),
        *((f"players.{i}", p.get("init", {})) for i, p in enumerate(players)),
    ]:
        if "m_maml" in init and objective["kind"] != "exact":
            raise ConfigError(f"{where}.init.m_maml: it learns about the game beforehand; objective.kind must be exact")
    optimizer = normal_optimizer(raw["optimizer"])
    return {"game": game, "players": players, "optimizer": optimizer, "policy": policy, "objective": objective}


def number_fields(normal: Mapping[str, Any]) -> dict[str, Field]:
    """Every number of a normal form that may carry the population axis, by dotted key, with its range."""
    found = _prefixed("game", family_of(normal["game"]).fields(normal["game"]))
    for seat, player in enumerate(normal["players"]):
        where = f"players.{seat}"
        found |= _numbers(where, player, player_fields(player["rule"]))
        found |= _numbers(f"{where}.{MODEL}", player.get(MODEL, {}), model_fields())
        found |= init_fields(f"{where}.init", player["init"]) if "init" in player else {}
    for part, known in (
        ("objective", objective_fields()),
        ("optimizer", optimizer_fields(normal["optimizer"]["name"])),
        ("policy", kind_of(normal["game"], normal["policy"]["kind"]).fields),
    ):
        found |= _numbers(part, normal[part], known)
    return found | init_fields("policy.init", normal["policy"]["init"])


def _numbers(where: str, part: Mapping[str, Any], known: Mapping[str, Field]) -> dict[str, Field]:
    return {
        f"{where}.{name}": field
        for name, field in known.items()
        if field.kind == "number" and part.get(name) is not None
    }


def _prefixed(where: str, known: Mapping[str, Field]) -> dict[str, Field]:
    return {f"{where}.{name}": field for name, field in known.items()}
