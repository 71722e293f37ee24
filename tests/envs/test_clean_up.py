"""CleanUp-lite: every rule by hand, river and orchard against an exact chain, play against a replay of the rules.

The rules of one game are in one file, which makes it longer than others.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shaping import envs
from shaping.envs.clean_up.game import ACTIONS, CleanUpState
from tests.compiling import quickly

UP, RIGHT, DOWN, LEFT, STAY, ZAP = range(6)
ENV = envs.make("clean_up")
STEP = quickly(ENV.step)
QUIET = ENV.default_params.replace(pollution=jnp.float32(0), zap_success=jnp.float32(1))
"""No new dirt; nothing grows either while three cells are dirty. What happens is then what players do."""


def state_of(places, dirt=(0, 1, 2), apples=(), frozen=None, rows=5):
    return CleanUpState(
        places=jnp.array(places, jnp.int32),
        frozen=jnp.array(frozen or [0] * len(places), jnp.int32),
        dirt=jnp.array(np.isin(np.arange(rows), list(dirt))),
        apples=jnp.array(np.isin(np.arange(rows), list(apples))),
        step=jnp.int32(0),
    )


def play(state, *joint_actions, params=QUIET):
    """The last step's (state, rewards, info)."""
    for number, actions in enumerate(joint_actions):
        _, state, rewards, _, _, info = STEP(jax.random.key(number), state, jnp.array(actions), params)
    return state, np.asarray(rewards).tolist(), info


@partial(quickly, static_argnums=(0, 4))
def repeat(env, state, actions, params, times):
    """What follows a state, many times over."""
    keys = jax.random.split(jax.random.key(5), times)
    return jax.vmap(lambda key: env.step(key, state, actions, params)[1])(keys)


def within(count, trials, probability):
    """Whether a count is within four standard errors of what a probability makes expect."""
    error = np.sqrt(np.maximum(probability * (1 - probability), 1e-12) / trials)
    return np.all(abs(np.asarray(count) / trials - probability) <= 4 * error)


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


@pytest.mark.parametrize("dirty", range(6))
def test_an_apple_grows_with_one_minus_a_third_of_the_dirt(dirty):
    after = repeat(ENV, state_of([[2, 1], [2, 2]], dirt=range(dirty)), jnp.array([STAY, STAY]), QUIET, 6000)
    assert within((after.apples.sum(1) == 1).sum(), 6000, [1, 2 / 3, 1 / 3, 0, 0, 0][dirty])
    assert np.all(after.apples.sum(1) <= 1)


def test_dirt_counts_after_the_cleaning_and_before_the_new_dirt_of_the_same_step():
    params = QUIET.replace(pollution=jnp.float32(1), barren_dirt=jnp.float32(1))
    cleaned, *_ = play(state_of([[2, 2], [4, 1]], dirt=(2,)), [RIGHT, STAY], params=params)
    assert cleaned.apples.sum() == 1 and cleaned.dirt.sum() == 1
    left, *_ = play(state_of([[2, 2], [4, 1]], dirt=(2,)), [STAY, STAY], params=params)
    assert left.apples.sum() == 0 and left.dirt.sum() == 2


def test_apples_and_dirt_appear_on_any_free_cell_alike():
    params = QUIET.replace(pollution=jnp.float32(1))
    after = repeat(ENV, state_of([[2, 1], [2, 2]], dirt=(1,), apples=(0, 4)), jnp.array([STAY, STAY]), params, 6000)
    dirt, apples = np.asarray(after.dirt).sum(0), np.asarray(after.apples).sum(0)
    assert dirt[1] == 6000 and within(dirt[[0, 2, 3, 4]], 6000, 1 / 4)
    assert np.all(apples[[0, 4]] == 6000) and within(apples[[1, 2, 3]], 6000, 2 / 3 / 3)


def test_growth_on_each_cell_is_independent():
    each = envs.make("clean_up", growth="each")
    after = repeat(each, state_of([[2, 1], [2, 2]], dirt=(0,), apples=(3,)), jnp.array([STAY, STAY]), QUIET, 6000)
    p = 2 / 3
    binomial = [(1 - p) ** 4, 4 * p * (1 - p) ** 3, 6 * p**2 * (1 - p) ** 2, 4 * p**3 * (1 - p), p**4]
    assert within(np.bincount(after.apples.sum(1) - 1, minlength=5), 6000, np.array(binomial))


def test_river_and_orchard_left_alone_follow_their_exact_chain():
    """States (dirty cells, apples), from none of either; both draws of a step look at the dirt it begins with."""
    chain = np.zeros((6, 6, 6, 6))
    for dirt in range(6):
        for apples in range(6):
            p, q = 0.35 * (dirt < 5), (1 - min(1, dirt / 3)) * (apples < 5)
            for more_dirt, weight in ((0, 1 - p), (1, p)):
                for more_apples, other in ((0, 1 - q), (1, q)):
                    if weight * other:
                        chain[dirt, apples, dirt + more_dirt, apples + more_apples] += weight * other
    steps, trials = 7, 20_000
    exact = np.linalg.matrix_power(chain.reshape(36, 36), steps)[0]

    def alone(key):
        start = state_of([[2, 1], [2, 2]], dirt=())
        keys = jax.random.split(key, steps)
        after, _ = jax.lax.scan(
            lambda s, k: (ENV.step(k, s, jnp.array([STAY, STAY]), ENV.default_params)[1], None), start, keys
        )
        return after.dirt.sum() * 6 + after.apples.sum()

    ends = quickly(jax.vmap(alone))(jax.random.split(jax.random.key(3), trials))
    counts = np.bincount(ends, minlength=36)
    assert counts[exact == 0].sum() == 0
    likely = exact > 1e-3
    assert likely.sum() > 10 and within(counts[likely], trials, exact[likely])


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


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10_000), params_seed=st.booleans())
def test_any_step_is_what_the_rules_say(seed, params_seed):
    """The rules again, in plain loops; where the game draws, what it drew is only asked to be possible."""
    random = np.random.default_rng(seed)
    cells = random.choice(20, 2, replace=False)
    state = state_of(
        np.stack([cells // 4, cells % 4], 1).tolist(),
        dirt=np.flatnonzero(random.random(5) < 0.5).tolist(),
        apples=np.flatnonzero(random.random(5) < 0.5).tolist(),
        frozen=(random.integers(0, 6, 2) * (random.random(2) < 0.3)).tolist(),
    )
    actions = random.integers(0, 6, 2)
    params = QUIET.replace(zap_success=jnp.float32(params_seed), pollution=jnp.float32(random.integers(0, 2)))
    _, after, rewards, *_ = STEP(jax.random.key(seed), state, jnp.array(actions), params)
    places = [tuple(p) for p in state.places.tolist()]
    acts = [f == 0 for f in state.frozen.tolist()]
    moves = {UP: (-1, 0), RIGHT: (0, 1), DOWN: (1, 0), LEFT: (0, -1)}
    wanted = []
    for i in range(2):
        down, right = moves.get(actions[i], (0, 0)) if acts[i] else (0, 0)
        target = (places[i][0] + down, places[i][1] + right)
        free = 0 <= target[0] < 5 and 0 <= target[1] < 4 and target != places[1 - i]
        wanted.append(target if free else places[i])
    new = [tuple(p) for p in after.places.tolist()]
    if wanted[0] == wanted[1]:
        assert new in ([wanted[0], places[1]], [places[0], wanted[1]])
    else:
        assert new == wanted
    dirt, apples, earned, frozen = set(np.flatnonzero(state.dirt)), set(np.flatnonzero(state.apples)), [0, 0], [0, 0]
    for i in range(2):
        row, column = new[i]
        if acts[i] and column == 3:
            dirt.discard(row)
        if acts[i] and column == 0 and row in apples:
            apples.discard(row)
            earned[i] = 1
        near = abs(new[0][0] - new[1][0]) + abs(new[0][1] - new[1][1]) <= 2
        hit = acts[1 - i] and actions[1 - i] == ZAP and near and acts[i] and params_seed
        frozen[i] = 5 if hit else max(int(state.frozen[i]) - 1, 0)
    assert rewards.tolist() == earned and after.frozen.tolist() == frozen
    dirt_after, apples_after = set(np.flatnonzero(after.dirt)), set(np.flatnonzero(after.apples))
    assert dirt <= dirt_after and len(dirt_after - dirt) == (params.pollution == 1 and len(dirt) < 5)
    assert apples <= apples_after
    assert len(apples_after - apples) in {0: {int(len(apples) < 5)}, 1: {0, 1}, 2: {0, 1}}.get(len(dirt), {0})


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
