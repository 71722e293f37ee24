"""Critics: what they learn to expect, which player they belong to, and learning one in a policy's own trunk."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.config.build import matches_of
from shaping.config.plan import plan
from shaping.learners import gradient_learner
from shaping.learners.critic import critic, fitted, fitted_with_estimates, start, value_loss
from shaping.learners.learner import LearnerState
from shaping.objectives.play_batches import Sampler
from shaping.objectives.sampled_objective import sampled_objective
from shaping.policies import network, tabular, tabular_critic
from shaping.rules import naive
from tests.compiling import quickly
from tests.objectives.enumeration import PROBE

pytestmark = pytest.mark.usefixtures("x64")

GAMMA, STEPS = 0.9, 3
TABLES = (tabular_critic(5),) * 2


def objective(batch=16, horizon=None, steps=STEPS, policy=None, critics=TABLES):
    env = envs.make("ipd", discount=GAMMA, horizon=horizon)
    sampler = Sampler(env, (policy or tabular(5),) * 2, env.default_params, GAMMA, batch, steps)
    return sampled_objective(sampler, critics=critics)


def thetas():
    return [jnp.asarray(theta) for theta in PROBE]


def exact_values(player):
    """Mean return from a state on over the steps it is seen at, in three rounds, [5], as player 0 or 1 sees it."""
    swap = np.array([0, 1, 3, 2, 4])
    p, q = 1 / (1 + np.exp(-PROBE[0])), 1 / (1 + np.exp(-PROBE[1]))[swap]
    chances = np.stack([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)], axis=1)
    payoffs = np.array([[-1, -1], [-3, 0], [0, -3], [-2, -2]], float)[:, player]
    ahead, now = [np.zeros(5)], [np.eye(5)[0]]
    for _ in range(STEPS):
        ahead.append(chances @ (payoffs + GAMMA * ahead[-1][1:]))
        now.append(np.concatenate([[0.0], now[-1] @ chances]))
    seen = np.array(now[:STEPS])
    found = np.sum(seen * np.array(ahead[:0:-1]), axis=0) / seen.sum(axis=0)
    return found if player == 0 else found[swap]


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 1.0), pytest.param("adam", 0.1, marks=pytest.mark.slow)])
def test_a_table_comes_to_expect_the_exact_value_of_every_state(optimizer, rate):
    at, settings = objective(256), critic(TABLES, rate, optimizer=optimizer, steps=2)

    @quickly
    def learned():
        def update(state, number):
            batch = at.sampler.play(thetas(), jax.random.fold_in(jax.random.key(3), number))
            new = fitted(settings, state, replace(at, observed=batch))
            return new, jnp.stack(new.parameters)

        first = start(settings, jax.random.key(0), jnp.float64)
        return first, jax.lax.scan(update, first, jnp.arange(300))[1]

    first, path = learned()
    for phi in first.parameters:
        np.testing.assert_array_equal(phi, 0)
    settled = path[100:]
    for player in range(2):
        # Late estimates go round the value, ever so slowly independent of each other.
        error = np.std(settled[:, player], axis=0) / np.sqrt(20)
        right = exact_values(player)
        assert np.all(np.abs(np.mean(settled[:, player], axis=0) - right) < 4 * error + 1e-3)
        assert np.all(error < 0.05) and np.ptp(right) > 0.5


def test_targets_are_generalised_advantages_added_to_what_is_expected_and_end_with_the_stream():
    at = objective(8, horizon=2, steps=4)
    settings = critic(TABLES, 0.1, gae_lambda=0.7)
    phi = np.array([-3.0, 1.0, -7.0, 2.0, 0.5])
    batch = jax.jit(at.sampler.play)(thetas(), jax.random.key(1))
    found = value_loss(settings, at.within([jnp.asarray(phi), None]), None, 0, batch)
    rewards, v = np.asarray(batch.rewards)[:2, :, 0], phi[np.asarray(batch.observations)[:2, :, 0]]
    delta = rewards + GAMMA * np.stack([v[1], 0 * v[1]]) - v
    advantages = np.stack([delta[0] + GAMMA * 0.7 * delta[1], delta[1]])
    np.testing.assert_allclose(found, 0.5 * np.mean(advantages**2), rtol=1e-12)


def test_a_critic_in_the_trunk_moves_trunk_and_value_head_alone():
    env = envs.make("ipd")
    policy = network(env.observation_space, env.action_space, hidden=(3,), critic=True)
    at = objective(8, policy=policy, critics=None)
    key, rate, size = jax.random.key(2), 0.3, 0.5

    def moved():
        own = [jax.tree.map(lambda x: x.astype(float), policy.init(jax.random.key(i), jnp.float32(1))) for i in (0, 1)]
        batch = at.sampler.play(own, jax.random.key(9))
        seeing = replace(at, observed=batch)
        found = []
        for kept in (None, critic((None, None), rate)):
            learner = gradient_learner(naive(), size, critic=kept)
            state = learner.init(key, key, (policy,) * 2, 0, at, jnp.float64).replace(theta=own[0])
            found.append(learner.step(key, [state, LearnerState(own[1], None)], 0, seeing)[0])
        plain, with_critic = found
        difference = jax.tree.map(jnp.subtract, with_critic.theta, plain.theta)

        def loss(theta):
            values = at.values(0, [theta, own[1]], batch)
            later = [batch.rewards[-1, :, 0]]
            for reward in batch.rewards[-2::-1, :, 0]:
                later.append(reward + GAMMA * later[-1])
            return 0.5 * jnp.mean((values - jnp.stack(later[::-1])) ** 2)

        slope = jax.tree.map(lambda g: -rate * size * g, jax.grad(loss)(own[0]))
        return difference, slope, with_critic.memory.critic

    difference, slope, state = quickly(moved)()
    for found, expected in zip(*map(jax.tree.leaves, (difference, slope)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-13)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(slope["logits"]))
    assert all(np.any(np.abs(leaf) > 1e-6) for leaf in jax.tree.leaves((difference["value"], difference["hidden_0"])))
    assert state.parameters == (None, None)


def test_seats_that_need_no_critic_have_none():
    settings = critic((None, tabular_critic(5)))
    at = objective()
    state = start(settings, jax.random.key(0), jnp.float64)
    batch = jax.jit(at.sampler.play)(thetas(), jax.random.key(1))
    after = quickly(lambda: fitted(settings, state, replace(at, observed=batch)))()
    assert state.parameters[0] is None and after.parameters[0] is None
    assert np.any(after.parameters[1] != state.parameters[1])

    def kept(**raw):
        experiment = plan({"objective": {"kind": "dice", "batch": 4, "horizon": 2}, "matches": 1, "updates": 1, **raw})
        learners = matches_of(experiment, experiment.blocks, np.array([0])).learners
        return [
            None if (kept := own.settings.common.critic) is None else [c is not None for c in kept.critics]
            for own in learners
        ]

    players = [{"rule": "lola"}, {"rule": "ppo"}]
    assert kept(players=players) == [None, [False, True]]
    everybody = {"kind": "dice", "batch": 4, "horizon": 2, "baseline": "critic"}
    assert kept(players=players, objective=everybody) == [[True, True], [True, True]]
    assert kept(players=players, policy={"kind": "gru", "critic": "shared"}) == [None, [False, False]]
    assert kept() == [None, None]


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="optimizer is 'rmsprop': must be adam or sgd"):
        critic(TABLES, optimizer="rmsprop")
    with pytest.raises(ValueError, match="steps is 0; allowed: an integer, at least 1"):
        critic(TABLES, steps=0)


def test_a_value_head_that_nothing_would_train_is_refused():
    env = envs.make("ipd", discount=0.9)
    policy = shaping.network(env.observation_space, env.action_space, critic=True)
    game, numbers = shaping.sampled(env, (policy,) * 2, batch=4, horizon=3)
    with pytest.raises(ValueError, match="^critic is None; allowed: what `critic` returns"):
        shaping.train(game, shaping.a2c(), 1, 1, parameters=numbers)


def test_fitting_tells_what_critics_said_before():
    at, settings = objective(8), critic(TABLES, 0.5, steps=2)
    state = start(settings, jax.random.key(0), jnp.float64)
    state = replace(state, parameters=tuple(phi + jnp.arange(5) for phi in state.parameters))
    batch = quickly(at.sampler.play)(thetas(), jax.random.key(1))
    after, estimates = quickly(lambda: fitted_with_estimates(settings, state, replace(at, observed=batch)))()
    assert list(estimates) == [0, 1]
    for seat, found in estimates.items():
        np.testing.assert_allclose(found, at.within(list(state.parameters)).values(seat, None, batch), rtol=1e-12)
        assert np.any(after.parameters[seat] != state.parameters[seat])
