"""The axes of a sweep, inferred from the coordinates of its cells, and names for cells and axes that fit in a
figure.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Axis:
    """One axis: its key, the keys tied to it, and its values (numbers ascending, text in order of appearance)."""

    key: str
    tied: tuple[str, ...]
    values: tuple[Any, ...]
    numeric: bool


def sweep_axes(cells: Sequence[dict[str, Any]]) -> list[Axis]:
    """Axes of the cells of a summary: coordinates that vary between cells; tied ones count as one axis."""
    keys: list[str] = []
    for cell in cells:
        keys += [k for k in cell["coordinates"] if k not in keys]
    columns = {k: [cell["coordinates"].get(k) for cell in cells] for k in keys}
    columns = {k: column for k, column in columns.items() if len(set(column)) > 1}
    # Text first: a variant that fixes a number is named after the variant.
    order = sorted(columns, key=lambda k: _numeric(columns[k]))
    axes: list[Axis] = []
    for key in order:
        for i, axis in enumerate(axes):
            pairs = set(zip(columns[key], columns[axis.key], strict=True))
            if len(pairs) == len(set(columns[key])) == len(axis.values):
                axes[i] = Axis(axis.key, (*axis.tied, key), axis.values, axis.numeric)
                break
        else:
            numeric = _numeric(columns[key])
            values = list(dict.fromkeys(columns[key]))
            axes.append(Axis(key, (), tuple(sorted(values) if numeric else values), numeric))
    position = {k: i for i, k in enumerate(columns)}
    return sorted(axes, key=lambda a: position[a.key])


def _numeric(column: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in column)


def key_name(key: str) -> str:
    """A dotted key in words: players.0.step_size is "player 0 step size", game.discount "discount"."""
    parts = key.split(".")
    if parts[:2] == ["game", "payoffs"] and len(parts) > 3:
        actions = "".join("D" if p == "1" else "C" if p == "0" else "?" for p in parts[3:])
        return f"player {parts[2]} payoff at {actions}"
    if parts[0] == "players" and len(parts) > 2:
        who = "" if parts[1] in ("all", "*") else f"player {parts[1]} "
        return who + " ".join(parts[2:]).replace("_", " ")
    if parts[:2] == ["population", "types"] and len(parts) > 3:
        return f"{' '.join(parts[3:])} of {parts[2]}".replace("_", " ")
    return " ".join(parts[1:] if len(parts) > 1 else parts).replace("_", " ")


def axis_name(axis: Axis) -> str:
    """The axis in words, including what is tied to it."""
    name = key_name(axis.key)
    if len(axis.tied) == 1:
        return f"{name} (with {key_name(axis.tied[0])})"
    return f"{name} (and {len(axis.tied)} tied keys)" if axis.tied else name


def value_name(value: Any, among: Iterable[Any] = ()) -> str:
    """A coordinate's value with three digits, or as many as are needed to distinguish it from the other values.

    The rounding error is less than a tenth of the distance to the nearest of them.
    """
    if value is None:
        return "none"
    if not isinstance(value, float):
        return str(value)
    gap = min((abs(v - value) for v in among if isinstance(v, int | float) and v != value), default=math.inf)
    digits = 3
    while digits < 17 and abs(float(f"{value:.{digits}g}") - value) > gap / 10:
        digits += 1
    return f"{value:.{digits}g}"


def fixed_name(key: str, value: Any, among: Iterable[Any] = ()) -> str:
    """A coordinate and its value; only the value if it is text."""
    text = value_name(value, among)
    return text if isinstance(value, str) else f"{key_name(key)} = {text}"


def cell_name(cell: dict[str, Any], axes: Sequence[Axis]) -> str:
    """A cell named by the axes on which cells differ; "all matches" if there are none."""
    parts = [fixed_name(axis.key, cell["coordinates"].get(axis.key), axis.values) for axis in axes]
    return ", ".join(parts) or "all matches"


@dataclass(frozen=True)
class Columns:
    """The columns of a table that identify cells: swept keys, including tied ones, and their values."""

    values: dict[str, tuple[Any, ...]]

    @classmethod
    def of(cls, cells: Sequence[dict[str, Any]]) -> Columns:
        """The columns for all cells of a summary."""
        keys = [k for axis in sweep_axes(cells) for k in (axis.key, *axis.tied)]
        return cls({k: tuple(dict.fromkeys(c["coordinates"].get(k) for c in cells)) for k in keys})

    def heads(self) -> list[str]:
        """The keys in words, after the cell's number."""
        return ["cell", *map(key_name, self.values)]

    def names(self, cell: dict[str, Any]) -> list[str]:
        """A cell's number and its value of each key."""
        own = cell["coordinates"]
        return [str(cell["cell"]), *(value_name(own.get(k), among) for k, among in self.values.items())]


def wrapped(name: str, width: int, lines: int = 5) -> str:
    """A name over several lines, broken after commas if its parts fit."""
    out: list[str] = []
    for part in name.split(", "):
        if out and len(out[-1]) + 2 + len(part) <= width:
            out[-1] += f", {part}"
            continue
        if out:
            out[-1] += ","
        out += textwrap.wrap(part, width) or [part]
    return "\n".join(out if len(out) <= lines else [*out[: lines - 1], out[lines - 1] + " ..."])


def scale(values: Sequence[float]) -> str:
    """The spacing of numbers: "log", "linear" or "uneven"."""
    x = np.asarray(values, float)
    if len(x) < 3:
        return "uneven"
    if (x > 0).all():
        ratios = x[1:] / x[:-1]
        if np.allclose(ratios, ratios[0], rtol=0.02) and x[-1] / x[0] >= 4:
            return "log"
    steps = np.diff(x)
    return "linear" if np.allclose(steps, steps[0], rtol=0.02) else "uneven"


def spread(number: int, most: int) -> list[int]:
    """At most `most` elements of range(number), evenly spaced and including both ends."""
    if number <= most:
        return list(range(number))
    return sorted({round(i * (number - 1) / (most - 1)) for i in range(most)})
