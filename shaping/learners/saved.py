"""Parameters that another run ended with, or that a file holds."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from shaping.policies.policy import Policy


def of_run(run: str, match: int, player: int, policy: Policy) -> Any:
    """The last parameters of a player, a pytree as the policy has it.

    Args:
      run: the folder of the run.
      match: its number there.
      player: its seat there.
      policy: whose parameters they are to be.

    Raises:
      ValueError: they are not there, or not those of such a policy.
    """
    import zarr

    try:
        found: Any = zarr.open_group(str(Path(run).expanduser() / "record.zarr"), mode="r")["theta_final"]
        row = np.asarray(found[match, player])
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise ValueError(_missing(run, error)) from None
    return _shaped(run, row, policy)


def of_file(file: str, player: int, policy: Policy) -> Any:
    """Parameters saved by numpy, [parameters] or [players, parameters]; see `of_run`."""
    try:
        array = np.load(Path(file).expanduser(), allow_pickle=False)
        row = array[player] if array.ndim == 2 else array
    except (OSError, ValueError, IndexError) as error:
        raise ValueError(_missing(file, error)) from None
    return _shaped(file, row, policy)


def _missing(source: str, error: Exception) -> str:
    return f"{source} holds no such parameters: {type(error).__name__}: {error}"


def _shaped(source: str, row: np.ndarray, policy: Policy) -> Any:
    """A row, padded by NaN where others are longer, in the shape of a policy's parameters."""
    size, found = policy.num_parameters, int(np.isfinite(row).sum())
    if row.ndim != 1 or found != size or not np.all(np.isfinite(row[:size])):
        raise ValueError(f"{source} holds {found} parameters; this policy has {size}")
    leaves, structure = jax.tree.flatten(policy.shapes)
    parts = np.split(row[:size], np.cumsum([leaf.size for leaf in leaves])[:-1])
    return structure.unflatten([part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)])
