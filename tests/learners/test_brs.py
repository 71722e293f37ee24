"""Best-response shaping: its step against the surrogates written out by hand, on the batches that it plays."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.config.errors import ConfigError
from shaping.learners import Common, optimizer, values
from shaping.learners.brs import against_detective, brs, met_selves
from shaping.learners.detective import answers
from shaping.objectives.play_batches import Sampler
from shaping.objectives.sampled_objective import sampled_objective
from shaping.policies import network, tabular
from tests.compiling import quickly

pytestmark = pytest.mark.usefixtures("x64")

GAMMA, SELF_PLAY, ENTROPY, RATE, STEPS, STREAMS, WIDTH = 0.9, 0.6, 0.2, 0.02, 4, 6, 3
KEY = jax.random.key(2)
THETA = np.random.default_rng(6).normal(size=5)


def advantages(batch, rewards):
    """Discounted rewards that follow, minus each step's mean over the streams that run."""
    returns = [sum(GAMMA ** (u - t) * rewards[u] for u in range(t, STEPS)) for t in range(STEPS)]
    means = [np.sum(r * on) / max(on.sum(), 1) for r, on in zip(returns, batch.running, strict=True)]
    return np.stack([on * (r - m) for r, m, on in zip(returns, means, batch.running, strict=True)])


def own_chances(theta, batch, seat):
    """Log-probabilities of what was done, and entropies."""
    p = jax.nn.sigmoid(theta)[batch.observations[..., seat]]
    taken = jnp.where(batch.actions[..., seat] == 0, p, 1 - p)
    return jnp.log(taken), -p * jnp.log(p) - (1 - p) * jnp.log(1 - p)


def response_chances(phi, theta, batch, seat):
    """Of a detective that sees all ten probabilities of theta."""
    p = jax.nn.sigmoid(theta)
    shown = 2 * jnp.stack([p, 1 - p], axis=-1).reshape(-1) - 1
    inputs = jnp.concatenate(
        [np.eye(5)[batch.observations[..., seat]], jnp.broadcast_to(shown, (*batch.running.shape, 10))], -1
    )
    hidden = jnp.tanh(inputs @ phi["hidden_0"]["kernel"] + phi["hidden_0"]["bias"])
    logits = jax.nn.log_softmax(hidden @ phi["logits"]["kernel"] + phi["logits"]["bias"])
    taken = jnp.sum(logits * np.eye(2)[batch.actions[..., seat]], axis=-1)
    return taken, -jnp.sum(jnp.exp(logits) * logits, axis=-1)


def mean(batch, each):
    return jnp.sum(batch.running * each) / batch.running.sum()


def test_a_step_fits_the_detective_and_ascends_through_its_response():
    player = 1
    env = envs.make("ipd", discount=GAMMA, horizon=3)
    sampler = Sampler(env, (tabular(5),) * 2, env.default_params, GAMMA, STREAMS, STEPS)
    at = sampled_objective(sampler)
    common = Common(1.0, optimizer("sgd"), values(THETA))
    learner = brs(
        SELF_PLAY, ENTROPY, RATE, detective_hidden=(WIDTH,), detective_steps=1, selves=2, past_capacity=3, common=common
    )
    met, other = against_detective(learner.settings, sampler, player), 1 - player

    @quickly
    def run():
        before = learner.init(jax.random.key(0), jax.random.key(1), sampler.policies, player, at, jnp.float64)
        after, _ = learner.step(KEY, [before, before], player, at)
        # What it played: against two selves, with the detective after its step, and with itself.
        own = jax.random.fold_in(jax.random.fold_in(KEY, 0), 0)
        selves = met_selves(learner.settings, before.memory.selves, before.theta, jax.random.fold_in(own, 0))
        batches = []
        for number in range(2):
            key = jax.random.fold_in(jax.random.fold_in(own, 1), number)
            batches.append(met.play(seated(selves[number], before.memory.phi), key, STREAMS // 2))
        led = met.play(seated(before.theta, after.memory.phi), jax.random.fold_in(KEY, 1))
        alone = sampler.play([before.theta] * 2, jax.random.fold_in(KEY, 2))
        return before, after, selves, batches, led, alone

    def seated(theta, phi):
        return [theta if seat == player else (phi, answers(met, player, theta, 2)) for seat in range(2)]

    before, after, selves, batches, led, alone = jax.tree.map(np.asarray, run())
    np.testing.assert_array_equal(selves[0], THETA)
    assert np.abs(selves[1] - THETA).min() > 0

    def loss(phi):
        total = 0.0
        for theta, batch in zip(selves, batches, strict=True):
            chances, entropies = response_chances(phi, theta, batch, other)
            gained = chances * advantages(batch, batch.rewards[..., other])
            total += mean(batch, gained + ENTROPY * entropies)
        return -total / 2

    slope = quickly(jax.grad(loss))(jax.tree.map(jnp.asarray, before.memory.phi))
    phi = jax.tree.map(lambda x, g: x - RATE * g / (jnp.abs(g) + 1e-8), before.memory.phi, slope)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), after.memory.phi, phi)

    def surrogate(theta, through=1.0):
        chances, entropies = own_chances(theta, led, player)
        chances += through * response_chances(phi, theta, led, other)[0]
        found = mean(led, chances * advantages(led, led.rewards[..., player]) + ENTROPY * entropies)
        shared = sum(own_chances(theta, alone, seat)[0] for seat in range(2))
        return found + SELF_PLAY * mean(alone, shared * advantages(alone, alone.rewards.mean(-1)))

    moved, slope = after.theta - THETA, quickly(jax.grad(surrogate))
    np.testing.assert_allclose(moved, slope(THETA, 1.0), atol=1e-10)
    assert np.abs(moved - slope(THETA, 0.0)).max() > 1e-3, "the response has a part in it"


def test_networks_answer_along_streams_of_random_play_that_are_the_same_for_everybody():
    env = envs.make("ipd", discount=GAMMA)
    policy = network(env.observation_space, env.action_space, hidden=(), recurrent="gru", units=2)
    sampler = Sampler(env, (policy,) * 2, env.default_params, GAMMA, 4, 3)

    @quickly
    def run():
        thetas = jax.vmap(lambda n: policy.init(jax.random.key(n), jnp.float32(1)))(jnp.arange(2))
        both = jax.vmap(lambda theta: answers(sampler, 0, theta, 2))(thetas)
        return both, answers(replace(sampler, batch=8), 0, jax.tree.map(lambda leaf: leaf[0], thetas), 2)

    (first, second), again = run()
    assert first.shape == (3 * 2 * 2,)
    np.testing.assert_allclose(first.reshape(-1, 2).sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(first, again, rtol=1e-6)
    assert np.abs(first - second).max() > 1e-3


def test_selves_that_cannot_share_the_batch_are_refused(tmp_path):
    players = {"rule": "brs", "selves": 3}
    raw = {"game": "ipd", "players": players, "objective": {"kind": "dice", "batch": 8, "horizon": 4}}
    with pytest.raises(ConfigError, match="selves is 3; allowed: a divisor of batch, 8"):
        shaping.run(raw, tmp_path / "run")
    assert not (tmp_path / "run").exists()
