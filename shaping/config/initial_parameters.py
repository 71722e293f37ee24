"""The key `init`: where parameters start, for all seats (`policy.init`) or for one (`players.N.init`)."""

from collections.abc import Mapping
from inspect import Parameter
from typing import Any

import jax
import numpy as np

from shaping.config.checks import check_number, mapping, numbers, only_entry, settings
from shaping.config.dotted import entries, numbers_in
from shaping.config.errors import ConfigError, not_allowed
from shaping.learners import arcsine, fan_in, loaded_parameters, logistic, m_maml, normal, uniform, values, zeros
from shaping.policies import Policy
from shaping.signatures import Field, Range, fields

SCALES = {"normal": normal, "uniform": uniform, "fan_in": fan_in}
"""Kinds with one number, at least 0."""
DRAWN = {"zeros": zeros, "arcsine": arcsine, "logistic": logistic}
"""Kinds without numbers."""
_PLAYER = Field("player", "integer", None, Range(0), optional=True)
RUN = {
    "run": Field("run", "text", Parameter.empty),
    "match": Field("match", "integer", Parameter.empty, Range(0)),
    "player": _PLAYER,
}
"""Where another run ended: its folder, the match, and the player if it is not the one in the same seat."""
FILE = {"file": Field("file", "text", Parameter.empty), "player": _PLAYER}
"""Parameters saved with numpy, [parameters] or [players, parameters]."""
_FORMS = {
    "normal": "{normal: standard deviation}",
    "uniform": "{uniform: half width}",
    "fan_in": "{fan_in: scale}",
    "zeros": "{zeros: true}",
    "arcsine": "{arcsine: true}",
    "logistic": "{logistic: true}",
    "values": "{values: numbers}",
    "m_maml": "{m_maml: {settings}}",
}


def normal_init(where: str, raw: Any, shape: tuple[int, ...] | None) -> dict[str, Any]:
    """The normal form of `where`.

    Args:
      where: its dotted key.
      raw: as written.
      shape: the shape of `values`, [players, parameters] or [parameters]. None for a network, which has no such table;
        () for a table too large to list.
    """
    tables = ("normal", "uniform", "zeros", "arcsine", "logistic")
    kinds = ("fan_in", "uniform", "m_maml") if shape is None else (*tables, "values", "m_maml")
    kinds = kinds if shape != () else tables
    if isinstance(raw, Mapping) and ("run" in raw or "file" in raw):
        return settings(where, raw, RUN if "run" in raw else FILE)
    kind, value = only_entry(where, raw, kinds, " or ".join(_FORMS[kind] for kind in kinds))
    key = f"{where}.{kind}"
    if kind in SCALES:
        return {kind: check_number(key, value, Range(0))}
    if kind == "m_maml":
        return {kind: settings(key, mapping(key, value), fields(m_maml))}
    if kind in DRAWN and value is not True:
        raise not_allowed(key, value, "true")
    return {kind: value if kind in DRAWN else numbers(key, value, shape or (), _wanted(shape or ()))}


def _wanted(shape: tuple[int, ...]) -> str:
    order = ", logits in the order start, CC, CD, DC, DD (own view: own action first)" if shape[-1] == 5 else ""
    return " lists of ".join(map(str, shape)) + f" numbers{order}"


def init_fields(where: str, init: Mapping[str, Any]) -> dict[str, Field]:
    """The numbers of a normal form that may have the population axis, by dotted key."""
    kind, value = next(iter(init.items()))
    if kind in SCALES:
        return {f"{where}.{kind}": Field(kind, "number", 1.0, Range(0))}
    if kind == "m_maml":
        return numbers_in(f"{where}.m_maml", value, fields(m_maml))
    return entries(f"{where}.values", value, Field("values", "number", None)) if kind == "values" else {}


def init_of(normal_form: Mapping[str, Any], seat: int) -> tuple[str, dict[str, Any]]:
    """Where a seat's `init` stands, its own or that of all seats, and what it says."""
    own = normal_form["players"][seat].get("init")
    return ("policy.init", normal_form["policy"]["init"]) if own is None else (f"players.{seat}.init", own)


def build_init(normal_form: Mapping[str, Any], seat: int, policy: Policy, number: Any) -> Any:
    """The distribution of a seat's initial parameters, leaves [matches, ...].

    Args:
      normal_form: normal form of the cell.
      seat: index of the seat.
      policy: the policy of the seat.
      number: `(value, rank) -> array [matches, ...]`.

    Raises:
      ConfigError: a run or a file that does not contain parameters of such a policy.
    """
    where, init = init_of(normal_form, seat)
    kind, value = next(iter(init.items()))
    if kind in SCALES:
        return SCALES[kind](number(value, rank=0))
    if kind in DRAWN:
        return DRAWN[kind]()
    if kind == "m_maml":
        return jax.tree.map(lambda leaf: number(leaf, rank=0), m_maml(**value))
    if kind == "values":
        if where == "policy.init":  # for all seats; an array has the matches first
            value = value[:, seat] if isinstance(value, np.ndarray) else value[seat]
        return values(number(value, rank=1))
    player = seat if init["player"] is None else init["player"]
    try:
        if kind == "run":
            theta = loaded_parameters.of_run(init["run"], init["match"], player, policy)
        else:
            theta = loaded_parameters.of_file(init["file"], player, policy)
    except ValueError as error:
        raise ConfigError(f"{where}.{kind}: {error} (player {seat})") from None
    return values(jax.tree.map(lambda leaf: number(leaf, rank=np.ndim(leaf)), theta))
