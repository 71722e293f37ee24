"""The JSON Schema of configurations, made from the same signatures: editors use it to complete, explain and check.

It knows every name, setting, type and range. What depends on several keys at once (which policies a game takes, how
long a list of players is) is left to `plan`.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from inspect import getdoc
from operator import or_
from typing import Annotated, Any, Literal

import pydantic
from pydantic import ConfigDict, create_model

from shaping.config.axes import DRAWS, RANGES
from shaping.config.checks import annotation, model
from shaping.config.environments import environments
from shaping.config.games import MATRIX_SETTINGS, family_of, game_names, game_settings
from shaping.config.initial_parameters import DRAWN, FILE, RUN, SCALES
from shaping.config.league import FROZEN
from shaping.config.messages import MESSAGES
from shaping.config.objective import KINDS, objective_fields
from shaping.config.players import (
    SCHEDULES,
    model_fields,
    named_optimizers,
    optimizer_settings,
    player_fields,
    rules,
)
from shaping.config.policy import policy_fields
from shaping.config.population import MUTATION, PAIRING, POPULATION, SELECTION, SHARE
from shaping.config.strategies import STRATEGIES, strategy_fields
from shaping.config.top_level import CHECKPOINT, LOGS, OPTIONAL_PARTS, PUBLISHED, SINGLE
from shaping.config.trial import COPY, DISCOUNT, FREQUENCY, TRIAL
from shaping.config.trial import DRAWS as TRIAL_DRAWS
from shaping.envs.sequential.games import SEQUENTIAL_GAMES
from shaping.learners import m_maml
from shaping.objectives.rewards import REWARDS
from shaping.signatures import Field, Range, fields

_Table = list[Any]
_Scale = Annotated[float, pydantic.Field(ge=0)]


def json_schema() -> dict[str, Any]:
    """The schema, as plain data, of everything that can be named in this installation, with packages and plugins."""
    members = {
        "game": _game(),
        "players": _player() | list[_player()],
        "population": _population(),
        "optimizer": _named("name", named_optimizers(), optimizer_settings),
        "policy": _policy(),
        "objective": _objective(),
        "trial": _trial(),
    }
    optional = {key: (kind | None, None) for key, kind in members.items()}
    variant = _object("Variant", optional)
    names = Literal[tuple(OPTIONAL_PARTS)]
    more: dict[str, Any] = optional | {
        "record": (list[names] | None, None),
        "log": (list[Literal[LOGS]] | None, None),
        "chunk_matches": (int | list[int] | None, None),
        "checkpoint": (_settings("Checkpoint", CHECKPOINT) | None, None),
        "sweep": (dict[str, _axis()] | None, None),
        "tie": (list[list[str]] | None, None),
        "variants": (dict[str, variant] | None, None),
        "league": (_league() | None, None),
        "published": (list[_settings("Published", PUBLISHED)] | None, None),
        "quick": (Literal[False] | _quick() | None, None),
    }
    top = model("Configuration", tuple(SINGLE.values()), "An experiment of `shaping`.", **more)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **top.model_json_schema(by_alias=True)}


def _object(title: str, members: Mapping[str, Any]) -> Any:
    """An object with exactly these keys; each member is a type and a default, in pydantic's form."""
    make: Any = create_model
    return make(title, __config__=ConfigDict(extra="forbid"), **members)


def _union(kinds: Iterable[Any]) -> Any:
    return reduce(or_, kinds)


def _settings(title: str, known: Mapping[str, Field], about: str = "", /, **more: Any) -> Any:
    return model(title, tuple(known.values()), about, **more)


def _about(factory: Callable[..., Any]) -> str:
    return (getdoc(factory) or "").strip().partition("\n\n")[0].replace("\n", " ")


def _named(key: str, factories: Mapping[str, Callable[..., Any]], known: Callable[[str], Mapping[str, Field]]) -> Any:
    """One of several names with its settings, or a bare name."""
    each = [
        _settings(f"{key}_{name}", known(name), _about(factory), **{key: (Literal[name], ...)})
        for name, factory in factories.items()
    ]
    return _union([*each, Literal[tuple(factories)]])


def _game() -> Any:
    noise = {"noise": (_Scale | list[_Scale], 0.0)}
    talk = {"messages": (_settings("messages", MESSAGES, "Each action carries a message.") | None, None)}
    each = []
    for name in game_names():
        known = dict(game_settings(name))
        more: dict[str, Any] = {"name": (Literal[name], ...)}
        more |= talk if family_of({"name": name}).sampled_kinds else {}
        if name not in environments() and known.pop("noise", None) is not None:
            more |= noise
        factory = SEQUENTIAL_GAMES.get(name) or environments().get(name)
        about = "" if factory is None else _about(factory)
        each.append(_settings(f"game_{name}", known, about, **more))
    own = {key: field for key, field in MATRIX_SETTINGS.items() if key != "noise"}
    each.append(
        _settings("game_payoffs", own, "Payoffs written down.", payoffs=(_Table, ...), name=(str, ""), **noise, **talk)
    )
    return _union([*each, Literal[tuple(game_names())]])


def _initial() -> Any:
    kinds: dict[str, Any] = {kind: _Scale for kind in SCALES}
    kinds |= {kind: Literal[True] for kind in DRAWN}
    kinds |= {"values": _Table, "m_maml": _settings("m_maml", fields(m_maml))}
    warm = [_settings("init_run", RUN), _settings("init_file", FILE)]
    # Learners of a population may share one draw.
    draws = {"shared": (bool | None, None)}
    each = [
        _object(f"init_{kind}", {kind: (own, ...)} | (draws if kind in SCALES else {})) for kind, own in kinds.items()
    ]
    return _union([*warm, *each])


def _population() -> Any:
    share = annotation(SHARE) | Literal["rest"]
    mutation = _settings("mutation", MUTATION) | annotation(MUTATION["rate"])
    pairing = _settings("pairing", PAIRING, edges=(_Table | str | None, None), graph=(dict[str, Any] | None, None))
    selection = _settings("selection", SELECTION, mutation=(mutation | None, None))
    more: dict[str, Any] = {
        "types": (dict[str, _player("type_", {"share": (share, "rest"), "policy": (_policy() | None, None)})], ...),
        "pairing": (pairing | annotation(PAIRING["kind"]) | None, None),
        "selection": (selection | annotation(SELECTION["kind"]) | None, None),
    }
    return _settings("population", POPULATION, "Learners that meet.", **more)


def _player(prefix: str = "", more: Mapping[str, Any] | None = None) -> Any:
    """A player or, with a share, a type of a population; `more` are further keys, in pydantic's form."""
    seat = {"share": (bool | None, None), "reward": (_reward() | None, None)}
    more = dict(more or seat | {"within": (bool | None, None), "discount": (annotation(DISCOUNT), None)})
    steps = _named("schedule", SCHEDULES, lambda name: fields(SCHEDULES[name])).__args__[:-1]
    step = annotation(Field("step_size", "number", 1.0, Range(0))) | _union(steps)
    if "discount" in more:
        step |= _union(_object(f"step_{kind}", {kind: (tuple[float, float], ...)}) for kind in TRIAL_DRAWS)
    beside = {
        "step_size": (step, 1.0),
        "init": (_initial(), None),
        "opponent_model": (_settings("opponent_model", model_fields()) | bool | None, None),
        **more,
    }
    # Those who follow a strategy maximise nothing.
    also = {
        key: kind for key, kind in more.items() if key == "within" or (prefix and key not in ("discount", "reward"))
    }
    each = []
    for name, factory in rules().items():
        own = {key: field for key, field in player_fields(name).items() if key not in beside or key == "discount"}
        besides = {key: kind for key, kind in beside.items() if key not in own}
        each.append(_settings(f"{prefix}rule_{name}", own, _about(factory), rule=(Literal[name], ...), **besides))
    for name, factory in STRATEGIES.items():
        own = strategy_fields(name)
        each.append(_settings(f"{prefix}strategy_{name}", own, _about(factory), strategy=(Literal[name], ...), **also))
    other = _object(f"{prefix}strategy", {"strategy": (str, ...), **also})
    inside = [] if prefix else [_object("within", {"within": (Literal[True], ...)})]
    return _union([*each, other, *inside, Literal[tuple(rules())]])


def _trial() -> Any:
    candidate = _player(
        "within_", {"frequency": (annotation(FREQUENCY), 1.0), "discount": (annotation(DISCOUNT), None)}
    )
    copy = _settings("copy", COPY, "A copy of the shaper of a seat.")
    more: dict[str, Any] = {
        "policy": (_policy() | None, None),
        "optimizer": (_named("name", named_optimizers(), optimizer_settings) | None, None),
        "pool": (list[candidate | copy] | None, None),
        "strangers": (dict[str, candidate | copy] | None, None),
    }
    return _settings("trial", TRIAL, "The episode of a shaper: others learn within it.", **more)


def _reward() -> Any:
    others = [name for name in REWARDS if name != "weights"]
    each = [_object(f"reward_{name}", {name: (_settings(name, fields(REWARDS[name])), ...)}) for name in others]
    return _union([_object("reward_weights", {"weights": (list[float], ...)}), *each, Literal[tuple(others)]])


def _policy() -> Any:
    kinds = policy_fields()
    every = {name: field for known in kinds.values() for name, field in known.items()}
    more: dict[str, Any] = {"init": (_initial() | None, None)}
    each = [_settings(f"policy_{kind}", known, **more, kind=(Literal[kind], ...)) for kind, known in kinds.items()]
    return _union([*each, _settings("policy", every, **more), Literal[tuple(kinds)]])


def _objective() -> Any:
    exact = _object("exact", {"kind": (Literal["exact"], "exact")})
    sampled = _settings("sampled", objective_fields(), kind=(Literal[tuple(KINDS)], "dice"))
    return exact | sampled | Literal[("exact", *KINDS)]


def _axis() -> Any:
    ranges = [_object(kind, {kind: (tuple[float, float, int], ...)}) for kind in RANGES]
    draws = [_object(kind, {kind: (tuple[float, float], ...)}) for kind in DRAWS]
    return _union([*ranges, *draws, Annotated[_Table, pydantic.Field(min_length=1)]])


def _league() -> Any:
    # Players and strategies of matches, each with settings that differ against some of the others.
    beside = {"reward": (_reward() | None, None), "against": (dict[str, dict[str, Any]] | None, None)}
    learning = _object("Learning league", {"learners": (dict[str, _player("league_", beside)], ...)})
    several: dict[str, Any] = {name: (list[str | int] | str | int | None, None) for name in ("players", "cells")}
    return learning | _settings("Frozen league", FROZEN, "Frozen players, everyone against everyone.", **several)


def _quick() -> Any:
    return _object("Quick", {"matches": (int, None), "variants": (list[str | int | float], None)})
