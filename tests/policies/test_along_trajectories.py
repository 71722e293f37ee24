"""Policies along a trajectory: the same results as step by step, with correct derivatives."""

from functools import cache

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from shaping import envs
from shaping.envs.spaces import Box, Discrete
from shaping.objectives.rollout import rollout
from shaping.policies import along_trajectories, network, network_critic, tabular
from shaping.policies.along_trajectories import logits_over_time, over_time, read, values_over_time
from shaping.policies.policy import Policy
from tests.compiling import initialiser, quickly

TIME, BATCH = 4, 3
BOARD = Box((4, 3, 3))
STATES = Discrete(5)
KINDS = {
    "table": (STATES, tabular(5)),
    "table with a memory of two rounds": (STATES, tabular(21, 2)),
    "dense": (STATES, network(STATES, Discrete(2), hidden=(3,))),
    "conv": (BOARD, network(BOARD, Discrete(4), "conv", (3,), (2,))),
    "GRU": (STATES, network(STATES, Discrete(2), hidden=(3,), recurrent="gru", units=3)),
    "conv, LSTM": (BOARD, network(BOARD, Discrete(4), "conv", (), (2,), "lstm", 3)),
}


def prepared(kind, scale=2.0):
    space, policy = KINDS[kind]
    theta = initialiser(policy)(jax.random.key(0), jnp.float32(scale))
    return policy, theta, space.sample(jax.random.key(1), (TIME, BATCH))


def step_by_step(policy, theta, seen, ended=None):
    """Logits of each stream, played by a loop."""
    logits, answer = np.zeros((TIME, BATCH), object), answerer(policy)
    for b in range(BATCH):
        memory = policy.start(())
        for t in range(TIME):
            found, memory = answer(theta, seen[t, b], memory)
            logits[t, b] = np.asarray(found)
            if ended is not None and ended[t, b]:
                memory = policy.start(())
    return np.array(logits.tolist())


@cache
def answerer(policy):
    return quickly(lambda *given: _logits(policy, *given))


def _logits(policy, theta, observation, memory):
    distribution, memory = policy.apply(theta, observation, memory)
    return distribution.logits, memory


@pytest.mark.parametrize(
    "kind",
    ["table with a memory of two rounds", "dense", "conv, LSTM"]
    + [pytest.param(kind, marks=pytest.mark.slow) for kind in ("table", "conv", "GRU")],
)
def test_a_sequence_is_answered_as_step_by_step(kind):
    policy, theta, seen = prepared(kind)
    expected = step_by_step(policy, theta, seen)
    found = quickly(lambda theta: logits_over_time(policy, theta, seen))(theta)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    actions = jax.random.randint(jax.random.key(2), (TIME, BATCH), 0, expected.shape[-1])
    log_probabilities, entropies = quickly(lambda theta: read(policy, theta, seen, actions))(theta)
    chosen = np.take_along_axis(expected, np.asarray(actions)[..., None], -1)[..., 0]
    np.testing.assert_allclose(log_probabilities, chosen, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(entropies, -np.sum(np.exp(expected) * expected, -1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["GRU", "table with a memory of two rounds"])
def test_memory_starts_anew_after_the_last_step_of_an_episode(kind):
    policy, theta, seen = prepared(kind)
    seen = jnp.maximum(seen, 1)
    ended = np.zeros((TIME, BATCH), bool)
    ended[1, 0] = ended[2, 1] = True
    found = logits_over_time(policy, theta, seen, ended=jnp.asarray(ended))
    np.testing.assert_allclose(found, step_by_step(policy, theta, seen, ended), rtol=1e-4, atol=1e-5)
    through = np.asarray(logits_over_time(policy, theta, seen))
    assert np.any(found[2, 0] != through[2, 0]) and np.any(found[3, 1] != through[3, 1])
    np.testing.assert_array_equal(found[:, 2], through[:, 2])


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_without_memory_all_steps_are_answered_in_one_call(kind):
    policy, theta, seen = prepared(kind)
    together, _ = policy.apply(theta, seen, policy.start((TIME, BATCH)))
    np.testing.assert_allclose(logits_over_time(policy, theta, seen), together.logits, rtol=1e-5, atol=1e-6)
    for name, scans in ((kind, False), ("GRU", True)):
        policy, theta, seen = prepared(name)
        program = str(jax.make_jaxpr(lambda theta, p=policy, s=seen: logits_over_time(p, theta, s))(theta))
        assert ("scan[" in program) is scans


@pytest.mark.parametrize("together", [1, 9])
def test_a_large_batch_is_answered_part_by_part(together, monkeypatch):
    """One step at a time, or three of four and then the last; with the same derivatives."""
    policy, theta, seen = prepared("dense")

    def slope():
        def answered(theta):
            logits = logits_over_time(policy, theta, seen)
            return jnp.sum(jnp.sin(logits)), logits

        return jax.grad(answered, has_aux=True)

    expected = quickly(slope())(theta)
    monkeypatch.setattr(along_trajectories, "_TOGETHER", together)
    assert "scan[" in str(jax.make_jaxpr(slope())(theta))
    found = quickly(slope())(theta)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected)


@pytest.mark.parametrize(
    ("axes", "recurrent"),
    [(1, None), (2, "gru")]
    + [pytest.param(*case, marks=pytest.mark.slow) for case in ((0, None), (2, None), (0, "gru"), (1, "gru"))],
)
def test_there_may_be_any_number_of_batch_axes(axes, recurrent):
    critic = network_critic(STATES, hidden=(3,), recurrent=recurrent, units=3)
    phi = critic.init(jax.random.key(0), jnp.float32(1))
    seen, answer = STATES.sample(jax.random.key(1), (TIME, 2, 3)[: 1 + axes]), jax.jit(critic.apply)
    values = over_time(critic.apply, critic.start, phi, seen, axes)
    assert values.shape == seen.shape
    for at in np.ndindex(seen.shape[1:]):
        memory = critic.start(())
        for t in range(TIME):
            expected, memory = answer(phi, seen[(t, *at)], memory)
            np.testing.assert_allclose(values[(t, *at)], expected, rtol=1e-5, atol=1e-6)


def gaussian(entropy):
    """A continuous policy that takes one observation at a time, with or without an entropy."""

    class Silent(distrax.Normal):
        def entropy(self):
            raise NotImplementedError

    def apply(theta, observation, memory):
        assert observation.shape == ()
        return (distrax.Normal if entropy else Silent)(theta * observation, 0.5), memory

    return Policy("gaussian", (), lambda key, scale: jnp.float32(1), lambda shape: None, apply, lambda theta: theta)


@pytest.mark.parametrize("entropy", [True, False])
def test_what_was_done_is_read_of_any_distribution(entropy):
    seen, actions = jnp.linspace(0, 1, 6).reshape(2, 3), jnp.ones((2, 3))
    log_probabilities, entropies = read(gaussian(entropy), jnp.float32(2), seen, actions)
    expected = -((1 - 2 * seen) ** 2) / 0.5 - np.log(0.5 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(log_probabilities, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(entropies, entropy * 0.5 * np.log(2 * np.pi * np.e * 0.25), rtol=1e-5)


@pytest.mark.parametrize(
    ("game", "recurrent"),
    [
        pytest.param("coin_game", None, marks=pytest.mark.slow),
        pytest.param("coin_game", "gru", marks=pytest.mark.slow),
        pytest.param("coin_game", "lstm", marks=pytest.mark.slow),
        pytest.param("ipd", None, marks=pytest.mark.slow),
        ("ipd", "gru"),
        pytest.param("ipd", "lstm", marks=pytest.mark.slow),
    ],
)
def test_networks_play_in_one_compiled_program(game, recurrent):
    """A population of matches, and what one match does is what it does alone."""
    env = envs.make(game, flat=False) if game == "coin_game" else envs.make(game)
    actions = env.action_space
    conv = {"encoder": "conv", "channels": (3,)} if game == "coin_game" else {}
    policy = network(env.observation_space, actions, hidden=(4,), recurrent=recurrent, units=3, **conv)
    dense = network(env.observation_space, actions, hidden=(4,), recurrent=recurrent, units=3, critic=True)
    keys = jax.random.split(jax.random.key(0), 2)
    thetas = tuple(jax.vmap(each.init, (0, None))(keys, jnp.float32(3)) for each in (policy, dense))

    def play(thetas, key):
        return rollout(env, (policy, dense), thetas, key, steps=5, batch=3)

    played = quickly(jax.vmap(play))(thetas, keys)
    assert played.actions.shape == (2, 5, 3, 2)
    assert set(np.unique(played.actions)) <= set(range(actions.num_values)) and np.ptp(played.actions) > 0
    assert np.all(played.log_probabilities < 0) and np.all(np.isfinite(played.log_probabilities))
    second = quickly(play)(jax.tree.map(lambda leaf: leaf[1], thetas), keys[1])
    np.testing.assert_array_equal(played.actions[1], second.actions)
    np.testing.assert_allclose(played.log_probabilities[1], second.log_probabilities, rtol=1e-4)


COINS, DILEMMAS = {"name": "coin_game"}, {"name": "ipd", "horizon": 3, "auto_reset": True}


@pytest.mark.parametrize(
    ("game", "recurrent"),
    [(COINS, "gru"), (DILEMMAS, "lstm")]
    + [
        pytest.param(game, recurrent, marks=pytest.mark.slow)
        for game, recurrent in ((COINS, None), (COINS, "lstm"), (DILEMMAS, None), (DILEMMAS, "gru"))
    ],
)
def test_a_rollout_is_read_as_it_was_played(game, recurrent):
    env = envs.make(**game)
    policy = network(env.observation_space, env.action_space, hidden=(4,), recurrent=recurrent, units=3)
    thetas = tuple(policy.init(jax.random.key(seat), jnp.float32(3)) for seat in range(2))

    @quickly
    def both(thetas):
        played = rollout(env, (policy, policy), thetas, jax.random.key(5), steps=7, batch=4)
        seats = [
            read(policy, theta, played.observations[:, :, seat], played.actions[:, :, seat], played.ended)[0]
            for seat, theta in enumerate(thetas)
        ]
        return played, jnp.stack(seats, -1)

    played, found = both(thetas)
    np.testing.assert_allclose(found, played.log_probabilities, rtol=1e-4, atol=1e-5)
    assert played.ended.any() == ("auto_reset" in game)


@pytest.mark.parametrize(
    "kind", ["conv, LSTM", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("GRU", "conv"))]
)
def test_second_derivatives_along_a_line_are_those_of_finite_differences(kind, x64):
    """Through memory, convolutions that wrap, log-probabilities and entropies."""
    policy, theta, seen = prepared(kind)
    theta = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), theta)
    actions = jax.random.randint(jax.random.key(2), (TIME, BATCH), 0, 2)

    def score(theta):
        log_probabilities, entropies = read(policy, theta, seen, actions)
        return jnp.sum(jnp.cumsum(log_probabilities, 0) ** 2 / 10) + jnp.sum(entropies)

    turned = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape), theta)

    @jax.jit
    def along(step):
        gradient = jax.grad(score)(jax.tree.map(lambda leaf, way: leaf + step * way, theta, turned))
        return sum(jnp.vdot(g, way) for g, way in zip(*map(jax.tree.leaves, (gradient, turned)), strict=True))

    step = 1e-5
    finite = (along(step) - along(-step)) / (2 * step)
    assert abs(finite) > 1e-2
    np.testing.assert_allclose(jax.jit(jax.grad(along))(0.0), finite, rtol=1e-5)


@pytest.mark.slow
def test_second_derivatives_of_values_are_those_of_finite_differences(x64):
    critic = network_critic(STATES, hidden=(3,), recurrent="gru", units=3)
    phi = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), critic.init(jax.random.key(0), jnp.float32(1)))
    seen = STATES.sample(jax.random.key(1), (TIME, BATCH))

    def loss(phi):
        return jnp.sum((values_over_time(critic.apply, critic.start, phi, seen) - 1) ** 2)

    check_grads(jax.jit(loss), (phi,), order=2, modes=["rev"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "kind", ["conv, LSTM", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("GRU", "dense"))]
)
def test_saturated_parameters_have_finite_derivatives_along_a_sequence(kind):
    policy, theta, seen = prepared(kind, 1e3)
    actions = jnp.zeros((TIME, BATCH), jnp.int32)

    def score(theta):
        log_probabilities, entropies = read(policy, theta, seen, actions)
        return jnp.sum(log_probabilities) + jnp.sum(entropies), log_probabilities

    gradient = jax.grad(score, has_aux=True)
    second = quickly(jax.grad(lambda theta: sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient(theta)[0]))))
    first, log_probabilities = quickly(gradient)(theta)
    assert log_probabilities.min() < -100  # saturated indeed
    for leaf in jax.tree.leaves((first, log_probabilities, second(theta))):
        assert np.all(np.isfinite(leaf))
