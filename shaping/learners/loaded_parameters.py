"""Initial parameters from another run or from a file."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from shaping.policies.policy import Policy


def of_run(run: str, match: int, player: int, policy: Policy) -> Any:
    """The final parameters of a player of another run, as a pytree of the policy's structure.

    Args:
      run: folder of the run.
      match: number of the match in that run.
      player: seat of the player in that run.
      policy: the policy that is to have the parameters.

    Raises:
      ValueError: there are none, or they do not fit such a policy.
    """
    import zarr

    try:
        found: Any = zarr.open_group(str(Path(run).expanduser() / "record.zarr"), mode="r")["theta_final"]
        row = np.asarray(found[match, player])
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise ValueError(_missing(run, error)) from None
    if policy.num_parameters and np.all(np.isnan(row)):
        raise ValueError(f"{run} holds no parameters of match {match}: it is not finished, or they are lost")
    return _shaped(run, row, policy)


def of_file(file: str, player: int, policy: Policy) -> Any:
    """Parameters saved with numpy, [parameters] or [players, parameters]; see `of_run`."""
    try:
        array = np.load(Path(file).expanduser(), allow_pickle=False)
        row = array[player] if array.ndim == 2 else array
    except (OSError, ValueError, IndexError) as error:
        raise ValueError(_missing(file, error)) from None
    return _shaped(file, row, policy)


def _missing(source: str, error: Exception) -> str:
    return f"{source} holds no such parameters: {type(error).__name__}: {error}"


def _shaped(source: str, row: np.ndarray, policy: Policy) -> Any:
    """A row, which is padded with NaN to the longest one, in the shape of a policy's parameters."""
    size, found = policy.num_parameters, int(np.isfinite(row).sum())
    if row.ndim != 1 or found != size or not np.all(np.isfinite(row[:size])):
        raise ValueError(f"{source} holds {found} parameters; this policy has {size}")
    leaves, structure = jax.tree.flatten(policy.shapes)
    parts = np.split(row[:size], np.cumsum([leaf.size for leaf in leaves])[:-1])
    return structure.unflatten([part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)])
