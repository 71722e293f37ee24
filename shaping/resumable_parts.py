"""Finished parts of a long computation, kept in a folder: one that was interrupted computes only what is missing."""

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

Part = dict[str, np.ndarray]


def kept(folder: Any, name: str, given: Any, compute: Callable[[], Mapping[str, Any]]) -> Part:
    """A part: read if it is there and was computed from the same input, otherwise computed and written.

    Args:
      folder: where parts are kept; None keeps none.
      name: of the part.
      given: a pytree of arrays and plain values on which the part depends.
      compute: gives it, by name.
    """
    if folder is None:
        return {key: np.asarray(value) for key, value in compute().items()}
    path = folder / f"{name}-{_digest(given)}.npz"
    try:
        with np.load(path, allow_pickle=False) as read:
            return {key: read[key] for key in read.files}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        # It is missing, or was cut off or damaged: it is computed again.
        found = {key: np.asarray(value) for key, value in compute().items()}
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **found)
    partial.replace(path)
    return found


def _digest(given: Any) -> str:
    leaves, structure = jax.tree.flatten(given)
    text = hashlib.sha256(str(structure).encode())
    for leaf in leaves:
        told = np.asarray(leaf)
        text.update(f"{told.dtype} {told.shape}".encode())
        text.update(str(leaf).encode() if told.dtype.kind in "OUT" else told.tobytes())
    return text.hexdigest()[:16]
