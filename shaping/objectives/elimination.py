"""Gaussian elimination for I - gamma P without pivoting, without subtraction and without LAPACK.

No pivoting is needed: I - gamma P is a strictly diagonally dominant M-matrix. Diagonals are kept as row sums of what
is left of the row (Grassmann, Taksar and Heyman 1985), so that nothing is ever subtracted and solutions keep their
relative accuracy up to a discount of one. Nothing here is meant to be differentiated: callers wrap the solves in
`jax.lax.custom_linear_solve`, which differentiates the equation instead.

Two representations of the same algorithm: over lists of scalars, unrolled, so that under `vmap` each scalar is an
array over matches and the population stands last in memory; and over arrays, looped over pivots, for systems where
unrolling would take long to compile.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Scalars = Sequence[jax.Array]
Factors = tuple[list[jax.Array], list[list[jax.Array]], list[list[jax.Array]]]


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


def factorise_array(transition: jax.Array, discount: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Reciprocal pivots [n], multipliers below and (negated) rows above the diagonal [n, n]."""
    n = transition.shape[0]
    index = jnp.arange(n)
    off_diagonal = jnp.where(index[:, None] == index[None, :], 0, discount * transition)
    slack = jnp.full((n,), 1 - discount, transition.dtype)

    def body(k: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        matrix, slack, pivots, below = carry
        later = index > k
        row = jnp.where(later, lax.dynamic_index_in_dim(matrix, k, 0, keepdims=False), 0)
        pivot = 1 / (slack[k] + jnp.sum(row))
        multipliers = jnp.where(later, lax.dynamic_index_in_dim(matrix, k, 1, keepdims=False), 0) * pivot
        outer = jnp.where(index[:, None] == index[None, :], 0, multipliers[:, None] * row[None, :])
        below = jnp.where(index[None, :] == k, multipliers[:, None], below)
        return matrix + outer, slack + multipliers * slack[k], jnp.where(index == k, pivot, pivots), below

    start = (off_diagonal, slack, jnp.zeros_like(slack), jnp.zeros_like(off_diagonal))
    matrix, _, pivots, below = lax.fori_loop(0, n, body, start)
    return pivots, below, jnp.where(index[None, :] > index[:, None], matrix, 0)


def solve_array(factors: tuple[jax.Array, ...], b: jax.Array) -> jax.Array:
    """x with (I - discount * transition) x = b, all [n]."""
    pivots, below, above = factors
    return _substitute(above, _substitute(below, b, jnp.ones_like(pivots), False), pivots, True)


def solve_array_transposed(factors: tuple[jax.Array, ...], b: jax.Array) -> jax.Array:
    """x with (I - discount * transition)^T x = b, all [n]."""
    pivots, below, above = factors
    return _substitute(below.T, _substitute(above.T, b, pivots, False), jnp.ones_like(pivots), True)


def _substitute(matrix: jax.Array, b: jax.Array, scale: jax.Array, backward: bool) -> jax.Array:
    """x[k] = (b[k] + sum over the k-th row of `matrix` times x) * scale[k], upwards or downwards in k."""
    n = b.shape[0]

    def body(step: Any, x: jax.Array) -> jax.Array:
        k = n - 1 - step if backward else step
        row = lax.dynamic_index_in_dim(matrix, k, 0, keepdims=False)
        return jnp.where(jnp.arange(n) == k, (x[k] + jnp.sum(row * x)) * scale[k], x)

    return lax.fori_loop(0, n, body, b)
