"""Sums over long runs do not lose small terms."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.population.compensated_sums import add_compensated

VALUE = np.float32(-1.4541)


@partial(jax.jit, static_argnames=("count", "compensated"))
def mean_of(value, count, compensated=True):
    """In float32, inside one compiled loop."""

    def step(number, carry):
        total, excess = carry
        return add_compensated(total, excess, value) if compensated else (total + value, excess)

    zero = jnp.zeros_like(value)
    total, _ = jax.lax.fori_loop(0, count, step, (zero, zero))
    return total / count


@pytest.mark.parametrize("count", [10**6, 10**7])
def test_the_mean_of_a_constant_over_millions_of_updates_is_the_constant(count):
    values = jnp.array([VALUE, 0.1, 1.0], jnp.float32)
    np.testing.assert_allclose(mean_of(values, count), values, atol=1e-6)


def test_a_plain_sum_would_not_pass():
    assert abs(float(mean_of(jnp.float32(VALUE), 10**6, False)) - VALUE) > 1e-3


def test_a_number_that_is_not_finite_shows_in_the_sum():
    for bad in (np.inf, -np.inf, np.nan):
        total, excess = jnp.float32(1), jnp.float32(0)
        for value in (bad, 1.0, 2.0):
            total, excess = add_compensated(total, excess, jnp.float32(value))
        assert not np.isfinite(total)
