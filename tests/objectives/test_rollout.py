"""Sampled play against the exact values."""

import jax
import jax.numpy as jnp
import numpy as np

import envs
import shaping
from shaping.objectives.rollout import rollout


def test_sampled_returns_agree_with_the_exact_values_within_four_standard_errors():
    game = envs.make("ipd", discount=0.9, noise=(0.1, 0.02))
    policies = (shaping.tabular(5),) * 2
    thetas = (jnp.array([0.1, 1.2, -0.8, 0.4, -1.5]), jnp.array([-0.5, 0.4, -0.3, 0.9, -0.1]))
    steps, batch = 120, 4000
    played = jax.jit(lambda key: rollout(game, policies, thetas, key, steps, batch))(jax.random.key(0))
    assert played.rewards.shape == (steps, batch, 2)
    weights = 0.9 ** np.arange(steps)
    returns = np.einsum("t,tbp->bp", weights, np.asarray(played.rewards))
    error = returns.std(0) / np.sqrt(batch)
    exact = np.asarray(shaping.exact(game, policies)(thetas)[0])
    assert np.all(np.abs(returns.mean(0) - exact) < 4 * error)


def test_an_episode_does_not_depend_on_how_many_are_played_beside_it():
    game = envs.make("stag_hunt")
    policies, thetas = (shaping.tabular(5),) * 2, (jnp.zeros(5), jnp.ones(5))
    few, many = (rollout(game, policies, thetas, jax.random.key(3), 6, batch) for batch in (2, 5))
    np.testing.assert_array_equal(few.actions, many.actions[:, :2])


def test_rewards_stop_where_a_finite_game_ends():
    game = envs.make("ipd", horizon=4)
    policies, thetas = (shaping.tabular(5),) * 2, (jnp.zeros(5), jnp.zeros(5))
    played = rollout(game, policies, thetas, jax.random.key(0), 7, 3)
    assert played.running.sum(0).tolist() == [4, 4, 4]
    assert not played.rewards[4:].any()


def test_log_probabilities_are_those_of_the_chosen_actions_and_differentiable():
    game = envs.make("ipd")
    policies = (shaping.tabular(5),) * 2

    def total(theta):
        return rollout(game, policies, (theta, jnp.zeros(5)), jax.random.key(1), 1, 8).log_probabilities[0, :, 0].sum()

    played = rollout(game, policies, (jnp.zeros(5), jnp.zeros(5)), jax.random.key(1), 1, 8)
    cooperations = int((played.actions[0, :, 0] == 0).sum())
    np.testing.assert_allclose(jax.grad(total)(jnp.zeros(5))[0], cooperations - 4.0, rtol=1e-6)
