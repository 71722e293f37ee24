"""Meta-values: the terms of the direction, what is learned, and the outcome."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.objectives import exact, from_returns
from shaping.policies import tabular
from shaping.policies.tabular import parameters
from shaping.rules.meta_value import MetaValueNetwork, quantile_huber
from shaping.rules.meva import Learned, _values, meva
from shaping.rules.naive import naive
from tests.compiling import quickly

POLICIES = (tabular(5),) * 2
GAME = exact(envs.make("ipd"), POLICIES)
TINY = {"width": 8, "quantiles": 4, "episodes": 3, "steps": 20, "stride": 10, "batch": 4}


def drawn(seed=0, players=2):
    return [jax.random.normal(jax.random.key(seed + i), (5,)) for i in range(players)]


def learned(rule, objective=GAME, policies=POLICIES, player=0):
    prepare = quickly(lambda k: rule.prepare(objective, policies, player, rule.settings, k, jnp.float32))
    return prepare(jax.random.key(0))


def untrained(rule):
    network = MetaValueNetwork(rule.settings.width, rule.settings.quantiles, True)
    weights = quickly(network.init)(jax.random.key(0), jnp.stack(drawn()), jnp.zeros(2))
    return Learned(weights, jnp.array([20.0, 30.0]))


def test_the_direction_is_the_gradient_of_the_surrogate():
    """(1 - g) nabla_i V_i + g sd_i nabla_i Vhat_i."""
    rule, thetas = meva(discount=0.6, **TINY), drawn()
    found, g = untrained(rule), jnp.full(2, 0.6)

    def surrogate(theta):
        later = _values(rule.settings, found.network, jnp.stack([theta, thetas[1]]), g)[0]
        return 0.4 * GAME.of(0, [theta, thetas[1]]) + 0.6 * 20 * later

    direction, slope = quickly(lambda ts: (rule.direction(GAME, ts, 0, None, found), jax.grad(surrogate)(ts[0])))(
        thetas
    )
    np.testing.assert_allclose(direction, slope, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_against_lola_learners_something_finite_is_learned():
    rule, policies = meva(opponents="lola", **TINY), (parameters(2),) * 2
    game = from_returns(lambda ts: [jnp.sum(ts[0] * ts[1] - ts[0] ** 2), -jnp.sum(ts[0] * ts[1] + ts[1] ** 2)])
    found = learned(rule, game, policies)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))
    assert np.all(np.isfinite(rule.direction(game, [theta[:2] for theta in drawn()], 0, None, found)))


def test_a_discount_of_zero_is_naive_learning():
    rule, thetas = meva(discount=0.0, **TINY), drawn()
    learned = untrained(rule)
    both = quickly(lambda: (rule.direction(GAME, thetas, 1, None, learned), naive().direction(GAME, thetas, 1)))
    found, expected = both()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_symmetric_network_values_exchanged_players_alike():
    rule = meva(**TINY)
    x, g = jnp.stack(drawn()), jnp.array([0.3, 0.8])
    found = untrained(rule)
    values = _values(rule.settings, found.network, x, g)
    np.testing.assert_allclose(values[::-1], _values(rule.settings, found.network, x[::-1], g[::-1]), rtol=1e-5)


def test_the_gradient_of_the_summed_values_is_everybody_s_own_gradient():
    network = MetaValueNetwork(8, 4, True)
    x, g = jnp.stack(drawn()), jnp.array([0.3, 0.8])
    weights = quickly(network.init)(jax.random.key(0), x, g)

    @quickly
    def gradients():
        total = jax.grad(lambda x: jnp.sum(network.apply(weights, x, g)))(x)
        own = [jax.grad(lambda th, i=i: jnp.sum(network.apply(weights, x.at[i].set(th), g)[i]))(x[i]) for i in range(2)]
        return total, jnp.stack(own)

    total, own = gradients()
    np.testing.assert_allclose(total, own, rtol=1e-4, atol=1e-6)


def test_quantile_regression_settles_on_the_quantiles_of_its_targets():
    """Of 0, ..., 9 (scaled so that the quadratic part of the loss is small) two quantiles lie at 1/4 and 3/4."""
    targets = 1000.0 * jnp.arange(10)

    def loss(quantiles):
        return jnp.sum(jax.vmap(lambda t: quantile_huber(quantiles, jnp.full(2, t)))(targets))

    descent = jax.jit(lambda q: jax.lax.fori_loop(0, 400, lambda _, q: q - 100 * jax.grad(loss)(q), q))
    found = descent(jnp.array([4000.0, 5000.0]))
    assert 1900 <= found[0] <= 3100 and 5900 <= found[1] <= 7100


def test_values_of_a_constant_game_are_its_standardised_return():
    """Where learning changes nothing the meta-value is the mean of what was standardised: 0."""
    policies = (parameters(1),) * 2
    objective = from_returns(lambda thetas: [theta[0] for theta in thetas])
    rule = meva(lookahead_rate=0.0, width=16, quantiles=8, episodes=40, steps=20, stride=5, batch=16)
    found = learned(rule, objective, policies)
    np.testing.assert_allclose(found.deviation, 1.0, atol=0.15)
    values = quickly(lambda x: _values(rule.settings, found.network, jnp.array([[x], [0.0]]), jnp.full(2, 0.5))[0])
    for x in (-1.0, 1.0):
        value = values(x)
        assert abs(float(value) - x) < 0.35


@pytest.mark.slow
@pytest.mark.optimised
def test_meva_makes_a_naive_learner_cooperate_at_its_cost():
    """Published: -0.55 against naive learners, with a larger network that trains for five times as long. Two naive
    learners have -1.98 each. The best of these three models earns -0.77 or -0.99, depending on how XLA compiles."""
    rule = meva(opponents="naive", width=32, quantiles=16, episodes=200, batch=64)
    keys = jax.random.split(jax.random.key(0), 3)
    prepare = jax.vmap(lambda k: rule.prepare(GAME, (tabular(5),) * 2, 0, rule.settings, k, jnp.float32))
    models = jax.jit(prepare)(keys)

    def play(found, key):
        def update(_, thetas):
            own, other = rule.direction(GAME, thetas, 0, None, found), naive().direction(GAME, thetas, 1)
            return [thetas[0] + own, thetas[1] + other]

        start = [jax.random.normal(jax.random.fold_in(key, i), (5,)) for i in range(2)]
        return 0.04 * jnp.stack(list(GAME(jax.lax.fori_loop(0, 300, update, start))[0]))

    each = jax.jit(jax.vmap(lambda m: jax.vmap(lambda k: play(m, k))(jax.random.split(jax.random.key(5), 64))))(models)
    means = np.array(each.mean(axis=1))
    print("MeVa against naive, three models:", means.round(3).tolist(), "published -0.55")
    assert np.all(means[:, 0] > -1.15) and np.all(means[:, 0] > means[:, 1])


def test_settings_out_of_range_and_unequal_players_are_refused():
    with pytest.raises(ValueError, match="opponents is 'wise': must be meva, naive or lola"):
        meva(opponents="wise")
    with pytest.raises(ValueError, match="steps is 15: must be a multiple of stride"):
        meva(steps=15)
    with pytest.raises(ValueError, match="equally many parameters"):
        meva().direction(GAME, [jnp.zeros(5), jnp.zeros(4)], 0, None, Learned(None, jnp.ones(2)))
