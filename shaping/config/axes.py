"""The keys `sweep` and `tie`: lists, ranges whose ends are values, draws, and axes that move together."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.config.checks import check_held, check_number, only_entry
from shaping.config.errors import ConfigError, not_allowed, shown, unknown_key
from shaping.signatures import Field, Range

RANGES = ("linspace", "logspace")
DRAWS = ("uniform", "loguniform", "normal")
MOST_PROGRAMS, MOST_CELLS = 1000, 10**6
FIXED = ("updates", "generations", "matches", "record_every", "precision", "memory_gib")
_FORMS = (
    "a list of values, {linspace: [first, last, count]}, {logspace: [first, last, count]}, or a draw per match: "
    "{uniform: [low, high]}, {loguniform: [low, high]}, {normal: [mean, standard deviation]}"
)


@dataclass(frozen=True)
class Axis:
    """One swept key that generates cells.

    Attributes:
      key: as written: dotted, with `*` for every seat.
      values: one entry per value, numbers or plain data.
    """

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Drawn:
    """One key that is drawn for every match. It generates no cells: match m has the same draw in every cell.

    Attributes:
      key: as written.
      kind: uniform, loguniform or normal.
      bounds: low and high, or mean and standard deviation.
    """

    key: str
    kind: str
    bounds: tuple[float, float]

    @property
    def coordinate(self) -> str:
        """The name of the coordinate in the record."""
        return coordinate(self.key)


def coordinate(key: str) -> str:
    """The name of a key's coordinate in the record."""
    return key.replace(".*.", ".all.")


def parse_axis(key: str, spec: Any) -> Axis | Drawn:
    """Parses the specification of an axis under `sweep:`."""
    where = f"sweep.{key}"
    if key in FIXED:
        raise ConfigError(f"{where}: cannot be swept; it holds for the whole run")
    if isinstance(spec, list | tuple):
        if not spec:
            raise not_allowed(where, spec, "a list of at least one value")
        return Axis(key, tuple(spec))
    kind, arguments = only_entry(where, spec, RANGES + DRAWS, _FORMS)
    where = f"{where}.{kind}"
    size = 3 if kind in RANGES else 2
    if not isinstance(arguments, list | tuple) or len(arguments) != size:
        raise not_allowed(where, arguments, f"a list of {size} numbers")
    first, second = (float(check_number(where, x, Range())) for x in arguments[:2])
    if kind in ("logspace", "loguniform") and min(first, second) <= 0:
        what = "positive ends (they are values, not exponents)" if kind == "logspace" else "[low, high] above 0"
        raise not_allowed(where, arguments, what)
    if kind in RANGES:
        count = check_number(where, arguments[2], Range(1, 10**6), integer=True)
        space = np.linspace(first, second, count) if kind == "linspace" else np.geomspace(first, second, count)
        whole = all(isinstance(x, int) for x in arguments) and np.all(space == np.round(space))
        return Axis(key, tuple((int if whole else float)(x) for x in space))
    if kind == "normal" and second < 0:
        raise not_allowed(where, arguments, "[mean, standard deviation], the latter at least 0")
    if kind != "normal" and not first < second:
        raise not_allowed(where, arguments, "[low, high] with low below high")
    return Drawn(key, kind, (first, second))


def check_draw(drawn: Drawn, field: Field) -> None:
    """Refuses a distribution that can leave the range of its key, or whose ends float32 cannot hold."""
    low, high = field.range.low, field.range.high
    if drawn.kind == "normal" and np.any(np.isfinite([low, high])):
        left = f"normal draws can leave the allowed range ({field.range}); use uniform or loguniform"
        raise ConfigError(f"sweep.{drawn.key}.normal: {left}")
    if drawn.kind != "normal":
        check_number(f"sweep.{drawn.key}", drawn.bounds[0], field.range)
        check_number(f"sweep.{drawn.key}", drawn.bounds[1], Range(low, high))
    # Draws are made in float32, and stay below the upper end.
    allowed = Range(0, open_low=True) if drawn.kind == "loguniform" else Range()
    for bound in drawn.bounds:
        check_held(f"sweep.{drawn.key}", bound, allowed, "float32")


def check_distinct(groups: Sequence[Sequence[Axis]], dtype: np.dtype | None) -> None:
    """Refuses axes, or groups of axes that move together, with two places that are written differently and mean the
    same: the names of their cells would claim a difference.

    Args:
      groups: the groups.
      dtype: the precision in which numbers are compared; None where they are not numbers of the program.
    """
    for group in groups:
        seen: dict[str, tuple[Any, ...]] = {}
        for values in zip(*(axis.values for axis in group), strict=True):
            same = json.dumps([_held(axis.key, value, dtype) for axis, value in zip(group, values, strict=True)])
            before = seen.setdefault(same, values)
            for axis, first, second in zip(group, before, values, strict=True):
                if repr(first) != repr(second):
                    held = f" in {dtype}" if dtype is not None else ""
                    raise ConfigError(
                        f"sweep.{axis.key}: {shown(first)} and {shown(second)} are the same{held}; leave one out"
                    )


def _held(key: str, value: Any, dtype: np.dtype | None) -> Any:
    """A swept value as the program has it, as plain data."""
    if isinstance(value, list):
        return [_held(key, part, dtype) for part in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if dtype is None or key == "seed":
        return int(value) if float(value).is_integer() else value
    with np.errstate(over="ignore"):
        return float(dtype.type(value))


def check_counts(variants: int, structure: Sequence[Sequence[Axis]], numbers: Sequence[Sequence[Axis]]) -> None:
    """Refuses a sweep with more programs or cells than could be run, before they are laid out."""
    programs = variants * math.prod(len(group[0].values) for group in structure)
    cells = programs * math.prod(len(group[0].values) for group in numbers)
    for count, most, what in ((programs, MOST_PROGRAMS, "programs to compile"), (cells, MOST_CELLS, "cells")):
        if count > most:
            raise ConfigError(f"sweep: makes {count:,} {what}; allowed: at most {most:,}")


def check_ties(ties: Sequence[Any], axes: Sequence[Axis | Drawn], numeric: set[str]) -> None:
    """Refuses ties between axes that cannot move together; `numeric` holds the swept keys that are numbers."""
    by_key, tied = {axis.key: axis for axis in axes}, []
    for tie in ties:
        if not isinstance(tie, list | tuple) or len(tie) < 2:
            raise not_allowed("tie", tie, "lists of at least two swept keys")
        for key in tie:
            if not isinstance(key, str):
                raise not_allowed("tie", key, "a swept key")
            if key not in by_key:
                raise unknown_key(key, sorted(by_key), " in tie (only swept keys can be tied)")
            if key in tied:
                raise ConfigError(f"tie: {key} appears twice; put all keys that move together into one list")
            if isinstance(by_key[key], Drawn):
                raise ConfigError(f"tie: {key} is drawn for every match; only lists and ranges can be tied")
            tied.append(key)
        names = ", ".join(tie)
        if len({key in numeric for key in tie}) > 1:
            raise ConfigError(f"tie: {names} mix numbers with keys that shape the program; tie them apart")
        lengths = sorted({len(axis.values) for key in tie if isinstance(axis := by_key[key], Axis)})
        if len(lengths) > 1:
            raise ConfigError(f"tie: {names} have different lengths ({', '.join(map(str, lengths))})")


def tied(axes: Sequence[Axis], ties: Sequence[Sequence[str]]) -> list[list[Axis]]:
    """Axes grouped by what moves together, in the order of each group's first member."""
    leader = {key: tie[0] for tie in ties for key in tie}
    groups: dict[str, list[Axis]] = {}
    for axis in axes:
        groups.setdefault(leader.get(axis.key, axis.key), []).append(axis)
    return list(groups.values())
