"""How a record describes its own variables: every array carries its declaration as attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

import numpy as np

from shaping.analysis.damaged_files import DamagedRecordError

SOURCES = ("play", "environment", "learner")
"""Who measured what a report shows besides values and policies."""
_ALONG = ("match", "update", "player")
_ORDER = ("environment", "play", "learner")


@dataclass(frozen=True)
class Variable:
    """A variable that was measured: its name and dimensions, and what its record says about it.

    low and high are infinite if the range has no such end; `small` says that values near zero matter; `showcase` that
    the match in which it is highest is the one whose episode is drawn.
    """

    name: str
    dims: tuple[str, ...]
    description: str = ""
    label: str = ""
    low: float = -math.inf
    high: float = math.inf
    small: bool = False
    source: str = ""
    showcase: bool = False

    @property
    def axis(self) -> str:
        """The dimension with labels, besides match and player; "" if it is recorded along updates."""
        return "" if self.dims == _ALONG else self.dims[2]

    @property
    def bounded(self) -> bool:
        """Whether both ends of its range are finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def as_dict(self) -> dict[str, Any]:
        """The declaration as written to summary.json."""
        ends = [end if math.isfinite(end) else None for end in (self.low, self.high)]
        return {
            "label": self.label,
            "description": self.description,
            "range": ends,
            "small": self.small,
            "source": self.source,
            "axis": self.axis,
            "showcase": self.showcase,
        }


def declared(dataset: xr.Dataset) -> dict[str, Variable]:
    """The variables of a record that a report shows, in the order in which it shows them.

    These are what play, the environment or a learner measured, along updates (match, update, player) or at the end
    (match, player, axis). Variables without a declaration, as in older records, are left out.

    Raises:
        DamagedRecordError: for a declaration of the wrong type.
    """
    found = {}
    for key, array in dataset.data_vars.items():
        name, dims = str(key), tuple(str(d) for d in array.dims)
        at_the_end = len(dims) == 3 and dims[:2] == ("match", "player")
        if array.attrs.get("source") in SOURCES and (dims == _ALONG or at_the_end):
            found[name] = _variable(name, dims, array.attrs)
    return {v.name: v for v in sorted(found.values(), key=_place)}


def _place(variable: Variable) -> tuple[bool, int, str]:
    # The order in which a folder lists its arrays varies from system to system; this order does not.
    return variable.name != "reward_per_step", _ORDER.index(variable.source), variable.name


def _variable(name: str, dims: tuple[str, ...], attributes: Mapping[str, Any]) -> Variable:
    for key, kind in (("description", str), ("label", str)):
        if not isinstance(attributes.get(key, ""), kind):
            raise _wrong(name, key, attributes[key], "text")
    low, high = attributes.get("low", -math.inf), attributes.get("high", math.inf)
    for key, end in (("low", low), ("high", high)):
        if not isinstance(end, int | float | np.number) or isinstance(end, bool):
            raise _wrong(name, key, end, "a number, and left out where there is no such end")
    return Variable(
        name,
        dims,
        attributes.get("description", ""),
        attributes.get("label", ""),
        float(low),
        float(high),
        bool(attributes.get("small", False)),
        attributes["source"],
        bool(attributes.get("showcase", False)),
    )


def _wrong(name: str, key: str, value: Any, allowed: str) -> DamagedRecordError:
    return DamagedRecordError(f"record.zarr, attribute {key} of {name}: is {str(value)[:60]!r}; it must be {allowed}")


def labels_of(dataset: xr.Dataset, variables: Mapping[str, Variable]) -> dict[str, tuple[str, ...]]:
    """The labels of each dimension that variables have besides match and player; numbers if it has no labels."""
    axes = {v.axis for v in variables.values() if v.axis}
    named = {d: dataset[d].values if d in dataset.coords else range(dataset.sizes[d]) for d in axes}
    return {d: tuple(str(x) for x in values) for d, values in named.items()}
