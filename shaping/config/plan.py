"""From a configuration to the cells of its sweep, and from cells to groups that share a compiled program."""

import copy
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.config.axes import Axis, Drawn, check_draw, check_overlaps, parse_axis
from shaping.config.checks import check_held, check_number, check_text
from shaping.config.errors import ConfigError, not_allowed, unknown_key
from shaping.config.files import assign, open_up, plain_data
from shaping.config.games import family_of, normal_game, num_players
from shaping.config.players import MODEL, check_record, player_fields, rules
from shaping.config.validate import (
    CELL,
    LIMITS,
    check_top,
    normal_cell,
    number_fields,
)
from shaping.schema import Field


@dataclass(frozen=True)
class Block:
    """Cells of one structure: they differ in numbers only.

    Attributes:
      normal: the configuration of its first cell in normal form.
      cells: the half-open range of its cells.
      numbers: swept numbers, dotted key to an array [cells of the block, ...].
      seeds: [cells of the block] the seed of each cell.
    """

    normal: dict[str, Any]
    cells: range
    numbers: dict[str, np.ndarray]
    seeds: np.ndarray


@dataclass(frozen=True)
class Experiment:
    """A validated configuration, its cells in order.

    Attributes:
      top: the top level with defaults filled in.
      blocks: the cells, cut where the structure changes.
      coordinates: name to an array [cells] (numbers or strings): the variant and every swept key.
      drawn: keys drawn for every match.
    """

    top: dict[str, Any]
    blocks: tuple[Block, ...]
    coordinates: dict[str, np.ndarray]
    drawn: tuple[Drawn, ...]

    @property
    def cells(self) -> int:
        return self.blocks[-1].cells.stop

    @property
    def matches(self) -> int:
        """Matches in all cells together; match index = cell * matches per cell + match within the cell."""
        return self.cells * self.top["matches"]

    def resolved(self) -> dict[str, Any]:
        """The configuration with its defaults, as plain data that can be run again."""
        top = dict(self.top)
        for key in ("quick", *_replaced(top["variants"])):
            del top[key]  # a run is no longer to be made quick
        if not top["variants"]:
            base = self.blocks[0].normal
            swept = {axis.split(".")[0] for axis in top["sweep"]}
            # Where games of several sizes stand side by side, the one mapping for all seats must stay one.
            swept |= {"players"} if len({len(block.normal["players"]) for block in self.blocks}) > 1 else set()
            top |= {key: base[key] for key in CELL if key not in swept and key in base}
        return {key: value for key, value in top.items() if value not in ({}, [], "")}


def plan(raw: Mapping[str, Any]) -> Experiment:
    """Checks a configuration and lays out its cells: variants outermost, then axes of structure, then axes of numbers.

    Raises:
      ConfigError: one line for the first thing that is not allowed.
    """
    raw = plain_data(raw)
    check_text(raw)
    top = check_top(raw)
    for key in _replaced(top["variants"]):
        if key in raw:
            raise ConfigError(f"{key}: every variant replaces it; leave it out, or change variants.NAME.{key}")
    axes = [parse_axis(str(key), spec) for key, spec in top["sweep"].items()]
    check_overlaps([axis.key for axis in axes])
    variants = top["variants"] or {None: {}}
    bases = {name: {key: top[key] for key in CELL} | dict(variant) for name, variant in variants.items()}
    numeric, structural, drawn = _sort(axes, bases)
    number_groups = _tied([axis for axis in axes if isinstance(axis, Axis) and axis.key in numeric], top["tie"], axes)
    structure_groups = _tied(
        [axis for axis in axes if isinstance(axis, Axis) and axis.key in structural], top["tie"], axes
    )

    blocks: list[Block] = []
    columns: dict[str, list[np.ndarray]] = {}
    first = 0
    for name, base in bases.items():
        for choice in itertools.product(*(range(len(group[0].values)) for group in structure_groups)):
            raw_cell = copy.deepcopy(base)
            picked = {
                axis.key: axis.values[place]
                for group, place in zip(structure_groups, choice, strict=True)
                for axis in group
            }
            for key, value in picked.items():
                _substitute(raw_cell, key, value)
            _drop_foreign(raw_cell, picked)
            normal = _normal_variant(name, raw_cell)
            check_record(top["record"], normal)
            numbers, count = _product(number_groups)
            own = _checked_numbers(normal, numbers)
            seeds = own.pop("seed", np.full(count, top["seed"]))
            _check_held(normal, own, top["precision"])
            _check_by_factory(normal, own, drawn)
            blocks.append(Block(normal, range(first, first + count), own, seeds))
            cell_columns = {axis.coordinate: _column(numbers[axis.key]) for group in number_groups for axis in group}
            for key, value in picked.items():
                cell_columns[key.replace(".*.", ".all.")] = np.full(count, _label(value))
            if name is not None:
                cell_columns["variant"] = np.full(count, str(name))
            for key, column in cell_columns.items():
                columns.setdefault(key, []).append(column)
            first += count
    if "policies" in top["record"] and not any(family_of(block.normal["game"]).tabular for block in blocks):
        raise ConfigError(f"record: policies are those of matrix games; {blocks[0].normal['game']['name']} has none")
    for spec in drawn:
        for block in blocks:
            for key in seat_keys(spec.key, block.normal):
                if key in number_fields(block.normal):
                    check_draw(spec, number_fields(block.normal)[key])
    order = ["variant", *(axis.coordinate for axis in axes if isinstance(axis, Axis))]
    coordinates = {key: np.concatenate(columns[key]) for key in order if key in columns}
    return Experiment(top, tuple(blocks), coordinates, tuple(drawn))


def _replaced(variants: Mapping[Any, Mapping[str, Any]]) -> list[str]:
    """The keys that every variant has of its own."""
    return [key for key in CELL if variants and all(key in variant for variant in variants.values())]


def _normal_variant(name: Any, cell: Mapping[str, Any]) -> dict[str, Any]:
    """The normal form of a cell; an error says which variant it is in."""
    try:
        return normal_cell(cell)
    except ConfigError as error:
        raise ConfigError(f"{error} (variant {name})") if name is not None else error from None


def _sort(axes: Sequence[Axis | Drawn], bases: Mapping[Any, dict[str, Any]]) -> tuple[set[str], set[str], list[Drawn]]:
    """Which swept keys are numbers (batch) and which are structure (groups)."""
    numeric, structural, drawn = set(), set(), []
    # A key may belong to only some variants, or exist only under some values of another axis.
    candidates: list[tuple[Any, dict[str, Any], dict[str, Any]]] = []
    for name, base in bases.items():
        candidates.append((name, base, {}))
        for axis in axes:
            if isinstance(axis, Axis) and axis.key != "seed" and not _is_numbers(axis.values):
                candidates += [(name, base, {axis.key: value}) for value in axis.values]
    normals, errors = [], []
    for name, base, picked in candidates:
        cell = copy.deepcopy(base)
        try:
            for key, value in picked.items():
                _substitute(cell, key, value)
            _drop_foreign(cell, picked)
            normals.append(_normal_variant(name, cell))
        except ConfigError as error:
            errors.append(error)
    if not normals:
        raise errors[0]
    known_numbers = {key: field for normal in normals for key, field in number_fields(normal).items()}
    known_structure = {key: None for normal in normals for key in _structure_keys(normal)}
    for axis in axes:
        expanded = [key for normal in normals for key in seat_keys(axis.key, normal)]
        if axis.key == "seed" or any(key in known_numbers for key in expanded):
            if isinstance(axis, Drawn):
                integer = any(known_numbers[key].kind == "integer" for key in expanded if key in known_numbers)
                if axis.key == "seed" or integer:
                    raise ConfigError(f"sweep.{axis.key}: cannot be drawn; give a list or a range")
                drawn.append(axis)
            else:
                numeric.add(axis.key)
        elif any(key in known_structure for key in expanded) and isinstance(axis, Axis):
            structural.add(axis.key)
        elif isinstance(axis, Drawn) and any(key in known_structure for key in expanded):
            raise ConfigError(f"sweep.{axis.key}: cannot be drawn; it shapes the program, so give a list of values")
        else:
            raise unknown_key(axis.key, _as_written(axis.key, ["seed", *known_numbers, *known_structure]), _SWEPT)
    return numeric, structural, drawn


_SWEPT = " to sweep over"


def _as_written(key: str, known: Sequence[str]) -> list[str]:
    """Known keys with `*` for a seat where that is how the key was written."""
    if not key.startswith("players.*."):
        return list(known)
    return list(dict.fromkeys(re.sub(r"^players\.\d+\.", "players.*.", name) for name in known))


def _is_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(v, float) for v in values)


def _structure_keys(normal: Mapping[str, Any]) -> list[str]:
    keys = [
        "game.horizon",
        *(f"policy.{key}" for key in normal["policy"]),
        "optimizer",
        "optimizer.name",
        "game",
        "players",
        "objective",
    ]
    keys += [f"game.{key}" for key, value in normal["game"].items() if isinstance(value, str | int | None)]
    keys += [f"optimizer.{key}" for key, value in normal["optimizer"].items() if isinstance(value, str | bool | None)]
    for seat, player in enumerate(normal["players"]):
        keys += [f"players.{seat}", f"players.{seat}.init"]
        keys += [f"players.{seat}.{key}" for key, value in player.items() if isinstance(value, str | int)]
        models = player.get(MODEL, {})
        keys += [f"players.{seat}.{MODEL}"]
        keys += [
            f"players.{seat}.{MODEL}.{key}" for key, value in models.items() if isinstance(value, str | int | None)
        ]
    objective = normal["objective"]
    keys += [f"objective.{key}" for key, value in objective.items() if isinstance(value, str | int | None)]
    return keys


def seat_keys(key: str, normal: Mapping[str, Any]) -> list[str]:
    """A key with `*` as one key per seat."""
    if key.startswith("players.*."):
        return [key.replace("*", str(seat), 1) for seat in range(len(normal["players"]))]
    return [key]


def _substitute(cell: dict[str, Any], key: str, value: Any) -> None:
    head, _, rest = key.partition(".")
    if rest:
        open_up(cell, head)
    if isinstance(cell["players"], Mapping) and key.partition("players.")[2][:1].isdigit():
        # One mapping stands for every seat: one of them is to differ.
        cell["players"] = [dict(cell["players"]) for _ in range(num_players(normal_game(cell["game"])))]
    assign(cell, key, value)


def _drop_foreign(cell: dict[str, Any], picked: Mapping[str, Any]) -> None:
    """Leaves out, seat by seat, swept settings its rule does not know; where the rule itself is swept, all such."""
    swept = {key.rsplit(".", 1)[-1] for key in picked if key.startswith("players.")}
    if not swept:
        return
    players = cell["players"] if isinstance(cell["players"], list) else [cell["players"]]
    every = {name for rule in rules() for name in player_fields(rule)}
    for player in players:
        if not isinstance(player, dict) or not isinstance(player.get("rule"), str) or player["rule"] not in rules():
            continue
        known = player_fields(player["rule"])
        for name in list(player):
            if name in every and name not in known and ("rule" in swept or name in swept):
                del player[name]


def _tied(axes: Sequence[Axis], ties: Sequence[Any], every: Sequence[Axis | Drawn]) -> list[list[Axis]]:
    """Axes in groups that move together, in the order of their first member."""
    by_key = {axis.key: axis for axis in axes}
    known = {axis.key for axis in every}
    leader: dict[str, str] = {}
    for tie in ties:
        if not isinstance(tie, list | tuple) or len(tie) < 2:
            raise not_allowed("tie", tie, "lists of at least two swept keys")
        for key in tie:
            if not isinstance(key, str):
                raise not_allowed("tie", key, "a swept key")
            if key not in known:
                raise unknown_key(str(key), sorted(known), " in tie (only swept keys can be tied)")
            if key in leader or list(tie).count(key) > 1:
                raise ConfigError(f"tie: {key} stands in it twice; put all keys that move together into one list")
            if any(isinstance(axis, Drawn) and axis.key == key for axis in every):
                raise ConfigError(f"tie: {key} is drawn for every match; only lists and ranges can be tied")
        members = [by_key[key] for key in tie if key in by_key]
        if members and len(members) != len(tie):
            raise ConfigError(f"tie: {', '.join(tie)} mix numbers with keys that shape the program; tie them apart")
        lengths = {len(axis.values) for axis in members}
        if len(lengths) > 1:
            raise ConfigError(f"tie: {', '.join(tie)} have different lengths ({', '.join(map(str, sorted(lengths)))})")
        for axis in members:
            leader[axis.key] = tie[0]
    groups: dict[str, list[Axis]] = {}
    for axis in axes:
        groups.setdefault(leader.get(axis.key, axis.key), []).append(axis)
    return list(groups.values())


def _check_held(normal: Mapping[str, Any], swept: Mapping[str, np.ndarray], precision: str) -> None:
    """Refuses numbers that the precision of the run turns into others that are not allowed, or into infinity."""
    for key, field in number_fields(normal).items():
        if key not in swept:
            value: Any = normal
            for name in key.split("."):
                value = value[int(name)] if isinstance(value, list) else value[name]
            if isinstance(value, int | float):
                check_held(key, value, field.range, precision)
        for value in np.ravel(swept[key]) if key in swept else ():
            check_held(f"sweep.{key}", float(value), field.range, precision)


def _check_by_factory(normal: Mapping[str, Any], swept: Mapping[str, np.ndarray], drawn: Sequence[Drawn]) -> None:
    """Refuses swept or drawn numbers of a game that its factory refuses."""
    own = {key: array for key, array in swept.items() if key.startswith("game.")}
    bounds = [{spec.key: bound} for spec in drawn if spec.kind != "normal" for bound in spec.bounds]
    cells = {repr(cell): cell for cell in zip(*(array.tolist() for array in own.values()), strict=True)}
    for picked in [dict(zip(own, cell, strict=True)) for cell in cells.values()] + bounds:
        game = copy.deepcopy(normal["game"])
        for key, value in picked.items():
            if key in number_fields(normal) and key.startswith("game."):
                assign({"game": game}, key, value)
        try:
            family_of(game).check(game)
        except ConfigError as error:
            raise ConfigError(f"sweep.{error}") from None


def _product(groups: Sequence[Sequence[Axis]]) -> tuple[dict[str, list[Any]], int]:
    """The product of groups of axes, row-major: for each key its value in every cell, and the number of cells."""
    places = list(itertools.product(*(range(len(group[0].values)) for group in groups)))
    columns = {
        axis.key: [axis.values[place[g]] for place in places] for g, group in enumerate(groups) for axis in group
    }
    return columns, len(places)


def _checked_numbers(normal: Mapping[str, Any], numbers: Mapping[str, list[Any]]) -> dict[str, np.ndarray]:
    """Swept numbers as arrays [cells, ...], by expanded key; keys this block's structure lacks are left out."""
    known = number_fields(normal)
    found = {}
    for key, values in numbers.items():
        if key == "seed":
            found[key] = np.array([check_number("sweep.seed", v, LIMITS["seed"], integer=True) for v in values])
            continue
        for name in seat_keys(key, normal):
            if name in found:
                raise ConfigError(f"sweep.{key}: {name} is swept by another axis too; one axis a number")
            if name in known:
                found[name] = _array(f"sweep.{key}", values, known[name], value_shape(name, normal))
    return found


def _array(key: str, values: Sequence[Any], field: Field, shape: tuple[int, ...]) -> np.ndarray:
    rows = []
    for value in values:
        if shape == () or (len(shape) == 1 and isinstance(value, int | float)):
            number = check_number(key, value, field.range, integer=field.kind == "integer")
            rows.append(np.full(shape, number) if shape else number)
            continue
        try:
            row = np.asarray(value, float)
        except (TypeError, ValueError):
            raise not_allowed(key, value, f"numbers of shape {list(shape)}") from None
        if row.shape != shape:
            raise not_allowed(key, value, f"numbers of shape {list(shape)}")
        rows.append(check_number(key, row, field.range))
    return np.array(rows, float)


def value_shape(key: str, normal: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of one match's value of a key: scalars, but for whole tables of a game or of logits."""
    value: Any = normal
    for name in key.split("."):
        value = value[int(name)] if isinstance(value, list) else value.get(name)
        if value is None:
            return ()
    # One noise stands for all players.
    return np.shape(value) if isinstance(value, list) and key != "game.noise" else ()


def _column(values: list[Any]) -> np.ndarray:
    """A coordinate over cells: numbers as they are, tables by their place among the distinct ones."""
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return np.array(values)
    labels = [_label(value) for value in values]
    return np.array([list(dict.fromkeys(labels)).index(label) for label in labels])


def _label(value: Any) -> Any:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return value
    return json.dumps(value)
