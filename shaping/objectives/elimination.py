"""Gaussian elimination for I - gamma P without pivoting, without subtraction and without LAPACK.

No pivoting is needed: I - gamma P is a strictly diagonally dominant M-matrix. Diagonals are kept as row sums of what
is left of the row (Grassmann, Taksar and Heyman 1985), so that nothing is ever subtracted and solutions keep their
relative accuracy up to a discount of one. Nothing here is meant to be differentiated: callers wrap the solves in
`jax.lax.custom_linear_solve`, which differentiates the equation instead.

Two representations of the same algorithm: over lists of scalars, unrolled, so that under `vmap` each scalar is an
array over matches and the population stands last in memory; and over arrays, looped over pivots, for systems where
unrolling would take long to compile.
"""

from collections.abc import Callable, Sequence
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


def _population_last(function: Callable[..., Any]) -> Callable[..., Any]:
    """Under `vmap`, moves the mapped axis of every argument last, where a function of [n, ..., *batch] broadcasts.

    Left to itself, `vmap` puts it first, and every step of an elimination works on rows of a few numbers; last, each
    step is elementwise over the population.
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


@_population_last
def factorise_array(transition: jax.Array, discount: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Reciprocal pivots [n, *batch], multipliers below and (negated) rows above the diagonal [n, n, *batch]."""
    n, batch = transition.shape[0], jnp.broadcast_shapes(transition.shape[2:], jnp.shape(discount))
    transition = jnp.broadcast_to(transition, (n, n, *batch))
    wide = (1,) * len(batch)
    index = jnp.arange(n)
    rows, columns = index.reshape(n, 1, *wide), index.reshape(1, n, *wide)
    later_of = index.reshape(n, *wide)
    off_diagonal = jnp.where(rows == columns, 0, discount * transition)
    slack = jnp.broadcast_to(1 - discount, (n, *batch)).astype(transition.dtype)

    def body(k: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        matrix, slack, pivots, below = carry
        later = later_of > k
        row = jnp.where(later, lax.dynamic_index_in_dim(matrix, k, 0, keepdims=False), 0)
        own_slack = lax.dynamic_index_in_dim(slack, k, 0, keepdims=False)
        pivot = 1 / (own_slack + jnp.sum(row, axis=0))
        multipliers = jnp.where(later, lax.dynamic_index_in_dim(matrix, k, 1, keepdims=False), 0) * pivot
        outer = jnp.where(rows == columns, 0, multipliers[:, None] * row[None, :])
        below = lax.dynamic_update_index_in_dim(below, multipliers, k, 1)
        pivots = lax.dynamic_update_index_in_dim(pivots, pivot, k, 0)
        return matrix + outer, slack + multipliers * own_slack, pivots, below

    start = (off_diagonal, slack, jnp.zeros_like(slack), jnp.zeros_like(off_diagonal))
    matrix, _, pivots, below = lax.fori_loop(0, n, body, start)
    return pivots, below, jnp.where(columns > rows, matrix, 0)


@_population_last
def solve_array(factors: tuple[jax.Array, ...], b: jax.Array) -> jax.Array:
    """x with (I - discount * transition) x = b, all [n, *batch]."""
    pivots, below, above = factors
    return _substitute(above, _substitute(below, b, None, False), pivots, True)


@_population_last
def solve_array_transposed(factors: tuple[jax.Array, ...], b: jax.Array) -> jax.Array:
    """x with (I - discount * transition)^T x = b, all [n, *batch]."""
    pivots, below, above = (jnp.swapaxes(f, 0, 1) if f.ndim > b.ndim else f for f in factors)
    return _substitute(below, _substitute(above, b, pivots, False), None, True)


def _substitute(matrix: jax.Array, b: jax.Array, scale: jax.Array | None, backward: bool) -> jax.Array:
    """x[k] = (b[k] + sum over the k-th row of `matrix` times x) * scale[k], upwards or downwards in k."""
    n = b.shape[0]

    def body(step: Any, x: jax.Array) -> jax.Array:
        k = n - 1 - step if backward else step
        row = lax.dynamic_index_in_dim(matrix, k, 0, keepdims=False)
        new = lax.dynamic_index_in_dim(x, k, 0, keepdims=False) + jnp.sum(row * x, axis=0)
        if scale is not None:
            new = new * lax.dynamic_index_in_dim(scale, k, 0, keepdims=False)
        return lax.dynamic_update_index_in_dim(x, new, k, 0)

    shape = jnp.broadcast_shapes(b.shape, matrix.shape[1:])
    return lax.fori_loop(0, n, body, jnp.broadcast_to(b, shape))
