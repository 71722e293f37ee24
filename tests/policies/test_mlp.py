"""A network as a policy: its features, initial parameters, and that play, objective and record see the same policy."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.config.errors import ConfigError
from shaping.learners.initial_parameters import fan_in, initial_parameters, uniform
from shaping.policies import mlp, preconditioned, tabular


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


@pytest.mark.parametrize(("players", "hidden"), [(2, (16,)), (3, (4, 5))])
def test_logits_are_those_of_tanh_layers_over_one_hot_actions_of_the_own_view(players, hidden):
    """Of each player, the own one first: whether it defected, cooperated or has not acted yet."""
    policy = mlp(players, hidden)
    theta = jax.tree.map(np.asarray, policy.init(jax.random.key(0), jnp.float32(1)))
    found = policy.table(jax.tree.map(jnp.asarray, theta))
    one_hot = {"defected": [1, 0, 0], "cooperated": [0, 1, 0], "start": [0, 0, 1]}
    states = [["start"] * players]
    states += [["cooperated" if letter == "C" else "defected" for letter in s] for s in product("CD", repeat=players)]
    for state, expected in zip(states, found, strict=True):
        x = np.concatenate([one_hot[did] for did in state])
        for layer in range(len(hidden)):
            x = np.tanh(x @ theta[f"Dense_{layer}"]["kernel"] + theta[f"Dense_{layer}"]["bias"])
        last = theta[f"Dense_{len(hidden)}"]
        np.testing.assert_allclose((x @ last["kernel"] + last["bias"])[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("players", [2, 3])
def test_what_it_does_in_each_state_is_what_its_table_says(players):
    policy = mlp(players)
    theta = policy.init(jax.random.key(1), jnp.float32(2))
    for state, logit in enumerate(policy.table(theta)):
        distribution, _ = policy.apply(theta, jnp.asarray(state), policy.start(()))
        np.testing.assert_allclose(distribution.probs[0], sigmoid(logit), rtol=1e-5)


def test_sixteen_units_for_two_players_are_129_parameters():
    theta = mlp(2).init(jax.random.key(0), jnp.float32(1))
    shapes = {layer: {name: leaf.shape for name, leaf in parts.items()} for layer, parts in theta.items()}
    assert shapes == {"Dense_0": {"kernel": (6, 16), "bias": (16,)}, "Dense_1": {"kernel": (16, 1), "bias": (1,)}}
    assert sum(leaf.size for leaf in jax.tree.leaves(theta)) == 129


def layers(initial):
    """Every number of each layer over many draws of initial parameters, by layer."""
    policy = mlp(2, (16,))
    keys = jax.random.split(jax.random.key(3), 200)
    objective = shaping.from_returns(lambda thetas: thetas)
    drawn = jax.vmap(lambda key: initial_parameters(initial, key, (policy,) * 2, 1, objective, jnp.float32))(keys)
    return {layer: np.concatenate([np.ravel(leaf) for leaf in parts.values()]) for layer, parts in drawn.items()}


def test_a_fan_in_start_is_uniform_between_plus_and_minus_scale_over_root_inputs():
    for layer, inputs in (("Dense_0", 6), ("Dense_1", 16)):
        drawn, bound = layers(fan_in(3.0))[layer], 3 / np.sqrt(inputs)
        assert bound * 0.99 < np.abs(drawn).max() <= bound * 1.000001
        np.testing.assert_allclose(drawn.std(), bound / np.sqrt(3), rtol=0.03)
        np.testing.assert_allclose(drawn.mean(), 0, atol=0.03 * bound)


def test_a_uniform_start_has_one_width_for_all_layers():
    for drawn in layers(uniform(0.5)).values():
        assert 0.495 < np.abs(drawn).max() <= 0.5
        np.testing.assert_allclose(drawn.std(), 0.5 / np.sqrt(3), rtol=0.03)


def test_networks_of_the_same_shape_compile_to_the_same_program():
    assert mlp(2, [16]) == mlp(2, (16,)) != mlp(2, (8,))
    assert mlp(2) != mlp(3)


def test_train_takes_a_policy_and_its_record_has_the_policy_of_theta():
    policy = mlp(2, (4,))
    population = shaping.train(envs.make("ipd", horizon=2), shaping.naive(), matches=3, updates=4, policy=policy)
    assert population.theta_final.dims == ("match", "player", "parameter")
    assert population.theta_final.shape == (3, 2, 33)
    assert population.state.values.tolist() == ["start", "CC", "CD", "DC", "DD"]
    assert np.ptp(population.value.isel(update=-1).values) > 0


def test_train_gives_longer_memories_the_labels_of_their_histories():
    population = shaping.train(
        envs.make("ipd", horizon=2), shaping.naive(), matches=2, updates=2, policy=tabular(21, 2)
    )
    labels = population.state.values.tolist()
    assert labels[:6] == ["start", "CC", "CD", "DC", "DD", "CC CC"] and labels[-1] == "DD DD" and len(labels) == 21
    np.testing.assert_allclose(population.policy, sigmoid(population.theta_final), rtol=1e-5)


def test_train_records_fewer_parameters_than_states_as_parameters():
    policy = preconditioned(np.ones((5, 1)))
    population = shaping.train(envs.make("ipd", horizon=2), shaping.naive(), matches=2, updates=2, policy=policy)
    assert population.theta_final.dims == ("match", "player", "parameter")
    assert population.theta_final.shape == (2, 2, 1)


@pytest.mark.parametrize(
    ("game", "policy", "reason"),
    [
        (envs.make("ipd"), tabular(4), r"policy: a policy has logits of shape \[4\]; the game has 5 states"),
        (envs.make("contribution", num_players=3), mlp(2), "the game has 9 states"),
        (shaping.analytic_game("tandem"), tabular(1), "only matrix games take one"),
    ],
)
def test_train_refuses_a_policy_that_does_not_fit_the_game(game, policy, reason):
    with pytest.raises(ConfigError, match=reason):
        shaping.train(game, shaping.naive(), matches=1, updates=1, policy=policy)


LOADED = {
    "mlp": ({"kind": "mlp", "hidden": [3, 2]}, "ipd", 32),
    "mlp of three players": ({"kind": "mlp", "hidden": [2]}, "contribution", 23),
    "memory 2": ({"kind": "tabular", "memory": 2}, "ipd", None),
    "tabular": ({"kind": "tabular"}, "ipd", None),
    "preconditioned": ({"kind": "preconditioned", "matrix": np.triu(np.ones((5, 5))).tolist()}, "ipd", None),
}
GAMES = {"ipd": {"name": "ipd", "horizon": 2}, "contribution": {"name": "contribution", "num_players": 3, "horizon": 2}}


@pytest.mark.parametrize(
    "name",
    # Tables of either kind come back in tests/test_experiment.py and tests/policies/test_preconditioned.py too.
    [pytest.param(name, marks=() if name in ("mlp", "memory 2") else pytest.mark.slow) for name in LOADED],
)
def test_a_run_gives_back_policies_whose_table_is_the_recorded_policy(tmp_path, without_pictures, name):
    policy, game, parameters = LOADED[name]
    raw = {"policy": policy, "game": GAMES[game], "matches": 3, "updates": 3}
    loaded, match = shaping.load(shaping.run(raw, tmp_path / "run")), 2
    record = loaded.record.isel(match=match).load()
    first, last = record.theta_initial.values, record.theta_final.values
    assert np.any((first != last) & np.isfinite(last))
    found = loaded.policies(match)
    assert len(found) == (2 if game == "ipd" else 3)
    for seat, (rebuilt, theta) in enumerate(found):
        logits = np.asarray(rebuilt.table(theta))
        np.testing.assert_allclose(sigmoid(logits), record.policy.values[seat, : len(logits)], rtol=1e-5)
        numbers = np.isfinite(last[seat]).sum()
        assert numbers == (len(logits) if parameters is None else parameters) == rebuilt.num_parameters
