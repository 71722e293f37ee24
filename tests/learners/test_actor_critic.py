"""A2C and PPO against the same sums, written out by hand, on the same batch."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.learners import a2c, ppo
from shaping.learners.actor_critic import collect, direction_of
from shaping.objectives import exact
from shaping.objectives.play_batches import Sampler
from shaping.objectives.sampled_objective import sampled_objective
from shaping.policies import tabular, tabular_critic
from tests.compiling import quickly

pytestmark = pytest.mark.usefixtures("x64")

GAMMA, KEY = 0.9, 5
THETAS = np.array([[0.1, -0.2, 0.3, -0.4, 0.5], [-0.5, 0.4, -0.3, 0.2, -0.1]])
PHI = np.array([[-3.0, 1.0, -7.0, 2.0, 0.5], [4.0, -9.0, 0.3, -2.0, 1.0]])


def objective(horizon=None, critics=True):
    env = envs.make("ipd", discount=GAMMA, horizon=horizon)
    sampler = Sampler(env, (tabular(5),) * 2, env.default_params, GAMMA, 6, 5)
    found = sampled_objective(sampler, critics=(tabular_critic(5),) * 2 if critics else None)
    return found.within([jnp.asarray(phi) for phi in PHI]) if critics else found


def thetas():
    return [jnp.asarray(theta) for theta in THETAS]


def played(at):
    batch = quickly(at.sampler.play)(thetas(), jax.random.fold_in(jax.random.key(KEY), 0))
    return jax.tree.map(np.asarray, batch)


def first_direction(learner, at, player, key, thetas=thetas):
    """Of an update's first step."""
    settings = learner.settings.own
    return direction_of(at, thetas(), player, settings, collect(at, thetas(), player, settings, key), jnp.int32(0))


def advantages_of(batch, player, decay):
    """[time, batch], by the sum of the definition."""
    rewards = batch.rewards[..., player]
    values = np.where(batch.running, PHI[player][batch.observations[..., player]], 0)
    following = np.concatenate([values[1:], np.zeros_like(values[:1])])
    deltas = rewards + GAMMA * following - values
    steps = len(rewards)
    return np.array([sum((GAMMA * decay) ** k * deltas[t + k] for k in range(steps - t)) for t in range(steps)])


def gradient_of(batch, player, theta, weights, entropy):
    """Mean over running steps of weights * grad log pi(a|s) + entropy * grad H, for logits [5]."""
    found = np.zeros(5)
    for t, b in zip(*np.nonzero(batch.running), strict=True):
        state, action = batch.observations[t, b, player], batch.actions[t, b, player]
        p = 1 / (1 + np.exp(-theta[state]))
        found[state] += weights[t, b] * ((action == 0) - p) - entropy * theta[state] * p * (1 - p)
    return found / batch.running.sum()


@pytest.mark.parametrize(("player", "horizon"), [(0, None), (1, 3)])
def test_a2c_ascends_the_mean_over_steps_of_advantage_times_score_and_entropy(player, horizon):
    at, learner = objective(horizon), a2c(0.8, 0.3)
    found = quickly(lambda: first_direction(learner, at, player, jax.random.key(KEY)))()
    batch = played(at)
    assert batch.running.sum() == 6 * (horizon or 5)
    expected = gradient_of(batch, player, THETAS[player], advantages_of(batch, player, 0.8), 0.3)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.abs(found).max() > 0.1


def test_the_first_step_of_ppo_is_that_of_a2c_with_normalised_advantages():
    at, key = objective(3), jax.random.key(KEY)
    shared = {"gae_lambda": 0.8, "entropy": 0.3}
    learners = a2c(**shared), ppo(1e6, normalise=False, **shared), ppo(1e6, normalise=True, **shared)
    plain, same, normalised = quickly(lambda: [first_direction(learner, at, 0, key) for learner in learners])()
    np.testing.assert_allclose(same, plain, atol=1e-12)
    batch = played(at)
    raw = advantages_of(batch, 0, 0.8)
    own = raw[batch.running]
    weights = np.where(batch.running, (raw - own.mean()) / own.std(), 0)
    np.testing.assert_allclose(normalised, gradient_of(batch, 0, THETAS[0], weights, 0.3), rtol=1e-6)
    assert np.abs(normalised - plain).max() > 0.05


def test_what_has_left_the_clipping_range_in_the_direction_of_its_advantage_pulls_no_more():
    # Schulman et al. 2017, figure 1.
    at, settings, clip = objective(), ppo(0.2, 0.8, 0.0, normalise=False).settings.own, 0.2
    moved = THETAS + np.array([[0.9, -0.9, 0.02, 1.5, -0.8], [0.0] * 5])

    def climb():
        data = collect(at, thetas(), 0, settings, jax.random.key(KEY))
        return direction_of(at, [jnp.asarray(t) for t in moved], 0, settings, data, jnp.int32(0))

    batch = played(at)
    seen, taken = batch.observations[..., 0], batch.actions[..., 0]
    sign = np.where(taken == 0, 1, -1)
    old, new = (1 / (1 + np.exp(-sign * theta[0][seen])) for theta in (THETAS, moved))
    ratio, advantages = new / old, advantages_of(batch, 0, 0.8)
    clipped = ((advantages > 0) & (ratio > 1 + clip)) | ((advantages < 0) & (ratio < 1 - clip))
    assert 3 < clipped.sum() < clipped.size - 3
    assert np.any(~clipped & (np.abs(ratio - 1) > clip)), "leaving against the advantage pulls back"
    weights = np.where(clipped, 0, ratio * advantages)
    np.testing.assert_allclose(quickly(climb)(), gradient_of(batch, 0, moved[0], weights, 0.0), atol=1e-12)


def test_minibatches_are_the_streams_of_a_batch_each_once_an_epoch_in_a_new_order():
    at = objective()
    whole, cut = ppo(normalise=True).settings.own, ppo(normalise=True, epochs=3, minibatches=3).settings.own

    def directions():
        data = collect(at, thetas(), 0, cut, jax.random.key(KEY))

        def part(step):
            return direction_of(at, thetas(), 0, cut, data, step)

        def alone(stream):
            def own(leaf):
                return jax.lax.dynamic_slice_in_dim(leaf, stream, 1, axis=1)

            batch, *numbers = jax.tree.map(own, (data.batch, data.advantages, data.log_probabilities))
            one = replace(data, batch=batch, advantages=numbers[0], log_probabilities=numbers[1])
            return direction_of(at, thetas(), 0, whole, one, jnp.int32(0))

        return jax.lax.map(part, jnp.arange(9)), jax.lax.map(alone, jnp.arange(6))

    each, single = quickly(directions)()
    pairs = [(a, b) for a in range(6) for b in range(a)]
    epochs = []
    for epoch in np.asarray(each).reshape(3, 3, 5):
        found = []
        for part in epoch:
            off = [np.abs(part - (single[a] + single[b]) / 2).max() for a, b in pairs]
            assert sorted(off)[0] < 1e-12 < 1e-3 < sorted(off)[1], "a minibatch is two whole streams"
            found.append(pairs[int(np.argmin(off))])
        assert sorted(stream for pair in found for stream in pair) == [*range(6)]
        epochs.append(tuple(found))
    assert len(set(epochs)) > 1


def test_they_need_play_critics_a_key_and_minibatches_that_divide_and_say_so_in_one_line():
    key = jax.random.key(0)
    closed = exact(envs.make("ipd"), (tabular(5),) * 2)
    cases = [
        (lambda: first_direction(a2c(), closed, 0, key), "a2c and ppo need an objective that samples, with critics"),
        (lambda: first_direction(ppo(), objective(critics=False), 0, key), "player 0 has no critic; allowed: "),
        (lambda: first_direction(a2c(), objective(), 0, None), "key is None; allowed: a key, as batches are sampled"),
        (
            lambda: first_direction(ppo(minibatches=4), objective(), 0, key),
            "minibatches is 4; allowed: a divisor of batch, 6",
        ),
        (lambda: ppo(epochs=0), "epochs is 0; allowed: an integer, at least 1"),
        (lambda: ppo(minibatches=0), "minibatches is 0; allowed: an integer, at least 1"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as error:
            call()
        assert str(error.value).startswith(message) and "\n" not in str(error.value)
    unfed = sampled_objective(objective().sampler, critics=(tabular_critic(5),) * 2)
    with pytest.raises(ValueError, match="^player 1's critic has no parameters; allowed: "):
        first_direction(a2c(), unfed, 1, key)
