"""Search by populations: perturbed parameters, and the slope that their fitness shows (Salimans et al. 2017)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def slope(noise: jax.Array, fitness: jax.Array, sigma: Any, kind: str = "ranks") -> jax.Array:
    """The estimated gradient, [parameters].

    Args:
      noise: [pairs, parameters], eps.
      fitness: [2 pairs]: of theta + sigma eps_0, theta - sigma eps_0, theta + sigma eps_1, ...
      sigma: a scalar.
      kind: "ranks" or "raw".
    """
    used = (ranks(fitness) if kind == "ranks" else fitness).reshape(-1, 2).astype(noise.dtype)
    weights = used[:, 0] - used[:, 1]
    return jnp.matmul(weights, noise, precision=lax.Precision.HIGHEST) / (fitness.size * sigma)


def ranks(fitness: jax.Array) -> jax.Array:
    """Ranks from -1/2 (the lowest) to 1/2, equally far apart; those that are equal share the mean of their ranks, so
    that a population that cannot be told apart goes nowhere. [population]; what is not finite ranks lowest."""
    worst_first = jnp.where(jnp.isfinite(fitness), fitness, -jnp.inf)
    ordered = jnp.sort(worst_first)
    below = jnp.searchsorted(ordered, worst_first, side="left")
    up_to = jnp.searchsorted(ordered, worst_first, side="right")
    return (below + up_to - 1) / (2 * (fitness.size - 1)) - 0.5


def normals(key: jax.Array, count: int, like: jax.Array) -> jax.Array:
    """Standard normal vectors [count, parameters]; vector k depends on the key and k alone. Drawn in float32, like
    initial parameters, whatever the precision of the run."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(count))
    return jax.vmap(lambda own: jax.random.normal(own, like.shape, jnp.float32))(keys).astype(like.dtype)


def in_chunks(of: Callable[[jax.Array], jax.Array], population: int, chunk: int | None) -> jax.Array:
    """`of(number)` for every member of a population, [population], `chunk` members at once."""
    numbers = jnp.arange(population)
    if chunk is None or chunk == population:
        return jax.vmap(of)(numbers)
    return lax.map(jax.vmap(of), numbers.reshape(-1, chunk)).reshape(-1)
