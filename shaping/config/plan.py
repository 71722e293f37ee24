"""Lays out the cells of a configuration's sweep, in blocks of one structure."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.config.axes import (
    Axis,
    Drawn,
    check_counts,
    check_distinct,
    check_draw,
    check_ties,
    coordinate,
    parse_axis,
    tied,
)
from shaping.config.cell import number_fields
from shaping.config.checks import check_held, check_number, check_text
from shaping.config.dotted import check_overlaps, look_up, put, seat_keys
from shaping.config.errors import ConfigError, not_allowed
from shaping.config.games import family_of
from shaping.config.league import pairs
from shaping.config.players import check_record
from shaping.config.population import check_shares
from shaping.config.sweep import has_effect, normal_with, numeric_keys
from shaping.config.top_level import CELL, LIMITS, check_population, check_top, replaced
from shaping.config.yaml_text import plain_data
from shaping.signatures import Field


@dataclass(frozen=True)
class Block:
    """Cells of one structure, which differ only in numbers.

    Attributes:
      normal: the configuration of its first cell in normal form.
      cells: the half-open range of its cells.
      numbers: swept numbers, from dotted key to an array [cells of the block, ...].
      seeds: the seed of each cell, [cells of the block].
    """

    normal: dict[str, Any]
    cells: range
    numbers: dict[str, np.ndarray]
    seeds: np.ndarray


@dataclass(frozen=True)
class Experiment:
    """A validated configuration, with its cells in order.

    Attributes:
      top: the top level with defaults filled in.
      blocks: the cells, split where the structure changes.
      coordinates: the variant and every swept key: from name to an array [cells] (numbers or strings).
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
        """Matches of all cells together; match index = cell * matches per cell + match within the cell."""
        return self.cells * self.top["matches"]

    @property
    def of_populations(self) -> bool:
        """Whether a match is a population of learners that meet."""
        return "population" in self.blocks[0].normal

    @property
    def length(self) -> int:
        """Updates of a match, or generations of a population."""
        return self.top["generations" if self.of_populations else "updates"]

    def resolved(self) -> dict[str, Any]:
        """The configuration with its defaults, as plain data that can be run again."""
        top = dict(self.top)
        unused = ["updates", "players"] if self.of_populations else ["generations", "population"]
        of_pairs = top["league"] is not None
        # The variants of a learning league follow from its learners.
        unused.append("variants" if of_pairs else "league")
        unused += [] if "trial" in self.blocks[0].normal or top["trial"] else ["trial"]
        # A resolved run has no quick form.
        for key in {"quick", *unused, *replaced(top["variants"])}:
            del top[key]
        if of_pairs:
            top |= {key: self.blocks[0].normal[key] for key in CELL if key in top and key not in unused}
        elif not top["variants"]:
            base = self.blocks[0].normal
            swept = {axis.split(".")[0] for axis in top["sweep"]}
            # Where the sweep has games with different numbers of players, the mapping for all seats must stay one.
            swept |= {"players"} if len({len(block.normal["players"]) for block in self.blocks}) > 1 else set()
            top |= {key: base[key] for key in CELL if key not in swept and key in base and key not in unused}
        return {key: value for key, value in top.items() if value not in ({}, [], "")}


def plan(raw: Mapping[str, Any]) -> Experiment:
    """Checks a configuration and lays out its cells: variants outermost, then axes of structure, then axes of numbers.

    Raises:
      ConfigError: one line for the first thing that is not allowed.
    """
    raw = plain_data(raw)
    check_text(raw)
    if raw.get("league") is not None:
        raw = {**raw, "variants": pairs(raw)}
    top = check_top(raw)
    for key in replaced(top["variants"]):
        if key in raw:
            raise ConfigError(f"{key}: every variant replaces it; leave it out, or change variants.NAME.{key}")
    axes = [parse_axis(str(key), spec) for key, spec in top["sweep"].items()]
    check_overlaps([axis.key for axis in axes])
    variants = top["variants"] or {None: {}}
    bases = {name: {key: top[key] for key in CELL} | dict(variant) for name, variant in variants.items()}
    numeric = numeric_keys(axes, bases)
    check_ties(top["tie"], axes, numeric)
    drawn = tuple(axis for axis in axes if isinstance(axis, Drawn))
    listed = [axis for axis in axes if isinstance(axis, Axis)]
    by_number = tied([axis for axis in listed if axis.key in numeric], top["tie"])
    by_structure = tied([axis for axis in listed if axis.key not in numeric], top["tie"])
    check_distinct(by_number, np.dtype(top["precision"]))
    check_distinct(by_structure, None)
    check_counts(len(bases), by_structure, by_number)
    numbers, count = _product(by_number)
    structure, programs = _product(by_structure)
    effective: set[str] = set()

    blocks: list[Block] = []
    columns: dict[str, list[np.ndarray]] = {}
    for name, base in bases.items():
        for program in range(programs):
            picked = {key: values[program] for key, values in structure.items()}
            normal = normal_with(
                name, base, picked, [(axis.key, axis.values[0]) for axis in listed if axis.key in numbers]
            )
            effective.update(axis.key for axis in axes if has_effect(axis.key, normal))
            check_record(top["record"], normal)
            cells = range(len(blocks) * count, (len(blocks) + 1) * count)
            blocks.append(_block(normal, cells, numbers, top, drawn))
            labels = {key: _column(values) for key, values in numbers.items()}
            labels |= {key: np.full(count, _label(value)) for key, value in picked.items()}
            labels |= {} if name is None else {"variant": np.full(count, str(name))}
            for key, column in labels.items():
                columns.setdefault(key, []).append(column)
    for axis in axes:
        if axis.key in {*numeric, "policy.init"} - effective:
            raise ConfigError(f"sweep.{axis.key}: has no effect on any player of any cell; leave it out")
    meets = check_population(raw, top, [block.normal for block in blocks])
    tabular = any(family_of(block.normal["game"]).tabular(block.normal["game"]) for block in blocks)
    if "policies" in top["record"] and not meets and not tabular:
        raise ConfigError(f"record: policies are those of matrix games; {blocks[0].normal['game']['name']} has none")
    order = [key for key in ("variant", *(axis.key for axis in listed)) if key in columns]
    return Experiment(top, tuple(blocks), {coordinate(key): np.concatenate(columns[key]) for key in order}, drawn)


def _product(groups: Sequence[Sequence[Axis]]) -> tuple[dict[str, list[Any]], int]:
    """The product of groups of axes, row-major: the value of each key in every cell, and the number of cells."""
    places = list(itertools.product(*(range(len(group[0].values)) for group in groups)))
    numbered = enumerate(groups)
    columns = {axis.key: [axis.values[place[g]] for place in places] for g, group in numbered for axis in group}
    return columns, len(places)


def _block(
    normal: dict[str, Any],
    cells: range,
    swept: Mapping[str, list[Any]],
    top: Mapping[str, Any],
    drawn: Sequence[Drawn],
) -> Block:
    """Cells of a normal form, after checking every number in it, swept or drawn."""
    known = number_fields(normal)
    numbers = _checked_numbers(normal, known, swept)
    seeds = numbers.pop("seed", np.full(len(cells), top["seed"]))
    for spec in drawn:
        for key in seat_keys(spec.key, len(normal["players"])):
            if key in known:
                check_draw(spec, known[key])
    _check_held(normal, known, numbers, top["precision"])
    _check_by_factory(normal, known, numbers, drawn)
    if "population" in normal:
        check_shares(normal["population"], numbers, {axis.key: axis.bounds for axis in drawn})
    return Block(normal, cells, numbers, seeds)


def _checked_numbers(
    normal: Mapping[str, Any], known: Mapping[str, Field], swept: Mapping[str, list[Any]]
) -> dict[str, np.ndarray]:
    """Swept numbers as arrays [cells, ...], by key of a seat; keys that this block does not have are left out."""
    found: dict[str, np.ndarray] = {}
    for key, values in swept.items():
        where = f"sweep.{key}"
        if key == "seed":
            found[key] = np.array([check_number(where, v, LIMITS["seed"], integer=True) for v in values])
            continue
        for name in seat_keys(key, len(normal["players"])):
            if name in known:
                found[name] = _array(where, values, known[name], value_shape(name, normal))
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
            row = np.asarray(None)
        if row.dtype == object or row.shape != shape:
            raise not_allowed(key, value, f"numbers of shape {list(shape)}")
        rows.append(check_number(key, row, field.range))
    return np.array(rows, float)


def value_shape(key: str, normal: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of one match's value of a key: a scalar, except for whole tables of a game or of logits."""
    value = look_up(normal, key)
    # One noise applies to all players.
    return np.shape(value) if isinstance(value, list) and key != "game.noise" else ()


def _check_held(
    normal: Mapping[str, Any], known: Mapping[str, Field], swept: Mapping[str, np.ndarray], precision: str
) -> None:
    """Refuses numbers that the precision of the run rounds to infinity or to values that are not allowed."""
    for key, field in known.items():
        value = look_up(normal, key)
        if key not in swept and isinstance(value, int | float):
            check_held(key, value, field.range, precision)
        for value in np.ravel(swept[key]) if key in swept else ():
            check_held(f"sweep.{key}", float(value), field.range, precision)


def _check_by_factory(
    normal: Mapping[str, Any], known: Mapping[str, Field], swept: Mapping[str, np.ndarray], drawn: Sequence[Drawn]
) -> None:
    """Refuses swept or drawn numbers of a game if its factory does."""
    own = {key: array for key, array in swept.items() if key.startswith("game.")}
    bounds = [{spec.key: bound} for spec in drawn if spec.kind != "normal" for bound in spec.bounds]
    cells = {repr(cell): cell for cell in zip(*(array.tolist() for array in own.values()), strict=True)}
    for picked in [dict(zip(own, cell, strict=True)) for cell in cells.values()] + bounds:
        changed = normal
        for key, value in picked.items():
            if key in known and key.startswith("game."):
                changed = put(changed, key, value)
        try:
            family_of(changed["game"]).check(changed["game"])
        except ConfigError as error:
            raise ConfigError(f"sweep.{error}") from None


def _column(values: list[Any]) -> np.ndarray:
    """A coordinate over cells: numbers as they are, tables by their index among the distinct ones."""
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return np.array(values)
    labels = [_label(value) for value in values]
    return np.array([list(dict.fromkeys(labels)).index(label) for label in labels])


def _label(value: Any) -> Any:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return value
    return json.dumps(value)
