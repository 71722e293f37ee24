"""Long sequences of numbers that are not stored: matches of a group, and recorded updates."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, overload

import numpy as np


@dataclass(frozen=True)
class Spans:
    """Ascending integers, stored as ranges.

    Attributes:
      ranges: ascending, none of them empty.
    """

    ranges: tuple[range, ...]

    def __len__(self) -> int:
        return sum(map(len, self.ranges))

    def __contains__(self, number: int) -> bool:
        return any(number in own for own in self.ranges)

    def __getitem__(self, places: slice) -> np.ndarray:
        """The numbers at these positions, int64; no others are computed."""
        start, stop, step = places.indices(len(self))
        if step != 1:
            raise ValueError(f"the step of a slice is {step}; allowed: 1")
        found, first = [np.zeros(0, np.int64)], 0
        for own in self.ranges:
            part = own[max(start - first, 0) : max(stop - first, 0)]
            found.append(np.arange(part.start, part.stop, dtype=np.int64))
            first += len(own)
        return np.concatenate(found)

    def place(self, number: int) -> int:
        """The position of a number that is in the sequence."""
        before = list(accumulate(map(len, self.ranges), initial=0))
        which = bisect_right([own.start for own in self.ranges], number) - 1
        return before[which] + self.ranges[which].index(number)


@dataclass(frozen=True)
class RecordedUpdates(Sequence[int]):
    """0, every, 2 every, ... below the last update, and the last update.

    Attributes:
      updates: the last update.
      every: interval between two of them, at least 1.
    """

    updates: int
    every: int

    def __len__(self) -> int:
        return -(-self.updates // self.every) + 1

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> list[int]: ...
    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        return min(range(len(self))[place] * self.every, self.updates)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy
        found = np.minimum(np.arange(len(self), dtype=np.int64) * self.every, self.updates)
        return found if dtype is None else found.astype(dtype)
