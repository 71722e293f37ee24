"""CleanUp-lite: moves, meals, zaps, counts, settings and views, every rule by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.clean_up.game import ACTIONS
from tests.compiling import quickly
from tests.envs.clean_up_states import (
    DOWN,
    ENV,
    LEFT,
    QUIET,
    RIGHT,
    STAY,
    STEP,
    UP,
    ZAP,
    play,
    repeat,
    state_of,
    within,
)


def test_the_numbers_are_those_of_the_paper():
    params = jax.tree.map(float, ENV.default_params)
    assert (ENV.rows, ENV.columns, ENV.num_players, len(ACTIONS)) == (5, 4, 2, 6)
    assert [params.pollution, params.zap_success] == pytest.approx([0.35, 0.9])
    assert (params.barren_dirt, params.zap_range, params.freeze, params.start_dirt, params.horizon) == (3, 2, 5, 3, 64)
    assert (params.apple_reward, params.zap_reward, params.zapped_reward) == (1, 0, 0)


def test_an_episode_starts_with_three_dirty_cells_no_apples_and_players_apart_anywhere():
    trials = 5000
    _, start = quickly(jax.vmap(lambda key: ENV.reset(key, ENV.default_params)))(
        jax.random.split(jax.random.key(0), trials)
    )
    assert np.all(start.dirt.sum(1) == 3) and not start.apples.any() and not start.frozen.any()
    assert within(start.dirt.sum(0), trials, 3 / 5)
    cells = np.asarray(start.places[..., 0] * 4 + start.places[..., 1])
    assert np.all(cells[:, 0] != cells[:, 1])
    for seat in (0, 1):
        assert within(np.bincount(cells[:, seat], minlength=20), trials, 1 / 20)


def test_the_number_of_dirty_cells_at_the_start_is_data():
    numbers = jnp.arange(6, dtype=jnp.int32)
    params = ENV.default_params
    _, start = quickly(jax.vmap(lambda dirty: ENV.reset(jax.random.key(1), params.replace(start_dirt=dirty))))(numbers)
    np.testing.assert_array_equal(start.dirt.sum(1), numbers)


@pytest.mark.parametrize(
    ("action", "place"),
    [(UP, [1, 1]), (RIGHT, [2, 2]), (DOWN, [3, 1]), (LEFT, [2, 0]), (STAY, [2, 1]), (ZAP, [2, 1])],
)
def test_a_move_goes_one_cell(action, place):
    after, *_ = play(state_of([[2, 1], [4, 3]]), [action, STAY])
    assert after.places.tolist() == [place, [4, 3]]


@pytest.mark.parametrize(("place", "action"), [([0, 1], UP), ([1, 3], RIGHT), ([4, 2], DOWN), ([2, 0], LEFT)], ids=str)
def test_who_would_leave_the_grid_stays(place, action):
    after, *_ = play(state_of([place, [3, 1]]), [action, STAY])
    assert after.places[0].tolist() == place


def test_nobody_enters_a_cell_where_somebody_stood_and_nobody_swaps_places():
    side_by_side = state_of([[2, 1], [2, 2]])
    for actions in ([RIGHT, STAY], [RIGHT, LEFT]):
        assert play(side_by_side, actions)[0].places.tolist() == [[2, 1], [2, 2]]
    assert play(side_by_side, [RIGHT, DOWN])[0].places.tolist() == [[2, 1], [3, 2]]


def test_of_two_who_want_the_same_cell_one_enters_half_of_the_time_each():
    after = repeat(ENV, state_of([[1, 1], [3, 1]]), jnp.array([DOWN, UP]), QUIET, 4000)
    moved = np.any(np.asarray(after.places) != np.array([[1, 1], [3, 1]]), axis=2)
    assert np.all(moved.sum(1) == 1) and within(moved[:, 0].sum(), 4000, 0.5)


def test_whoever_comes_to_stand_on_dirt_cleans_it_for_nothing():
    after, rewards, info = play(state_of([[1, 2], [4, 1]]), [RIGHT, STAY])
    assert np.flatnonzero(after.dirt).tolist() == [0, 2] and rewards == [0, 0]
    assert info["dirt_cleaned"].tolist() == [1, 0] and info["dirt"] == 2


def test_whoever_comes_to_stand_on_an_apple_eats_it():
    after, rewards, info = play(state_of([[4, 2], [3, 1]], apples=(2, 3)), [STAY, LEFT])
    assert np.flatnonzero(after.apples).tolist() == [2] and rewards == [0, 1]
    assert info["apples_eaten"].tolist() == [0, 1] and info["apples"] == 1


def test_who_stays_or_zaps_takes_what_appeared_below_it():
    after, rewards, _ = play(state_of([[1, 3], [2, 0]], apples=(2,), dirt=(0, 1, 2, 3)), [ZAP, STAY])
    assert np.flatnonzero(after.dirt).tolist() == [0, 2, 3] and not after.apples.any() and rewards == [0, 1]


def test_a_zap_reaches_two_steps_in_every_direction():
    zapper = (2, 2)
    for row in range(5):
        for column in range(4):
            if (row, column) != zapper:
                after, *_ = play(state_of([zapper, (row, column)]), [ZAP, STAY])
                distance = abs(row - 2) + abs(column - 2)
                assert after.frozen.tolist() == [0, 5 if distance <= 2 else 0]


def test_a_zap_is_aimed_after_the_moves_of_its_step():
    assert play(state_of([[2, 1], [2, 3]]), [ZAP, DOWN])[0].frozen.tolist() == [0, 0]
    assert play(state_of([[2, 1], [3, 3]]), [ZAP, UP])[0].frozen.tolist() == [0, 5]


def test_a_zap_works_nine_times_in_ten():
    params = QUIET.replace(zap_success=ENV.default_params.zap_success)
    after = repeat(ENV, state_of([[2, 1], [2, 2]]), jnp.array([ZAP, STAY]), params, 10_000)
    assert within((after.frozen[:, 1] > 0).sum(), 10_000, 0.9)


def test_a_hit_player_loses_exactly_five_steps_and_cannot_be_hit_meanwhile():
    state = state_of([[2, 1], [2, 2]])
    places, hits = [], []
    for _ in range(7):
        state, _, info = play(state, [ZAP, DOWN])
        places.append(state.places[1].tolist())
        hits.append(info["hits"].tolist()[0])
    # It moves in the step of the hit; after five lost steps it moves again, out of reach.
    assert places == [[3, 2]] * 6 + [[4, 2]]
    assert hits == [1, 0, 0, 0, 0, 0, 0]


def test_two_players_may_hit_each_other_at_once():
    after, _, info = play(state_of([[2, 1], [2, 2]]), [ZAP, ZAP])
    assert after.frozen.tolist() == [5, 5] and info["zapped"].tolist() == info["hits"].tolist() == [1, 1]


def test_a_frozen_player_neither_cleans_nor_eats_nor_moves_nor_zaps_but_keeps_its_cell():
    state = state_of([[1, 3], [2, 0]], apples=(2,), frozen=[2, 1])
    after, rewards, info = play(state, [DOWN, ZAP])
    assert after.places.tolist() == state.places.tolist() and after.frozen.tolist() == [1, 0]
    assert after.apples[2] and after.dirt[1] and rewards == [0, 0]
    assert info["frozen"].tolist() == [1, 1] and info["zaps"].tolist() == [0, 0]
    assert play(state_of([[2, 1], [2, 2]], frozen=[0, 3]), [RIGHT, STAY])[0].places[0].tolist() == [2, 1]


def test_rewards_of_zapping_and_of_being_hit_are_data():
    params = QUIET.replace(zap_reward=jnp.float32(-0.25), zapped_reward=jnp.float32(-2), apple_reward=jnp.float32(3))
    state = state_of([[2, 1], [2, 0]], apples=(2,))
    assert play(state, [ZAP, STAY], params=params)[1] == [-0.25, 1.0]
    assert play(state_of([[4, 1], [0, 3]]), [ZAP, STAY], params=params)[1] == [-0.25, 0]


def test_observations_hold_everything_with_the_own_first():
    state = state_of([[1, 2], [4, 0]], dirt=(0, 3), apples=(2,), frozen=[0, 3])
    obs, *_ = STEP(jax.random.key(0), state, jnp.array([STAY, STAY]), QUIET.replace(barren_dirt=jnp.float32(1)))
    planes = np.zeros((2, 5, 4, 6), np.float32)
    planes[:, [0, 3], 3, 0] = 1
    planes[:, 2, 0, 1] = 1
    planes[0, 1, 2, 2] = planes[1, 1, 2, 3] = 1
    planes[0, 4, 0, 3] = planes[1, 4, 0, 2] = 1
    planes[0, 4, 0, 5] = planes[1, 4, 0, 4] = np.float32(0.4)  # two of five steps are left
    np.testing.assert_allclose(obs, planes)

    flat = envs.make("clean_up", observation="vector")
    obs, *_ = quickly(flat.step)(
        jax.random.key(0), state, jnp.array([STAY, STAY]), QUIET.replace(barren_dirt=jnp.float32(1))
    )
    scene = [1, 0, 0, 1, 0] + [0, 0, 1, 0, 0]
    first = [0, 1, 0, 0, 0] + [0, 0, 1, 0] + [0]
    second = [0, 0, 0, 0, 1] + [1, 0, 0, 0] + [0.4]
    np.testing.assert_allclose(obs, np.float32([scene + first + second, scene + second + first]))


def test_an_episode_is_cut_at_its_horizon_and_never_ends_otherwise():
    state = state_of([[2, 1], [2, 2]]).replace(step=jnp.int32(62))
    for truncated in (False, True):
        _, state, _, terminated, cut, _ = STEP(jax.random.key(0), state, jnp.array([STAY, STAY]), QUIET)
        assert bool(cut) is truncated and not terminated


def test_what_is_counted_adds_up_to_what_happened():
    three = envs.make("clean_up", num_players=3, horizon=20)
    params = three.default_params

    def step(carry, time):
        state, counts = carry
        key = jax.random.fold_in(jax.random.key(4), time)
        actions = three.action_space.sample(jax.random.fold_in(key, 1), (3,))
        _, after, rewards, terminated, truncated, info = three.step(key, state, actions, params)
        counts = three.count(counts, state, actions, rewards, terminated | truncated, info)
        return (after.replace(step=after.step % 20), counts), (state, after, rewards, actions)

    start = quickly(three.reset)(jax.random.key(4), params)[1]
    (_, counts), (states, afters, rewards, actions) = jax.lax.scan(step, (start, three.start_counts()), jnp.arange(400))
    counts, states, afters = jax.tree.map(np.asarray, (counts, states, afters))
    assert counts["steps"] == 400 and counts["episodes"] == 20
    np.testing.assert_array_equal(counts["apples_eaten"], rewards.sum(0))
    np.testing.assert_array_equal(counts["frozen"], (states.frozen > 0).sum(0))
    np.testing.assert_array_equal(counts["zaps"], ((states.frozen == 0) & (actions == ZAP)).sum(0))
    np.testing.assert_array_equal(counts["zapped"], (afters.frozen == 5).sum(0))
    assert counts["hits"].sum() >= counts["zapped"].sum() > 0
    assert counts["dirt"] == states.dirt.sum()
    assert counts["dirt_left"] == afters.dirt[19::20].sum() and counts["apples_left"] == afters.apples[19::20].sum()
    removed = (states.dirt & ~afters.dirt).sum()
    assert 0 < removed <= counts["dirt_cleaned"].sum()  # a cell may be dirty again at once


def test_numbers_vary_within_one_program():
    pollution = jnp.array([0.0, 1.0])
    params = ENV.default_params.replace(pollution=pollution)
    axes = jax.tree.map(lambda _: None, params).replace(pollution=0)
    state = state_of([[2, 1], [2, 2]])
    step = jax.vmap(lambda p: ENV.step(jax.random.key(0), state, jnp.array([STAY, STAY]), p)[1], in_axes=(axes,))
    assert quickly(step)(params).dirt.sum(1).tolist() == [3, 4]


def test_one_player_and_a_full_grid_can_be_played():
    for settings_ in ({"num_players": 1}, {"num_players": 6, "rows": 3, "columns": 2, "start_dirt": 1}):
        env = envs.make("clean_up", **settings_)
        obs, state = quickly(env.reset)(jax.random.key(0), env.default_params)
        actions = jnp.full(env.num_players, LEFT, jnp.int32)
        obs, state, *_ = quickly(env.step)(jax.random.key(1), state, actions, env.default_params)
        assert obs.shape == (env.num_players, *env.observation_space.shape)
        assert len({tuple(place) for place in state.places.tolist()}) == env.num_players


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"num_players": 21}, "num_players is 21; allowed: an integer from 1 to 20"),
        ({"num_players": 0}, "num_players is 0; allowed: an integer from 1 to 20"),
        ({"rows": 0}, "rows is 0; allowed: an integer of 1 or more"),
        ({"columns": 1}, "columns is 1; allowed: an integer of 2 or more"),
        ({"observation": "pixels"}, "observation is 'pixels'; allowed: planes, vector"),
        ({"growth": "all"}, "growth is 'all'; allowed: one, each"),
        ({"pollution": 1.5}, "pollution is 1.5; allowed: a finite number from 0 to 1"),
        ({"zap_success": -0.1}, "zap_success is -0.1; allowed: a finite number from 0 to 1"),
        ({"barren_dirt": 0}, "barren_dirt is 0; allowed: a finite number of 1e-06 or more"),
        ({"start_dirt": 6}, "start_dirt is 6; allowed: an integer from 0 to 5"),
        ({"zap_range": -1}, "zap_range is -1; allowed: an integer of 0 or more"),
        ({"freeze": 2.5}, "freeze is 2.5; allowed: an integer of 0 or more"),
        ({"apple_reward": float("nan")}, "apple_reward is nan; allowed: a finite number"),
        ({"horizon": 0}, "horizon is 0; allowed: an integer of 1 or more"),
    ],
    ids=str,
)
def test_a_bad_setting_is_refused_in_one_line(setting, message):
    with pytest.raises(ValueError) as refused:
        envs.make("clean_up", **setting)
    assert str(refused.value) == message


def test_text_and_picture_show_what_there_is():
    state = state_of([[1, 2], [4, 0]], dirt=(0,), apples=(2,), frozen=[0, 3])
    text = ENV.text(state, ENV.default_params)
    assert text.splitlines() == [
        "step 0: 1 apples, 1 dirty cells", "...#", "..0~", "o..~", "...~", "1..~", "player 1 frozen for 3",
    ]  # fmt: skip
    clean = ENV.image(state.replace(dirt=jnp.zeros(5, bool)), ENV.default_params)
    assert np.any(clean != ENV.image(state, ENV.default_params))


@pytest.mark.parametrize("observation", ["planes", "vector"])
@pytest.mark.parametrize("growth", ["one", "each"])
def test_every_variant_is_typed_strictly(observation, growth):
    env = envs.make("clean_up", observation=observation, growth=growth, num_players=3)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        obs, state = jax.eval_shape(env.reset, jax.random.key(0), env.default_params)
        actions = jax.ShapeDtypeStruct((3,), jnp.int32)
        seen, after, *_ = jax.eval_shape(env.step, jax.random.key(0), state, actions, env.default_params)
    assert after == state and seen == obs and obs.shape == (3, *env.observation_space.shape)


def test_double_precision_changes_nothing_but_the_rewards_type(x64):
    env = envs.make("clean_up")
    params = env.default_params
    _, state = quickly(env.reset)(jax.random.key(0), params)
    obs, state, rewards, *_ = quickly(env.step)(jax.random.key(1), state, jnp.array([STAY, ZAP]), params)
    assert rewards.dtype == jnp.float64 and obs.dtype == jnp.float32 and state.places.dtype == jnp.int32
