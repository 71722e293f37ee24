"""Properties of everything that `envs.make` makes: shapes, types, purity, transformations, refusals, pictures.

Every property is tested on the same list of environments, which makes this file longer than others.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageSequence

from shaping import envs
from shaping.envs import declarations
from shaping.envs.matrix.games import GAMES
from shaping.envs.spaces import Discrete
from tests.envs.environment_programs import (
    LARGE,
    actions_of,
    assert_close,
    assert_equal,
    counted_of,
    follow,
    metrics_of,
    play_of,
    player_of,
    reset_and_observe_of,
    reset_of,
    step_and_observe_of,
    step_of,
    two_players_of,
)

PAYOFFS = [[[-1, -3], [0, -2]], [[-1, 0], [-3, -2]]]
SETTINGS = {"matrix_game": {"payoffs": PAYOFFS, "horizon": 7}, "one_shot_game": {"payoffs": PAYOFFS}}
"""What a name needs besides; others are made as they come."""
NAMES = [name for name in envs.registered() if name not in GAMES or name in ("ipd", "contribution")]
"""All but most matrix games, which are one class: only their payoffs differ."""


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"), jax.debug_nans(True):
        yield


@pytest.fixture(params=NAMES)
def env(request):
    return envs.make(request.param, **SETTINGS.get(request.param, {}))


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in NAMES])
def small_env(request):
    return envs.make(request.param, **SETTINGS.get(request.param, {}))


# Whether a step needs to be compiled hardly depends on the game: one of each kind of actions and observations.
EAGER = ("ipd", "referential", "public_goods", "fishery")


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.slow] * (name not in EAGER)) for name in NAMES])
def eager_env(request):
    return envs.make(request.param, **SETTINGS.get(request.param, {}))


def test_shapes_and_types_are_those_of_the_specification(env):
    params = env.default_params
    obs, state = reset_of(env)(jax.random.key(0), params)
    after = step_of(env)(jax.random.key(1), state, actions_of(env, jax.random.key(2)), params)
    for seen in (obs, after[0]):
        assert seen.shape == (env.num_players, *env.observation_space.shape)
        assert seen.dtype == env.observation_space.dtype
    _, state_after, rewards, terminated, truncated, info = after
    assert rewards.shape == (env.num_players,) and jnp.issubdtype(rewards.dtype, jnp.floating)
    assert terminated.shape == truncated.shape == () and terminated.dtype == truncated.dtype == bool
    assert isinstance(info, dict)
    described = [jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), s) for s in (state, state_after)]
    assert described[0] == described[1]
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))
    assert all(leaf.dtype in (jnp.int32, jnp.float32, bool) for leaf in jax.tree.leaves(state))


def test_what_is_returned_is_what_is_seen_in_the_state(env):
    params = env.default_params
    (obs, state), seen = reset_and_observe_of(env)(jax.random.key(4), params)
    assert_equal(obs, seen)
    (obs, *_), seen = step_and_observe_of(env)(jax.random.key(1), state, actions_of(env, jax.random.key(2)), params)
    assert_equal(obs, seen)


def test_the_description_is_hashable_and_equal_to_one_made_the_same_way(env):
    again = envs.make(env.name, **SETTINGS.get(env.name, {}))
    assert again == env and hash(again) == hash(env)


def test_observations_stay_within_their_specification_and_rewards_finite(env):
    obs, _, rewards, *_ = play_of(env)(jax.random.key(3), env.default_params)
    space = env.observation_space
    low, high = (0, space.num_values - 1) if isinstance(space, Discrete) else (space.low, space.high)
    assert np.all(np.asarray(obs) >= low) and np.all(np.asarray(obs) <= high)
    assert np.all(np.isfinite(rewards))


def test_jit_changes_nothing(eager_env):
    env = eager_env
    params = env.default_params
    key, actions = jax.random.key(5), actions_of(env, jax.random.key(6))
    assert_close(env.reset(key, params), reset_of(env)(key, params))
    _, state = env.reset(key, params)
    assert_close(env.step(key, state, actions, params), step_of(env)(key, state, actions, params))


def test_vmap_is_a_loop_and_numbers_are_data(small_env):
    """Over keys and over the numbers; and the same key gives the same episode."""
    env = small_env
    params, keys = env.default_params, jax.random.split(jax.random.key(7), 2)
    batched = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), params)
    together = two_players_of(env)(keys, batched)
    for number, key in enumerate(keys):
        follow(env, key, params, jax.tree.map(lambda leaf, number=number: leaf[number], together[0]), 10)
    turned = two_players_of(env)(keys[::-1], batched)
    assert_equal(jax.tree.map(lambda leaf: leaf[::-1], turned), together)


def test_an_auto_reset_starts_anew_exactly_where_an_episode_ends_and_keeps_the_last_observation(env):
    params, key = env.default_params, jax.random.key(9)
    follow(env, key, params, play_of(env)(key, params), 40)


def test_counts_are_of_a_fixed_shape_and_32_bits(env):
    counts = declarations.start_counts(env)
    params = env.default_params
    _, state = reset_of(env)(jax.random.key(0), params)
    actions = actions_of(env, jax.random.key(1))
    _, _, rewards, terminated, truncated, info = step_of(env)(jax.random.key(2), state, actions, params)
    after = jax.eval_shape(
        partial(declarations.count, env), counts, state, actions, rewards, terminated | truncated, info
    )
    assert jax.tree.map(lambda x: (x.shape, x.dtype), counts) == jax.tree.map(lambda x: (x.shape, x.dtype), after)
    assert all(leaf.dtype in (jnp.int32, jnp.float32) for leaf in jax.tree.leaves(counts))


def test_actions_of_a_wrong_shape_dtype_or_value_are_refused_in_one_line(env):
    params = env.default_params
    _, state = reset_of(env)(jax.random.key(0), params)
    actions = actions_of(env, jax.random.key(1))
    wrong_kind = actions.astype(jnp.float32 if jnp.issubdtype(actions.dtype, jnp.integer) else jnp.int32)
    outside = jnp.full_like(actions, 10**6)
    for wrong in (actions[:-1], actions[None], wrong_kind, outside):
        with pytest.raises(ValueError, match="^actions (is|has) .*; allowed: .*$"):
            env.step(jax.random.key(2), state, wrong, params)


def test_metrics_are_those_it_declares_in_name_shape_and_range(env):
    declared = declarations.measures(env)
    counts, ended = counted_of(env)(jax.random.key(11), env.default_params)
    with jax.debug_nans(False):
        of, names = metrics_of(env)
        found = of(counts)[0] if declared else declarations.metrics(env, counts)
    assert names == list(declared) and set(found) == set(declared)
    for name, value in found.items():
        measure = declared[name]
        assert value.shape == (env.num_players, *((len(measure.labels),) if measure.axis else ())), name
        assert jnp.issubdtype(value.dtype, jnp.floating), name
        value = np.asarray(value) / (max(int(ended), 1) if measure.per_episode else 1)
        known = value[~np.isnan(value)]
        assert np.all(known >= measure.low - 1e-6) and np.all(known <= measure.high + 1e-6), name
        assert measure.meaning.endswith(".") and measure.label and "." not in measure.label


def test_metrics_take_leading_axes_and_are_finite_or_nan(env):
    counts = counted_of(env)(jax.random.key(12), env.default_params)[0]
    if not jax.tree.leaves(counts):
        assert not declarations.measures(env)
        return
    with jax.debug_nans(False):
        alone, mapped, together = jax.tree.map(np.asarray, metrics_of(env)[0](counts))
    assert_close(together, mapped)
    assert_close(jax.tree.map(lambda leaf: leaf[0], mapped), alone)
    assert not any(np.isinf(value).any() for value in jax.tree.leaves(mapped))


def test_what_is_shown_is_a_measure_or_the_reward(env):
    assert declarations.showcase(env) in (*declarations.measures(env), "reward_per_step")


def test_the_default_numbers_give_the_default_parameters(env):
    numbers = declarations.default_numbers(env)
    assert tuple(numbers) == declarations.number_names(env)
    params = env.default_params
    found = declarations.with_numbers(env, params, numbers)
    assert jax.tree.structure(found) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, found, params)
    assert [leaf.dtype for leaf in jax.tree.leaves(found)] == [leaf.dtype for leaf in jax.tree.leaves(params)]


def test_numbers_with_an_axis_of_matches_are_data_of_one_program(small_env):
    """Two matches, the second of other numbers, in a vmap: each is what its own numbers give alone."""
    env = small_env
    params = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), env.default_params)
    defaults = declarations.default_numbers(env)
    numbers = {name: np.stack([value, halved(value)]) for name, value in defaults.items() if value is not None}
    both = declarations.with_numbers(env, params, numbers)
    keys = jnp.stack([jax.random.key(3)] * 2)
    together = two_players_of(env)(keys, both)
    for match in range(2):
        own = {name: value[match] for name, value in numbers.items()}
        params = declarations.with_numbers(env, env.default_params, own)
        alone = player_of(env)(keys[match], params)
        follow(env, keys[match], params, alone[0], 3)
        assert_close(jax.tree.map(lambda leaf, match=match: leaf[match], together), alone)


def halved(value):
    array = np.asarray(value)
    return array // 2 if array.dtype.kind == "i" else array / 2


def test_an_unknown_number_and_a_shape_that_does_not_fit_are_refused_in_one_line(env):
    known = declarations.number_names(env)
    allowed = ", ".join(known) or "none"
    with pytest.raises(ValueError, match=rf"^number 'colour' is not one of {env.name}; allowed: {allowed}$"):
        declarations.with_numbers(env, env.default_params, {"colour": 1.0})
    params = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), env.default_params)
    for name in known[-1:]:
        with pytest.raises(ValueError, match=rf"^{name} has the shape \[\]; allowed: 1 leading axes, .*$"):
            declarations.with_numbers(env, params, {name: np.asarray(0.0)})


@pytest.mark.parametrize("wrapper", [envs.AutoReset, lambda env: envs.Messages(env, 2)])
def test_a_wrapper_declares_what_it_wraps_does(env, wrapper):
    wrapped = wrapper(env)
    assert declarations.showcase(wrapped) == declarations.showcase(env)
    assert dict(declarations.measures(wrapped)).items() >= dict(declarations.measures(env)).items()
    numbers = declarations.default_numbers(wrapped)
    assert tuple(numbers) == declarations.number_names(wrapped)
    assert numbers.items() >= declarations.default_numbers(env).items()
    assert_equal(declarations.with_numbers(wrapped, wrapped.default_params, {}), wrapped.default_params)


def test_a_state_has_a_picture_and_a_text(env):
    _, state = reset_of(env)(jax.random.key(0), env.default_params)
    picture = declarations.image(env, state, env.default_params)
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[-1] == 3
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1
    assert declarations.text(env, state, env.default_params).strip()


def test_an_episode_becomes_a_gif_of_as_many_frames(env, tmp_path):
    states = jax.tree.map(lambda x: x[:4], play_of(env)(jax.random.key(1), env.default_params)[1].env)
    path = envs.save_gif(tmp_path / "episode.gif", env, states, scale=1)
    apart = [jax.tree.map(lambda x, t=t: x[t], states) for t in range(4)]
    pictures = {declarations.image(env, state, env.default_params).tobytes() for state in apart}
    with Image.open(path) as opened:
        assert min(len(pictures), 2) <= opened.n_frames <= 4


class Minimal:
    """As little as an environment may be: two players, three steps; whoever names the number of the step earns 1."""

    name = "minimal"
    num_players = 2
    observation_space = Discrete(4)
    action_space = Discrete(3)
    reward = 1.0

    @property
    def default_params(self):
        return {"reward": jnp.float32(self.reward)}

    def reset(self, key, params):
        return jnp.zeros((2,), jnp.int32), {"step": jnp.int32(0)}

    def step(self, key, state, actions, params):
        step = state["step"] + 1
        rewards = jnp.where(actions == state["step"], params["reward"], 0)
        return jnp.full((2,), step), {"step": step}, rewards, step >= 3, jnp.asarray(False), {}


def test_a_minimal_environment_plays_with_messages_starts_anew_and_is_shown(tmp_path):
    env = envs.AutoReset(envs.Messages(Minimal(), 2))
    params = declarations.with_numbers(env, env.default_params, {"reward": 2.0})
    obs, state = env.reset(jax.random.key(0), params)
    np.testing.assert_array_equal(obs, [0, 0])
    counts, states = declarations.start_counts(env), []
    assert counts["env"] == {} and "causal_influence" in declarations.measures(env)
    for time in range(3):
        states.append(state)
        actions = jnp.array([2 * time, 1], jnp.int32)  # player 0 names the step and says word 0, player 1 word 1
        obs, after, rewards, terminated, truncated, info = env.step(jax.random.key(1), state, actions, params)
        np.testing.assert_array_equal(rewards, [2, 2 * (time == 0)])
        counts = declarations.count(env, counts, state, actions, rewards, terminated | truncated, info)
        state = after
    assert bool(info["episode_ended"]) and int(state.episode) == 1 and counts["env"] == {}
    np.testing.assert_array_equal(obs, [0, 0])
    np.testing.assert_array_equal(info["terminal_observation"] // 9, [3, 3])
    assert declarations.text(env, states[2], params) == "episode 0\nminimal\nstep: 2\nsaid: 0 1"
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    assert envs.save_gif(tmp_path / "minimal.gif", env, stacked, params).exists()
    assert declarations.showcase(env) == "reward_per_step"
    assert declarations.number_names(env) == ("reward", "message_cost")


def test_frames_of_an_environment_without_pictures_show_what_was_done_and_earned(tmp_path):
    states, actions = {"step": jnp.arange(3)}, jnp.array([[1, 0], [2, 7]])
    rewards = jnp.array([[0.25, 0.0], [0.0, -3.0]])

    def frames(name, *moves):
        with Image.open(envs.save_gif(tmp_path / name, Minimal(), states, scale=1, played=moves or None)) as file:
            return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(file)]

    alone, shown = frames("alone.gif"), frames("shown.gif", actions, rewards)
    other = frames("other.gif", actions.at[1, 1].set(5), rewards)
    assert len(alone) == len(shown) == 3 and shown[0].shape[0] == alone[0].shape[0] + 2 * 16
    assert [np.array_equal(a, b) for a, b in zip(shown, other, strict=True)] == [True, True, False]


def test_the_coin_game_alone_shows_a_torus():
    """Convolutions wrap around the edges of what an environment shows only if the environment does."""
    settings = SETTINGS | {"coin_game": {"flat": False}}
    shown = {name: envs.make(name, **settings.get(name, {})).observation_space for name in NAMES}
    assert [name for name, space in shown.items() if getattr(space, "torus", False)] == ["coin_game"]
