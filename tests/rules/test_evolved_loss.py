"""A loss that is evolved: what is climbed, what it is before evolution, and that evolution makes it pay."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.objectives import exact
from shaping.policies import tabular
from shaping.rules.evolved_loss import Loss, evolved_loss
from shaping.rules.gradients import gradient
from tests.compiling import quickly

POLICIES = (tabular(5),) * 2
GAME = exact(envs.make("ipd"), POLICIES)
TINY = {"hidden": 3, "population": 8, "trials": 2, "steps": 5}


def drawn(seed=0):
    return [jax.random.normal(jax.random.key(seed + i), (5,)) for i in range(2)]


def some_loss():
    keys = jax.random.split(jax.random.key(7), 3)
    network = {"in": jax.random.normal(keys[0], (12, 3)), "bias": jax.random.normal(keys[1], (3,))}
    return Loss(network | {"out": jax.random.normal(keys[2], (3,))}, jnp.array([-40.0, -35.0]), jnp.array([9.0, 6.0]))


@pytest.mark.parametrize("player", [0, 1])
def test_the_direction_is_the_slope_of_the_loss_in_units_of_the_return(x64, player):
    """Against central differences of the formula, written in NumPy."""
    thetas, learned = [np.asarray(theta, float) for theta in drawn()], some_loss()
    returns_of = quickly(lambda thetas: jnp.stack(GAME(thetas)[0]))
    network = {name: np.asarray(leaf, float) for name, leaf in learned.network.items()}
    mean, deviation = np.asarray(learned.mean), np.asarray(learned.deviation)

    def loss(theta):
        now = [theta, thetas[1]] if player == 0 else [thetas[0], theta]
        returns = np.asarray(returns_of(now))
        standard = (returns - mean) / deviation
        order = [player, 1 - player]
        inputs = np.concatenate([*(1 / (1 + np.exp(-now[i])) - 0.5 for i in order), standard[order]])
        f = network["out"] @ np.tanh(inputs @ network["in"] + network["bias"])
        return returns[player] + deviation[player] * f

    found = quickly(lambda ts: evolved_loss(**TINY).direction(GAME, ts, player, None, learned))(thetas)
    steps = 1e-5 * np.eye(5)
    wanted = [(loss(thetas[player] + step) - loss(thetas[player] - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_before_evolution_it_is_naive_learning():
    rule, thetas = evolved_loss(generations=0, **TINY), drawn(3)

    def both(thetas):
        learned = rule.prepare(GAME, POLICIES, 0, rule.settings, jax.random.key(0), jnp.float32)
        return rule.direction(GAME, thetas, 0, None, learned), gradient(GAME, thetas, 0, 0)

    np.testing.assert_allclose(*quickly(both)(thetas), rtol=1e-5)


def test_a_few_generations_make_it_pay_more_than_naive_learning_against_the_same_learners():
    sizes = TINY | {"population": 32, "trials": 16}
    rule = evolved_loss(generations=12, loss_rate=0.1, spread=0.0, **sizes)
    prepare = quickly(lambda key, settings: rule.prepare(GAME, POLICIES, 0, settings, key, jnp.float32))
    learned = prepare(jax.random.key(1), rule.settings)
    naive = dataclasses.replace(learned, network=learned.network | {"out": jnp.zeros(3)})

    def value(learned, key):
        """The mean return over a few updates against a naive learner."""

        def step(thetas, _):
            ascent = [rule.direction(GAME, thetas, 0, None, learned), gradient(GAME, thetas, 1, 1)]
            return [theta + slope for theta, slope in zip(thetas, ascent, strict=True)], GAME(thetas)[0][0]

        start = [jax.random.normal(jax.random.fold_in(key, i), (5,)) for i in range(2)]
        return jnp.mean(jax.lax.scan(step, start, None, length=5)[1])

    values = quickly(jax.vmap(value, (None, 0)))
    keys = jax.random.split(jax.random.key(99), 200)
    gained = np.asarray(values(learned, keys) - values(naive, keys))
    assert gained.mean() > 4 * gained.std() / np.sqrt(200)


def test_an_odd_population_is_refused_in_a_line():
    with pytest.raises(ValueError, match="population is 3; allowed: an even number"):
        evolved_loss(population=3)
