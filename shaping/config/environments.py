"""Environments among the kinds of games: ours, JaxMARL's and those of packages and plugins; their returns are sampled.

Settings are the arguments of the factory, which checks them itself. Those that are numbers (`number_names` of
`envs.declarations`) may be swept and drawn; the environment is built from the others alone.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from inspect import Parameter
from typing import Any

import jax
import numpy as np

from shaping.config.checks import check_number
from shaping.config.errors import ConfigError, unknown_key
from shaping.config.family import Family, discount_range, entries, plain_lists
from shaping.envs import ENVIRONMENTS
from shaping.envs.declarations import number_names, with_numbers
from shaping.extensions import Named
from shaping.policies.kinds import default_kind
from shaping.schema import Field, Range, fields

_HORIZON = Range(1, 10**6)
KINDS = ("mlp", "conv", "gru", "lstm", "gaussian", "tabular")
"""What policies may be; whether the spaces allow it the policy says itself."""


def jaxmarl(id: str, settings: Any = (), horizon: int | None = None) -> Any:
    """An environment of JaxMARL by its `id`, made with `settings`; the extra `peers` brings it.

    Args:
      id: as `jaxmarl.make` knows it.
      settings: a mapping of its arguments.
      horizon: steps of an episode, where the environment does not end by itself sooner.
    """
    from shaping.envs.adapters import from_jaxmarl
    from shaping.envs.adapters.peers import require

    try:
        require("jaxmarl.environments")
        make = require("jaxmarl").make
    except ImportError as error:
        raise ValueError(f"name is 'jaxmarl'; allowed: with JaxMARL ({error})") from None
    try:
        # Its environments compute their settings as they are made, which may happen while a program is traced.
        with jax.ensure_compile_time_eval():
            return from_jaxmarl(make(id, **{key: value for key, value in settings}))
    except (TypeError, KeyError) as error:
        raise ValueError(
            f"id is {id!r}; allowed: an environment of JaxMARL and settings that it has ({error})"
        ) from None


def environments() -> Mapping[str, Callable[..., Any]]:
    """Factories of environments by name."""
    return Named("environments", {**ENVIRONMENTS, "jaxmarl": jaxmarl})


@lru_cache(maxsize=1024)
def _made(name: str, items: tuple[tuple[str, Any], ...]) -> Any:
    # Kept, as environments of other people may be equal to themselves alone, and are part of what is compiled.
    try:
        return environments()[name](**dict(items))
    except ValueError as error:
        raise ConfigError(f"game.{error}") from None
    except TypeError as error:
        raise ConfigError(f"game: {error}") from None


def _build(name: str, given: Mapping[str, Any]) -> Any:
    return _made(name, _frozen(given))


def _frozen(value: Any) -> Any:
    """Mappings as pairs and lists as tuples: what shapes a program has to be hashed."""
    if isinstance(value, Mapping):
        return tuple((key, _frozen(part)) for key, part in value.items())
    return tuple(_frozen(part) for part in value) if isinstance(value, list | tuple) else value


def environment_settings(name: str) -> dict[str, Field]:
    """What an environment lets one set; its own `name` is only for messages."""
    return fields(environments()[name], skip=("name",), others=True)


def _normal(given: Mapping[str, Any]) -> dict[str, Any]:
    name = str(given["name"])
    known = environment_settings(name)
    for key in given:
        if key not in (*known, "name", "discount", "horizon"):
            raise unknown_key(
                f"game.{key}", [f"game.{k}" for k in dict.fromkeys(("name", *known, "discount", "horizon"))]
            )
    for key, field in known.items():
        if field.default is Parameter.empty and key not in given:
            raise ConfigError(f"game.{key}: must be given for the game {name}")
    env = _build(name, {key: value for key, value in given.items() if key in known})
    game: dict[str, Any] = {"name": name}
    for key, field in known.items():
        # What the factory makes of a setting, where it says so in plain data.
        value = plain_lists(getattr(env, key, _UNTOLD))
        if not isinstance(value, bool | int | float | str | list | None):
            value = plain_lists(given.get(key, field.default))
        game[key] = value
    horizon = given.get("horizon", game.get("horizon"))
    game["horizon"] = None if horizon is None else check_number("game.horizon", horizon, _HORIZON, integer=True)
    discount = given.get("discount", game.get("discount"))
    game["discount"] = check_number("game.discount", 0.96 if discount is None else discount, discount_range(horizon))
    for key in _numbers(name, _frozen(_own(game))):
        game[key] = game[key] if known[key].kind == "integer" else _floats(game[key])
    return game


_UNTOLD = object()


def _floats(value: Any) -> Any:
    if isinstance(value, list):
        return [_floats(part) for part in value]
    return None if value is None else float(value)


def _own(game: Mapping[str, Any]) -> dict[str, Any]:
    """Its factory's settings, one value of each where there are arrays [matches, ...]."""
    known = environment_settings(game["name"])
    own = {
        key: int(_first(game[key])) if field.kind == "integer" else _first(game[key])
        for key, field in known.items()
        if key != "discount" and game.get(key) is not None
    }
    # Not every model of an environment that takes a discount has one, and the objective's is another thing.
    if "discount" in known and getattr(_build(game["name"], own), "discount", None) is not None:
        own["discount"] = _first(game["discount"])
    return own


def _first(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value[0].tolist()
    return [_first(part) for part in value] if isinstance(value, list) else value


@lru_cache(maxsize=4096)
def _numbers(name: str, own: tuple[tuple[str, Any], ...]) -> tuple[str, ...]:
    """Which settings are numbers; touches no device, as that is decided by what is read here."""
    found: list[tuple[str, ...]] = []
    jax.eval_shape(lambda: found.append(number_names(_made(name, own))))
    return tuple(key for key in found[0] if key != "horizon")


def _fields(game: Mapping[str, Any]) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for key in _numbers(game["name"], _frozen(_own(game))):
        if game.get(key) is not None:
            kind = "integer" if environment_settings(game["name"])[key].kind == "integer" else "number"
            found |= entries(key, game[key], Field(key, kind, None))
    return found | {"discount": Field("discount", "number", 0.96, discount_range(game["horizon"]))}


def _env(game: Mapping[str, Any], policy: Mapping[str, Any] | None = None) -> Any:
    """Built from structure alone: numbers are at their defaults, so that games that differ in them are one program."""
    name, own = game["name"], _own(game)
    structure = {key: value for key, value in own.items() if key not in _numbers(name, _frozen(own))}
    return _build(name, structure)


def _played(game: Mapping[str, Any], objective: Mapping[str, Any], exact: Any, number: Any, noise: Any) -> Any:
    """Its default numbers with those of the configuration in their places, leaves [matches, ...]."""
    env, count = _env(game), len(number(0.0, rank=0))

    def stacked(leaf: Any) -> np.ndarray:
        array = np.asarray(leaf)
        return (
            number(array, rank=array.ndim) if array.dtype.kind == "f" else np.broadcast_to(array, (count, *array.shape))
        )

    params = jax.tree.map(stacked, env.default_params)
    given = {key: game[key] for key in number_names(env) if key in game and key != "horizon"}
    return with_numbers(env, params, {key: _number(value, number) for key, value in given.items()})


def _number(value: Any, number: Any) -> Any:
    if value is None:
        return None
    # An array has the matches in front, a list has arrays or numbers in its places.
    return number(value, rank=np.ndim(value) - 1 if isinstance(value, np.ndarray) else _depth(value))


def _default_kind(game: Mapping[str, Any]) -> str:
    env = _env(game)
    try:
        return default_kind(env.observation_space, env.action_space)
    except ValueError as error:
        raise ConfigError(f"game: {error}") from None


def _depth(value: Any) -> int:
    return 1 + _depth(value[0]) if isinstance(value, list) else 0


ENVIRONMENT = Family(
    normal=_normal,
    fields=_fields,
    seats=lambda game: _build(game["name"], _own(game)).num_players,
    exact_kinds=(),
    sampled_kinds=KINDS,
    default_kind=_default_kind,
    env=_env,
    played=_played,
    check=lambda game: _build(game["name"], _own(game)) and None,
)
