"""Solvers for small dense systems of equations, without LAPACK, which can hang under `vmap`.

Elimination with partial pivoting, in three forms. `solve` unrolls Gaussian elimination for few unknowns and loops over
Gauss-Jordan steps for more (the error of the solution is as small: Peters and Wilkinson 1975; and there is one loop
instead of two). `solve_scalars` is unrolled over scalars, for the smallest systems. Pivots are selected with `where`
instead of indexed, so that under `vmap`, with the population last in memory, every step is elementwise over the
population although each member pivots differently. These functions are not to be differentiated. A singular matrix
gives infinities or NaN, not an error.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from shaping.objectives.population_axis import population_last
from shaping.rules.gradients import computed_once

# The elimination is unrolled up to this many unknowns; with more it would take long to compile.
_UNROLLED = 12


@population_last
def solve(matrix: jax.Array, b: jax.Array) -> jax.Array:
    """x with matrix x = b, for `matrix` [n, n, *batch] and `b` [n, *batch]."""
    n, batch = matrix.shape[0], jnp.broadcast_shapes(matrix.shape[2:], b.shape[1:])
    wide = [jnp.broadcast_to(matrix, (n, n, *batch)), jnp.broadcast_to(b, (n, *batch))[:, None]]
    rows = jnp.concatenate(wide, axis=1)
    return _gauss(rows) if n <= _UNROLLED else _gauss_jordan(rows)


def _gauss(rows: jax.Array) -> jax.Array:
    """x from `rows` [n, n + 1, *batch], the matrix with b as its last column; rows and columns shrink as it goes."""
    eliminated = []
    while len(rows):
        index = jnp.arange(len(rows)).reshape(-1, *(1,) * (rows.ndim - 2))
        chosen = index == jnp.argmax(jnp.abs(rows[:, 0]), axis=0)
        # Selected with `where`: multiplying by an indicator would turn an infinite row into NaN.
        pivot_row = jnp.sum(jnp.where(chosen[:, None], rows, 0), axis=0)
        pivot_row = pivot_row[1:] / pivot_row[0]
        # The first row takes the place of the chosen row.
        rest = jnp.where(chosen[1:, None], rows[:1], rows[1:])
        rows = rest[:, 1:] - rest[:, :1] * pivot_row
        eliminated.append(pivot_row)
    x: list[jax.Array] = []
    for row in reversed(eliminated):
        x.insert(0, row[-1] - sum(a * known for a, known in zip(row[:-1], x, strict=True)))
    return jnp.stack(x)


def _gauss_jordan(rows: jax.Array) -> jax.Array:
    """The same in a loop over pivots; rows are marked instead of swapped."""
    n, batch = rows.shape[0], rows.shape[2:]
    index = jnp.arange(n).reshape(n, *(1,) * len(batch))

    def body(k: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        rows, solves = carry
        column = lax.dynamic_index_in_dim(rows, k, 1, keepdims=False)
        best = jnp.argmax(jnp.where(solves < n, -1, jnp.abs(column)), axis=0)
        chosen = index == best
        pivot_row = jnp.sum(jnp.where(chosen[:, None], rows, 0), axis=0)
        pivot_row = pivot_row / lax.dynamic_index_in_dim(pivot_row, k, 0, keepdims=False)
        rows = jnp.where(chosen[:, None], pivot_row, rows - column[:, None] * pivot_row)
        return rows, jnp.where(chosen, k, solves)

    # solves[r] is the unknown for which row r was chosen; n as long as it was not.
    rows, solves = lax.fori_loop(0, n, body, (rows, jnp.full((n, *batch), n)))
    return jnp.sum(jnp.where(solves == index[:, None], rows[:, -1], 0), axis=1)


def solve_scalars(matrix: Sequence[Sequence[jax.Array]], b: Sequence[jax.Array]) -> list[jax.Array]:
    """x with matrix x = b, for `matrix` [n][n] and `b` [n] of scalars: the fastest form for a population, for up to
    about eight unknowns."""
    rows = [[*row, right] for row, right in zip(matrix, b, strict=True)]
    eliminated: list[list[jax.Array]] = []
    while rows:
        first, *rest = rows
        swapped = []
        for row in rest:
            larger = jnp.abs(row[0]) > jnp.abs(first[0])
            swapped.append([jnp.where(larger, a, c) for a, c in zip(first, row, strict=True)])
            first = [jnp.where(larger, c, a) for a, c in zip(first, row, strict=True)]
        reciprocal = 1 / first[0]
        pivot_row = [entry * reciprocal for entry in first[1:]]
        rows = [[c - row[0] * p for c, p in zip(row[1:], pivot_row, strict=True)] for row in swapped]
        pivot_row, rows = computed_once((pivot_row, rows))
        eliminated.append(pivot_row)
    x: list[jax.Array] = []
    for row in reversed(eliminated):
        x.insert(0, row[-1] - sum(a * known for a, known in zip(row[:-1], x, strict=True)))
    return x
