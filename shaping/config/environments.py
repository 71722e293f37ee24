"""Environments as families of games: ours, JaxMARL's, and those of packages and plugins. Their returns are sampled.

The settings are the arguments of the factory, which checks them itself. Those that are numbers (`number_names` of
`envs.declarations`) may be swept and drawn; the environment is built from the other settings alone.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from inspect import Parameter
from typing import Any

import jax
import numpy as np

from shaping.config.checks import check_known, check_number
from shaping.config.dotted import entries
from shaping.config.errors import ConfigError, errors_about, not_allowed
from shaping.config.game_family import HORIZON, Family, discount_field
from shaping.config.yaml_text import plain_data
from shaping.envs import ENVIRONMENTS
from shaping.envs.adapters.jaxmarl_import import jaxmarl
from shaping.envs.declarations import default_numbers, number_names, with_numbers
from shaping.objectives.sampled_game import SampledGame
from shaping.plugins import Named
from shaping.policies.kinds import NETWORKS, default_kind, independent, shown_table
from shaping.signatures import Field, fields


def environments() -> Mapping[str, Callable[..., Any]]:
    """Factories of environments by name."""
    return Named("environments", {**ENVIRONMENTS, "jaxmarl": jaxmarl})


@lru_cache(maxsize=1024)
def _made(name: str, items: tuple[tuple[str, Any], ...]) -> Any:
    # Cached: other people's environments may be equal only to themselves, and they are part of what is compiled.
    try:
        with errors_about("game"):
            return environments()[name](**dict(items))
    except TypeError as error:
        raise ConfigError(f"game: {error}") from None


def _build(name: str, given: Mapping[str, Any]) -> Any:
    return _made(name, _frozen(given))


def _frozen(value: Any) -> Any:
    """Mappings as pairs and lists as tuples, because what shapes a program has to be hashable."""
    if isinstance(value, Mapping):
        return tuple((key, _frozen(part)) for key, part in value.items())
    return tuple(_frozen(part) for part in value) if isinstance(value, list | tuple) else value


def environment_settings(name: str) -> dict[str, Field]:
    """The settings of an environment; its `name` is only for messages."""
    return fields(environments()[name], skip=("name",), others=True)


def _normal(given: Mapping[str, Any]) -> dict[str, Any]:
    name = str(given["name"])
    known = environment_settings(name)
    check_known("game", given, dict.fromkeys(("name", *known, "discount", "horizon")), name)
    for key, field in known.items():
        if field.default is Parameter.empty and key not in given:
            raise ConfigError(f"game.{key}: must be given for the game {name}")
    env = _build(name, {key: value for key, value in given.items() if key in known})
    game: dict[str, Any] = {"name": name}
    for key, field in known.items():
        # The value that the factory made of a setting, if it is available as plain data.
        told = plain_data(getattr(env, key, field))
        plain = isinstance(told, bool | int | float | str | list | None)
        game[key] = told if plain else plain_data(given.get(key, field.default))
    horizon, discount = (given.get(key, game.get(key)) for key in ("horizon", "discount"))
    if "horizon" in given and horizon is None and game.get("horizon") is not None:
        raise not_allowed("game.horizon", None, f"{HORIZON.range}; episodes of {name} always end")
    game["horizon"] = None if horizon is None else check_number("game.horizon", horizon, HORIZON.range, integer=True)
    allowed = discount_field(horizon)
    game["discount"] = check_number("game.discount", allowed.default if discount is None else discount, allowed.range)
    for key in _numbers(game):
        game[key] = game[key] if known[key].kind == "integer" else _floats(game[key])
    return game


def _floats(value: Any) -> Any:
    return [_floats(part) for part in value] if isinstance(value, list) else None if value is None else float(value)


def _own(game: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of its factory."""
    known = environment_settings(game["name"])
    own = {key: game[key] for key in known if key != "discount" and game.get(key) is not None}
    # Numbers from a sweep are floats.
    own |= {key: int(value) for key, value in own.items() if known[key].kind == "integer"}
    # An environment may take a `discount` and yet have none of its own; the objective's is not passed on then.
    if "discount" in known and getattr(_build(game["name"], own), "discount", None) is not None:
        own["discount"] = game["discount"]
    return own


def _numbers(game: Mapping[str, Any]) -> tuple[str, ...]:
    """Which settings are numbers that may be swept."""
    return _number_names(game["name"], _frozen(_own(game)))


@lru_cache(maxsize=4096)
def _number_names(name: str, own: tuple[tuple[str, Any], ...]) -> tuple[str, ...]:
    # Evaluated abstractly, so that no device is touched: the choice of device depends on what is read here.
    found: list[tuple[str, ...]] = []
    jax.eval_shape(lambda: found.append(number_names(_made(name, own))))
    return tuple(key for key in found[0] if key != "horizon")


def _fields(game: Mapping[str, Any]) -> dict[str, Field]:
    known, found = environment_settings(game["name"]), {}
    for key in _numbers(game):
        if game.get(key) is not None:
            kind = "integer" if known[key].kind == "integer" else "number"
            found |= entries(key, game[key], Field(key, kind, None))
    return found | {"discount": discount_field(game["horizon"])}


def _env(game: Mapping[str, Any], policy: Mapping[str, Any] | None = None) -> Any:
    """Built from structure alone: its numbers are at their defaults, so that games that differ in numbers share a
    program.

    How many numbers there are is structure: lists of another shape than the default's are kept.
    """
    name, own, numbers = game["name"], _own(game), _numbers(game)
    structure = {key: value for key, value in own.items() if key not in numbers}
    lists = {key: own[key] for key in numbers if isinstance(own.get(key), list)}
    try:
        env = _build(name, structure)
        defaults = default_numbers(env) if lists else {}
    except ConfigError:
        return _build(name, structure | lists)
    alike = all(np.shape(defaults[key]) == np.shape(value) for key, value in lists.items())
    return env if alike else _build(name, structure | lists)


def _played(game: Mapping[str, Any], played: SampledGame, exact: Any, number: Any) -> Any:
    """The environment's default numbers, replaced by those of the configuration, leaves [matches, ...]."""
    env, count = played.env, len(number(0.0, rank=0))

    def stacked(leaf: Any) -> np.ndarray:
        array = np.asarray(leaf)
        floats = array.dtype.kind == "f"
        return number(array, rank=array.ndim) if floats else np.broadcast_to(array, (count, *array.shape))

    given = {key: game[key] for key in number_names(env) if key in game and key != "horizon"}
    numbers = {key: None if value is None else number(value, rank=_rank(value)) for key, value in given.items()}
    return with_numbers(env, jax.tree.map(stacked, env.default_params), numbers)


def _rank(value: Any) -> int:
    """The rank of one match's value: an array has the matches first, a list contains arrays or numbers."""
    if isinstance(value, list):
        return 1 + _rank(value[0])
    return np.ndim(value) - 1 if isinstance(value, np.ndarray) else 0


def _default_kind(game: Mapping[str, Any]) -> str:
    env = _env(game)
    return default_kind(env.observation_space, env.action_space)


ENVIRONMENT = Family(
    normal=_normal,
    fields=_fields,
    seats=lambda game: _build(game["name"], _own(game)).num_players,
    env=_env,
    policies=NETWORKS | {"gaussian": independent, "tabular": shown_table},
    exact_kinds=(),
    sampled_kinds=("mlp", "conv", "gru", "lstm", "gaussian", "tabular"),
    played=_played,
    default_kind=_default_kind,
    check=lambda game: _build(game["name"], _own(game)) and None,
)
