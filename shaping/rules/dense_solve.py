"""Small dense systems of equations of any kind, without LAPACK, which can hang under `vmap`.

Gauss-Jordan elimination with partial pivoting: as stable as Gaussian elimination for the error of the solution (Peters
and Wilkinson 1975), and one loop instead of two. Rows are not swapped but marked, so that under `vmap`, with the
population last in memory, every step is elementwise over the population although each member pivots differently.
"""

import jax
import jax.numpy as jnp
from jax import lax

from shaping.objectives.batching import population_last


@population_last
def solve(matrix: jax.Array, b: jax.Array) -> jax.Array:
    """x with matrix x = b, for `matrix` [n, n, *batch] and `b` [n, *batch].

    Not to be differentiated. A singular matrix gives infinities or NaN, no error.
    """
    n, batch = matrix.shape[0], jnp.broadcast_shapes(matrix.shape[2:], b.shape[1:])
    index = jnp.arange(n).reshape(n, *(1,) * len(batch))

    def body(k: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        rows, solves = carry
        column = lax.dynamic_index_in_dim(rows, k, 1, keepdims=False)
        best = jnp.argmax(jnp.where(solves < n, -1, jnp.abs(column)), axis=0)
        chosen = index == best
        # Selected, not multiplied by an indicator: a zero times an infinite row would spread.
        pivot_row = jnp.sum(jnp.where(chosen[:, None], rows, 0), axis=0)
        pivot_row = pivot_row / lax.dynamic_index_in_dim(pivot_row, k, 0, keepdims=False)
        rows = jnp.where(chosen[:, None], pivot_row, rows - column[:, None] * pivot_row)
        return rows, jnp.where(chosen, k, solves)

    wide = [jnp.broadcast_to(matrix, (n, n, *batch)), jnp.broadcast_to(b, (n, *batch))[:, None]]
    # solves[r] is the unknown that row r has been chosen for, n while it has not.
    start = (jnp.concatenate(wide, axis=1), jnp.full((n, *batch), n))
    rows, solves = lax.fori_loop(0, n, body, start)
    return jnp.sum(jnp.where(solves == index[:, None], rows[:, -1], 0), axis=1)
