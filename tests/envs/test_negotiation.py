"""The negotiation game: splits and payoffs by hand, who draws what, dominance and efficiency by enumeration."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.negotiation import cooperative_proposals, efficient_welfare, shares, utilities
from tests.compiling import quickly


def state_of(values, quantities=None, dtype=float):
    values = jnp.asarray(values, dtype=dtype)
    quantities = jnp.ones(values.shape[1], dtype) if quantities is None else jnp.asarray(quantities, dtype=dtype)
    return envs.NegotiationState(values, quantities, jnp.zeros_like(values), jnp.int32(0))


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        # Asked: 0.2 and 0.3, together less than all; 1 and 0.6; nothing; 0 and 0.5.
        ("divide_when_above", [[0.2, 1 / 1.6, 0, 0], [0.3, 0.6 / 1.6, 0, 0.5]]),
        ("proportional", [[0.4, 1 / 1.6, 0, 0], [0.6, 0.6 / 1.6, 0, 1]]),
    ],
)
def test_parts_follow_from_proposals_as_stated(split, expected):
    proposals = jnp.asarray([[0.2, 1.0, 0.0, 0.0], [0.3, 0.6, 0.0, 0.5]])
    np.testing.assert_allclose(shares(proposals, split), expected, rtol=1e-6)
    slopes = quickly(jax.jacobian(lambda asked: shares(asked, split)))(proposals)
    assert np.all(np.isfinite(slopes))


def test_a_round_pays_parts_times_quantities_times_values_over_the_most(x64):
    env = envs.make("negotiation", max_quantity=4)
    state = state_of([[5, 1, 5], [1, 5, 1]], [4, 1, 2])
    actions = jnp.asarray([[1.0, 0.0, 0.5], [0.5, 0.9, 1.0]])
    _, after, rewards, *_, info = env.step(jax.random.key(0), state, actions, env.default_params)
    # Parts 2/3, 0, 1/3 and 1/3, 0.9, 2/3; divided by 3 items x 5.
    np.testing.assert_allclose(rewards[0], (5 * 4 * 2 / 3 + 5 * 2 / 3) / 15, rtol=1e-12)
    np.testing.assert_allclose(rewards[1], (1 * 4 / 3 + 5 * 0.9 + 1 * 2 * 2 / 3) / 15, rtol=1e-12)
    np.testing.assert_allclose(info["efficient_welfare"], (20 + 5 + 10) / 15, rtol=1e-12)
    np.testing.assert_allclose(after.proposals, actions)


@pytest.mark.parametrize("split", ["divide_when_above", "proportional"])
def test_to_ask_for_all_is_dominant(split, x64):
    params = envs.make("negotiation").default_params
    values = jnp.asarray([[5.0, 1.0], [1.0, 5.0]])
    grid = np.linspace(0, 1, 6)
    one = jax.jit(jax.vmap(lambda asked: utilities(shares(asked, split), values, jnp.ones(2), params)[0]))
    everything = [list(pair) for pair in product(grid, repeat=2)]
    for other in everything:
        paid = np.asarray(one(jnp.asarray([[own, other] for own in everything])))
        assert paid[-1] >= paid.max() - 1e-12


@pytest.mark.parametrize("n", [2, 3])
def test_asking_only_for_what_one_values_most_is_efficient_among_all_allocations(n, x64):
    params = envs.make("negotiation").default_params
    values = jnp.asarray(np.random.default_rng(n).permutation(n * 3).reshape(n, 3) + 1.0)
    quantities = jnp.asarray([2.0, 1.0, 3.0])
    best = max(
        sum(float(values[owner, item] * quantities[item]) for item, owner in enumerate(owners))
        for owners in product(range(n), repeat=3)
    )
    for split in ("divide_when_above", "proportional"):
        paid = utilities(shares(cooperative_proposals(values), split), values, quantities, params)
        np.testing.assert_allclose(jnp.sum(paid), best / 15, rtol=1e-12)
    np.testing.assert_allclose(efficient_welfare(values, quantities, params), best / 15, rtol=1e-12)


@pytest.mark.parametrize(
    ("greedy", "expected"),
    # By hand: half the items are one's own. Two cooperators get 1.5 x 5 / 15; two that ask for all half of
    # 3 x 3 / 15; one of them against a cooperator (1.5 x 5 + 1.5 x 1 / 2) / 15, which leaves 1.5 x 5 / 2 / 15.
    [((False, False), (0.5, 0.5)), ((True, True), (0.3, 0.3)), ((True, False), (0.55, 0.25))],
    ids=str,
)
def test_cooperators_and_greedy_players_earn_the_four_payoffs_of_a_prisoner_s_dilemma(greedy, expected):
    env = envs.make("negotiation", horizon=10**6)
    params = env.default_params

    @jax.jit
    def play(key):
        def step(state, key):
            asked = cooperative_proposals(state.values)
            asked = jnp.where(jnp.asarray(greedy)[:, None], 1.0, asked)
            _, state, rewards, *_ = env.step(key, state, asked, params)
            return state, rewards

        first, rest = jax.random.split(key)
        return jax.lax.scan(step, env.reset(first, params)[1], jax.random.split(rest, 20000))[1]

    # The standard deviation of a round is below 0.3.
    np.testing.assert_allclose(play(jax.random.key(0)).mean(0), expected, atol=4 * 0.3 / np.sqrt(20000))


@pytest.mark.parametrize("n", [2, 3])
def test_high_contrast_values_have_one_uniform_owner_an_item(n):
    env = envs.make("negotiation", num_players=n, low=1, high=5)
    keys = jax.random.split(jax.random.key(0), 5000)
    state = jax.jit(jax.vmap(lambda key: env.reset(key, env.default_params)[1]))(keys)
    values = np.asarray(state.values)
    assert np.all((values == 1).sum(1) == n - 1) and np.all((values == 5).sum(1) == 1)
    assert np.all(np.asarray(state.quantities) == 1)
    owner = values.argmax(1)
    np.testing.assert_allclose((owner[..., None] == np.arange(n)).mean(0), 1 / n, atol=0.03)
    assert abs(np.corrcoef(owner[:, 0], owner[:, 1])[0, 1]) < 0.06


def test_uniform_values_and_quantities_are_uniform_and_independent():
    env = envs.make("negotiation", values="uniform", low=2, high=4, max_quantity=3, items=2)
    keys = jax.random.split(jax.random.key(0), 6000)
    state = jax.jit(jax.vmap(lambda key: env.reset(key, env.default_params)[1]))(keys)
    values, quantities = np.asarray(state.values), np.asarray(state.quantities)
    for possible, drawn in (((2, 3, 4), values), ((1, 2, 3), quantities)):
        assert set(np.unique(drawn)) == set(possible)
        np.testing.assert_allclose([(drawn == x).mean(0) for x in possible], 1 / 3, atol=0.03)
    columns = np.concatenate([values.reshape(6000, 4), quantities], axis=1)
    assert np.abs(np.corrcoef(columns.T) - np.eye(6)).max() < 0.06


def test_items_change_each_round_or_once_an_episode_as_set():
    actions = jnp.ones((2, 3))
    for redraw in (True, False):
        env = envs.make("negotiation", redraw=redraw)
        params = env.default_params
        _, state = env.reset(jax.random.key(0), params)
        seen = {np.asarray(state.values).tobytes()}
        for time in range(8):
            state = env.step(jax.random.key(time), state, actions, params)[1]
            seen.add(np.asarray(state.values).tobytes())
        assert (len(seen) > 1) == redraw


def test_public_views_hold_all_values_and_private_ones_only_the_own():
    state = state_of([[5, 1], [1, 5]], [1, 2], jnp.float32)
    actions = jnp.asarray([[0.1, 0.2], [0.3, 0.4]])
    for view, others in (("public", [1, 0.2]), ("private", [])):
        env = envs.make("negotiation", items=2, max_quantity=2, view=view, redraw=False)
        obs, *_, truncated, _ = env.step(jax.random.key(0), state, actions, env.default_params)
        np.testing.assert_allclose(obs[1], [1, 0.5, 1, 0.2, 1, *others, 0.3, 0.4, 0.1, 0.2], rtol=1e-6)
        assert obs.shape[1:] == env.observation_space.shape and not truncated
        np.testing.assert_allclose(env.observe(state, env.default_params)[:, 0], 0)


def test_sixteen_rounds_are_an_episode_and_counts_are_their_sums():
    env = envs.make("negotiation", redraw=False)
    params = env.default_params
    state = state_of([[5, 1, 1], [1, 5, 5]], dtype=jnp.float32)
    actions = jnp.asarray([[0.9, 0.3, 0.1], [1.0, 1.0, 0.5]])
    step, counts = jax.jit(env.step), env.start_counts()
    for time in range(16):
        before = state
        _, state, rewards, terminated, truncated, info = step(jax.random.key(0), state, actions, params)
        counts = env.count(counts, before, actions, rewards, truncated, info)
        assert not terminated and bool(truncated) == (time == 15)
    assert int(counts["steps"]) == 16
    np.testing.assert_allclose(counts["asked_own"] / counts["rounds_own"], [0.9, 0.75], rtol=1e-5)
    np.testing.assert_allclose(counts["asked_others"] / counts["rounds_others"], [0.2, 1.0], rtol=1e-5)
    np.testing.assert_allclose(counts["efficient_welfare"], 16, rtol=1e-5)
    np.testing.assert_allclose(counts["rewards"], 16 * np.asarray(rewards), rtol=1e-5)


@pytest.mark.parametrize("values", ["high_contrast", "uniform"])
def test_values_are_mapped_over(values):
    env = envs.make("negotiation", values=values, redraw=False)
    base = env.default_params
    many = jax.vmap(lambda high: base.replace(high=high))(jnp.asarray([2.0, 7.0]))
    drawn = jax.jit(jax.vmap(lambda p, key: env.reset(key, p)[1].values, (None, 0)))
    keys = jax.random.split(jax.random.key(0), 200)
    for i, high in enumerate((2.0, 7.0)):
        found = np.asarray(drawn(jax.tree.map(lambda leaf, i=i: leaf[i], many), keys))
        assert found.max() == high and found.min() == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_players": 1}, "num_players is 1; allowed: an integer from 2 to 8"),
        ({"items": 0}, "items is 0; allowed: an integer from 1 to 1000"),
        ({"split": "equal"}, "split is 'equal'; allowed: divide_when_above, proportional"),
        ({"values": "normal"}, "values is 'normal'; allowed: high_contrast, uniform"),
        ({"max_quantity": 0}, "max_quantity is 0; allowed: an integer from 1 to 1000"),
        ({"redraw": 1}, "redraw is 1; allowed: False, True"),
        ({"view": "own"}, "view is 'own'; allowed: public, private"),
        ({"low": -1}, "low is -1; allowed: a finite number of 0 or more"),
        ({"low": 2, "high": 1}, "high is 1; allowed: a finite number of 2 or more"),
        (
            {"values": "uniform", "high": 4.5},
            "high is 4.5; allowed: low, 1, plus an integer with values uniform",
        ),
        ({"horizon": -3}, "horizon is -3; allowed: an integer from 1 to 2147483646"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_with_what_is_allowed(wrong, message):
    with pytest.raises(ValueError) as refused:
        envs.make("negotiation", **wrong)
    assert str(refused.value) == message
