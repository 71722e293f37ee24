"""The referential game: who sees what, who wins, and its optimum against all codes."""

from itertools import combinations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.referential.game import best_information, best_success


def success_of(code, candidates):
    """How often a listener is right that knows the code and picks among the candidates that fit, by enumeration."""
    objects = range(len(code))
    draws = list(combinations(objects, candidates))
    return np.mean([len({code[x] for x in drawn}) / candidates for drawn in draws])


def information_of(code):
    shares = np.bincount(code) / len(code)
    shares = shares[shares > 0]
    return -np.sum(shares * np.log(shares))


@pytest.mark.parametrize(("objects", "messages"), [(4, 4), (4, 3), (5, 2), (3, 4)])
def test_no_code_does_better_than_the_closed_form(objects, messages):
    codes = list(product(range(messages), repeat=objects))
    for candidates in range(2, objects + 1):
        best = max(success_of(code, candidates) for code in codes)
        assert np.isclose(best_success(objects, messages, candidates), best)
    assert np.isclose(best_success(objects, messages), best_success(objects, messages, objects))
    assert np.isclose(best_information(objects, messages), max(information_of(code) for code in codes))


def test_the_speaker_sees_the_object_and_the_listener_wins_both_the_reward():
    env = envs.make("referential", attributes=2, values=3, reward=2.0, horizon=3)
    params = env.default_params
    obs, state = env.reset(jax.random.key(3), params)
    shown = int(obs[0])
    assert obs.tolist() == [int(state.place), 9] and env.observation_space.num_values == 10
    for time in range(3):
        picks = jnp.asarray([0, shown if time == 2 else 0])
        assert env.acting(state).tolist() == [False, time == 2]
        obs, state, rewards, terminated, truncated, info = env.step(jax.random.key(time), state, picks, params)
        assert rewards.tolist() == ([2, 2] if time == 2 else [0, 0])
        assert bool(terminated) == (time == 2) and not truncated
        assert info["object"].tolist() == [shown, -1]
    assert env.text(state, params) == f"step 3: object {divmod(shown, 3)}, picked {divmod(shown, 3)}"


def test_candidates_differ_are_seen_by_the_listener_alone_and_hold_the_object():
    env = envs.make("referential", attributes=2, values=3, candidates=4)
    params = env.default_params
    seen, states = jax.vmap(lambda key: env.reset(key, params))(jax.random.split(jax.random.key(0), 500))
    candidates, places = np.asarray(states.candidates), np.asarray(states.place)
    assert all(len(set(row)) == 4 for row in candidates.tolist())
    objects = candidates[np.arange(500), places]
    # Places and objects are drawn evenly: within five standard errors.
    for drawn, count in ((places, 4), (objects, 9)):
        spread = 5 * np.sqrt(500 / count * (1 - 1 / count))
        assert np.all(np.abs(np.bincount(drawn, minlength=count) - 500 / count) < spread)
    vectors = np.eye(3)[env.objects].reshape(9, 6)
    np.testing.assert_array_equal(seen[:, 0, :6], vectors[objects])
    np.testing.assert_array_equal(seen[:, 1, 6:], vectors[candidates].reshape(500, -1))
    assert not np.any(seen[:, 0, 6:]) and not np.any(seen[:, 1, :6])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attributes": 0}, "attributes is 0; allowed: an integer from 1 to 12"),
        (
            {"attributes": 12, "values": 3},
            "values is 3; allowed: at most 4096 objects, here 3^12",
        ),
        ({"candidates": 5}, "candidates is 5; allowed: an integer from 2 to 4"),
        ({"view": "words"}, "view is 'words'; allowed: object, attributes"),
        ({"horizon": 1}, "horizon is 1; allowed: an integer from 2 to 2147483646"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_in_one_line(settings, message):
    with pytest.raises(ValueError) as refused:
        envs.make("referential", **settings)
    assert str(refused.value) == message
