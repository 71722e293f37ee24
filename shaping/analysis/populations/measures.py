"""Measures of each population of a record, by name: what its cells are averaged over, and what can be compared with
published values."""

from __future__ import annotations

import math

import numpy as np

from shaping.analysis.record import Record

BY_TYPE = ("share", "value", "value_sd", "cooperation")
"""Variables of a record that every type has one of."""
WHOLE = ("mutual_cooperation", "assortment")
"""Variables that a population has one of."""
SHARES = ("cooperative", "fixed")
"""Measures that are 0 or 1, so that their mean is a share of the populations."""

_SHARES_OF_MANY = ("share", "cooperation", "mutual_cooperation")


def types_of(record: Record) -> list[str]:
    """Names of the types."""
    return [str(name) for name in record.dataset["type"].values]


def known_measures(types: list[str], cooperation: bool) -> tuple[str, ...]:
    """Every measure, see `measures`.

    Args:
        types: names of the types.
        cooperation: whether actions are to cooperate or not.
    """
    own = ("cooperation", "mutual_cooperation", "cooperative") if cooperation else ()
    by_type = [name for name in BY_TYPE if cooperation or name != "cooperation"]
    each = [f"{name}.{kind}" for kind in types for name in (*by_type, "fixed")]
    return ("value", *own, "assortment", "fixed", *each)


def measures(record: Record, lo: int, hi: int) -> dict[str, np.ndarray]:
    """Measures of populations lo .. hi - 1 after the last generation, each [match], NaN where undefined.

    value and cooperation are means over learners, `NAME.TYPE` those of one type; cooperative is 1 if learners cooperate
    more often than not; fixed is 1 if all learners are of one type, and fixed.TYPE if they are of this one. Populations
    that are not finished are NaN.
    """
    data = record.dataset.isel(match=slice(lo, hi))
    names, share = types_of(record), data["share"].isel(generation=-1).values.astype(float)
    found = {"value": data["mean_value"].isel(generation=-1).values.astype(float)}
    if "mean_cooperation" in data:
        found["cooperation"] = data["mean_cooperation"].isel(generation=-1).values.astype(float)
        undefined = np.isnan(found["cooperation"])
        found["cooperative"] = np.where(undefined, np.nan, found["cooperation"] > 0.5)
    for name in WHOLE:
        if name in data:
            found[name] = data[name].isel(generation=-1).values.astype(float)
    finished = np.isfinite(share).all(axis=1)
    found["fixed"] = np.where(finished, (share == 1).any(axis=1), np.nan)
    for place, kind in enumerate(names):
        for name in BY_TYPE:
            if name in data:
                found[f"{name}.{kind}"] = data[name].isel(generation=-1, type=place).values.astype(float)
        found[f"fixed.{kind}"] = np.where(finished, share[:, place] == 1, np.nan)
    return found


def range_of(name: str) -> tuple[float, float]:
    """The smallest and the largest value that a measure can have; infinite where there is no such end."""
    name = name.partition(".")[0]
    if name in _SHARES_OF_MANY or name in SHARES:
        return 0.0, 1.0
    return (0.0 if name == "value_sd" else -math.inf), (1.0 if name == "assortment" else math.inf)


def is_share(name: str) -> bool:
    """Whether a measure is 0 or 1 in every population."""
    return name.partition(".")[0] in SHARES
