"""What a swept key is (a number of one program, a part of its structure, or drawn), and cells with values put in."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from shaping.config.axes import Axis, Drawn
from shaping.config.cell import normal_cell, number_fields, structure_keys
from shaping.config.dotted import as_written, assign, expand_bare_name, seat_keys
from shaping.config.errors import ConfigError, unknown_key
from shaping.config.games import normal_game, num_players
from shaping.config.players import player_fields, rules


def normal_with(
    name: Any, base: Mapping[str, Any], picked: Mapping[str, Any], numbers: Sequence[tuple[str, Any]] = ()
) -> dict[str, Any]:
    """The normal form of a variant with some keys set; errors name the variant.

    Args:
      name: that of the variant; None for none.
      base: its keys.
      picked: what is set.
      numbers: swept numbers and the first value of each. Those that the normal form would not have otherwise are set
        too, if they can be: `policy.init.uniform` alone says that parameters start from a uniform distribution.
    """
    try:
        found = _normal(base, picked)
    except ConfigError as error:
        raise ConfigError(f"{error} (variant {name})") if name is not None else error from None
    for key, value in numbers:
        if has_effect(key, found):
            continue
        try:
            candidate = _normal(base, {**picked, key: value})
        except ConfigError:
            continue
        if has_effect(key, candidate):
            picked, found = {**picked, key: value}, candidate
    return found


def _normal(base: Mapping[str, Any], picked: Mapping[str, Any]) -> dict[str, Any]:
    cell = copy.deepcopy(dict(base))
    for key, value in picked.items():
        _substitute(cell, key, value)
    _drop_foreign(cell, picked)
    return normal_cell(cell)


def has_effect(key: str, normal: Mapping[str, Any]) -> bool:
    """Whether a swept number, or `policy.init`, changes anything in a cell."""
    players = normal["players"]
    elsewhere = ["init" in player or "strategy" in player for player in players]
    if key.startswith("policy.init") and elsewhere and all(elsewhere):
        return False
    known = {"seed", "policy.init", *number_fields(normal)}
    return any(name in known for name in seat_keys(key, len(players)))


def numeric_keys(axes: Sequence[Axis | Drawn], bases: Mapping[Any, dict[str, Any]]) -> set[str]:
    """Swept keys that are numbers, and so need no program of their own. All others are structure.

    Args:
      axes: the axes of the sweep.
      bases: the keys of a cell before anything is swept, by variant.

    Raises:
      ConfigError: a key that is in no cell, or one that cannot be drawn.
    """
    # A key may belong to only some variants, or exist only for some values of another axis.
    known: dict[str, Any] = {"seed": None}
    structure: list[str] = []
    errors, seats = [], 0
    for name, base in bases.items():
        values = [(axis.key, value) for axis in axes if isinstance(axis, Axis) for value in _kinds(axis)]
        for picked in ({}, *({key: value} for key, value in values)):
            try:
                normal = normal_with(name, base, picked)
            except ConfigError as error:
                errors.append(error)
                continue
            known |= number_fields(normal)
            structure += structure_keys(normal)
            seats = max(seats, len(normal["players"]))
    if not structure:
        raise errors[0]
    found = set()
    for axis in axes:
        fields = [known[key] for key in seat_keys(axis.key, seats) if key in known]
        drawn = isinstance(axis, Drawn)
        if fields and not (drawn and any(field is None or field.kind == "integer" for field in fields)):
            found.add(axis.key)
        elif fields:
            raise ConfigError(f"sweep.{axis.key}: cannot be drawn; give a list or a range")
        elif not set(seat_keys(axis.key, seats)).intersection(structure):
            name = axis.key.rpartition(".")[2] if axis.key.startswith("players.") else None
            owners = ", ".join(rule for rule in rules() if name in player_fields(rule))
            if owners:
                raise ConfigError(f"{axis.key}: unknown key to sweep over; it belongs to {owners}")
            note = " to sweep over"
            raise unknown_key(axis.key, as_written(axis.key, [*known, *structure]), note)
        elif drawn:
            raise ConfigError(f"sweep.{axis.key}: cannot be drawn; it shapes the program, so give a list of values")
    return found


def _kinds(axis: Axis) -> tuple[Any, ...]:
    """The values of an axis that may change which keys there are."""
    plain = axis.key == "seed" or all(isinstance(value, float) for value in axis.values)
    return () if plain else axis.values


def _substitute(cell: dict[str, Any], key: str, value: Any) -> None:
    head, _, rest = key.partition(".")
    if rest:
        expand_bare_name(cell, head)
    if isinstance(cell["players"], Mapping) and key.partition("players.")[2][:1].isdigit():
        # One mapping for every seat is split, as one seat is to differ.
        cell["players"] = [dict(cell["players"]) for _ in range(num_players(normal_game(cell["game"])))]
    assign(cell, key, value)


def _drop_foreign(cell: dict[str, Any], picked: Mapping[str, Any]) -> None:
    """Removes, seat by seat, swept settings that the seat's rule does not have; all of them if the rule is swept."""
    swept = {key.rsplit(".", 1)[-1] for key in picked if key.startswith("players.")}
    if not swept:
        return
    every = {name for rule in rules() for name in player_fields(rule)}
    for player in cell["players"] if isinstance(cell["players"], list) else [cell["players"]]:
        if not isinstance(player, dict) or not isinstance(player.get("rule"), str) or player["rule"] not in rules():
            continue
        known = player_fields(player["rule"])
        for name in list(player):
            if name in every and name not in known and ("rule" in swept or name in swept):
                del player[name]
