"""The public goods game: payoffs by hand, dominance by enumeration, punishment point by point."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.public_goods import dominant_contribution, optimal_contribution, payoffs, punishment_payoffs
from tests.compiling import quickly


def start(env):
    return env.reset(jax.random.key(0), env.default_params)[1]


def step(env, state, actions):
    return env.step(jax.random.key(0), state, actions, env.default_params)


def by_hand(contributions, endowment, factor):
    return np.array([endowment - g + factor * sum(contributions) / len(contributions) for g in contributions])


def test_a_round_pays_what_is_kept_and_a_share_of_what_is_multiplied(x64):
    env = envs.make("public_goods")
    actions = jnp.asarray([[0.0], [0.5], [1.0], [1.0]])
    obs, _, rewards, _, _, info = step(env, start(env), actions)
    # 50 are contributed, 80 shared: 20 each.
    np.testing.assert_allclose(rewards, [40, 30, 20, 20], rtol=1e-14)
    np.testing.assert_allclose(info["contributed"], [0, 10, 20, 20])
    np.testing.assert_allclose(obs[1], [1, 0.5, 0, 1, 1])


@pytest.mark.parametrize(("factor", "best"), [(0.5, 0.0), (1.6, 0.0), (2.9, 0.0), (3.1, 20.0)])
def test_to_contribute_nothing_is_dominant_exactly_where_the_factor_is_below_the_players(factor, best, x64):
    n = 3
    params = envs.make("public_goods", num_players=n, factor=factor).default_params
    grid = np.linspace(0, 20, 9)
    for others in product(grid, repeat=n - 1):
        own = [by_hand([g, *others], 20.0, factor)[0] for g in grid]
        assert grid[int(np.argmax(own))] == best
    np.testing.assert_allclose(dominant_contribution(params, n), best)
    contributions = jnp.asarray([3.0, 7.0, 11.0])
    slopes = np.diagonal(quickly(jax.jacobian(payoffs))(contributions, params))
    np.testing.assert_allclose(slopes, factor / n - 1, rtol=1e-12)


@pytest.mark.parametrize("factor", [0.5, 1.6, 3.1])
def test_the_sum_of_payoffs_is_largest_where_all_contribute_as_the_closed_form_says(factor, x64):
    params = envs.make("public_goods", num_players=3, factor=factor).default_params
    grid = np.linspace(0, 20, 6)
    sums = {joint: by_hand(joint, 20.0, factor).sum() for joint in product(grid, repeat=3)}
    best = max(sums, key=lambda joint: sums[joint])
    np.testing.assert_allclose(optimal_contribution(params), best[0])
    np.testing.assert_allclose(jnp.sum(payoffs(jnp.asarray(best), params)), sums[best])


def test_discrete_contributions_are_equal_steps_from_nothing_to_all(x64):
    env = envs.make("public_goods", contributions="discrete", levels=5, num_players=5)
    assert env.action_space.num_values == 5
    _, _, rewards, *_, info = step(env, start(env), jnp.arange(5))
    np.testing.assert_allclose(info["contributed"], [0, 5, 10, 15, 20])
    np.testing.assert_allclose(rewards, by_hand([0, 5, 10, 15, 20], 20, 1.6), rtol=1e-14)


def test_a_round_with_punishment_has_two_steps_and_a_point_costs_one_and_three(x64):
    env = envs.make("public_goods", num_players=3, punishment=True, factor=1.5, horizon=4)
    state = start(env)
    contributed = jnp.asarray([[1.0, 0.9, 0.9], [1.0, 0.9, 0.9], [0.0, 0.9, 0.9]])
    obs, state, rewards, _, truncated, info = step(env, state, contributed)
    np.testing.assert_allclose(rewards, [20, 20, 40], rtol=1e-14)
    assert not np.any(info["points"]) and not truncated
    np.testing.assert_allclose(obs[2], [1, 0, 1, 1, 1, 0, 0, 0])
    # Player 0 gives player 2 five points, player 1 gives player 0 one and player 2 ten, player 2 gives player 1 two.
    punished = jnp.asarray([[0.7, 0.0, 0.5], [0.7, 0.1, 1.0], [0.7, 0.0, 0.2]])
    obs, state, rewards, _, truncated, info = step(env, state, punished)
    np.testing.assert_allclose(info["points"], [[0, 0, 5], [1, 0, 10], [0, 2, 0]], rtol=1e-6)
    np.testing.assert_allclose(rewards, [-5 - 3, -11 - 6, -2 - 45], rtol=1e-6)
    np.testing.assert_allclose(info["contributed"], 0)
    np.testing.assert_allclose(obs[0], [1, 1, 1, 0, 0, 1 / 20, 2 / 20, 15 / 20], rtol=1e-6)
    assert not truncated and not state.punishing
    obs, state, *_ = step(env, state, contributed)
    np.testing.assert_allclose(obs[0, -3:], [1 / 20, 2 / 20, 15 / 20], rtol=1e-6)  # remembered until the next
    *_, truncated, _ = step(env, state, punished)
    assert truncated


def test_punishment_payoffs_are_costs_of_giving_and_harm_of_receiving():
    params = envs.make("public_goods", cost=2.0, harm=5.0).default_params
    points = jnp.asarray([[0.0, 1.0], [3.0, 0.0]])
    np.testing.assert_allclose(punishment_payoffs(points, params), [-2 - 15, -6 - 5])


def test_discrete_punishments_are_digits_the_lowest_other_seat_first():
    env = envs.make("public_goods", contributions="discrete", num_players=3, punishment=True, punishment_levels=3)
    assert env.action_space.num_values == 9
    _, state, *_ = step(env, start(env), jnp.asarray([0, 1, 1]))
    *_, info = step(env, state, jnp.asarray([5, 0, 7]))  # 5 = 1 2, 7 = 2 1 to the base 3
    np.testing.assert_allclose(info["points"], [[0, 5, 10], [0, 0, 0], [10, 5, 0]])


def test_an_action_that_a_step_does_not_have_does_nothing():
    env = envs.make("public_goods", contributions="discrete", num_players=3, punishment=True, punishment_levels=2)
    assert env.action_space.num_values == 4  # two levels of contributions
    _, state, rewards, *_, info = step(env, start(env), jnp.asarray([2, 3, 1]))
    np.testing.assert_allclose(info["contributed"], [0, 0, 20])
    env = envs.make("public_goods", contributions="discrete", num_players=2, punishment=True, levels=4)
    assert env.action_space.num_values == 4  # two levels of punishment
    _, state, *_ = step(env, start(env), jnp.asarray([3, 3]))
    *_, info = step(env, state, jnp.asarray([3, 1]))
    np.testing.assert_allclose(info["points"], [[0, 0], [10, 0]])


def test_counts_are_sums_over_rounds_whatever_their_steps():
    env = envs.make("public_goods", num_players=2, punishment=True, horizon=6)
    params = env.default_params
    state, counts = start(env), env.start_counts()
    play = jax.jit(env.step)
    for _ in range(3):
        for actions in ([[1.0, 0.0], [0.5, 0.0]], [[0.0, 0.0], [0.0, 0.4]]):
            before = state
            _, state, rewards, _, ended, info = play(jax.random.key(0), state, jnp.asarray(actions), params)
            counts = env.count(counts, before, jnp.asarray(actions), rewards, ended, info)
    assert int(counts["rounds"]) == 3
    np.testing.assert_allclose(counts["contributed"] / 3, [20, 10])
    np.testing.assert_allclose(counts["points_given"] / 3, [0, 4], rtol=1e-6)
    np.testing.assert_allclose(counts["points_received"] / 3, [4, 0], rtol=1e-6)
    np.testing.assert_allclose(counts["payoffs"] / 3, [24 - 12, 34 - 4], rtol=1e-6)


def test_factors_are_mapped_over():
    env = envs.make("public_goods", num_players=2)
    base = env.default_params
    many = jax.vmap(lambda factor: base.replace(factor=factor))(jnp.asarray([1.0, 1.5]))
    actions = jnp.asarray([[1.0], [0.0]])
    one = jax.jit(jax.vmap(lambda params: env.step(jax.random.key(0), start(env), actions, params)[2]))
    np.testing.assert_allclose(one(many), [[10, 30], [15, 35]])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_players": 9}, "num_players is 9; allowed: an integer from 2 to 8"),
        ({"contributions": "binary"}, "contributions is 'binary'; allowed: continuous, discrete"),
        ({"punishment": 1}, "punishment is 1; allowed: False, True"),
        ({"levels": 1}, "levels is 1; allowed: an integer from 2 to 4096"),
        ({"punishment_levels": 1}, "punishment_levels is 1; allowed: an integer from 2 to 4096"),
        (
            {"contributions": "discrete", "punishment": True, "punishment_levels": 17},
            "punishment_levels is 17; allowed: at most 4096 actions, punishment_levels^3 with 4 players "
            "(or contributions continuous)",
        ),
        ({"endowment": 0}, "endowment is 0; allowed: a finite number of 1e-06 or more"),
        ({"factor": -1}, "factor is -1; allowed: a finite number of 0 or more"),
        ({"cost": float("nan")}, "cost is nan; allowed: a finite number of 0 or more"),
        ({"horizon": 2.5}, "horizon is 2.5; allowed: an integer from 1 to 2147483646"),
        (
            {"horizon": 7, "punishment": True},
            "horizon is 7; allowed: an even number with punishment, two steps per round",
        ),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_with_what_is_allowed(wrong, message):
    with pytest.raises(ValueError) as refused:
        envs.make("public_goods", **wrong)
    assert str(refused.value) == message
