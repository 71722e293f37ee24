"""Commons harvest: maps, moves, meals, episodes and settings, each against the rule written out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.commons_harvest.game import COMPASS, TURNING
from shaping.envs.commons_harvest.maps import read_map
from tests.compiling import quickly
from tests.envs.commons_harvest_states import (
    BACKWARD,
    CELLS,
    DOWN,
    ENV,
    FORWARD,
    HALL,
    HALL_STEP,
    LEFT,
    MIDDLE,
    PARAMS,
    PATCH,
    RIGHT,
    ROOM,
    STAY,
    STEP,
    STEP_LEFT,
    STEP_RIGHT,
    TURN_LEFT,
    TURN_RIGHT,
    UP,
    ZAP,
    near,
    play,
    state_of,
    within,
)


def test_the_numbers_are_those_of_melting_pot():
    """meltingpot/configs/substrates/commons_harvest__open.py: regrowth probabilities, zapper, action set, view."""
    env = envs.make("commons_harvest", layout="open", num_players=7)
    params = env.default_params
    np.testing.assert_array_equal(params.regrowth, np.float32([0, 0.0025, 0.005, 0.025]))
    assert (params.beam_length, params.beam_radius, params.timeout, params.cooldown) == (3, 1, 4, 2)
    assert (params.apple_reward, params.zap_reward, params.zapped_reward, params.horizon) == (1, 0, 0, 1000)
    assert env.observation_space.shape == (11, 11, 14) and env.action_space.num_values == 8


def test_the_open_map_has_the_apples_and_starts_of_melting_pots():
    """Apples and starts by row, counted on the ASCII map of commons_harvest__open."""
    world = read_map("open")
    assert (world.rows, world.columns, world.walls) == (16, 22, ())
    rows = np.bincount([row for row, _ in world.apples], minlength=16)
    assert rows.tolist() == [8, 10, 12, 6, 2, 2, 6, 10, 6, 2, 0, 0, 0, 0, 0, 0]
    columns = np.bincount([column for _, column in world.apples], minlength=22)
    assert columns.tolist() == [4, 5, 6, 3, 1, 1, 3, 5, 3, 1, 0, 0, 1, 3, 5, 3, 1, 1, 3, 6, 5, 4]
    assert np.bincount([row for row, _ in world.starts]).tolist()[13:] == [18, 20, 22]
    assert world.first_starts == ((6, 6), (6, 15))


def test_the_small_map_has_two_whole_patches():
    world = read_map("small")
    assert (world.rows, world.columns, len(world.apples), len(world.starts)) == (7, 11, 26, 11)


def test_a_map_is_read_letter_by_letter_and_its_outer_wall_left_out():
    world = read_map(("WWWWW", "WAQ W", "W WPW", "WWWWW"))
    assert (world.rows, world.columns) == (2, 3)
    assert (world.apples, world.walls, world.starts, world.first_starts) == (((0, 0),), ((1, 1),), ((1, 2),), ((0, 1),))


def test_an_episode_starts_with_all_apples_and_players_apart_on_starts():
    env = envs.make("commons_harvest", layout=("A  ", "QQ ", "PPP"), num_players=4)
    trials = 4000
    _, start = quickly(jax.vmap(lambda key: env.reset(key, env.default_params)))(
        jax.random.split(jax.random.key(0), trials)
    )
    assert start.apples.all() and not start.away.any() and not start.cooldown.any()
    cells = np.asarray(start.places[..., 0] * 3 + start.places[..., 1])
    assert all(len(set(row)) == 4 for row in cells.tolist())
    for seat, among in ((0, (3, 4)), (1, (3, 4)), (2, (6, 7, 8)), (3, (6, 7, 8))):
        assert within(np.bincount(cells[:, seat], minlength=9)[list(among)], trials, 1 / len(among))
        assert within(np.bincount(start.facing[:, seat], minlength=4), trials, 1 / 4)


@pytest.mark.parametrize("facing", [UP, RIGHT, DOWN, LEFT])
@pytest.mark.parametrize(("action", "turned"), [(FORWARD, 0), (STEP_RIGHT, 1), (BACKWARD, 2), (STEP_LEFT, 3)])
def test_moves_are_relative_to_where_a_player_faces_and_do_not_turn_it(facing, action, turned):
    down, right = [(-1, 0), (0, 1), (1, 0), (0, -1)][(facing + turned) % 4]
    after, *_ = play(state_of([[2, 2], [5, 0]], [facing, UP]), [action, STAY])
    assert after.places[0].tolist() == [2 + down, 2 + right] and after.facing[0] == facing


def test_turns_are_a_quarter_and_on_the_spot():
    for facing in range(4):
        state = state_of([[2, 2], [5, 0]], [facing, facing])
        after, *_ = play(state, [TURN_LEFT, TURN_RIGHT])
        assert after.facing.tolist() == [(facing - 1) % 4, (facing + 1) % 4]
        assert after.places.tolist() == state.places.tolist()


def test_with_compass_movement_a_player_goes_where_it_says_and_faces_there_also_if_it_cannot():
    env = envs.make("commons_harvest", layout=PATCH, movement="compass", num_players=1)
    step = quickly(env.step)
    for action, (down, right) in enumerate([(0, 0), (-1, 0), (0, 1), (1, 0), (0, -1), (0, 0)]):
        after, *_ = play(state_of([[2, 2]], [RIGHT]), [action], params=env.default_params, step=step)
        assert after.places[0].tolist() == [2 + down, 2 + right], COMPASS[action]
        assert after.facing[0] == (RIGHT if COMPASS[action] in ("stay", "zap") else action - 1)
    after, *_ = play(state_of([[0, 0]], [RIGHT]), [COMPASS.index("up")], params=env.default_params, step=step)
    assert after.places[0].tolist() == [0, 0] and after.facing[0] == UP


def test_edges_walls_and_players_stop_a_move():
    def first(place, facing, others=((4, 0), (4, 1))):
        state = state_of([place, *others], [facing, UP, UP], env=HALL)
        after, *_ = play(state, [FORWARD, STAY, STAY], params=HALL.default_params, step=HALL_STEP)
        return tuple(after.places[0].tolist())

    assert first((0, 2), UP) == (0, 2) and first((4, 4), DOWN) == (4, 4)
    assert first((3, 0), LEFT) == (3, 0) and first((1, 5), RIGHT) == (1, 5)
    assert first((2, 2), RIGHT) == (2, 2) and first((1, 3), DOWN) == (1, 3)  # the pillar
    assert first((3, 0), DOWN) == (3, 0) and first((3, 2), DOWN) == (4, 2)  # a player, a free cell


def test_an_apple_is_eaten_by_who_stands_on_it_and_by_nobody_else():
    state = state_of([[3, 0], [1, 0]], [UP, RIGHT])
    after, rewards, info = play(state, [FORWARD, FORWARD])
    assert rewards == [1, 1] and info["apples_eaten"].tolist() == [1, 1] and info["apples"] == 11
    assert {CELLS[i] for i in np.flatnonzero(~np.asarray(after.apples))} == {(2, 0), (1, 1)}
    assert play(after, [STAY, STAY])[1] == [0, 0]
    worth = PARAMS.replace(apple_reward=jnp.float32(0.5))
    assert play(state, [FORWARD, STAY], params=worth)[1] == [0.5, 0]


def test_an_episode_is_cut_at_its_horizon_and_never_ends_otherwise():
    params = PARAMS.replace(horizon=jnp.int32(2))
    state = state_of([[5, 0], [5, 4]])
    for truncated in (False, True):
        _, state, _, terminated, cut, _ = STEP(jax.random.key(0), state, jnp.array([STAY, STAY]), params)
        assert bool(cut) is truncated and not terminated


@pytest.fixture(scope="module")
def long_play():
    """400 steps of random play on a crowded map with much zapping, cut every 50 steps but not reset."""
    layout = ("AAAAWAA", "AAQ WAA", "PPPPPAA")
    env = envs.make("commons_harvest", layout=layout, num_players=5, regrowth=(0.0, 0.1, 0.2, 0.3), horizon=50)
    params = env.default_params

    def step(carry, time):
        state, counts = carry
        key = jax.random.fold_in(jax.random.key(4), time)
        actions = env.action_space.sample(jax.random.fold_in(key, 1), (5,))
        _, after, rewards, terminated, truncated, info = env.step(key, state, actions, params)
        counts = env.count(counts, state, actions, rewards, terminated | truncated, info)
        return (after.replace(step=after.step % 50), counts), (state, after, rewards, actions)

    def run(key):
        start = env.reset(key, params)[1]
        return jax.lax.scan(step, (start, env.start_counts()), jnp.arange(400))

    (_, counts), history = quickly(run)(jax.random.key(4))
    return env, jax.tree.map(np.asarray, (counts, *history))


def test_what_is_counted_adds_up_to_what_happened(long_play):
    _, (counts, states, afters, rewards, actions) = long_play
    assert counts["steps"] == 400 and counts["episodes"] == 8
    np.testing.assert_array_equal(counts["apples_eaten"], rewards.sum(0))
    np.testing.assert_array_equal(counts["eaten_at"], (rewards * (states.step + 1)[:, None]).sum(0))
    np.testing.assert_array_equal(counts["away"], (states.away > 0).sum(0))
    np.testing.assert_array_equal(counts["zapped"], (afters.away == 4).sum(0))
    allowed = (actions == TURNING.index("zap")) & (states.away == 0) & (states.cooldown == 0)
    np.testing.assert_array_equal(counts["zaps"], allowed.sum(0))
    assert counts["hits"].sum() >= counts["zapped"].sum() > 0
    assert counts["apples_left"] == afters.apples[49::50].sum()
    assert counts["empty_ends"] == (afters.apples[49::50].sum(1) == 0).sum()


def test_apples_are_kept_but_for_those_eaten_and_those_that_grow_near_others(long_play):
    env, (_, states, afters, rewards, _) = long_play
    cells = env.world.apples
    neighbours = np.array([[b in near(a, cells) for b in cells] for a in cells])
    gone, grown = states.apples & ~afters.apples, afters.apples & ~states.apples
    np.testing.assert_array_equal(gone.sum(1), rewards.sum(1))
    left = states.apples & afters.apples
    assert grown.sum() > 0 and np.all((left.astype(int) @ neighbours)[grown] > 0)


def test_players_never_share_a_cell_nor_stand_in_a_wall(long_play):
    env, (_, _, afters, *_) = long_play
    for places, away in zip(afters.places, afters.away, strict=True):
        present = [tuple(place) for place in places[away == 0].tolist()]
        assert len(set(present)) == len(present)
        assert all(0 <= r < 3 and 0 <= c < 7 and (r, c) not in env.world.walls for r, c in present)
    assert (afters.away > 0).any() and (afters.away == 0).all(1).any()


def test_numbers_vary_within_one_program():
    rates = jnp.stack([jnp.zeros(4), jnp.ones(4)]).astype(jnp.float32)
    axes = jax.tree.map(lambda _: None, PARAMS).replace(regrowth=0)
    state = state_of([[5, 0], [5, 4]], apples=[MIDDLE])
    step = jax.vmap(lambda p: ENV.step(jax.random.key(0), state, jnp.array([STAY, STAY]), p)[1], in_axes=(axes,))
    assert quickly(step)(PARAMS.replace(regrowth=rates)).apples.sum(1).tolist() == [1, 13]


LETTERS = "' ' (floor), 'W' (wall), 'A' (a cell that bears apples), 'P' (start), 'Q' (start of the first players)"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"layout": "closed"}, "layout is 'closed'; allowed: small, open, or a tuple of rows of text"),
        ({"layout": ()}, f"layout is (); allowed: small, open, or rows of equal length of the letters {LETTERS}"),
        ({"layout": ("AP", "P")}, f"layout has the row 'P'; allowed: rows of equal length of the letters {LETTERS}"),
        ({"layout": ("AX",)}, f"layout has the row 'AX'; allowed: rows of equal length of the letters {LETTERS}"),
        ({"layout": ("PP",)}, "layout has the letters ['P']; allowed: at least an apple cell (A) among them"),
        ({"layout": ("A ",)}, "layout has the letters [' ', 'A']; allowed: at least a start (P) among them"),
        (
            {"layout": ("A" + "P" * 32,)},
            "layout has 1 rows and 33 columns; allowed: at most 32 within the outer wall",
        ),
        ({"num_players": 12}, "num_players is 12; allowed: 1 to 11 (the layout has 11 starts)"),
        (
            {"num_players": 25, "layout": "open"},
            "num_players is 25; allowed: 1 to 24 (the layout has 62 starts)",
        ),
        ({"num_players": 0}, "num_players is 0; allowed: an integer of 1 or more"),
        ({"movement": "polar"}, "movement is 'polar'; allowed: turning, compass"),
        ({"view": "map"}, "view is 'map'; allowed: window, full"),
        ({"ahead": -1}, "ahead is -1; allowed: an integer of 0 or more"),
        ({"beam_length": 1.5}, "beam_length is 1.5; allowed: an integer of 0 or more"),
        ({"timeout": True}, "timeout is True; allowed: an integer of 0 or more"),
        ({"regrowth": ()}, "regrowth is (); allowed: one probability or more, by apples near"),
        ({"regrowth": (0.0, 2.0)}, "regrowth[1] is 2.0; allowed: a finite number from 0 to 1"),
        ({"zap_reward": float("inf")}, "zap_reward is inf; allowed: a finite number"),
        ({"horizon": 0}, "horizon is 0; allowed: an integer of 1 or more"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value)[:40],
)
def test_a_bad_setting_is_refused_in_one_line(setting, message):
    with pytest.raises(ValueError) as refused:
        envs.make("commons_harvest", **setting)
    assert str(refused.value) == message


def test_a_first_start_is_no_start_for_who_is_not_among_the_first():
    """One player on the Q, one on the P: two starts for two players, and both can be used."""
    env = envs.make("commons_harvest", layout=("AQP",), num_players=2)
    assert quickly(env.reset)(jax.random.key(0), env.default_params)[1].places.tolist() == [[0, 1], [0, 2]]


def test_lists_and_tuples_of_rows_make_equal_environments():
    left, right = (envs.make("commons_harvest", layout=rows) for rows in (list(PATCH), PATCH))
    assert left == right and hash(left) == hash(right)


def test_text_and_picture_show_what_there_is():
    state = state_of([[5, 0], [5, 4]], [LEFT, UP], apples=[0], away=[0, 2])
    assert ENV.text(state, PARAMS).splitlines() == [
        "step 0: 1 apples", "  o  ", " ... ", ".....", " ... ", "  .  ", "0    ",
        "player 0 left", "player 1 away for 2",
    ]  # fmt: skip
    full = ENV.image(state.replace(apples=jnp.ones(13, bool)), PARAMS)
    assert np.any(full != ENV.image(state, PARAMS))


@pytest.mark.parametrize("layout", ["small", ROOM], ids=["small", "room"])
@pytest.mark.parametrize("movement", ["turning", "compass"])
@pytest.mark.parametrize("view", ["window", "full"])
def test_every_variant_is_typed_strictly(layout, movement, view):
    env = envs.make("commons_harvest", layout=layout, movement=movement, view=view, num_players=3)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        obs, state = jax.eval_shape(env.reset, jax.random.key(0), env.default_params)
        actions = jax.ShapeDtypeStruct((3,), jnp.int32)
        seen, after, *_ = jax.eval_shape(env.step, jax.random.key(0), state, actions, env.default_params)
    assert after == state and seen == obs and obs.shape == (3, *env.observation_space.shape)


def test_double_precision_changes_nothing_but_the_rewards_type(x64):
    env = envs.make("commons_harvest", layout=PATCH)
    params = env.default_params
    _, state = quickly(env.reset)(jax.random.key(0), params)
    obs, state, rewards, *_ = quickly(env.step)(jax.random.key(1), state, jnp.array([STAY, ZAP]), params)
    assert rewards.dtype == jnp.float64 and obs.dtype == jnp.uint8 and state.places.dtype == jnp.int32
