"""Gaussian elimination for I - gamma P without pivoting, without subtraction and without LAPACK.

No pivoting is needed: I - gamma P is a strictly diagonally dominant M-matrix. Diagonals are kept as row sums of what
remains of the row (Grassmann, Taksar and Heyman 1985), so that nothing is ever subtracted and solutions keep their
relative accuracy up to a discount of one. These functions are not to be differentiated: callers wrap the solves in
`jax.lax.custom_linear_solve`, which differentiates the equation instead.

There are two forms. Factors over lists of scalars are unrolled, so that under `vmap` each scalar is an array over
matches and the population is last in memory. The whole inverse over arrays is for systems that would take long to
compile if unrolled; a solve is then a product with the inverse.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from shaping.objectives.population_axis import population_last

Scalars = Sequence[jax.Array]
Factors = tuple[list[jax.Array], list[list[jax.Array]], list[list[jax.Array]]]

# The array form is unrolled over pivots up to this many states.
_UNROLLED = 8


def factorise_scalars(transition: Sequence[Scalars], discount: jax.Array) -> Factors:
    """Reciprocal pivots, multipliers below and (negated) rows above the diagonal of I - discount * transition."""
    n = len(transition)
    above = [[discount * p for p in row] for row in transition]
    slack = [1 - discount for _ in range(n)]
    pivots: list[jax.Array] = []
    below = [[jnp.zeros_like(above[0][0])] * n for _ in range(n)]
    for k in range(n):
        pivots.append(1 / sum(above[k][k + 1 :], start=slack[k]))
        for i in range(k + 1, n):
            below[i][k] = above[i][k] * pivots[k]
            slack[i] = slack[i] + below[i][k] * slack[k]
            for j in range(k + 1, n):
                if i != j:
                    above[i][j] = above[i][j] + below[i][k] * above[k][j]
    return pivots, below, above


def solve_scalars(factors: Factors, b: Scalars) -> list[jax.Array]:
    """x with (I - discount * transition) x = b."""
    pivots, below, above = factors
    x, n = list(b), len(b)
    for k in range(n):
        for i in range(k + 1, n):
            x[i] = x[i] + below[i][k] * x[k]
    for k in reversed(range(n)):
        x[k] = sum((above[k][j] * x[j] for j in range(k + 1, n)), start=x[k]) * pivots[k]
    return x


def solve_scalars_transposed(factors: Factors, b: Scalars) -> list[jax.Array]:
    """x with (I - discount * transition)^T x = b."""
    pivots, below, above = factors
    x, n = list(b), len(b)
    for k in range(n):
        x[k] = sum((above[j][k] * x[j] for j in range(k)), start=x[k]) * pivots[k]
    for k in reversed(range(n)):
        x[k] = sum((below[i][k] * x[i] for i in range(k + 1, n)), start=x[k])
    return x


@population_last
def inverse(transition: jax.Array, discount: jax.Array) -> jax.Array:
    """(I - discount * transition)^{-1}, [n, n, *batch]: discounted visits to each state, from each state.

    Computed from paths that pass only through the first k states, for k = 0 to n (Kleene): every entry is a sum of
    positive terms.
    """
    n, batch = transition.shape[0], jnp.broadcast_shapes(transition.shape[2:], jnp.shape(discount))
    moves = jnp.broadcast_to(discount * transition, (n, n, *batch))
    slack = jnp.broadcast_to(1 - discount, (n, *batch)).astype(moves.dtype)
    index = jnp.arange(n).reshape(n, *(1,) * len(batch))

    def through(k: Any, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        moves, slack = carry
        row = lax.dynamic_index_in_dim(moves, k, 0, keepdims=False)
        own_slack = lax.dynamic_index_in_dim(slack, k, 0, keepdims=False)
        pivot = 1 / (jnp.sum(jnp.where(index > k, row, 0), axis=0) + own_slack)
        column = lax.dynamic_index_in_dim(moves, k, 1, keepdims=False) * pivot
        return moves + column[:, None] * row, slack + column * own_slack

    if n <= _UNROLLED:
        for k in range(n):
            moves, slack = through(k, (moves, slack))
    else:
        moves, slack = lax.fori_loop(0, n, through, (moves, slack))
    return moves + jnp.eye(n, dtype=moves.dtype).reshape(n, n, *(1,) * len(batch))


@population_last
def multiply(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    """matrix vector, [n, *batch]."""
    return jnp.sum(matrix * vector, axis=1)


@population_last
def multiply_transposed(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    """matrix^T vector, [n, *batch]."""
    return jnp.sum(matrix * vector[:, None], axis=0)
