"""Gift against its closed forms, and what makes it a dilemma."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.gift.game import everybody_gives, nobody_gives

SETTINGS = [
    pytest.param(n, recipients, marks=[pytest.mark.slow] * (n == 2))
    for n in (2, 3, 5)
    for recipients in ("chosen", "next")
]
KEY = jax.random.key(0)


def episode(env, actions, params=None):
    """The same actions at every step until the end: returns [players], steps, the last state, and the counts."""
    params = env.default_params if params is None else params
    step, actions = jax.jit(env.step), jnp.asarray(actions, jnp.int32)
    (_, state), counts, ended, returns, steps = env.reset(KEY, params), env.start_counts(), False, 0, 0
    while not ended:
        before = state
        _, state, rewards, terminated, truncated, info = step(KEY, before, actions, params)
        ended, returns, steps = bool(terminated | truncated), returns + rewards, steps + 1
        counts = env.count(counts, before, actions, rewards, truncated, info)
    return np.asarray(returns), steps, state, counts


def in_a_circle(env):
    """For each seat the action that gives to the next one."""
    n = env.num_players
    if env.recipients == "next":
        return [1] * n
    return [sorted(set(range(n)) - {i}).index((i + 1) % n) + 1 for i in range(n)]


def rewards_of(env, actions):
    _, state = env.reset(KEY, env.default_params)
    return np.asarray(env.step(KEY, state, jnp.asarray(actions, jnp.int32), env.default_params)[2])


@pytest.mark.parametrize("num_players, recipients", SETTINGS)
@pytest.mark.parametrize("factor, horizon", [(2.0, 7), (3.5, 1)])
def test_where_all_give_or_none_does_returns_are_those_of_the_closed_forms(num_players, recipients, factor, horizon):
    env = envs.make("gift", num_players=num_players, recipients=recipients, factor=factor, horizon=horizon)
    for actions, closed in ((in_a_circle(env), everybody_gives), ([0] * num_players, nobody_gives)):
        returns, steps, _, counts = episode(env, actions)
        assert steps == horizon
        np.testing.assert_allclose(returns, np.full(num_players, closed(env.default_params, horizon)))
        found = env.metrics(counts)
        np.testing.assert_allclose(found["gifts"], float(closed is everybody_gives))
        np.testing.assert_allclose(found["received"], float(closed is everybody_gives))
        np.testing.assert_allclose(found["welfare"], returns.sum() / horizon)


@pytest.mark.parametrize("num_players, recipients", [(2, "next"), (3, "chosen"), (4, "next")])
def test_it_is_a_social_dilemma(num_players, recipients):
    """Whatever the others do, every gift costs its giver; and everybody is better off where everybody gives."""
    env = envs.make("gift", num_players=num_players, recipients=recipients)
    choices = range(env.action_space.num_values)
    for actions in product(choices, repeat=num_players):
        now = rewards_of(env, actions)
        for player, action in enumerate(actions):
            if action:
                kept = rewards_of(env, [*actions[:player], 0, *actions[player + 1 :]])
                assert kept[player] > now[player] and kept.sum() < now.sum()
    assert (rewards_of(env, in_a_circle(env)) > rewards_of(env, [0] * num_players)).all()


def test_two_players_play_the_donation_game():
    env = envs.make("gift")
    np.testing.assert_allclose(
        [rewards_of(env, a) for a in product((1, 0), repeat=2)], [[2, 2], [0, 3], [3, 0], [1, 1]]
    )


def test_a_gift_goes_to_the_player_chosen_and_is_doubled_there():
    env = envs.make("gift", num_players=4)
    # Others by ascending seat: of player 2 they are 0, 1 and 3.
    for action, receiver in ((1, 0), (2, 1), (3, 3)):
        expected = np.ones(4)
        expected[2], expected[receiver] = 0, 3
        np.testing.assert_allclose(rewards_of(env, [0, 0, action, 0]), expected)
    np.testing.assert_allclose(rewards_of(env, [3, 3, 3, 0]), [0, 0, 0, 7])


def test_everybody_sees_who_gave_to_whom_with_oneself_first():
    env = envs.make("gift", num_players=3)
    obs, state = env.reset(KEY, env.default_params)
    np.testing.assert_array_equal(obs, np.zeros((3, 10)))
    obs, *_ = env.step(KEY, state, jnp.array([2, 0, 1], jnp.int32), env.default_params)
    gifts = np.zeros((3, 3))
    gifts[0, 2] = gifts[2, 0] = 1
    for player, order in enumerate(([0, 1, 2], [1, 0, 2], [2, 0, 1])):
        np.testing.assert_array_equal(obs[player], [1, *gifts[order][:, order].ravel()])


def test_the_text_says_who_gave_to_whom():
    env = envs.make("gift", num_players=3, horizon=1)
    _, state = env.reset(KEY, env.default_params)
    assert env.text(state, env.default_params) == "step 0: start"
    assert env.text(episode(env, [2, 0, 1])[2], env.default_params) == "step 1: 0 to 2, 1 keeps, 2 to 0"


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_players": 1}, "num_players is 1; allowed: an integer from 2 to 8"),
        ({"recipients": "all"}, "recipients is 'all'; allowed: chosen, next"),
        ({"factor": -1}, "factor is -1; allowed: a finite number of 0 or more"),
        ({"horizon": 0}, "horizon is 0; allowed: an integer from 1 to 2147483646"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(settings, message):
    with pytest.raises(ValueError) as refused:
        envs.make("gift", **settings)
    assert str(refused.value) == message
