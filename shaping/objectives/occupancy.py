"""Discounted visits to the states of an enumerated chain, given the policies that play on it."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from shaping.envs.coin_game.chain import CoinChain
from shaping.objectives.gaussian_elimination import inverse, multiply, multiply_transposed
from shaping.objectives.sparse_products import sparse_product
from shaping.objectives.state_visits import visits_over_rounds

# Up to this many numbers the transitions are kept dense, and a step is a matrix product.
_DENSE = 10**6


def visits_of(chain: CoinChain, joint: jax.Array, discount: jax.Array, steps: int | None) -> jax.Array:
    """sum over t of discount^t (P^T)^t p0: how often each state is visited, [states].

    Args:
      chain: transitions by joint action.
      joint: [states, joint actions], the probability of each.
      discount: scalar in [0, 1), or up to 1 with finitely many steps.
      steps: how many terms to add, at least 1; None for all.
    """
    dtype = str(joint.dtype)
    start = jnp.asarray(chain.start, dtype)
    if chain.num_states**2 * chain.transition.shape[1] <= _DENSE:
        dense = jnp.asarray(_dense(chain, dtype))
        transition = jnp.einsum("sj,sjt->st", joint, dense, precision=lax.Precision.HIGHEST)
        if steps is None:
            return _solved(transition, start, discount)
        return visits_over_rounds(lambda now: jnp.sum(transition * now[:, None], axis=0), start, discount, steps)
    gather, spread = _sparse(chain, dtype)

    def forwards(joint: jax.Array, now: jax.Array) -> jax.Array:
        return spread(gather((now[:, None] * joint).reshape(-1)))

    if steps is not None:
        return visits_over_rounds(lambda now: forwards(joint, now), start, discount, steps)
    return _iterated(forwards, joint, start, discount)


def _solved(transition: jax.Array, start: jax.Array, discount: jax.Array) -> jax.Array:
    """(I - discount P^T)^{-1} p0 from one inverse, which the solves of all derivatives share."""
    inverted = lax.optimization_barrier(inverse(*lax.stop_gradient((transition, discount))))
    return lax.custom_linear_solve(
        lambda d: d - discount * jnp.sum(transition * d[:, None], axis=0),
        start,
        lambda _, b: multiply_transposed(inverted, b),
        lambda _, b: multiply(inverted, b),
    )


def _iterated(
    forwards: Callable[[jax.Array, jax.Array], jax.Array], joint: jax.Array, start: jax.Array, discount: jax.Array
) -> jax.Array:
    """The same by fixed-point iteration. Each iteration multiplies the error by `discount`; it ends below rounding."""
    rounding = jnp.finfo(start.dtype).eps * (1 - discount)
    iterations = jnp.ceil(jnp.log(rounding) / jnp.log(jnp.maximum(discount, 1e-3))).astype(jnp.int32)

    def solve(matvec: Callable[[jax.Array], jax.Array], b: jax.Array) -> jax.Array:
        return lax.fori_loop(0, iterations, lambda _, x: x + (b - matvec(x)), b)

    return lax.custom_linear_solve(lambda d: d - discount * forwards(joint, d), start, solve, solve)


@functools.lru_cache(maxsize=8)
def _dense(chain: CoinChain, dtype: str) -> np.ndarray:
    return chain.transitions().astype(dtype)


@functools.lru_cache(maxsize=8)
def _sparse(chain: CoinChain, dtype: str) -> tuple[Any, Any]:
    """Maps from probabilities of states and joint actions to those of transitions, and from these to next states."""
    transitions = len(chain.successors)
    where = chain.transition.reshape(-1)
    gather = sparse_product(where, np.arange(where.size), np.ones(where.size), transitions, dtype)
    rows, places = np.nonzero(chain.probabilities)
    weights = chain.probabilities[rows, places]
    return gather, sparse_product(chain.successors[rows, places], rows, weights, chain.num_states, dtype)
