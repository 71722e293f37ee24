"""Proximal LOLA against hand-written descent, its limits, and its invariance to parameterisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.objectives import exact, from_returns
from shaping.policies import preconditioned, tabular
from shaping.rules.lola import lola
from shaping.rules.pola import pola

pytestmark = pytest.mark.usefixtures("x64")

MAP = np.eye(5) - 0.5 * np.outer([1, 1, 1, 1, 0], [0, 0, 0, 0, 1])
"""Half the parameter of DD is taken from every other state's logit."""


def game(players=2, policy=None):
    env = envs.make("contribution", num_players=players, contribution_factor=0.7 * players, discount=0.9)
    return exact(env, (policy or tabular(1 + 2**players),) * players)


def start(players=2):
    return list(jnp.asarray(np.random.default_rng(3).normal(size=(players, 1 + 2**players))))


def divergence(new, old):
    """Sum over states of KL(Bernoulli(sigmoid(old)) || Bernoulli(sigmoid(new))), written out."""
    p, q = 1 / (1 + jnp.exp(-old)), 1 / (1 + jnp.exp(-new))
    return jnp.sum(p * jnp.log(p / q) + (1 - p) * jnp.log((1 - p) / (1 - q)))


@pytest.mark.parametrize("players", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_first_iteration_is_a_step_of_exact_lola(players):
    """The penalty has no slope at the old policy."""
    objective, thetas = game(players), start(players)
    rule = pola(lookahead_rate=0.7, proximal_rate=0.02, penalty=5.0, max_iterations=1)
    found, step = jax.jit(
        lambda ts: (rule.direction(objective, ts, 1), lola("exact", 0.7).direction(objective, ts, 1))
    )(thetas)
    np.testing.assert_allclose(found, 0.02 * step, rtol=1e-9)


def by_hand(objective, thetas, eta, rate, beta, iterations):
    """theta_0 after each iteration of the outer descent."""

    def penalised(x):
        step = jax.grad(lambda y: objective.of(1, [x, y]))(thetas[1])
        return objective.of(0, [x, thetas[1] + eta * step]) - beta * divergence(x, thetas[0])

    def step(x, _):
        new = x + rate * jax.grad(penalised)(x)
        return new, new

    return jax.jit(lambda x: jax.lax.scan(step, x, None, length=iterations)[1])(thetas[0])


def test_the_descent_is_that_of_a_loop_by_hand_and_stops_when_the_policy_changes_by_less_than_the_tolerance():
    objective, thetas = game(), start()
    path = by_hand(objective, thetas, 0.7, 0.05, 0.3, 6)

    @jax.jit
    def lands(tolerance):
        rule = pola("outer", 0.7, 0.05, 0.3, tolerance=tolerance, max_iterations=6)
        return thetas[0] + rule.direction(objective, thetas, 0)

    np.testing.assert_allclose(lands(0.0), path[-1], rtol=1e-9)
    np.testing.assert_allclose(lands(1e9), path[0], rtol=1e-9)
    before = [thetas[0], *path]
    changes = [max(divergence(n, o), divergence(o, n)) for o, n in zip(before[:-1], before[1:], strict=True)]
    assert changes == sorted(changes, reverse=True)
    np.testing.assert_allclose(lands((changes[1] + changes[2]) / 2), path[2], rtol=1e-9)


def test_outer_pola_lands_where_the_penalised_return_has_no_slope():
    objective, thetas, (eta, beta) = game(), start(), (0.7, 0.3)
    rule = pola("outer", eta, 0.05, beta, tolerance=1e-16, max_iterations=20000)
    final = thetas[0] + jax.jit(lambda ts: rule.direction(objective, ts, 0))(thetas)

    def penalised(x):
        step = jax.grad(lambda y: objective.of(1, [x, y]))(thetas[1])
        return objective.of(0, [x, thetas[1] + eta * step]) - beta * divergence(x, thetas[0])

    slope = jax.jit(jax.grad(penalised))
    assert np.abs(slope(final)).max() < 1e-5 < 0.1 < np.abs(slope(thetas[0])).max()


@pytest.mark.slow
def test_ideal_pola_with_one_inner_iteration_is_outer_pola():
    objective, thetas = game(), start()
    shared = {"lookahead_rate": 0.7, "proximal_rate": 0.05, "penalty": 0.3, "max_iterations": 5}
    ideal, outer = pola("ideal", inner_iterations=1, inner_penalty=9.0, **shared), pola("outer", **shared)
    found, expected = jax.jit(lambda ts: [r.direction(objective, ts, 0) for r in (ideal, outer)])(thetas)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_ideal_pola_does_not_depend_on_the_parameterisation_and_exact_lola_does():
    thetas = [0.3 * theta for theta in start()]
    plain, mapped = game(), game(policy=preconditioned(MAP))
    inside = [jnp.asarray(np.linalg.solve(MAP, np.asarray(theta))) for theta in thetas]

    @jax.jit
    def both(rule):
        return rule.direction(plain, thetas, 0), jnp.asarray(MAP) @ rule.direction(mapped, inside, 0)

    ideal = pola("ideal", 0.5, 0.5, 4.0, 4.0, tolerance=1e-15, max_iterations=100, inner_iterations=50)
    plainly, mappedly = both(ideal)
    np.testing.assert_allclose(mappedly, plainly, atol=1e-3)
    assert np.abs(plainly).max() > 0.1
    plainly, mappedly = both(lola("exact", 0.1))
    assert np.abs(mappedly - plainly).max() > 0.3


def test_a_game_without_policies_and_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="pola needs an objective with a divergence between policies"):
        pola().direction(from_returns(lambda thetas: thetas), [1.0, 2.0], 0)
    with pytest.raises(ValueError, match="variant is 'inner': must be outer or ideal"):
        pola("inner")
    with pytest.raises(ValueError, match="max_iterations is 0; allowed: an integer, at least 1"):
        pola(max_iterations=0)
