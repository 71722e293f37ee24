"""Visits over many rounds keep their digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.objectives.state_visits import visits_over_rounds
from tests.compiling import quickly

CHAIN = np.random.default_rng(0).dirichlet(np.ones(4), 4)
START = np.array([0.1, 0.2, 0.3, 0.4])


def exact(rounds, discount):
    """In float64, by doubling: S(2n) = S(n) + A^n S(n), S(n + 1) = start + A S(n)."""
    step = discount * CHAIN.T
    total, power = np.zeros(4), np.eye(4)
    for bit in bin(rounds)[2:]:
        total, power = total + power @ total, power @ power
        if bit == "1":
            total, power = START + step @ total, step @ power
    return total


def ours(chain, discount, rounds):
    return visits_over_rounds(lambda now: jnp.sum(chain * now[:, None], axis=0), jnp.float32(START), discount, rounds)


@pytest.mark.parametrize("rounds", [1, 7, 1024, 1025, 5000, 10**7])
@pytest.mark.parametrize("discount", [1.0, pytest.param(0.999, marks=pytest.mark.slow)])
def test_visits_are_right_to_the_digits_of_float32_however_many_rounds_there_are(rounds, discount):
    found = jax.jit(ours, static_argnums=2)(jnp.float32(CHAIN), jnp.float32(discount), rounds)
    # At most 2 x 3,162 roundings of 6e-8 each, in one direction; a plain sum of ten million terms is off by a tenth.
    # (A discount of 0.999 is not quite that in float32.)
    np.testing.assert_allclose(found, exact(rounds, float(np.float32(discount))), rtol=4e-4)


def test_derivatives_are_right_too():
    rounds, logits = 2000, np.log(CHAIN)

    def mean(logits, dtype):
        chain = jax.nn.softmax(jnp.asarray(logits, dtype))
        visits = visits_over_rounds(
            lambda now: jnp.sum(chain * now[:, None], axis=0), jnp.asarray(START, dtype), jnp.asarray(1, dtype), rounds
        )
        return visits[0] / rounds

    slope = quickly(jax.grad(mean), static_argnums=1)
    found = slope(jnp.float32(logits), jnp.float32)
    with jax.enable_x64(True):
        wanted = np.asarray(slope(jnp.asarray(logits, jnp.float64), jnp.float64))
    # The derivative is a difference of rewards to go, which are as large as the number of rounds.
    np.testing.assert_allclose(found, wanted, atol=rounds * np.finfo(np.float32).eps * np.abs(wanted).max())
