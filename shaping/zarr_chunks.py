"""The chunk files in which zarr stores arrays: which there are, and which cannot be decoded."""

from typing import Any

import numpy as np


def arrays_of(path: Any) -> dict[str, Any]:
    """The arrays of a group by name, as described in their own metadata."""
    import zarr

    group: Any = zarr.open_group(str(path), mode="r", use_consolidated=False)
    return dict(sorted(group.arrays()))


def grid(array: Any) -> tuple[int, ...]:
    """The number of pieces of an array along each dimension."""
    return tuple(-(-size // piece) for size, piece in zip(array.shape, array.chunks, strict=True))


def undecodable(path: Any) -> tuple[Any, Exception] | None:
    """The first piece of a group's arrays that cannot be decoded, and the exception; None if all can be decoded.

    If the group itself cannot be opened, the group and the exception.
    """
    try:
        arrays = arrays_of(path)
    except Exception as error:
        return path, error
    for name, array in arrays.items():
        for place in np.ndindex(*grid(array)):
            file = path / name / array.metadata.encode_chunk_key(place)
            # A piece that contains only the fill value may be missing.
            if not file.exists():
                continue
            try:
                array[tuple(slice(i * piece, (i + 1) * piece) for i, piece in zip(place, array.chunks, strict=True))]
            except Exception as error:
                return file, error
    return None
