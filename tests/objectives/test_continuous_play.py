"""Continuous actions through the sampler: their shapes, their randomness, and gradients against the analytic ones."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.envs.spaces import Box
from shaping.objectives.play_batches import Batch, Sampler
from shaping.objectives.sampled_objective import Estimator, sampled_objective
from shaping.policies import gaussian, network
from shaping.policies.one_of import one_of
from shaping.policies.scripted import scripted_players
from tests.compiling import quickly


@dataclass(frozen=True)
class Quadratic:
    """One step: player i is paid -(u_i - target_i)^2 + coupling u_0 u_1, u its action before squashing, in which the
    expected reward of normal policies is a polynomial."""

    name: str = "quadratic"
    num_players: int = 2
    action_space: Box = Box((1,), -1.0, 1.0)
    observation_space: Box = Box((1,))
    default_params: Any = None

    def reset(self, key, params):
        return jnp.zeros((2, 1)), jnp.int32(0)

    def step(self, key, state, actions, params):
        u = jnp.arctanh(jnp.clip(actions[:, 0], -0.99999, 0.99999))
        rewards = -((u - jnp.array(TARGETS)) ** 2) + COUPLING * u[0] * u[1]
        return jnp.zeros((2, 1)), state + 1, rewards, jnp.asarray(True), jnp.asarray(False), {}


TARGETS, COUPLING = (0.3, -0.2), 0.7


def analytic(thetas):
    """E of the rewards: -(mean - target)^2 - sd^2 + coupling mean_0 mean_1."""
    means, deviations = (jnp.stack([f(theta)[0] for theta in thetas]) for f in (_mean, _sd))
    return -((means - jnp.array(TARGETS)) ** 2) - deviations**2 + COUPLING * means[0] * means[1]


def _mean(theta):
    return theta["mean"]


def _sd(theta):
    return jnp.exp(theta["log_sd"])


THETAS = [
    {"mean": jnp.array([0.1]), "log_sd": jnp.array([-1.0])},
    {"mean": jnp.array([0.4]), "log_sd": jnp.array([-0.8])},
]


def test_score_function_derivatives_of_a_quadratic_game_are_the_analytic_ones():
    """First derivatives of both players, and the mixed second one that shaping rests on, by DiCE."""
    env = Quadratic()
    count, batch = 64, 1024
    sampler = Sampler(env, (gaussian(env.action_space),) * 2, None, 1.0, batch, 1)
    objective = sampled_objective(sampler, Estimator())

    def derivatives(values):
        def mixed(thetas):
            return jax.grad(lambda t: values(t)[0])(thetas)[1]["mean"][0]

        return jax.jacobian(values)(THETAS), jax.grad(mixed)(THETAS)[0]["mean"][0]

    keys = jax.random.split(jax.random.key(0), count)
    found = quickly(jax.vmap(lambda key: derivatives(lambda thetas: objective.returns(thetas, key, None)[0])))(keys)
    exact = quickly(lambda: derivatives(analytic))()
    for sampled, wanted in zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True):
        error = np.std(sampled, axis=0) / np.sqrt(count)
        assert np.all(np.abs(np.mean(sampled, axis=0) - wanted) < 4.5 * error + 1e-4)
    np.testing.assert_allclose(exact[1], COUPLING)


@pytest.mark.parametrize("recurrent", [None, pytest.param("gru", marks=pytest.mark.slow)])
def test_continuous_actions_play_and_are_read_by_the_same_functions(recurrent):
    env = envs.make("negotiation", horizon=4)
    policy = network(env.observation_space, env.action_space, hidden=(4,), recurrent=recurrent, units=3)
    sampler = Sampler(env, (policy,) * 2, env.default_params, 0.9, 6, 4)
    thetas = [policy.init(jax.random.key(seat), jnp.float32(1)) for seat in range(2)]

    @quickly
    def play(thetas):
        few, many = (sampler.play(thetas, jax.random.key(1), streams) for streams in (2, 6))
        score = jax.grad(lambda theta: jnp.sum(sampler.read(0, theta, many)[0]))(thetas[0])
        blind = jax.grad(lambda theta: jnp.sum(sampler.play([theta, thetas[1]], jax.random.key(1)).rewards))(thetas[0])
        same, other = (sampler.divergence(0, thetas[0], theta, many) for theta in thetas)
        rolled = shaping.rollout(env, (policy,) * 2, thetas, jax.random.key(2), 4, 3)
        again = sampler.read(1, thetas[1], Batch(rolled.observations, rolled.actions, rolled.rewards, rolled.running))[
            0
        ]
        return few, many, sampler.read(0, thetas[0], many), (score, blind), (same, other), (rolled, again)

    few, many, (log_probabilities, entropies), (score, blind), (same, other), (rolled, again) = play(thetas)
    assert many.actions.shape == (4, 6, 2, 3) and many.actions.dtype == jnp.float32
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[:, :2], rtol=1e-5), few, many)
    assert log_probabilities.shape == entropies.shape == (4, 6)
    assert all(np.all(np.isfinite(leaf)) and np.any(leaf != 0) for leaf in jax.tree.leaves(score))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(blind))
    assert same == 0 and other > 0
    np.testing.assert_allclose(rolled.log_probabilities[..., 1], again, rtol=2e-4, atol=2e-4)


def test_statistics_of_continuous_play_have_everything_but_frequencies():
    env = envs.make("cournot", horizon=5)
    policies = (gaussian(env.action_space), network(env.observation_space, env.action_space, hidden=()))
    thetas = [policy.init(jax.random.key(0), jnp.float32(1)) for policy in policies]
    found = quickly(lambda key: shaping.play(env, policies, thetas, key, 5, 4))(jax.random.key(0))
    assert found.actions is None and found.policy_entropy.shape == (4, 2) and np.all(np.isfinite(found.policy_entropy))
    with pytest.raises(ValueError, match="action_frequencies of continuous actions; allowed: with discrete ones"):
        found.action_frequencies  # noqa: B018 - asked for its error


def test_a_learner_meets_scripted_players_of_continuous_actions():
    """Through `one_of`, as a game's report has it: the scripted seat plays what it would play by itself."""
    env = envs.make("cournot", horizon=3)
    nash = scripted_players(env)["NASH"]
    learner = gaussian(env.action_space)
    theta = learner.init(jax.random.key(0), jnp.float32(1))
    policies = [one_of([learner, nash[seat]]) for seat in range(2)]

    @quickly
    def play(choice):
        thetas = [(choice[seat], (theta, ())) for seat in range(2)]
        return shaping.rollout(env, policies, thetas, jax.random.key(1), 3, 2)

    quantities = envs.cournot.nash_equilibrium(env.default_params)
    learned, scripted = play(jnp.array([0, 1])), play(jnp.array([1, 1]))
    np.testing.assert_allclose(learned.actions[:, :, 1, 0], quantities[1], rtol=1e-5)
    assert len(np.unique(learned.actions[:, :, 0])) > 1
    np.testing.assert_allclose(scripted.actions[..., 0], np.broadcast_to(quantities, (3, 2, 2)), rtol=1e-5)
    assert not np.any(scripted.log_probabilities)


def test_what_actor_critic_rules_read_off_a_batch_is_unbiased():
    """A2C's gradient is the analytic one; PPO's ratio of other parameters has mean 1 and weighs rewards to theirs."""
    env = Quadratic()
    sampler = Sampler(env, (gaussian(env.action_space),) * 2, None, 1.0, 60_000, 1)
    moved = {"mean": THETAS[0]["mean"] + 0.15, "log_sd": THETAS[0]["log_sd"] - 0.1}

    @quickly
    def read(theta, other):
        batch = sampler.play(THETAS, jax.random.key(3))
        rewards = batch.rewards[0, :, 0]

        def score(observations, actions, rewards, running):
            alone = Batch(observations[:, None], actions[:, None], rewards[:, None], running[:, None])
            return jax.grad(lambda t: sampler.read(0, t, alone)[0][0, 0])(theta)

        scores = jax.vmap(score, 1)(batch.observations, batch.actions, batch.rewards, batch.running)
        ratios = jnp.exp(sampler.read(0, other, batch)[0] - sampler.read(0, theta, batch)[0])[0]
        return jax.tree.map(lambda score: score[:, 0] * (rewards - jnp.mean(rewards)), scores), ratios, ratios * rewards

    gradients, ratios, weighed = read(THETAS[0], moved)
    slopes = jax.grad(lambda theta: analytic([theta, THETAS[1]])[0])(THETAS[0])
    wanted = [*jax.tree.leaves(slopes), 1.0, analytic([moved, THETAS[1]])[0]]
    for found, expected in zip([*jax.tree.leaves(gradients), ratios, weighed], wanted, strict=True):
        found = np.asarray(found, float)
        assert abs(found.mean() - np.squeeze(expected)) < 4.5 * found.std() / np.sqrt(found.size) + 1e-4
