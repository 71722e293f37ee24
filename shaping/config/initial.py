"""The key `init` in normal form: where parameters start, of all seats (`policy.init`) or of one (`players.N.init`)."""

from collections.abc import Mapping
from inspect import Parameter
from pathlib import Path
from typing import Any

import jax
import numpy as np

from shaping.config.checks import check_number, settings
from shaping.config.errors import ConfigError, not_allowed, unknown_key
from shaping.config.family import entries
from shaping.learners.initial import m_maml
from shaping.policies import Policy
from shaping.schema import Field, Range, fields

SCALES = ("normal", "uniform", "fan_in")
"""Kinds that have one number, at least 0."""
_PLAYER = Field("player", "integer", None, Range(0), optional=True)
RUN = {
    "run": Field("run", "text", Parameter.empty),
    "match": Field("match", "integer", Parameter.empty, Range(0)),
    "player": _PLAYER,
}
"""Where another run ended: its folder, the match, and the player there if it is not of the same seat."""
FILE = {"file": Field("file", "text", Parameter.empty), "player": _PLAYER}
"""Parameters saved by numpy, [parameters] or [players, parameters]."""
_FORMS = {
    "normal": "{normal: standard deviation}",
    "uniform": "{uniform: half width}",
    "fan_in": "{fan_in: scale}",
    "zeros": "{zeros: true}",
    "values": "{values: numbers}",
    "m_maml": "{m_maml: {settings}}",
}


def normal_init(where: str, raw: Any, shape: tuple[int, ...] | None) -> dict[str, Any]:
    """The normal form of `where`.

    Args:
      where: its dotted key.
      raw: as written.
      shape: of what `values` takes, [players, parameters] or [parameters]; None for a network, which has no such table,
        () for a table too large to write down.
    """
    kinds = ("fan_in", "uniform", "m_maml") if shape is None else ("normal", "uniform", "zeros", "values", "m_maml")
    kinds = kinds if shape != () else ("normal", "uniform", "zeros")
    if isinstance(raw, Mapping) and ("run" in raw or "file" in raw):
        return settings(where, raw, RUN if "run" in raw else FILE)
    if not isinstance(raw, Mapping) or len(raw) != 1:
        raise not_allowed(where, raw, " or ".join(_FORMS[kind] for kind in kinds))
    ((kind, value),) = raw.items()
    if kind not in kinds:
        raise unknown_key(f"{where}.{kind}", [f"{where}.{name}" for name in kinds])
    if kind in SCALES:
        return {kind: check_number(f"{where}.{kind}", value, Range(0))}
    if kind == "zeros":
        if value is not True:
            raise not_allowed(f"{where}.zeros", value, "true")
        return {"zeros": True}
    if kind == "m_maml":
        if not isinstance(value, Mapping):
            raise not_allowed(f"{where}.m_maml", value, "a mapping of settings, {} for the defaults")
        own = settings(f"{where}.m_maml", dict(value), fields(m_maml), ())
        try:
            m_maml(**own)
        except ValueError as error:
            raise ConfigError(f"{where}.m_maml.{error}") from None
        return {"m_maml": own}
    assert shape is not None
    return {"values": _table(f"{where}.values", value, shape)}


def _table(where: str, value: Any, shape: tuple[int, ...]) -> Any:
    """Numbers of one shape, as nested lists."""
    wanted = f"{shape[-1]} numbers" if len(shape) == 1 else f"{shape[0]} lists of {shape[1]} numbers"
    if shape[-1] == 5:
        wanted += ", logits in the order start, CC, CD, DC, DD (own view: own action first)"

    def checked(part: Any, sizes: tuple[int, ...], key: str) -> Any:
        if not sizes:
            return check_number(key, part, Range())
        if not isinstance(part, list | tuple) or len(part) != sizes[0]:
            raise not_allowed(where, part, wanted)
        return [checked(entry, sizes[1:], f"{key}.{i}") for i, entry in enumerate(part)]

    return checked(value, shape, where)


def init_fields(where: str, init: Mapping[str, Any]) -> dict[str, Field]:
    """The numbers of a normal form that may carry the population axis, by dotted key."""
    if "run" in init or "file" in init:
        return {}
    ((kind, value),) = init.items()
    if kind in SCALES:
        return {f"{where}.{kind}": Field(kind, "number", 1.0, Range(0))}
    if kind == "m_maml":
        known = fields(m_maml)
        return {f"{where}.m_maml.{name}": field for name, field in known.items() if field.kind == "number"}
    return entries(f"{where}.values", value, Field("values", "number", None, Range())) if kind == "values" else {}


def saved_parameters(init: Mapping[str, Any], seat: int, policy: Policy) -> Any:
    """The parameters that a normal form `run` or `file` refers to, a pytree as the policy has it.

    Raises:
      ConfigError: they are not there, or not those of such a policy.
    """
    source = str(init.get("run", init.get("file")))
    place = Path(source).expanduser()
    player = seat if init["player"] is None else init["player"]
    try:
        if "run" in init:
            import zarr

            found: Any = zarr.open_group(str(place / "record.zarr"), mode="r")["theta_final"]
            row = np.asarray(found[init["match"], player])
        else:
            array = np.load(place, allow_pickle=False)
            row = array[player] if array.ndim == 2 else array
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise ConfigError(f"init: {source} holds no such parameters: {type(error).__name__}: {error}") from None
    size = policy.num_parameters
    if row.ndim != 1 or np.isfinite(row).sum() != size or not np.all(np.isfinite(row[:size])):
        raise ConfigError(f"init: {source} holds {np.isfinite(row).sum()} parameters; this policy has {size}")
    leaves, structure = jax.tree.flatten(policy.shapes)
    ends = np.cumsum([leaf.size for leaf in leaves])
    parts = zip(np.split(row[:size], ends[:-1]), leaves, strict=True)
    return structure.unflatten([part.reshape(leaf.shape) for part, leaf in parts])
