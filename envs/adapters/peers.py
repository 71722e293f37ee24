"""What both directions need of the peers' packages: their presence, and their random keys."""

import importlib
from typing import Any

import jax
import jax.numpy as jnp


def require(package: str) -> Any:
    """The package, imported.

    Raises:
        ImportError: it is not installed; one line with the remedy.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        # A module that is missing further in is named as it is: the remedy is the same.
        raise ImportError(f"{error.name or package} is not installed; remedy: pip install 'shaping[peers]'") from None


def typed(key: jax.Array) -> jax.Array:
    """`key` as a typed key: JaxMARL's users pass arrays of two uint32, as `jax.random.PRNGKey` makes them."""
    return key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)
