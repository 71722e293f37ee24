"""Critics: their protocol, and that they are the same networks as policies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.spaces import Box, Discrete
from shaping.objectives.rollout import rollout
from shaping.policies import Critic, network, network_critic, tabular, tabular_critic
from shaping.policies.along_trajectories import values_over_time
from tests.compiling import initialiser, quickly

BOARD = Box((4, 3, 3))
KINDS = {
    "tabular": (Discrete(5), tabular_critic(5)),
    "dense": (Discrete(5), network_critic(Discrete(5), hidden=(3,))),
    "conv": (BOARD, network_critic(BOARD, "conv", (3,), (2,))),
    "GRU": (Discrete(5), network_critic(Discrete(5), hidden=(), recurrent="gru", units=4)),
    "conv, LSTM": (BOARD, network_critic(BOARD, "conv", (), (2,), "lstm", 4)),
}


def drawn(critic, scale=1.0):
    return initialiser(critic)(jax.random.key(0), jnp.float32(scale))


@pytest.mark.parametrize(
    ("kind", "x64"),
    [("tabular", False)]
    + [pytest.param(kind, True, marks=[pytest.mark.slow] * (kind in ("conv", "GRU"))) for kind in KINDS],
)
def test_a_critic_has_one_value_an_observation_in_the_precision_of_its_parameters(kind, x64):
    with jax.enable_x64(x64):
        space, critic = KINDS[kind]
        apply = quickly(critic.apply)
        dtype = jnp.float64 if x64 else jnp.float32
        phi = drawn(critic)
        assert {leaf.dtype for leaf in jax.tree.leaves(phi)} == {jnp.dtype(jnp.float32)}
        phi = jax.tree.map(lambda leaf: leaf.astype(dtype), phi)
        seen = space.sample(jax.random.key(1), (4, 3))
        values, memory = apply(phi, seen, critic.start((4, 3)))
        assert values.shape == (4, 3) and values.dtype == dtype and np.ptp(values) > 0
        alone = jax.vmap(jax.vmap(lambda seen, memory: critic.apply(phi, seen, memory)))
        for found, expected in zip(
            jax.tree.leaves(quickly(alone)(seen, critic.start((4, 3)))), jax.tree.leaves((values, memory)), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind in ("conv", "GRU"))) for kind in KINDS]
)
def test_a_critic_that_starts_at_scale_zero_expects_nothing(kind):
    space, critic = KINDS[kind]
    seen = space.sample(jax.random.key(1), (4,))
    values, _ = quickly(critic.apply)(drawn(critic, 0), seen, critic.start((4,)))
    np.testing.assert_array_equal(values, 0)
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), drawn(critic))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), critic.shapes) == shapes


def test_a_table_of_values_is_looked_up_and_starts_normal():
    critic = tabular_critic(5)
    values, memory = critic.apply(jnp.arange(5.0) * 3, jnp.asarray([[4, 0], [1, 2]]), critic.start((2, 2)))
    np.testing.assert_array_equal(values, [[12, 0], [3, 6]])
    assert memory is None
    numbers = np.asarray(tabular_critic(20_000).init(jax.random.key(0), jnp.float32(2)))
    np.testing.assert_allclose([numbers.mean(), numbers.std(), np.mean(np.abs(numbers) < 2)], [0, 2, 0.6827], atol=0.05)


def test_a_network_critic_is_the_value_of_a_network_with_a_shared_trunk():
    policy = network(BOARD, Discrete(4), "conv", (3,), (2,), "gru", 4, critic=True)
    critic = network_critic(BOARD, "conv", (3,), (2,), "gru", 4)
    theta = policy.init(jax.random.key(0), jnp.float32(1))
    phi = {name: layer for name, layer in theta.items() if name != "logits"}
    seen, memory = BOARD.sample(jax.random.key(1), (3,)), jnp.full((3, 4), 0.5)
    value, after = critic.apply(phi, seen, memory)
    _, expected, remembered = policy.evaluate(theta, seen, memory)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(after, remembered)


def test_critics_of_the_same_shape_compile_to_the_same_program():
    assert tabular_critic(5) == tabular_critic(5) != tabular_critic(4)
    first = network_critic(Discrete(5), hidden=[16])
    assert first == network_critic(Discrete(5), hidden=(16,)) and hash(first) == hash(network_critic(Discrete(5)))
    assert first != network_critic(Discrete(6)) and first != network_critic(Discrete(5), recurrent="gru")
    assert first != network(Discrete(5), Discrete(1)) and isinstance(first, Critic)


@pytest.mark.parametrize("game", ["coin_game", pytest.param("ipd", marks=pytest.mark.slow)])
def test_critics_look_at_what_was_played(game):
    env = envs.make(game, flat=False) if game == "coin_game" else envs.make(game)
    space = env.observation_space
    actions = env.action_space
    policies = (tabular(5),) * 2 if game == "ipd" else (network(space, actions, hidden=()),) * 2
    thetas = tuple(policy.init(jax.random.key(0), jnp.float32(1)) for policy in policies)
    critics = [network_critic(space, hidden=(3,), recurrent=recurrent, units=2) for recurrent in (None, "gru")]
    critics += [tabular_critic(5)] if game == "ipd" else [network_critic(space, "conv", (), (2,))]
    phis = [drawn(critic) for critic in critics]

    @quickly
    def look(thetas, key):
        seen = rollout(env, policies, thetas, key, steps=4, batch=3).observations[:, :, 1]
        return [
            values_over_time(critic.apply, critic.start, phi, seen) for critic, phi in zip(critics, phis, strict=True)
        ]

    for values in look(thetas, jax.random.key(1)):
        assert values.shape == (4, 3) and np.all(np.isfinite(values)) and np.ptp(values) > 0
