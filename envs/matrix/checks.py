"""Checks of what a matrix game is given; errors are one line each."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def check_shape(what: str, array: jax.Array, shape: tuple[int, ...]) -> None:
    if jnp.shape(array) != shape:
        raise ValueError(
            f"{what} has the shape {list(jnp.shape(array))}; allowed: {list(shape)} (vmap step over any further axes)"
        )


def finite_numbers(what: str, value: Any, allowed: str) -> np.ndarray:
    """`value` as a float64 array of any shape.

    Raises:
        ValueError: one line, also for what numpy would convert silently (text, booleans).
    """
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # ragged nesting; traced arrays, which belong into MatrixGameParams
        array = np.asarray(None)
    if array.dtype.kind not in "iuf" or array.size == 0 or not np.all(np.isfinite(array)):
        raise ValueError(f"{what} is {line(value)}; allowed: {allowed}")
    return array.astype(np.float64)


def is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def nested_tuple(value: Any) -> Any:
    return tuple(nested_tuple(item) for item in value) if isinstance(value, list) else value


def line(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."
