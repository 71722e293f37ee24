"""Noise of the Coin Game: how often an action is replaced by another, and for whom."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.compiling import quickly
from tests.envs.coin_rules import (
    GOES,
    N_KEYS,
    numbers,
    one_coin,
    place,
    play,
    step_many,
    strict,  # noqa: F401
)


@pytest.mark.parametrize(("stay", "num_actions"), [(False, 4), (True, 5)])
def test_a_uniformly_random_action_is_executed_with_the_noises_probability(stay, num_actions):
    env = one_coin(grid=5, noise=(0.3, 1.0), stay=stay)
    state = place(env, [(2, 2), (2, 2)], [(0, 0)])
    keys = jax.random.split(jax.random.key(5), N_KEYS)
    after = step_many(env, state, ["right", "up"], env.default_params, keys)[1]
    cells = np.asarray(after.players)
    places = [2 * 5 + 2 + 5 * down + right for down, right in list(GOES.values())[:num_actions]]
    executed = np.stack([[places.index(cell) for cell in row] for row in cells])
    frequencies = np.zeros((num_actions, num_actions))
    np.add.at(frequencies, (executed[:, 0], executed[:, 1]), 1 / len(executed))
    first = np.full(num_actions, 0.3 / num_actions)
    first[0] += 0.7
    expected = np.outer(first, np.full(num_actions, 1 / num_actions))
    errors = np.sqrt(expected * (1 - expected) / len(executed))
    assert np.all(np.abs(frequencies - expected) < 5 * errors)


def test_no_noise_is_the_same_whether_left_out_or_zero():
    state = place(one_coin(), [(1, 0), (1, 2)], [(1, 1)])
    without, zero = one_coin(), one_coin(noise=0)
    keys = jax.random.split(jax.random.key(5), 500)
    left, right = (step_many(env, state, ["right", "left"], env.default_params, keys) for env in (without, zero))
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_noise_may_differ_between_the_games_of_one_program():
    env = one_coin(grid=5, noise=0.5)
    state = place(env, [(2, 2), (2, 2)], [(0, 0)])
    noise = jnp.array([[0.0, 1.0], [1.0, 0.0]])

    def moved(noise):
        params = dataclasses.replace(env.default_params, noise=noise)
        keys = jax.random.split(jax.random.key(5), 400)
        return jax.vmap(lambda key: env.step(key, state, numbers(env, "right", "right"), params)[1].players)(keys)

    went_right = np.asarray(quickly(jax.vmap(moved))(noise)) == 2 * 5 + 3
    assert went_right[0, :, 0].all() and went_right[1, :, 1].all()
    assert 0.1 < went_right[0, :, 1].mean() < 0.4 and 0.1 < went_right[1, :, 0].mean() < 0.4


def test_noise_is_what_the_numbers_say_whatever_the_description():
    noisy, plain = one_coin(noise=0.1), one_coin()
    state = place(plain, [(0, 0), (0, 0)], [(1, 1)])
    for params in (noisy.default_params, plain.default_params):
        one, other = (play(env, state, "right", "right", params=params) for env in (noisy, plain))
        jax.tree.map(np.testing.assert_array_equal, one.state, other.state)
