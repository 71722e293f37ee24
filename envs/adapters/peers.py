"""Used in both directions: the other packages, their random keys, and the form of a fixed policy."""

import contextlib
import importlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

Policy = Callable[[jax.Array, jax.Array], Any]
"""(observation [...] of one player, key) -> its action: how a seat that does not learn plays. It has no memory."""


def require(package: str) -> Any:
    """Imports and returns a package. What it prints meanwhile, as JaxMARL does, is not shown.

    Raises:
        ImportError: if it is not installed; one line that says how to install it.
    """
    try:
        with _silence():
            return importlib.import_module(package)
    except ModuleNotFoundError as error:
        # If a module that the package itself needs is missing, that one is named: the remedy is the same.
        raise ImportError(f"{error.name or package} is not installed; remedy: pip install 'shaping[peers]'") from None


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Hides what is printed, and puts the streams back: JaxMARL replaces them by the original ones when imported."""
    names = ("stdout", "stderr", "__stdout__")
    before = {name: getattr(sys, name) for name in names}
    sys.stdout = sys.__stdout__ = io.StringIO()  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        for name, stream in before.items():
            setattr(sys, name, stream)


def typed(key: jax.Array) -> jax.Array:
    """`key` as a typed key: users of JaxMARL pass arrays of two uint32, as made by `jax.random.PRNGKey`."""
    return key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)
