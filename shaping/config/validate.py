"""The normal form of one experiment: every default filled in, every value checked, one line of error for the first
that is not allowed."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from shaping.config.checks import check_number, settings
from shaping.config.errors import ConfigError, not_allowed, unknown_key
from shaping.config.games import family_of, normal_game
from shaping.config.initial import init_fields
from shaping.config.objective import normal_objective, objective_fields
from shaping.config.players import (
    MODEL,
    model_fields,
    normal_optimizer,
    normal_players,
    optimizer_settings,
    played_by,
    player_fields,
)
from shaping.config.policy import kind_of, normal_policy
from shaping.learners.schedule import SCHEDULES
from shaping.schema import Field, NonNegative, Positive, Range, fields

EXTRAS = ("policies", "consistency", "shaping")
"""What a record may hold besides; see `population.program.Timetable`."""
Count = Annotated[int, Range(1, 10**9)]


def _top(
    title: str = "",
    description: str = "",
    precision: Literal["float32", "float64"] = "float32",
    matches: Count = 100,
    updates: Annotated[int, Range(0, 10**9)] = 100,
    record_every: Count = 1,
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
    memory_gib: Positive = 2.0,
) -> None:
    """What holds for the whole run, in single values."""


def _checkpoint(
    every_s: Positive | None = 60.0, every_updates: Count | None = None, keep: Annotated[int, Range(1, 1000)] = 3
) -> None:
    """When to save, and how much to keep."""


def _published(
    metric: str,
    value: Annotated[float, Range()],
    cell: Any = None,
    player: Annotated[int, Range(0)] | None = None,
    sd: NonNegative | None = None,
    runs: Annotated[int, Range(1)] | None = None,
    rounding: NonNegative | None = None,
    tolerance: NonNegative | None = None,
    matches: Annotated[int, Range(1)] | None = None,
    known: str | None = None,
    source: Any = None,
) -> None:
    """A number of the literature that the summary sets ours beside."""


SINGLE, CHECKPOINT, PUBLISHED = fields(_top), fields(_checkpoint), fields(_published, others=True)
LIMITS = {name: field.range for name, field in SINGLE.items() if field.kind == "integer"}
CELL = ("game", "players", "optimizer", "policy", "objective")
"""The keys a variant or an axis of structure changes the program by."""
TOP = {
    "title": "",
    "description": "",
    "game": {"name": "ipd"},
    "players": {"rule": "naive"},
    "optimizer": "sgd",
    "policy": {},
    "objective": {},
    **{name: field.default for name, field in SINGLE.items()},
    "record": [],
    "chunk_matches": None,
    "checkpoint": {},
    "sweep": {},
    "tie": [],
    "variants": {},
    "published": [],
    "quick": None,
}
_CONTAINERS = {
    "sweep": (dict, "a mapping of keys to axes"),
    "variants": (dict, "a mapping of names to replacements of top-level keys"),
    "tie": (list, "a list of lists of swept keys"),
    "record": (list, f"a list of some of {', '.join(EXTRAS)}"),
    "published": (list, "a list of published values"),
    "checkpoint": (dict, "a mapping of settings"),
}


def check_top(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The top level with defaults filled in; the keys of `CELL` are checked by `normal_cell`."""
    for key in raw:
        if key not in TOP:
            raise unknown_key(str(key), TOP)
    top = {key: raw.get(key, default) for key, default in TOP.items()}
    top |= settings("", {key: raw[key] for key in SINGLE if key in raw}, SINGLE)
    for key, (kind, wanted) in _CONTAINERS.items():
        top[key] = kind() if top[key] is None else top[key]
        if not isinstance(top[key], kind):
            raise not_allowed(key, top[key], wanted)
    top["checkpoint"] = settings("checkpoint", top["checkpoint"], CHECKPOINT)
    sizes = top["chunk_matches"]
    for key, size in (
        [(f"chunk_matches.{i}", size) for i, size in enumerate(sizes)]
        if isinstance(sizes, list)
        else [("chunk_matches", sizes)]
    ):
        if sizes is not None:
            check_number(key, size, LIMITS["matches"], integer=True)
    for entry in top["record"]:
        if entry not in EXTRAS:
            raise not_allowed("record", entry, f"some of {', '.join(EXTRAS)}", EXTRAS)
    for place, entry in enumerate(top["published"]):
        _check_published(f"published.{place}", entry)
    _check_variants(top["variants"])
    _check_quick(top["quick"], top["variants"])
    return top


def _check_variants(variants: Mapping[Any, Any]) -> None:
    names: dict[str, Any] = {}
    for name, variant in variants.items():
        where = f"variants.{name}"
        if not isinstance(name, str | int | float):
            raise not_allowed("variants", name, "names that are text or numbers")
        if not isinstance(variant, Mapping):
            raise not_allowed(where, variant, "a mapping of top-level keys")
        for key in variant:
            if key not in CELL:
                raise unknown_key(f"{where}.{key}", CELL, " in a variant")
        if str(name) in names:
            raise ConfigError(f"variants: {names[str(name)]!r} and {name!r} are written alike, {name}; rename one")
        names[str(name)] = name


def _check_published(where: str, entry: Any) -> None:
    """A published value must be one the summary can set ours beside."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("metric"), str) or "value" not in entry:
        raise not_allowed(where, entry, "a mapping with metric, value, and where known cell, player, sd, runs, source")
    known = entry.get("known")
    if known is not None and not (isinstance(known, str) and known.strip()):
        raise not_allowed(f"{where}.known", known, "text: why ours differs")
    settings(where, entry, PUBLISHED)
    if not isinstance(entry.get("cell") or {}, Mapping):
        raise not_allowed(f"{where}.cell", entry["cell"], "a mapping of coordinates, for example {variant: name}")


def _check_quick(value: Any, variants: Mapping[str, Any]) -> None:
    """What a quick check changes: null for the default, false for no quick check, or a mapping."""
    if value is None or value is False:
        return
    if not isinstance(value, Mapping):
        raise not_allowed("quick", value, "a mapping of matches and variants, or false")
    matches = Field("matches", "integer", 1, LIMITS["matches"])
    settings("quick", value, {"matches": matches}, ("variants",))
    kept = value.get("variants", [*variants])
    names = [*variants]
    if not isinstance(kept, list) or any(name not in names for name in kept) or ("variants" in value and not kept):
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
    seats = played_by(normal["players"])
    for seat, player in enumerate(normal["players"]):
        where = f"players.{seat}"
        if "strategy" in player or (seats is not None and seats[seat] in seats[:seat]):
            continue  # what a learner of several seats may set stands at the first of them
        found |= _numbers(where, player, player_fields(player["rule"]))
        if isinstance(player["step_size"], dict):
            step = player["step_size"]
            found |= _numbers(f"{where}.step_size", step, fields(SCHEDULES[step["schedule"]]))
            del found[f"{where}.step_size"]
        found |= _numbers(f"{where}.{MODEL}", player.get(MODEL, {}), model_fields())
        found |= init_fields(f"{where}.init", player["init"]) if "init" in player else {}
    for part, known in (
        ("objective", objective_fields()),
        ("optimizer", optimizer_settings(normal["optimizer"]["name"])),
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
