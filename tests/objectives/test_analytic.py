"""Games that a user defines: returns are ascended, and a loss is a negative return."""

import jax.numpy as jnp
import numpy as np

from shaping.objectives import Analytic, from_losses, from_returns


def difference(thetas, weight):
    return [weight * (thetas[0] - thetas[1]), weight * (thetas[1] - thetas[0])]


def test_losses_enter_as_negative_returns():
    thetas = (jnp.float32(2), jnp.float32(0.5))
    losses = from_losses(lambda ts: difference(ts, 3.0))
    returns = from_returns(lambda ts: difference(ts, 3.0))
    assert [float(losses.of(player, thetas)) for player in range(2)] == [-4.5, 4.5]
    assert [float(returns.of(player, thetas)) for player in range(2)] == [4.5, -4.5]


def test_losses_may_be_one_array():
    thetas = (jnp.float32(2), jnp.float32(0.5))
    objective = from_losses(lambda ts: jnp.stack(difference(ts, 3.0)))
    np.testing.assert_array_equal(objective(thetas)[0], [-4.5, 4.5])


def test_an_analytic_game_takes_its_numbers_as_data():
    objective = Analytic(difference, (1, 1)).objective(jnp.float32(2))
    assert float(objective.of(0, (jnp.float32(1), jnp.float32(0)))) == 2
