"""Target networks: parameters that slowly follow those being learned, to give regressions a steady target."""

from typing import Any

import jax
import jax.numpy as jnp


def polyak(target: Any, online: Any, rate: Any) -> Any:
    """target + rate (online - target), leaf by leaf: rate 0 keeps the target, 1 copies what is learned."""
    return jax.tree.map(lambda old, new: old + rate * (new - old), target, online)


def followed(target: Any, online: Any, count: Any, rate: Any = 1.0, period: int = 1) -> Any:
    """The target after update number `count`, 1 or more: a `polyak` step after every `period`-th update and nothing in
    between. Rate 1 copies what is learned once a period; period 1 averages it exponentially."""
    due = jnp.asarray(count) % period == 0
    return jax.tree.map(lambda old, new: jnp.where(due, new, old), target, polyak(target, online, rate))
