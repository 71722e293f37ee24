"""JaxMARL's environments as ours: properties of every environment, and play as JaxMARL plays them."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.envs import adapters
from shaping.envs.spaces import Box, Discrete
from tests.compiling import quickly
from tests.envs.test_every_environment import (  # noqa: F401
    actions_of,
    strict,
    test_a_state_has_a_picture_and_a_text,
    test_actions_of_a_wrong_shape_dtype_or_value_are_refused_in_one_line,
    test_an_auto_reset_starts_anew_exactly_where_an_episode_ends_and_keeps_the_last_observation,
    test_an_episode_becomes_a_gif_of_as_many_frames,
    test_counts_are_of_a_fixed_shape_and_32_bits,
    test_jit_changes_nothing,
    test_observations_stay_within_their_specification_and_rewards_finite,
    test_vmap_is_a_loop_and_numbers_are_data,
    test_what_is_returned_is_what_is_seen_in_the_state,
)

jaxmarl = pytest.importorskip("jaxmarl", reason="needs JaxMARL: pip install 'shaping[peers]'")

# name in JaxMARL -> settings. Short episodes, so that the tests see their ends.
GAMES = {
    "coin_game": {"num_inner_steps": 5, "num_outer_steps": 3},
    "MPE_simple_spread_v3": {"max_steps": 12},
}
SPACES = {
    "coin_game": (2, Box((36,), 0.0, 1.0, "uint8"), Discrete(5)),
    "MPE_simple_spread_v3": (3, Box((18,), -np.inf, np.inf), Discrete(5)),
}


@cache
def made(name):
    """A game of JaxMARL and the same as ours."""
    theirs = jaxmarl.make(name, **GAMES[name])
    return theirs, adapters.from_jaxmarl(theirs)


@pytest.fixture(scope="module")
def small_env():
    """One of them, for what depends on the adapter and not on the game."""
    return made("MPE_simple_spread_v3")[1]


@pytest.fixture(scope="module")
def eager_env(small_env):
    return small_env


@pytest.fixture(scope="module", params=GAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def theirs(name):
    return made(name)[0]


@pytest.fixture(scope="module")
def env(name):
    return made(name)[1]


def test_players_and_spaces_are_those_of_jaxmarl(name, env, theirs):
    assert (env.num_players, env.observation_space, env.action_space) == SPACES[name]
    assert env.default_params == () and env.name == theirs.name


def test_shapes_and_types_are_those_of_the_specification(env):
    obs, state = env.reset(jax.random.key(0), ())
    after = env.step(jax.random.key(1), state, actions_of(env, jax.random.key(2)), ())
    for seen in (obs, after[0]):
        assert seen.shape == (env.num_players, *env.observation_space.shape)
        assert seen.dtype == env.observation_space.dtype
    _, state_after, rewards, terminated, truncated, info = after
    assert rewards.shape == (env.num_players,) and rewards.dtype == jnp.float32
    assert terminated.shape == truncated.shape == () and terminated.dtype == truncated.dtype == bool
    assert info["dones"].shape == (env.num_players,) and info["dones"].dtype == bool
    described = [jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), s) for s in (state, state_after)]
    assert described[0] == described[1]
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))


def test_the_description_is_hashable_and_equal_to_one_of_the_same_environment(env, theirs):
    assert adapters.from_jaxmarl(theirs) == env and hash(adapters.from_jaxmarl(theirs)) == hash(env)


def test_play_is_that_of_step_env_with_actions_by_agent_and_never_resets(name, env, theirs):
    key = jax.random.key(4)
    obs, state = env.reset(key, ())
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        _, their_state = theirs.reset(key)
        their_step = quickly(theirs.step_env)
    step = quickly(env.step)
    ended = []
    for time in range(16):
        now = jax.random.fold_in(key, time)
        actions = actions_of(env, now)
        obs, state, rewards, terminated, truncated, info = step(now, state, actions, ())
        by_agent = {agent: actions[seat] for seat, agent in enumerate(theirs.agents)}
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            their_obs, their_state, their_rewards, dones, _ = their_step(now, their_state, by_agent)
        for seat, agent in enumerate(theirs.agents):
            np.testing.assert_array_equal(obs[seat], their_obs[agent])
            np.testing.assert_array_equal(rewards[seat], their_rewards[agent])
            assert bool(info["dones"][seat]) == bool(dones[agent])
        jax.tree.map(np.testing.assert_array_equal, state.env, their_state)
        assert bool(terminated) == bool(dones["__all__"]) and not truncated
        ended.append(bool(terminated))
    # 3 inner episodes of 5 steps; JaxMARL's MPE counts the steps before the one that is played.
    assert ended.index(True) + 1 == {"coin_game": 15, "MPE_simple_spread_v3": 13}[name]


def test_players_keep_their_order_where_actions_differ():
    """JaxMARL's coin game takes actions by their place in the dictionary: each player must move by its own."""
    env = adapters.from_jaxmarl(jaxmarl.make("coin_game"))
    _, state = env.reset(jax.random.key(0), ())
    right, stay = 0, 4
    for actions, moved in (([right, stay], "red_pos"), ([stay, right], "blue_pos")):
        _, after, *_ = env.step(jax.random.key(1), state, jnp.array(actions, jnp.int32), ())
        for place in ("red_pos", "blue_pos"):
            before, now = np.asarray(getattr(state.env, place)), np.asarray(getattr(after.env, place))
            np.testing.assert_array_equal(now, (before + [0, 1]) % 3 if place == moved else before)


@pytest.mark.parametrize(
    ("which", "said"),
    [
        (
            "MPE_simple_tag_v3",
            "^observation space of agent_0 is Box.* and that of adversary_0 Box.*; allowed: the same",
        ),
        ("switch_riddle", "^observation space of agent_0 is MultiDiscrete; allowed: Discrete or Box$"),
        ("MPE_simple_speaker_listener_v4", "^observation space of listener_0 is .*; allowed: the same"),
    ],
)
def test_agents_that_see_or_do_different_things_are_refused_in_one_line(which, said):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs = jaxmarl.make(which)
    with pytest.raises(ValueError, match=said) as refusal:
        adapters.from_jaxmarl(theirs)
    assert "\n" not in str(refusal.value)


def test_observations_that_are_dictionaries_are_one_vector_in_the_order_of_their_names():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs = jaxmarl.make("storm_2p")
        seen, _ = theirs.reset(jax.random.key(0))
    env = adapters.from_jaxmarl(theirs)
    assert env.observation_space.shape == (6 + 5 * 5 * 10,) and env.action_space == Discrete(5)
    obs, state = env.reset(jax.random.key(0), ())
    for seat in range(2):
        np.testing.assert_array_equal(obs[seat, :6], seen[seat]["inventory"])
        np.testing.assert_array_equal(obs[seat, 6:], np.ravel(seen[seat]["observation"]))
    assert np.ptp(obs) > 0
    *_, info = jax.eval_shape(env.step, jax.random.key(1), state, jnp.zeros(2, jnp.int32), ())
    assert info["dones"].shape == (2,)


def test_observations_that_are_not_by_agent_are_refused_in_one_line():
    # JaxMARL's game for more players returns other names than its spaces have, and an inventory of other shape.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs = jaxmarl.make("storm")
    with pytest.raises(ValueError, match="^observations of .* are not by agent as its spaces say; allowed: .*$"):
        adapters.from_jaxmarl(theirs)


def test_what_is_no_environment_of_jaxmarl_is_refused_in_one_line():
    with pytest.raises(ValueError, match="^jaxmarl_env is a str; allowed: a MultiAgentEnv of JaxMARL$"):
        adapters.from_jaxmarl("coin_game")


def test_bounds_of_actions_that_differ_entry_by_entry_are_refused_and_of_observations_widened():
    from jaxmarl.environments.spaces import Box as TheirBox

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs = jaxmarl.make("MPE_simple_v3")
    uneven = TheirBox(np.array([-2.0, 0.0]), np.array([1.0, 3.0]), (2,))
    theirs.observation_spaces = {"agent_0": uneven}
    assert adapters.from_jaxmarl(theirs).observation_space == Box((2,), -2.0, 3.0)
    theirs.action_spaces = {"agent_0": uneven}
    with pytest.raises(
        ValueError, match="^action space of agent_0 has different bounds per entry; allowed: one low .*$"
    ):
        adapters.from_jaxmarl(theirs)
