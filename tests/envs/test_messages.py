"""Cheap talk: only observations change, and players hear what was said one step before."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.messages.state import append, join, split
from shaping.envs.spaces import Box, Discrete

STEPS = 7
# name, settings, messages; discrete and continuous actions with discrete observations, vectors and planes.
GAMES = {
    "ipd": ({"horizon": 5}, 3),
    "three_players": ({"name": "contribution", "num_players": 3, "horizon": 4}, 2),
    "coin_game": ({"horizon": 4}, 4),
    "coin_game_int8": ({"name": "coin_game", "dtype": "int8", "horizon": 4}, 2),
    "coin_game_of_three": ({"name": "coin_game", "horizon": 4, "num_players": 3}, 2),
    "cournot": ({"noise": 0.5, "horizon": 4}, 2),
    "negotiation": ({"horizon": 4}, 1),
    "public_goods": ({"contributions": "discrete", "punishment": True, "horizon": 4}, 2),
}


# One of each kind of actions and observations, and one of three players.
SHORT = ("ipd", "three_players", "coin_game_int8", "cournot", "public_goods")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name not in SHORT)) for name in GAMES]
)
def games(request):
    """The game, the one with messages, the number of messages."""
    settings, messages = GAMES[request.param]
    settings = {"name": request.param, **settings}
    return envs.make(**settings), envs.make(messages=messages, **settings), messages


@pytest.fixture(scope="module")
def played(games):
    """STEPS steps of both with the same keys and actions, random messages in the second; leaves [time, ...]."""
    plain, talking, messages = games
    keys = jax.random.split(jax.random.key(1), STEPS)
    actions = plain.action_space.sample(jax.random.key(2), (STEPS, plain.num_players))
    if isinstance(plain.action_space, Discrete):
        said = jax.random.randint(jax.random.key(3), (STEPS, plain.num_players), 0, messages)
        joined = join(actions, said, messages)
    else:
        said = Box((messages,), plain.action_space.low, plain.action_space.high).sample(
            jax.random.key(3), (STEPS, plain.num_players)
        )
        joined = jax.vmap(append)(actions, said)

    def roll(env, actions):
        params = env.default_params
        first, state = env.reset(jax.random.key(0), params)

        def step(carry, inputs):
            state, counts = carry
            key, action = inputs
            obs, after, *rest, info = env.step(key, state, action, params)
            counts = env.count(counts, state, action, rest[0], rest[1] | rest[2], info)
            return (after, counts), (obs, after, rest, info)

        (_, counts), steps = jax.lax.scan(step, (state, env.start_counts()), (keys, actions))
        return first, steps, counts

    both = jax.jit(lambda: (roll(plain, actions), roll(talking, joined)))()
    return *jax.tree.map(np.asarray, both), np.asarray(said)


def assert_close(left, right):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), left, right)


def test_states_rewards_ends_infos_and_counts_are_those_without_messages(played):
    (_, (_, states, rest, info), counts), (_, (_, talking_states, talking_rest, talking_info), talking_counts), _ = (
        played
    )
    assert_close(states, talking_states.env)
    assert_close(rest, talking_rest)
    assert_close(info, {key: value for key, value in talking_info.items() if key in info})
    assert set(talking_info) - set(info) - {"topics"} == {"messages"}
    assert_close(counts, talking_counts.get("env", talking_counts))


def heard_by(player, said):
    """The messages of a step in the order of one player: its own, then the others' by ascending seat."""
    return [said[player], *(said[j] for j in range(len(said)) if j != player)]


def test_what_is_heard_is_exactly_what_was_said_one_step_before(games, played):
    plain, talking, messages = games
    (first, (obs, *_), _), (talking_first, (talking_obs, *_), _), said = played
    everything = [(first, talking_first, None), *zip(obs, talking_obs, said, strict=True)]
    n, space = plain.num_players, plain.observation_space
    for (seen, heard, said_before), player in product(everything, range(n)):
        order = None if said_before is None else heard_by(player, said_before)
        if isinstance(talking.observation_space, Discrete):
            number = int(seen[player])
            for k in range(n):
                number = number * (messages + 1) + (0 if order is None else 1 + int(order[k]))
            assert int(heard[player]) == number
            continue
        size = int(np.prod(space.shape))
        np.testing.assert_allclose(heard[player][:size], seen[player].reshape(-1), rtol=1e-6)
        told = heard[player][size:].reshape(n, messages)
        if order is None:
            assert not np.any(told)
        elif isinstance(plain.action_space, Discrete):
            np.testing.assert_array_equal(told, np.eye(messages)[np.array(order)])
        else:
            np.testing.assert_array_equal(told, np.array(order))


def test_observations_are_of_the_space_that_is_stated(games, played):
    _, talking, _ = games
    _, (first, (obs, *_), _), _ = played
    space = talking.observation_space
    for seen in (first, obs):
        assert seen.dtype == space.dtype
        assert seen.shape[-1 - len(space.shape) :] == (talking.num_players, *space.shape)
        low, high = (0, space.num_values - 1) if isinstance(space, Discrete) else (space.low, space.high)
        assert np.all(seen >= low) and np.all(seen <= high)


def test_an_episode_starts_with_silence_after_an_auto_reset_too():
    env = envs.make("coin_game", horizon=2, messages=3, auto_reset=True)
    params = env.default_params
    obs, state = env.reset(jax.random.key(0), params)
    step, ended = jax.jit(env.step), []
    for time in range(5):
        assert np.any(obs[:, -6:]) == (time % 2 == 1)
        obs, state, *_, info = step(jax.random.key(time), state, jnp.asarray([4, 11]), params)
        ended.append(bool(info["episode_ended"]))
        np.testing.assert_array_equal(info["messages"], [1, 2])
        np.testing.assert_array_equal(info["terminal_observation"][:, -6:], [[0, 1, 0, 0, 0, 1], [0, 0, 1, 0, 1, 0]])
    assert ended == [False, True, False, True, False]


def test_joint_numbers_are_taken_apart_into_what_they_were_joined_of():
    actions, messages = np.meshgrid(np.arange(5), np.arange(3))
    joined = join(jnp.asarray(actions), jnp.asarray(messages), 3)
    assert sorted(np.asarray(joined).reshape(-1).tolist()) == list(range(15))
    np.testing.assert_array_equal(split(joined, 3), [actions, messages])


def test_a_discrete_observation_and_continuous_actions_become_a_vector():
    class Signs(envs.Cournot):
        """A market in which only the sign of the price minus 5 is seen."""

        observation_space = Discrete(2)

        def observe(self, state, params):
            return jnp.full((self.num_players,), state.price > 5).astype(jnp.int32)

    env = envs.Messages(Signs(), 1)
    _, state = env.reset(jax.random.key(0), env.default_params)
    actions = append(jnp.asarray([[1.0], [2.0]]), jnp.asarray([[0.25], [0.75]]))
    obs, *_ = env.step(jax.random.key(0), state, actions, env.default_params)
    np.testing.assert_allclose(obs, [[0, 1, 0.25, 0.75], [0, 1, 0.75, 0.25]])
    assert env.observation_space.shape == (4,)


def test_text_says_what_was_said():
    env = envs.make("ipd", messages=3)
    _, state = env.reset(jax.random.key(0), env.default_params)
    assert env.text(state, env.default_params) == "step 0: start\nsaid: - -"
    _, state, *_ = env.step(
        jax.random.key(0), state, join(jnp.asarray([0, 1]), jnp.asarray([2, 0]), 3), env.default_params
    )
    assert env.text(state, env.default_params) == "step 1: CD\nsaid: 2 0"
    assert env.image(state, env.default_params).shape[-1] == 3


def test_no_messages_is_the_game_itself():
    assert envs.make("coin_game", messages=0) == envs.make("coin_game")
    assert isinstance(envs.make("ipd", messages=2, auto_reset=True).env, envs.Messages)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "ipd", "messages": -1}, "messages is -1; allowed: an integer of 0 or more"),
        (
            {"name": "ipd", "messages": {"words": 2}},
            "messages is {'words': 2}; allowed: an integer, or symbols and any of symbols, cost, before, memory",
        ),
        ({"name": "ipd", "messages": {"symbols": 0}}, "symbols is 0; allowed: an integer from 1 to 4096"),
        ({"name": "ipd", "messages": {"symbols": 2, "cost": -1}}, "cost is -1; allowed: a finite number of 0 or more"),
        ({"name": "ipd", "messages": {"symbols": 2, "before": -1}}, "before is -1; allowed: an integer from 0 to 1000"),
        ({"name": "ipd", "messages": True}, "messages is True; allowed: an integer of 0 or more"),
        ({"name": "cournot", "messages": 5000}, "symbols is 5000; allowed: an integer from 1 to 4096"),
        (
            {"name": "contribution", "num_players": 6, "messages": 60},
            "symbols is 60; allowed: fewer than 2^31 observations, here 65 x 51520374361 with 6 players",
        ),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_with_what_is_allowed(settings, message):
    with pytest.raises(ValueError) as refused:
        envs.make(**settings)
    assert str(refused.value) == message


def test_a_message_outside_of_the_vocabulary_is_refused():
    env = envs.make("ipd", messages=3)
    _, state = env.reset(jax.random.key(0), env.default_params)
    with pytest.raises(ValueError, match="^actions is .*; allowed: 0 to 5$"):
        env.step(jax.random.key(0), state, jnp.asarray([6, 0]), env.default_params)
