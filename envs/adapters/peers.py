"""What both directions need: the peers' packages, their random keys, and how a fixed policy is given."""

import importlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Policy = Callable[[jax.Array, jax.Array], Any]
"""(observation [...] of one player, key) -> its action: how a seat that does not learn plays. Without memory."""


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
