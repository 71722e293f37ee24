"""POLA on sampled returns (POLA-DiCE): its keys, its penalties, and its limit for large batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.objectives.exact_matrix import exact
from shaping.objectives.objective import Objective
from shaping.objectives.play_batches import Sampler
from shaping.objectives.sampled_objective import sampled_objective
from shaping.policies import tabular
from shaping.rules.lola import lola
from shaping.rules.pola import _proximal_opponents, pola
from tests.compiling import quickly
from tests.objectives.enumeration import PROBE

pytestmark = pytest.mark.usefixtures("x64")

GAMMA, STEPS = 0.96, 3


def objective(batch):
    env = envs.make("ipd", discount=GAMMA)
    return sampled_objective(Sampler(env, (tabular(5),) * 2, env.default_params, GAMMA, batch, STEPS))


def thetas():
    return [jnp.asarray(theta) for theta in PROBE]


def test_one_outer_step_is_a_step_of_exact_lola_on_the_same_batches():
    # Outer step k draws with fold_in(key, k), as a call of LOLA would: 0 for the opponents' step, 1 for the own return.
    at, key, player, penalty = objective(64), jax.random.key(3), 1, 7.0
    sgd = pola("outer", 0.4, 0.02, penalty, max_iterations=1)
    adam = pola("outer", 0.4, 0.02, penalty, max_iterations=1, proximal_optimizer="adam")
    ideal = pola("ideal", 0.4, 0.02, penalty, 5.0, max_iterations=1, inner_iterations=1)

    def both():
        step = lola("exact", 0.4).direction(at, thetas(), player, jax.random.fold_in(key, 0))
        return step, [rule.direction(at, thetas(), player, key) for rule in (sgd, ideal, adam)]

    step, (plainly, ideally, adaptively) = quickly(both)()
    assert np.abs(step).min() > 1e-3
    np.testing.assert_allclose(plainly, 0.02 * step, rtol=1e-9)
    np.testing.assert_allclose(ideally, 0.02 * step, rtol=1e-9)
    np.testing.assert_allclose(adaptively, 0.02 * np.sign(step), rtol=1e-4)


def test_every_outer_step_draws_anew_and_all_are_taken():
    at, key = objective(64), jax.random.key(3)
    thrice = pola("outer", 0.4, 0.02, 0.0, tolerance=1e9, max_iterations=3)
    found = quickly(lambda: thrice.direction(at, thetas(), 0, key))()
    step = quickly(lambda now, key: 0.02 * lola("exact", 0.4).direction(at, now, 0, key))
    own, other = thetas()
    path = [own]
    for k in range(3):
        path.append(path[-1] + step([path[-1], other], jax.random.fold_in(key, k)))
    np.testing.assert_allclose(found, path[-1] - own, rtol=1e-8)
    assert np.linalg.norm(found) > 2 * np.linalg.norm(path[1] - own)


def test_penalties_shorten_the_step_that_is_imagined_and_the_step_that_is_taken():
    at, key = objective(256), jax.random.key(4)

    def measured(settings):
        rule = pola("ideal", 0.3, 0.1, *settings, max_iterations=8, inner_iterations=8)
        batch = at.sampler.play(thetas(), key)
        after = _proximal_opponents(at, thetas(), thetas(), 0, rule.settings, key)
        moved = thetas()[0] + rule.direction(at, thetas(), 0, key)
        return (
            at.sampler.divergence(1, after[1], thetas()[1], batch),
            at.sampler.divergence(0, moved, thetas()[0], batch),
            jnp.abs(after[0] - thetas()[0]).max(),
        )

    settings = jnp.array([[0.0, 0.0], [0.0, 20.0], [40.0, 20.0]])  # outer and inner penalty
    imagined, taken, own = quickly(lambda: jax.lax.map(measured, settings))()
    assert imagined[0] > 2 * imagined[1] > 0 and np.allclose(imagined[1:], imagined[1])
    assert taken[1] > 2 * taken[2] > 0
    np.testing.assert_array_equal(own, 0)


def visits(own, other):
    """Mean over three steps of the probability of each state, as player 0 sees it [5]."""
    swap = np.array([0, 1, 3, 2, 4])
    p, q = jax.nn.sigmoid(own), jax.nn.sigmoid(other)[swap]
    transition = jnp.stack([0 * p, p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)], axis=1)
    now = jnp.array([1.0, 0, 0, 0, 0])
    total = now
    for _ in range(STEPS - 1):
        now = now @ transition
        total = total + now
    return total / STEPS


def exact_with_visits():
    """The exact game, policies' distance weighed by visits of the policies that are asked about, as sampled play has
    it."""
    game = exact(envs.make("ipd", discount=GAMMA, horizon=STEPS), (tabular(5),) * 2)

    def returns(ts, key, context):
        return game(ts)[0], jax.lax.stop_gradient(list(ts))

    def distance(player, new, old, batch):
        p = jax.nn.sigmoid(old)
        kl = p * (jax.nn.log_sigmoid(old) - jax.nn.log_sigmoid(new))
        kl = kl + (1 - p) * (jax.nn.log_sigmoid(-old) - jax.nn.log_sigmoid(-new))
        return jnp.sum(visits(batch[player], batch[1 - player]) * kl)

    return Objective(returns, distance)


@pytest.mark.slow
def test_ideal_pola_on_large_batches_is_the_exact_one():
    rule = pola("ideal", 1.0, 0.5, 5.0, 5.0, tolerance=0.0, max_iterations=3, inner_iterations=2)
    free = pola("ideal", 1.0, 0.5, 0.0, 0.0, tolerance=0.0, max_iterations=3, inner_iterations=2)
    right, loose = quickly(lambda: [r.direction(exact_with_visits(), thetas(), 0) for r in (rule, free)])()
    at = objective(4096)
    keys = jax.random.split(jax.random.key(6), 24)
    rows = quickly(lambda keys: jax.lax.map(lambda key: rule.direction(at, thetas(), 0, key), keys))(keys)
    mean, error = np.mean(rows, 0), np.std(rows, 0, ddof=1) / np.sqrt(len(rows))
    assert np.all(np.abs(mean - right) < 4 * error + 0.01 * np.linalg.norm(right))
    assert np.linalg.norm(error) < 0.05 * np.linalg.norm(right)
    assert np.linalg.norm(loose - right) > 5 * np.linalg.norm(mean - right), "penalties are seen"
