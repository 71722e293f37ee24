"""Exploitability descent and regularised Nash dynamics: published steps, formulas, equilibria, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.learners.learner import Common
from shaping.learners.regularised_nash import regularised_advantages, rnad
from shaping.objectives import exact_matrix
from shaping.objectives.exact_sequential import sequential_game
from shaping.policies.tabular import tabular
from shaping.rules.exploitability_descent import exploitability_descent
from tests.compiling import quickly

KUHN = envs.make("kuhn_poker")
POKER = sequential_game(KUHN, [tabular(7)] * 2)


def nash_conv(game, thetas):
    return float(game.evaluate(game.env.default_params, thetas)["gain_from_best_response"].sum())


def test_exploitability_descent_takes_the_steps_of_openspiels_former_test(x64):
    # NashConv after 0 to 5 steps on Kuhn poker, tabular, rate 1 on two logits per information set, which is rate 2 on
    # their difference: open_spiel/python/algorithms/exploitability_descent_test.py, before its removal.
    published = [0.9166667, 0.67893005, 0.48109149, 0.40061421, 0.36617242, 0.33676996]
    objective, rule = POKER.objective(KUHN.default_params), exploitability_descent()
    thetas, found = [np.zeros(7)] * 2, []
    directions = quickly(lambda thetas: [rule.direction(objective, thetas, player) for player in (0, 1)])
    for _ in published:
        found.append(nash_conv(POKER, [jnp.asarray(theta) for theta in thetas]))
        thetas = [theta + 2 * np.asarray(step) for theta, step in zip(thetas, directions(thetas), strict=True)]
    np.testing.assert_allclose(found, published, atol=1e-7)


def biased_rock_paper_scissors():
    env = envs.make("biased_rock_paper_scissors")
    return sequential_game(env, [tabular(2, num_actions=3)] * 2)


def states_of(game, learner, thetas):
    objective = game.objective(game.env.default_params)
    states = [
        learner.init(jax.random.key(0), jax.random.key(1), game.policies, player, objective, jnp.float64)
        for player in (0, 1)
    ]
    return [state.replace(theta=theta) for state, theta in zip(states, thetas, strict=True)]


def test_regularised_advantages_are_those_of_the_game_that_pays_for_closeness(x64):
    game = biased_rock_paper_scissors()
    learner = rnad(regularisation=0.3)
    thetas = [jax.random.normal(jax.random.key(player), (2, 3)) for player in (2, 3)]
    states = states_of(game, learner, thetas)
    payoffs = np.array([[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]])
    play = [np.asarray(jax.nn.softmax(theta))[0] for theta in thetas]
    references = [np.asarray(jax.nn.softmax(state.memory.reference))[0] for state in states]
    apart = [np.log(now / before) for now, before in zip(play, references, strict=True)]
    regularised = payoffs - 0.3 * apart[0][:, None] + 0.3 * apart[1][None, :]
    values = regularised @ play[1]
    found = regularised_advantages(learner.settings, states, 0, game.objective(game.env.default_params))
    np.testing.assert_allclose(found[0], values - play[0] @ values, rtol=1e-12)
    values = (-regularised).T @ play[0]
    found = regularised_advantages(learner.settings, states, 1, game.objective(game.env.default_params))
    np.testing.assert_allclose(found[0], values - play[1] @ values, rtol=1e-12)


def trained(game, learner, thetas, updates):
    objective = game.objective(game.env.default_params)

    def update(states, number):
        moved = tuple(learner.step(jax.random.key(0), states, player, objective)[0] for player in (0, 1))
        return moved, None

    states = tuple(states_of(game, learner, thetas))
    return [state.theta for state in jax.lax.scan(update, states, jnp.arange(updates))[0]]


def test_regularised_nash_dynamics_reach_the_equilibrium_of_biased_rock_paper_scissors(x64):
    game = biased_rock_paper_scissors()
    thetas = [jax.random.normal(jax.random.key(player), (2, 3)) for player in (0, 1)]
    found = trained(game, rnad(0.05, 100, Common(step_size=1.0)), thetas, 3000)
    for theta in found:
        np.testing.assert_allclose(jax.nn.softmax(theta)[0], np.array([1, 10, 5]) / 16, atol=1e-3)
    assert nash_conv(game, found) < 1e-3 < nash_conv(game, thetas)


def test_the_reference_policy_is_renewed_every_period_and_not_between(x64):
    game, learner = biased_rock_paper_scissors(), rnad(period=2, common=Common(step_size=0.5))
    objective = game.objective(game.env.default_params)
    states = states_of(game, learner, [jnp.zeros((2, 3))] * 2)
    first = [learner.step(jax.random.key(0), states, player, objective)[0] for player in (0, 1)]
    np.testing.assert_array_equal(first[0].memory.reference, states[0].memory.reference)
    second = learner.step(jax.random.key(0), first, 0, objective)[0]
    np.testing.assert_array_equal(second.memory.reference, second.theta)


def test_equilibrium_learners_refuse_other_games_in_one_line():
    other = exact_matrix.exact_matrix_game(envs.make("ipd"), [tabular(5)] * 2)
    objective = other.objective(envs.make("ipd").default_params)
    with pytest.raises(ValueError, match="rule is exploitability_descent; allowed: for two players in a game in turns"):
        exploitability_descent().direction(objective, [jnp.zeros(5)] * 2, 0)
    learner = rnad()
    states = [
        learner.init(jax.random.key(0), jax.random.key(1), other.policies, player, objective, jnp.float32)
        for player in (0, 1)
    ]
    with pytest.raises(ValueError, match="rule is rnad; allowed: in a game in turns"):
        learner.step(jax.random.key(0), states, 0, objective)
