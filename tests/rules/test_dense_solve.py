"""Dense systems of equations, solved without LAPACK."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.rules.dense_solve import solve, solve_scalars
from tests.compiling import quickly

pytestmark = pytest.mark.usefixtures("x64")


def by_scalars(matrix, b):
    """The same arguments and result as `solve`."""
    return jnp.stack(solve_scalars([list(row) for row in matrix], list(b)))


@pytest.mark.parametrize(
    ("solve", "n"),
    [
        *((solve, 1), (solve, 4), (solve, 17), (by_scalars, 1), (by_scalars, 2), (by_scalars, 5)),
        *(pytest.param(solve, n, marks=pytest.mark.slow) for n in (2, 10)),
    ],
)
def test_solutions_equal_numpys(solve, n):
    rng = np.random.default_rng(n)
    matrices, b = rng.normal(size=(50, n, n)), rng.normal(size=(50, n))
    # Zeros on the diagonal: without pivoting there is nothing to divide by.
    if n > 1:
        matrices[:, np.arange(n), np.arange(n)] = 0
    expected = np.linalg.solve(matrices, b[..., None])[..., 0]
    found = np.array(jax.jit(jax.vmap(solve))(matrices, b))
    scale = np.abs(expected).max(axis=1, keepdims=True)
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-9)
    np.testing.assert_allclose(jax.jit(solve)(matrices[0], b[0]), found[0], rtol=1e-12)
    shared = jax.jit(jax.vmap(jax.vmap(solve, (None, 0)), (0, None)))(matrices[:3], b[:4])
    np.testing.assert_allclose(shared[2, 2], found[2], rtol=1e-9)


@pytest.mark.parametrize("solve", [solve, by_scalars])
def test_badly_scaled_systems_are_solved_by_pivoting(solve):
    matrix, b = jnp.array([[1e-20, 1.0], [1.0, 1.0]]), jnp.array([1.0, 2.0])
    np.testing.assert_allclose(quickly(solve)(matrix, b), [1, 1], rtol=1e-12)


@pytest.mark.parametrize("solve", [solve, by_scalars])
def test_singular_systems_give_no_finite_solution(solve):
    assert not np.all(np.isfinite(quickly(solve)(jnp.ones((2, 2)), jnp.array([1.0, 2.0]))))
