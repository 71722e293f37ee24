"""Measured variables over updates: single matches of a cell, and their mean with its 95 % interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shaping.analysis.axes import spread
from shaping.analysis.derived_measures import mean_of_known
from shaping.analysis.record import Record
from shaping.analysis.statistics import BAND_ELEMENTS, bands

SEEDS = 30
"""The most matches of a cell that are drawn individually."""

_POINTS = 300
_ELEMENTS = 2**22


@dataclass(frozen=True)
class Trace:
    """A variable in the matches of a cell that did not diverge, at up to 300 recorded updates.

    updates [u]; each [match, u, players + 1] for the first 30 matches; mean, error, low, high [u, players + 1] over all
    matches: the mean, its standard error, and the ends of its 95 % interval. The mean over the players that have it is
    the last column. NaN if nothing was measured.
    """

    updates: np.ndarray
    each: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def known(self) -> bool:
        """Whether there is anything to draw."""
        return bool(np.isfinite(self.mean).any())

    @property
    def along(self) -> bool:
        """Whether it was measured at more than one update."""
        return bool(np.isfinite(self.mean).any(axis=1).sum() > 1)

    @property
    def half(self) -> np.ndarray:
        """Half the width of the 95 % interval of the mean, [u, players + 1]."""
        return (self.high - self.low) / 2

    @property
    def unequal(self) -> bool:
        """Whether two or three players end up further apart than their intervals explain."""
        mean, error = self.mean[-1, :-1], self.error[-1, :-1]
        if not 2 <= len(mean) <= 3 or not np.isfinite(mean).all() or len(self.each) < 2:
            return False
        gap = float(np.ptp(mean))
        return bool(gap > 5 * error.max() and gap > 1e-6)


def trace(record: Record, cell: int, name: str) -> Trace | None:
    """A variable over updates and players in one cell; None if the record lacks it or the cell has no values."""
    dataset, players = record.dataset, record.shapes[cell].players
    if name not in dataset:
        return None
    lo, hi = int(record.starts[cell]), int(record.starts[cell + 1])
    picked = np.array(spread(dataset.sizes["update"], _POINTS), int)
    block = max(1, _ELEMENTS // (dataset.sizes["update"] * players))
    number, total, square = np.zeros((3, len(picked), players + 1))
    shift, shown, held = 0.0, [], 0
    keeps, kept = (hi - lo) * len(picked) * (players + 1) <= BAND_ELEMENTS, []
    for a in range(lo, hi, block):
        rows = slice(a, min(a + block, hi))
        values = dataset[name].isel(match=rows, player=slice(0, players)).values[:, picked].astype(np.float64)
        if "diverged_at" in dataset:
            values = values[dataset["diverged_at"].isel(match=rows).values < 0]
        values = np.concatenate([values, mean_of_known(values)[..., None]], axis=-1)
        known = np.isfinite(values)
        if not number.any() and known.any():
            shift = float(values[known].mean())  # keeps the squares small
        apart = np.where(known, values - shift, 0.0)
        number += known.sum(axis=0)
        total += apart.sum(axis=0)
        square += (apart**2).sum(axis=0)
        if keeps:
            kept.append(values)
        if held < SEEDS:
            shown.append(values[: SEEDS - held])
            held += len(shown[-1])
    mean = np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)
    variance = np.maximum(square - number * mean**2, 0) / np.maximum(number - 1, 1)
    mean, error = mean + shift, np.sqrt(variance / np.maximum(number, 1))
    low, high = bands(np.concatenate(kept) if kept else None, mean, error, number)
    attributes = dataset[name].attrs
    least, most = float(attributes.get("low", -np.inf)), float(attributes.get("high", np.inf))
    low, high = np.clip(low, least, most), np.clip(high, least, most)
    found = Trace(
        dataset["update"].values[picked],
        np.concatenate(shown) if shown else np.empty((0, len(picked), players + 1)),
        mean,
        error,
        low,
        high,
    )
    return found if found.known else None
