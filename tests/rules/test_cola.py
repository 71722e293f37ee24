"""Learned consistent directions on tandem, where the consistent ones are known in closed form (Willi et al. 2022)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.objectives import analytic_game
from shaping.rules.cola import Cola, cola, loss
from tests.compiling import quickly

TANDEM = analytic_game("tandem")
RETURNS = TANDEM.objective({})
SMALL = {"activation": "relu", "depth": 1, "width": 16, "network_rate": 0.003, "training_batch": 64, "warm_up": 0.5}


def trained(rule, key=0):
    return jax.jit(lambda k: rule.prepare(RETURNS, TANDEM.policies, 0, rule.settings, k, jnp.float32))(
        jax.random.key(key)
    )


@pytest.mark.slow
def test_cola_rests_on_tandem_where_consistent_learners_do():
    """s* = (1 + sqrt(1 + 8 eta)) / 2, mean loss 2 eta, within 2 %."""
    rate = 0.1
    rule = cola(rate, 1.0, training_steps=20000, **SMALL)

    @jax.jit
    def play(learned):
        def update(_, thetas):
            return [t + 0.1 * rule.direction(RETURNS, thetas, i, None, learned) for i, t in enumerate(thetas)]

        return jax.lax.fori_loop(0, 300, update, [jnp.array([0.1]), jnp.array([-0.2])])

    s = float(sum(theta[0] for theta in play(trained(rule))))
    assert abs(s - (1 + np.sqrt(1 + 8 * rate)) / 2) < 0.004
    assert abs((s**2 - s) - 2 * rate) < 0.02 * 2 * rate


def test_training_makes_directions_consistent():
    points = [0.9 * jax.random.uniform(jax.random.key(i), (200, 1), minval=-1, maxval=1) for i in range(2)]

    def after(steps):
        rule = cola(0.1, 1.0, training_steps=steps, **SMALL)
        networks = trained(rule)
        at = jax.vmap(lambda x, y: loss(RETURNS, [x, y], rule.settings, networks))
        return float(jnp.mean(jax.jit(at)(*points)))

    assert after(4000) < 1e-2 < 1 < after(1)


def test_the_consistency_loss_is_zero_for_the_consistent_line_and_not_for_others(x64):
    """On tandem f_i = a s + b; a and b solve the fixed-point equations at eta = 0.1."""
    rate, a, b = 0.1, -1.458980337503154, 1.708203932499369
    settings = Cola(rate, 1e9, 0.0, 0.0, 1, 1, "relu", 1, 1)

    def network(slope, offset):
        # One rectified unit that is always on: relu(x + y + 100) slope + offset - 100 slope.
        hidden = {"kernel": jnp.ones((2, 1)), "bias": jnp.full(1, 100.0)}
        output = {"kernel": jnp.full((1, 1), slope), "bias": jnp.full(1, offset - 100 * slope)}
        return {"params": {"Dense_0": hidden, "Dense_1": output}}

    thetas = [jnp.array([0.3]), jnp.array([0.5])]
    loss_of = quickly(lambda networks: loss(RETURNS, thetas, settings, networks))
    assert float(loss_of([network(a, b)] * 2)) < 1e-20
    # Naive directions answer nobody: order 0 against order 1 of HOLA.
    s, naive = 0.8, network(-2.0, 2.0)
    first = (-2 * (1 + rate * -2) ** 2, -2 * rate * (1 + rate * -2) * 2 + 2)
    expected = 2 * ((-2 - first[0]) * s + 2 - first[1]) ** 2
    np.testing.assert_allclose(loss_of([naive] * 2), expected, rtol=1e-9)


def test_outside_its_region_a_network_answers_as_at_the_border():
    rule = cola(0.1, 0.5, training_steps=1, **SMALL)
    learned = trained(rule)
    outside, border = ([jnp.array([x]), jnp.array([-0.2])] for x in (3.0, 0.5))
    found = quickly(lambda: [rule.direction(RETURNS, point, 0, None, learned) for point in (outside, border)])()
    np.testing.assert_array_equal(*found)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="activation is 'sine': must be tanh or relu"):
        cola(activation="sine")
