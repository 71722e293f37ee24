"""The axes of a sweep: lists, ranges whose ends are values, and draws from a distribution."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.config.checks import check_number
from shaping.config.errors import ConfigError, not_allowed, unknown_key
from shaping.schema import Field, Range

RANGES = ("linspace", "logspace")
DRAWS = ("uniform", "loguniform", "normal")
FIXED = ("updates", "matches", "record_every", "precision", "memory_gib")


@dataclass(frozen=True)
class Axis:
    """One swept key that makes cells.

    Attributes:
      key: as written, dotted, with `*` for every seat.
      values: one entry per value, numbers or plain data.
    """

    key: str
    values: tuple[Any, ...]

    @property
    def coordinate(self) -> str:
        """The name of its coordinate in the record."""
        return self.key.replace(".*.", ".all.")


@dataclass(frozen=True)
class Drawn:
    """One key drawn for every match: no cells, the same draw for match m of every cell.

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
        """The name of its coordinate in the record."""
        return self.key.replace(".*.", ".all.")


def parse_axis(key: str, spec: Any) -> Axis | Drawn:
    """An axis from its specification under `sweep:`."""
    if key in FIXED:
        raise ConfigError(f"sweep.{key}: cannot be swept; it holds for the whole run")
    where = f"sweep.{key}"
    if isinstance(spec, list | tuple):
        if not spec:
            raise not_allowed(where, spec, "a list of at least one value")
        return Axis(key, tuple(spec))
    forms = (
        "a list of values, {linspace: [first, last, count]}, {logspace: [first, last, count]}, or a draw per match: "
    )
    forms += "{uniform: [low, high]}, {loguniform: [low, high]}, {normal: [mean, standard deviation]}"
    if not isinstance(spec, Mapping) or len(spec) != 1:
        raise not_allowed(where, spec, forms)
    ((kind, arguments),) = spec.items()
    if kind not in RANGES + DRAWS:
        raise unknown_key(f"{where}.{kind}", [f"{where}.{name}" for name in RANGES + DRAWS])
    size = 3 if kind in RANGES else 2
    if not isinstance(arguments, list | tuple) or len(arguments) != size:
        raise not_allowed(f"{where}.{kind}", arguments, f"a list of {size} numbers")
    first, second = (check_number(f"{where}.{kind}", float_like(x), Range()) for x in arguments[:2])
    if kind in RANGES:
        count = check_number(f"{where}.{kind}", arguments[2], Range(1, 10**6), integer=True)
        if kind == "logspace" and (first <= 0 or second <= 0):
            raise not_allowed(f"{where}.logspace", arguments, "positive ends (they are values, not exponents)")
        space = np.linspace(first, second, count) if kind == "linspace" else np.geomspace(first, second, count)
        if all(isinstance(x, int) for x in arguments) and np.all(space == np.round(space)):
            return Axis(key, tuple(int(x) for x in space))
        return Axis(key, tuple(float(x) for x in space))
    if kind == "normal" and second < 0:
        raise not_allowed(f"{where}.normal", arguments, "[mean, standard deviation], the latter at least 0")
    if kind != "normal" and not first < second:
        raise not_allowed(f"{where}.{kind}", arguments, "[low, high] with low below high")
    if kind == "loguniform" and first <= 0:
        raise not_allowed(f"{where}.loguniform", arguments, "[low, high] above 0")
    return Drawn(key, kind, (first, second))


def float_like(value: Any) -> Any:
    """Integers as floats; everything else as it is, for the caller to refuse."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def check_draw(drawn: Drawn, field: Field) -> None:
    """Refuses a distribution that can leave the range of its key."""
    low, high = drawn.bounds
    if drawn.kind == "normal":
        if np.isfinite(field.range.low) or np.isfinite(field.range.high):
            raise ConfigError(
                f"sweep.{drawn.key}.normal: normal draws can leave the allowed range ({field.range}); "
                "use uniform or loguniform"
            )
        return
    check_number(f"sweep.{drawn.key}", low, field.range)
    check_number(f"sweep.{drawn.key}", high, Range(field.range.low, field.range.high))


def check_overlaps(keys: Sequence[str]) -> None:
    """Refuses two keys of which one holds the other, or is the other at some seat: one would undo the other, and the
    labels of the cells would not be what was trained."""
    for place, key in enumerate(keys):
        for other in keys[:place]:
            parts, others = key.split("."), other.split(".")
            if all(a == b or "*" in (a, b) for a, b in zip(parts, others, strict=False)):
                raise ConfigError(
                    f"sweep.{key}: overlaps with sweep.{other}, one would undo the other; sweep one of them"
                )
