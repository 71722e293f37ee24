"""The cells of a record: what their matches have in common, and what each match draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shaping.analysis.axes import Axis
from shaping.analysis.record import Record

_NOT_SWEPT = ("cell", "match_in_cell")


def swept_in(record: Record) -> list[str]:
    """Coordinates on match other than the standard ones: variant first, then in the order of `sweep` and `tie`.

    The seed is included only if cells differ in it. The order in which a folder lists its arrays varies from system to
    system; this order does not.
    """
    config = record.config
    tied = [k for together in config.get("tie") or [] for k in together]
    named = [k.replace("players.*.", "players.all.") for k in [*(config.get("sweep") or {}), *tied]]
    order = {k: i for i, k in reversed(list(enumerate(["variant", *named])))}
    coords = record.dataset.coords
    names = [str(k) for k in coords if coords[k].dims == ("match",) and k not in _NOT_SWEPT]
    if "seed" in names and len(np.unique(coords["seed"].isel(match=record.starts[:-1]).values)) < 2:
        names.remove("seed")
    return sorted(names, key=lambda k: (order.get(k, len(order)), k))


def drawn_in(record: Record) -> tuple[str, ...]:
    """Coordinates that vary inside a cell. Every cell has the same draws, so the first cell shows which."""
    if record.cells == 0:
        return ()
    first = slice(0, int(record.starts[1]))
    names = []
    for name in swept_in(record):
        column = record.dataset[name].isel(match=first).values
        if not _same(column, column[0]).all():
            names.append(name)
    return tuple(names)


def _same(column: np.ndarray, first: Any) -> np.ndarray:
    if column.dtype.kind == "f" and np.isnan(first):
        return np.isnan(column)
    return np.asarray(column == first)


def coordinates_of(record: Record, lo: int, hi: int, n: int, drawn: tuple[str, ...]) -> list[dict[str, dict[str, Any]]]:
    """For the cells of matches lo .. hi - 1, n each: what they have in common, and the range of what each match
    drew."""
    cells = (hi - lo) // n
    out: list[dict[str, dict[str, Any]]] = [{"coordinates": {}, "drawn": {}} for _ in range(cells)]
    for name in swept_in(record):
        values = record.dataset[name]
        if name in drawn:
            column = values.isel(match=slice(lo, hi)).values.reshape(cells, n)
            if column.dtype.kind in "fiu":
                for i in range(cells):
                    out[i]["drawn"][name] = {"min": column[i].min(), "max": column[i].max()}
        else:
            column = values.isel(match=slice(lo, hi, n)).values
            for i in range(cells):
                value = column[i]
                out[i]["coordinates"][name] = value.item() if isinstance(value, np.generic) else value
    return out


def of_other_kind(cells: Sequence[dict[str, Any]], axes: Sequence[Axis], cell: int, others: Sequence[int]) -> bool:
    """Whether a cell differs from all of the others in a coordinate that is text, such as a variant or a rule; cells
    that differ only in numbers are of the same kind."""
    texts = [axis.key for axis in axes if not axis.numeric]
    own = cells[cell]["coordinates"]
    return all(any(own.get(k) != cells[other]["coordinates"].get(k) for k in texts) for other in others)
