"""The pieces that arrays of zarr are kept in: which there are, and which cannot be decoded."""

from typing import Any

import numpy as np


def arrays_of(path: Any) -> dict[str, Any]:
    """The arrays of a group by name, as their own metadata describes them."""
    import zarr

    group: Any = zarr.open_group(str(path), mode="r", use_consolidated=False)
    return dict(sorted(group.arrays()))


def grid(array: Any) -> tuple[int, ...]:
    """How many pieces an array has along each dimension."""
    return tuple(-(-size // piece) for size, piece in zip(array.shape, array.chunks, strict=True))


def undecodable(path: Any) -> tuple[Any, Exception] | None:
    """The first piece of a group's arrays that cannot be decoded, and what is raised; None if all can.

    Where the group cannot be opened it is the group itself.
    """
    try:
        arrays = arrays_of(path)
    except Exception as error:
        return path, error
    for name, array in arrays.items():
        for place in np.ndindex(*grid(array)):
            file = path / name / array.metadata.encode_chunk_key(place)
            # A piece that holds nothing but the fill value need not be there.
            if not file.exists():
                continue
            try:
                array[tuple(slice(i * piece, (i + 1) * piece) for i, piece in zip(place, array.chunks, strict=True))]
            except Exception as error:
                return file, error
    return None
