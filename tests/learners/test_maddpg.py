"""MADDPG: the steps of critic and actor against the formulas written out by hand, on the same streams."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.learners import Common, normal, optimizer
from shaping.learners.maddpg import drawn, maddpg
from shaping.objectives.play_batches import Sampler
from shaping.objectives.sampled_objective import sampled_objective
from shaping.policies import gaussian, tabular
from tests.compiling import quickly

pytestmark = pytest.mark.usefixtures("x64")

GAMMA, UNIT, PENALTY, NOISE, TAU, RATE, SLOW = 0.9, 0.1, 0.05, 0.3, 0.7, 0.02, 0.25
STEPS, STREAMS, WIDTH, PLAYER = 4, 3, 3, 1
KEY = jax.random.fold_in(jax.random.key(2), 0)
NUMBERS = np.random.default_rng(5)


def game(name):
    """(objective with a recorded batch, everybody's parameters); streams end after three steps of four."""
    if name == "ipd":
        env: Any = envs.make("ipd", discount=GAMMA, horizon=3)
        policy, thetas = tabular(5), [jnp.asarray(NUMBERS.normal(size=5)) for _ in range(2)]
    else:
        env = envs.make("cournot", horizon=3)
        policy = gaussian(env.action_space)
        shape = env.action_space.shape
        thetas = [{k: jnp.asarray(0.3 * NUMBERS.normal(size=shape)) for k in ("mean", "log_sd")} for _ in range(2)]
    sampler = Sampler(env, (policy,) * 2, env.default_params, GAMMA, STREAMS, STEPS)
    at = replace(sampled_objective(sampler), scale=UNIT)
    return replace(at, observed=quickly(sampler.play)(thetas, jax.random.key(7))), thetas


def seen_and_done(name, at, batch):
    """Observations of everybody and actions as vectors, [time, streams, ...]."""
    if name == "ipd":
        return np.eye(5)[batch.observations].reshape(STEPS, STREAMS, -1), np.eye(2)[batch.actions]
    low, high = at.sampler.env.action_space.low, at.sampler.env.action_space.high
    done = 2 * (batch.actions.reshape(STEPS, STREAMS, 2, -1) - low) / (high - low) - 1
    return batch.observations.reshape(STEPS, STREAMS, -1), done


def critic(phi, seen, done):
    left = np.broadcast_to(1 - np.arange(STEPS)[:, None, None] / STEPS, (STEPS, STREAMS, 1))
    x = jnp.concatenate([seen, done.reshape(STEPS, STREAMS, -1), left], axis=-1)
    x = jnp.tanh(x @ phi["hidden_0"]["kernel"] + phi["hidden_0"]["bias"])
    return (x @ phi["value"]["kernel"] + phi["value"]["bias"])[..., 0]


def act(name, theta, batch, seat, key):
    """A player's actions as vectors, differentiable, and what they are penalised for."""
    if name == "cournot":
        # The middle of the box is 0, its edges are -1 and 1.
        action = jnp.tanh(theta["mean"]) * jnp.ones((STEPS, STREAMS, 1))
        return action, (theta["log_sd"] - np.log(NOISE)) ** 2
    cooperates = jax.nn.sigmoid(theta)[batch.observations[..., seat]]
    logits = jnp.log(jnp.stack([cooperates, 1 - cooperates], axis=-1))
    noise = jax.random.gumbel(key, logits.shape, logits.dtype)
    weights = jnp.exp((logits + noise) / TAU)
    soft = weights / jnp.sum(weights, axis=-1, keepdims=True)
    hard = jnp.stack([soft[..., 0] >= 0.5, soft[..., 0] < 0.5], axis=-1)
    return soft + jax.lax.stop_gradient(hard - soft), PENALTY * jnp.mean(logits**2, axis=-1)


@pytest.mark.parametrize("name", ["ipd", "cournot"])
def test_a_step_fits_the_critic_and_ascends_it(name):
    at, thetas = game(name)
    numbers = {"critic_rate": RATE, "target_rate": SLOW, "temperature": TAU, "penalty": PENALTY, "noise": NOISE}
    structure = {"hidden": (WIDTH,), "steps": 1, "streams": STREAMS, "capacity": 2}
    learner = maddpg(common=Common(1.0, optimizer("sgd"), normal(1.0)), **numbers, **structure)
    slow_theta = jax.tree.map(lambda leaf: leaf + 0.2, thetas[PLAYER])

    @quickly
    def run():
        state = learner.init(jax.random.key(0), jax.random.key(1), at.sampler.policies, PLAYER, at, jnp.float64)
        slow_phi = jax.tree.map(lambda leaf: leaf - 0.1, state.memory.phi)
        before = replace(state, memory=state.memory.replace(slow_theta=slow_theta, slow_phi=slow_phi))
        states = [replace(before, theta=theta) for theta in thetas]
        after, _ = learner.step(jax.random.key(2), states, PLAYER, at)
        return before, after, drawn(after.memory.batches, jax.random.fold_in(KEY, 0), STREAMS)

    before, after, streams = run()
    batch, memory = jax.tree.map(np.asarray, streams), before.memory
    seen, done = seen_and_done(name, at, batch)
    keys = [jax.random.fold_in(jax.random.fold_in(KEY, 1), seat) for seat in range(2)]
    then = [thetas[0], slow_theta]

    @quickly
    def worth_later():
        next_done = jnp.stack([act(name, then[i], batch, i, keys[i])[0] for i in range(2)], axis=2)
        return critic(memory.slow_phi, seen, next_done)

    later = np.where(batch.running, worth_later(), 0)
    targets = np.zeros((STEPS, STREAMS))
    for t in range(STEPS):
        targets[t] = UNIT * batch.rewards[t, :, PLAYER] + (GAMMA * later[t + 1] if t + 1 < STEPS else 0)
    count = batch.running.sum()
    assert count == 3 * STREAMS

    def loss(phi):
        return jnp.sum(batch.running * (critic(phi, seen, done) - targets) ** 2) / 2 / count

    # The first step of Adam.
    slope = jax.tree.map(np.asarray, quickly(jax.grad(loss))(memory.phi))
    phi = jax.tree.map(lambda x, g: np.asarray(x) - RATE * g / (np.abs(g) + 1e-8), memory.phi, slope)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), after.memory.phi, phi)

    def worth(theta):
        own, cost = act(name, theta, batch, PLAYER, jax.random.fold_in(KEY, 2))
        both = jnp.stack([jnp.asarray(done[:, :, 0]), own], axis=2)
        return jnp.sum(batch.running * (critic(phi, seen, both) - cost)) / count

    climbed = quickly(jax.grad(worth))(thetas[PLAYER])
    theta = jax.tree.map(lambda x, g: np.asarray(x) + np.asarray(g), thetas[PLAYER], climbed)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), after.theta, theta)
    moved = jax.tree.map(lambda a, b: np.abs(np.asarray(a) - np.asarray(b)).max(), after.theta, thetas[PLAYER])
    assert min(jax.tree.leaves(moved)) > 1e-4
    slow = jax.tree.map(lambda a, b: np.asarray(a) + SLOW * (b - np.asarray(a)), slow_theta, theta)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), after.memory.slow_theta, slow)
