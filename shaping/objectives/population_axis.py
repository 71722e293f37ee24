"""Controls where `vmap` puts the population axis in functions of small arrays."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def population_last(function: Callable[..., Any]) -> Callable[..., Any]:
    """Under `vmap`, moves the mapped axis of every argument last; the function must broadcast over [n, ..., *batch].

    By default `vmap` puts it first, and every step of an elimination works on rows of a few numbers. With the
    population last, each step is elementwise over the population.
    """
    mapped = jax.custom_batching.custom_vmap(function)

    @mapped.def_vmap
    def rule(size: int, in_batched: Any, *arguments: Any) -> tuple[Any, Any]:
        del size

        def last(argument: jax.Array, batched: bool) -> jax.Array:
            return jnp.moveaxis(argument, 0, -1) if batched else argument[..., None]

        out = mapped(*jax.tree.map(last, arguments, tuple(in_batched)))
        return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), out), jax.tree.map(lambda _: True, out)

    return mapped
