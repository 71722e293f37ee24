"""The top level of a configuration: which keys there are, and those that apply to the whole run.

The keys of `CELL` say what is trained; `shaping.config.cell` checks them for each cell of a sweep. A new key with a
single value is a parameter of `_run`; any other has its default in `TOP` and is checked in `check_top`.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from shaping.config.checks import check_number, settings
from shaping.config.errors import ConfigError, not_allowed, unknown_key
from shaping.signatures import Field, NonNegative, Positive, Range, fields

OPTIONAL_PARTS = ("policies", "consistency", "shaping", "types")
"""Optional parts of a record; see `population.compiled_programs.Timetable`."""
LOGS = ("csv", "tensorboard")
"""The formats in which a run may log its curves; see `runtime.curve_log`."""
Count = Annotated[int, Range(1, 10**9)]


def _run(
    title: str = "",
    description: str = "",
    precision: Literal["float32", "float64"] = "float32",
    matches: Count = 100,
    updates: Annotated[int, Range(0, 10**9)] = 100,
    generations: Count = 100,
    record_every: Count = 1,
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
    memory_gib: Positive = 2.0,
) -> None:
    """Keys that apply to the whole run, with single values."""


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
    """A published number that the summary compares with ours."""


SINGLE, CHECKPOINT, PUBLISHED = fields(_run), fields(_checkpoint), fields(_published, others=True)
LIMITS = {name: field.range for name, field in SINGLE.items() if field.kind == "integer"}
CELL = ("game", "players", "population", "optimizer", "policy", "objective", "trial")
"""The keys that a variant, or an axis of structure, may change, each time with a new program."""
_CONTAINERS = {
    "record": (list, f"a list of some of {', '.join(OPTIONAL_PARTS)}"),
    "log": (list, f"a list of some of {', '.join(LOGS)}"),
    "checkpoint": (dict, "a mapping of settings"),
    "sweep": (dict, "a mapping of keys to axes"),
    "tie": (list, "a list of lists of swept keys"),
    "variants": (dict, "a mapping of names to replacements of top-level keys"),
    "published": (list, "a list of published values"),
}
TOP = {
    "title": "",
    "description": "",
    "game": {"name": "ipd"},
    "players": {"rule": "naive"},
    "population": None,
    "optimizer": "sgd",
    "policy": {},
    "objective": {},
    "trial": None,
    **{name: field.default for name, field in SINGLE.items()},
    "chunk_matches": None,
    **{name: kind() for name, (kind, _) in _CONTAINERS.items()},
    "league": None,
    "quick": None,
}


def check_top(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The top level with defaults filled in. The keys of `CELL` are checked by `normal_cell`."""
    for key in raw:
        if key in ("learning_rate", "step_size"):
            raise ConfigError(f"{key}: unknown key; the learning rate of a player is players.*.step_size")
        if key not in TOP:
            raise unknown_key(str(key), TOP)
    top = copy.deepcopy(TOP) | dict(raw)
    top |= settings("", {key: raw[key] for key in SINGLE if key in raw}, SINGLE)
    for key, (kind, wanted) in _CONTAINERS.items():
        top[key] = kind() if top[key] is None else top[key]
        if not isinstance(top[key], kind):
            raise not_allowed(key, top[key], wanted)
    top["checkpoint"] = settings("checkpoint", top["checkpoint"], CHECKPOINT)
    sizes = top["chunk_matches"]
    for place, size in enumerate(sizes) if isinstance(sizes, list) else [(None, sizes)]:
        if sizes is not None:
            key = "chunk_matches" if place is None else f"chunk_matches.{place}"
            check_number(key, size, LIMITS["matches"], integer=True)
    for key, known in (("record", OPTIONAL_PARTS), ("log", LOGS)):
        for entry in top[key]:
            if entry not in known:
                raise not_allowed(key, entry, f"some of {', '.join(known)}", known)
    for place, entry in enumerate(top["published"]):
        _check_published(f"published.{place}", entry)
    _check_variants(top["variants"])
    _check_quick(top["quick"], top["variants"])
    return top


def check_population(raw: Mapping[str, Any], top: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a run is of populations, after refusing what does not belong to one, or to independent matches.

    Args:
      raw: the configuration as written.
      top: the top level.
      cells: cells in normal form.

    Raises:
      ConfigError: one line.
    """
    meets = ["population" in cell for cell in cells]
    if any(meets) != all(meets):
        raise ConfigError("population: some variants have one and others have none; allowed: all or none")
    wrong = ("consistency", "shaping") if any(meets) else ("types",)
    for extra in wrong:
        if extra in top["record"]:
            of = "independent matches" if any(meets) else "populations"
            raise ConfigError(f"record: {extra} is not allowed here; allowed for {of}")
    if not any(meets):
        if "generations" in raw:
            raise ConfigError("generations: there is no population; independent matches have updates")
        return False
    given = [*raw, *(key for variant in top["variants"].values() for key in variant)]
    for key, instead in (("players", "population.types"), ("updates", "generations and population.encounter")):
        if key in given:
            raise ConfigError(f"{key}: not allowed where there is a population; it has {instead}")
    if top["log"]:
        raise ConfigError("log: not allowed where there is a population; allowed for independent matches")
    first = list(cells[0]["population"]["types"])
    for cell in cells:
        if list(cell["population"]["types"]) != first:
            listed = ", ".join(cell["population"]["types"])
            raise ConfigError(
                f"population.types: {listed} in one cell and {', '.join(first)} in another; allowed: the same names in "
                "the same order everywhere (a type may have share 0)"
            )
    return True


def replaced(variants: Mapping[Any, Mapping[str, Any]]) -> list[str]:
    """The keys that every variant replaces."""
    return [key for key in CELL if variants and all(key in variant for variant in variants.values())]


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
        written = " ".join(str(name).split())
        if not written:
            raise not_allowed("variants", name, "names that can be seen")
        if written in names:
            raise ConfigError(f"variants: {names[written]!r} and {name!r} are written alike, {written}; rename one")
        names[written] = name


def _check_published(where: str, entry: Any) -> None:
    """Refuses a published value that the summary cannot compare with ours."""
    if not isinstance(entry, Mapping):
        raise not_allowed(where, entry, "a mapping with metric, value, and where known cell, player, sd, runs, source")
    found = settings(where, entry, PUBLISHED)
    if found["known"] is not None and not found["known"].strip():
        raise not_allowed(f"{where}.known", found["known"], "text: why ours differs")
    if not isinstance(entry.get("cell") or {}, Mapping):
        raise not_allowed(f"{where}.cell", entry["cell"], "a mapping of coordinates, for example {variant: name}")


def _check_quick(value: Any, variants: Mapping[str, Any]) -> None:
    """Checks what the quick form changes: null for the default, false for no quick form, or a mapping."""
    if value is None or value is False:
        return
    if not isinstance(value, Mapping):
        raise not_allowed("quick", value, "a mapping of matches and variants, or false")
    matches = Field("matches", "integer", 1, LIMITS["matches"])
    settings("quick", value, {"matches": matches}, ("variants",))
    names = [*variants]
    kept = value.get("variants", names)
    if not isinstance(kept, list) or any(name not in names for name in kept) or ("variants" in value and not kept):
        wanted = f"a list of {', '.join(map(str, names))}" if names else "left out: there are no variants"
        raise not_allowed("quick.variants", kept, wanted)
