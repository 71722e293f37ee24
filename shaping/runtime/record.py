"""The record of a run: one Dataset on disk that `xarray.open_zarr` opens, written chunk by chunk."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.runtime.fsync import BackgroundSync, sync_folder, tracking_store
from shaping.runtime.storage import is_local
from shaping.variables import Variable


@dataclass(frozen=True)
class Layout:
    """The contents of a record and their sizes.

    Attributes:
      matches: number of matches.
      steps: recorded updates, or generations, ascending.
      dtype: the type of the floating-point variables.
      variables: their declarations by name; `diverged_at` is one of them.
      labels: the labels along every other dimension, from the largest game; labels that are all numbers are recorded as
        numbers.
      parameters: length of the dimension `parameter`, the largest number of parameters of a policy.
      step: what `steps` counts, "update" or "generation".
    """

    matches: int
    steps: Sequence[int]
    dtype: np.dtype
    variables: Mapping[str, Variable]
    labels: Mapping[str, Sequence[Any]]
    parameters: int = 0
    step: str = "update"

    def sizes(self) -> dict[str, int]:
        """The length of every dimension."""
        own = {"match": self.matches, self.step: len(self.steps), "parameter": self.parameters}
        return own | {name: len(labels) for name, labels in self.labels.items()}

    def coordinates(self) -> dict[str, np.ndarray]:
        """The labels of the places along each dimension."""
        own = {self.step: np.asarray(self.steps, np.int64)}
        return own | {name: _labels(labels) for name, labels in self.labels.items()}

    def dimensions(self) -> dict[str, tuple[str, ...]]:
        """The dimensions of every variable."""
        return {name: variable.dims for name, variable in self.variables.items()}

    def bytes(self) -> int:
        """Bytes of the record on disk if nothing can be compressed."""
        sizes = self.sizes()
        numbers = sum(math.prod(sizes[d] for d in variable.dims) for variable in self.variables.values())
        return numbers * self.dtype.itemsize


UNFINISHED = -2
"""`diverged_at` of a match that is not finished yet."""
_MATCH_CHUNK = 16384
# The most numbers, and the most recorded updates, in one piece of an array on disk.
_PIECE = 2**21
_UPDATE_CHUNK = 512


class Record:
    """An open record. Variables can be written for any choice of matches; rows that are shorter than the record's are
    padded with NaN."""

    def __init__(self, path: Any):
        """Opens an existing record.

        Raises:
          FileNotFoundError: if there is none, or its creation was interrupted.
        """
        import zarr

        self.path = path
        self._written: set[str] = set()
        self._forced = BackgroundSync()
        store = tracking_store(path, self._written) if is_local(path) else str(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._group: Any = zarr.open_group(store, mode="r+", zarr_format=3, use_consolidated=True)

    @classmethod
    def create(
        cls, path: Any, layout: Layout, coordinates: Mapping[str, Any], attributes: Mapping[str, Any]
    ) -> "Record":
        """Creates a record with its coordinates.

        Args:
          path: a folder that does not exist yet.
          layout: its contents and sizes.
          coordinates: name to one value per match [matches], or to (dimensions, values).
          attributes: attributes of the Dataset.
        """
        import xarray
        import zarr

        coords: dict[str, Any] = dict(layout.coordinates())
        for name, values in coordinates.items():
            dims, array = values if isinstance(values, tuple) else ("match", values)
            array = np.asarray(array)
            coords[name] = (dims, array.astype(object) if array.dtype.kind in "US" else array)
        dataset = xarray.Dataset(coords=coords, attrs=dict(attributes))
        dataset.to_zarr(str(path), mode="w-", zarr_format=3, consolidated=False)
        group: Any = zarr.open_group(str(path), mode="r+", zarr_format=3)
        sizes = layout.sizes()
        for name, variable in layout.variables.items():
            dims, integer = variable.dims, variable.whole
            array = group.create_array(
                name,
                shape=tuple(sizes[d] for d in dims),
                chunks=_pieces(dims, sizes),
                dtype="int32" if integer else layout.dtype,
                fill_value=0 if integer else np.nan,
                dimension_names=dims,
                attributes=variable.attributes(),
            )
            if name == "diverged_at":
                array[:] = UNFINISHED
        # Written last: it is the sign that everything else is there.
        consolidate(path)
        return cls(path)

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the Dataset."""
        return dict(self._group.attrs)

    def rows_per_write(self) -> int:
        """The number of recorded updates that fills whole pieces of all arrays, and so is best written at once."""
        return max(array.chunks[1] for name, array in self._group.arrays() if self._along(name))

    def has_begun(self, match: int) -> bool:
        """Whether anything of a match has been written."""
        if int(self._group["diverged_at"][match]) != UNFINISHED:
            return True
        first = [
            array[match, 0] if self._along(name) else array[match]
            for name, array in self._group.arrays()
            if name == "theta_initial" or self._along(name)
        ]
        return not all(np.all(np.isnan(row)) for row in first)

    def match_chunk(self) -> int:
        """Matches in one piece of an array on disk."""
        return self._group["diverged_at"].chunks[0]

    def write(self, indices: np.ndarray, variables: Mapping[str, np.ndarray], first: int | None = None) -> None:
        """Writes variables [matches of `indices`, ...], `indices` ascending. If `first` is given they are [matches,
        updates, ...] and begin at that recorded update."""
        import zarr

        # Finding out whether a piece is empty takes as long as compressing it.
        with zarr.config.set({"array.write_empty_chunks": True}):
            for rows, picked in _runs(indices):
                for name, array in variables.items():
                    inner = [slice(0, size) for size in array.shape[1:]]
                    if first is not None:
                        inner[0] = slice(first, first + array.shape[1])
                    self._group[name][(rows, *inner)] = np.asarray(array[picked])
        self._begin_to_force()

    def read(self, name: str, indices: np.ndarray) -> np.ndarray:
        """One variable for some matches; `indices` must be ascending."""
        return np.concatenate([self._group[name][rows] for rows, _ in _runs(indices)])

    def erase(self, indices: np.ndarray, first: int) -> None:
        """Erases the variables along updates of these matches, from a recorded update on."""
        for rows, _ in _runs(indices):
            for name, array in self._group.arrays():
                if self._along(name) and first < array.shape[1]:
                    array[(rows, slice(first, None))] = np.nan
        self._begin_to_force()

    def force(self) -> None:
        """Returns when everything written is on the disk and would survive a crash, if the disk belongs to this
        machine.

        Raises:
          OSError: if it cannot be written there.
        """
        self._forced.wait()

    def _begin_to_force(self) -> None:
        self._forced.begin([self.path / key for key in sorted(self._written)])
        self._written.clear()

    def _along(self, name: str) -> bool:
        """Whether a variable is recorded along updates or generations."""
        dims = self._group[name].metadata.dimension_names
        return dims[:1] == ("match",) and dims[1:2] in (("update",), ("generation",))


def consolidate(path: Any) -> None:
    """Adds the metadata of all arrays to that of the record, as a sign that it is complete, and syncs it to the disk.

    zarr warns that other programs may not know such metadata; they use those of the arrays instead.
    """
    import zarr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(str(path), zarr_format=3)
    sync_folder(path)


def _labels(labels: Sequence[Any]) -> np.ndarray:
    if isinstance(labels, range):
        return np.arange(len(labels))
    numbers = labels and all(label.isdecimal() for label in labels)
    return np.array([int(label) for label in labels]) if numbers else np.asarray(labels, object)


def _pieces(dims: Sequence[str], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The shape of an array's pieces on disk: everything of a match, and enough matches and updates for a few MiB."""
    shape = {name: sizes[name] for name in dims}
    shape["match"] = min(sizes["match"], _MATCH_CHUNK)
    if "learner" in shape:
        shape["match"] = max(1, min(shape["match"], _PIECE // max(1, sizes["learner"])))
    for step in {"update", "generation"}.intersection(shape):
        others = math.prod(size for name, size in shape.items() if name != step)
        # A power of two, so that the pieces of all variables end at the same updates.
        fitting = 2 ** math.floor(math.log2(max(1, _PIECE // max(1, others))))
        shape[step] = min(_UPDATE_CHUNK, fitting)
    return tuple(max(1, shape[name]) for name in dims)


def _runs(indices: np.ndarray) -> list[tuple[slice, slice]]:
    """Ascending indices as runs without gaps: rows of the record, and their places among the indices."""
    if not len(indices):
        return []
    starts = np.flatnonzero(np.diff(indices, prepend=indices[0] - 2) != 1)
    ends = [*starts[1:], len(indices)]
    return [
        (slice(int(indices[a]), int(indices[b - 1]) + 1), slice(int(a), int(b)))
        for a, b in zip(starts, ends, strict=True)
    ]


def spread(per_cell: np.ndarray, matches_per_cell: int) -> np.ndarray:
    """Repeats a coordinate over cells so that it becomes one over matches."""
    return np.repeat(per_cell, matches_per_cell)
