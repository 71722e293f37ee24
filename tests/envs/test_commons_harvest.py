"""Commons harvest: maps, moves, regrowth, beams, time-outs and views, each against the rule written out by hand.

The rules of one game are in one file, with the boards drawn as text, which makes it longer than others.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shaping import envs
from shaping.envs.commons_harvest.game import COMPASS, TURNING, CommonsHarvestState
from shaping.envs.commons_harvest.maps import read_map
from tests.compiling import quickly

STAY, FORWARD, BACKWARD, STEP_LEFT, STEP_RIGHT, TURN_LEFT, TURN_RIGHT, ZAP = range(8)
UP, RIGHT, DOWN, LEFT = range(4)

PATCH = ("  A  ", " AAA ", "AAAAA", " AAA ", "  A  ", "PPPPP")
ENV = envs.make("commons_harvest", layout=PATCH, regrowth=(0.0, 0.0, 0.0, 0.0))
PARAMS = ENV.default_params
STEP = quickly(ENV.step)
CELLS = ENV.world.apples
MIDDLE = CELLS.index((2, 2))

ROOM = ("WWWWWWWW", "WPPPPPPW", "WPPPPPPW", "WPPPWPPW", "WPPPPPPW", "WPPPPPAW", "WWWWWWWW")
"""Six columns and five rows within the wall, a pillar at row 2 and column 3, an apple at row 4 and column 5."""
HALL = envs.make("commons_harvest", layout=ROOM, regrowth=(0.0,), num_players=3, ahead=3, behind=2, sides=2)
HALL_STEP = quickly(HALL.step)


def state_of(places, facing=None, apples=None, away=None, cooldown=None, env=ENV):
    n = len(places)
    ripe = range(len(env.world.apples)) if apples is None else apples
    return CommonsHarvestState(
        places=jnp.array(places, jnp.int32),
        facing=jnp.array(facing or [UP] * n, jnp.int32),
        away=jnp.array(away or [0] * n, jnp.int32),
        cooldown=jnp.array(cooldown or [0] * n, jnp.int32),
        apples=jnp.array(np.isin(np.arange(len(env.world.apples)), list(ripe))),
        step=jnp.int32(0),
    )


def play(state, *joint_actions, params=PARAMS, step=STEP):
    """The last step's (state, rewards, info)."""
    for number, actions in enumerate(joint_actions):
        _, state, rewards, _, _, info = step(jax.random.key(number), state, jnp.array(actions), params)
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


def near(cell, others):
    return [o for o in others if o != cell and (o[0] - cell[0]) ** 2 + (o[1] - cell[1]) ** 2 <= 4]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 12])
def test_apples_grow_with_the_probability_of_the_number_of_apples_near(number):
    rates = np.array([0.0, 0.2, 0.5, 0.8])
    params = PARAMS.replace(regrowth=jnp.array(rates, jnp.float32))
    ripe = [CELLS.index(cell) for cell in near((2, 2), CELLS)[:number]]
    trials = 4000
    after = np.asarray(
        repeat(ENV, state_of([[5, 0], [5, 4]], apples=ripe), jnp.array([STAY, STAY]), params, trials).apples
    )
    for index, cell in enumerate(CELLS):
        if index in ripe:
            assert after[:, index].all()
        else:
            count = len(near(cell, [CELLS[i] for i in ripe]))
            assert within(after[:, index].sum(), trials, rates[min(count, 3)]), (cell, count)


def test_cells_of_a_patch_grow_independently():
    params = PARAMS.replace(regrowth=jnp.array([0.0, 0.5, 0.5, 0.5]))
    state = state_of([[5, 0], [5, 4]], apples=[MIDDLE])
    grown = np.asarray(repeat(ENV, state, jnp.array([STAY, STAY]), params, 4000).apples)[:, [0, 1, 2]]
    patterns = np.bincount(grown @ [1, 2, 4], minlength=8)
    assert within(patterns, 4000, 1 / 8)


def test_the_default_rates_are_met_to_the_letter():
    env = envs.make("commons_harvest", layout=PATCH)
    trials = 100_000
    for number, rate in ((1, 0.0025), (2, 0.005), (3, 0.025), (12, 0.025)):
        ripe = [CELLS.index(cell) for cell in near((2, 2), CELLS)[:number]]
        state = state_of([[5, 0], [5, 4]], apples=ripe)
        after = repeat(env, state, jnp.array([STAY, STAY]), env.default_params, trials)
        assert within(after.apples[:, MIDDLE].sum(), trials, rate)


def test_a_patch_that_is_empty_stays_empty_whatever_grows_elsewhere():
    env = envs.make("commons_harvest", layout=("AAA   AAA", "PPPPPPPPP"), regrowth=(0.0, 1.0))
    state = state_of([[1, 0], [1, 8]], apples=[4], env=env)
    after, *_ = play(state, *[[STAY, STAY]] * 4, params=env.default_params, step=quickly(env.step))
    assert after.apples.tolist() == [False] * 3 + [True] * 3


def test_apples_more_than_two_away_do_not_count():
    env = envs.make("commons_harvest", layout=("A A", "   ", "AAA", "PPP"), regrowth=(0.0, 1.0), num_players=1)
    cells, step = env.world.apples, quickly(env.step)
    for ripe in range(len(cells)):
        after, *_ = play(state_of([[3, 0]], apples=[ripe], env=env), [STAY], params=env.default_params, step=step)
        assert {cells[i] for i in np.flatnonzero(after.apples)} == {cells[ripe], *near(cells[ripe], cells)}
    assert (0, 0) not in near((2, 1), cells)  # a knight's move, the square root of 5


def test_what_is_eaten_does_not_grow_in_the_same_step_nor_feeds_its_neighbours():
    certain = PARAMS.replace(regrowth=jnp.ones(4, jnp.float32).at[0].set(0))
    state = state_of([[2, 1], [5, 4]], [RIGHT, UP])
    after, rewards, _ = play(state, [FORWARD, STAY], params=certain)
    assert rewards[0] == 1 and not after.apples[MIDDLE]
    alone = state_of([[2, 1], [5, 4]], [RIGHT, UP], apples=[MIDDLE])
    assert not play(alone, [FORWARD, STAY], params=certain)[0].apples.any()


@pytest.mark.parametrize("facing", [UP, RIGHT, DOWN, LEFT])
def test_a_beam_covers_three_cells_ahead_and_one_to_either_side(facing):
    env = envs.make("commons_harvest", layout=(" " * 9,) * 8 + ("PPPPPPPPA",))
    step = quickly(jax.vmap(env.step, in_axes=(None, 0, None, None)))
    targets = [(row, column) for row in range(9) for column in range(9) if (row, column) != (4, 4)]
    states = [state_of([(4, 4), target], [facing, UP], env=env) for target in targets]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    info = step(jax.random.key(0), together, jnp.array([ZAP, STAY]), env.default_params)[-1]
    hit = {target for target, zapped in zip(targets, np.asarray(info["zapped"][:, 1]), strict=True) if zapped}
    rows, columns = {
        UP: (range(1, 4), range(3, 6)),
        RIGHT: (range(3, 6), range(5, 8)),
        DOWN: (range(5, 8), range(3, 6)),
        LEFT: (range(3, 6), range(1, 4)),
    }[facing]
    assert hit == {(row, column) for row in rows for column in columns}
    assert info["zapped"][:, 0].sum() == 0 and np.array_equal(info["hits"][:, 0], info["zapped"][:, 1])


def hall_hits(places, facing, **numbers):
    state = state_of(places, [facing, UP, UP], env=HALL)
    params = HALL.default_params.replace(**{k: jnp.int32(v) for k, v in numbers.items()})
    return play(state, [ZAP, STAY, STAY], params=params, step=HALL_STEP)[2]["zapped"].tolist()


def test_walls_stop_a_beam_and_players_do_not():
    # The pillar is at (2, 3): it stops its lane for who stands beyond, not the lanes beside it.
    assert hall_hits([(2, 2), (2, 4), (1, 4)], RIGHT) == [0, 0, 1]
    assert hall_hits([(4, 3), (1, 3), (1, 4)], UP) == [0, 0, 1]
    assert hall_hits([(4, 1), (4, 2), (4, 3)], RIGHT) == [0, 1, 1]
    # A lane that would start in the pillar does not start, nor do those beyond.
    assert hall_hits([(2, 2), (1, 3), (1, 1)], UP) == [0, 0, 1]
    assert hall_hits([(2, 2), (1, 4), (1, 0)], UP, beam_radius=2) == [0, 0, 1]
    assert hall_hits([(2, 2), (1, 3), (1, 1)], UP, beam_length=0) == [0, 0, 0]


def test_a_hit_player_is_off_the_map_for_four_steps_and_comes_back_on_a_start():
    state, _, info = play(state_of([[4, 2], [2, 2]]), [ZAP, FORWARD])  # it goes to (1, 2), and is hit there
    assert info["zapped"].tolist() == [0, 1] and state.away.tolist() == [0, 4] and info["apples_eaten"][1] == 1
    for left in (3, 2, 1):
        state, rewards, info = play(state, [STAY, FORWARD])
        assert state.away[1] == left and info["away"].tolist() == [0, 1] and rewards[1] == 0
    last = state
    state, _, info = play(state, [STAY, FORWARD])
    assert state.away[1] == 0 and info["away"][1] == 1 and tuple(state.places[1].tolist()) in ENV.world.starts
    after = repeat(ENV, last, jnp.array([STAY, ZAP]), PARAMS, 4000)
    columns = np.bincount(after.places[:, 1, 1], minlength=5)
    assert within(columns, 4000, 1 / 5) and within(np.bincount(after.facing[:, 1], minlength=4), 4000, 1 / 4)


def test_who_is_off_the_map_is_not_in_the_way_not_hit_and_eats_nothing():
    state = state_of([[3, 2], [2, 2]], away=[0, 3])
    after, rewards, info = play(state, [ZAP, STAY])
    assert info["zapped"].tolist() == [0, 0] and after.apples[MIDDLE] and rewards == [1, 0]
    assert play(state, [FORWARD, STAY])[0].places[0].tolist() == [2, 2]


def test_who_cannot_come_back_tries_again():
    env = envs.make("commons_harvest", layout=("A Q", "P Q"), num_players=2)
    step = quickly(env.step)
    state = state_of([[1, 0], [0, 1]], away=[0, 1], env=env)
    after, _, info = play(state, [STAY, STAY], params=env.default_params, step=step)
    assert after.away.tolist() == [0, 1] and info["away"].tolist() == [0, 1]
    after = after.replace(places=after.places.at[0].set(jnp.array([1, 1])))
    after, *_ = play(after, [STAY, STAY], params=env.default_params, step=step)
    assert after.away.tolist() == [0, 0] and after.places[1].tolist() == [1, 0]


def test_a_player_may_zap_every_third_step():
    state, fired = state_of([[3, 2], [5, 0]]), []
    for _ in range(7):
        state, _, info = play(state, [ZAP, STAY])
        fired.append(int(info["zaps"][0]))
    assert fired == [1, 0, 0, 1, 0, 0, 1]


def test_two_players_may_hit_each_other_and_zaps_may_cost():
    state = state_of([[2, 1], [2, 3]], [RIGHT, LEFT], apples=[])
    params = PARAMS.replace(zap_reward=jnp.float32(-0.5), zapped_reward=jnp.float32(-3))
    after, rewards, _ = play(state, [ZAP, ZAP], params=params)
    assert after.away.tolist() == [4, 4] and rewards == [-3.5, -3.5]


def picture(env, state):
    """Planes of the whole map, [rows, columns, 2 + 2 x players]: apples, walls, then places and facings by seat."""
    world, n = env.world, env.num_players
    planes = np.zeros((world.rows, world.columns, 2 + 2 * n), int)
    for ripe, cell in zip(np.asarray(state.apples), world.apples, strict=True):
        planes[(*cell, 0)] = ripe
    for cell in world.walls:
        planes[(*cell, 1)] = 1
    for seat in range(n):
        if state.away[seat] == 0:
            planes[(*state.places[seat].tolist(), 2 + seat)] = 1
            planes[(*state.places[seat].tolist(), 2 + n + seat)] = 1 + int(state.facing[seat])
    return planes


def expected_view(env, state, player, reach, turn):
    """The window of one player, out of the map by padding, turning and cutting; `reach` ahead, behind, to the sides."""
    n, pad = env.num_players, 12
    planes = np.pad(picture(env, state), ((pad, pad), (pad, pad), (0, 0)))
    inside = np.pad(np.ones((env.world.rows, env.world.columns), int), pad)
    planes[..., 1] |= 1 - inside
    marker = np.zeros(planes.shape[:2], int)
    row, column = state.places[player].tolist()
    marker[row + pad, column + pad] = 1
    quarters = int(state.facing[player]) if turn else 0
    planes, marker = np.rot90(planes, quarters), np.rot90(marker, quarters)  # to the left: what is ahead comes up
    (row,), (column,) = np.nonzero(marker)
    ahead, behind, sides = reach
    cut = planes[row - ahead : row + behind + 1, column - sides : column + sides + 1]
    order = [player, *(seat for seat in range(n) if seat != player)]
    facing = cut[..., 2 + n :].sum(-1)
    ways = [(facing > 0) & ((facing - 1 - quarters) % 4 == way) for way in range(4)]
    ready = np.full(cut.shape[:2], int(state.cooldown[player] == 0))
    view = np.stack([cut[..., 0], cut[..., 1], *(cut[..., 2 + s] for s in order), *ways, ready], -1)
    return view * int(state.away[player] == 0)


def random_state(env, seed):
    random = np.random.default_rng(seed)
    n, world = env.num_players, env.world
    free = [c for c in np.ndindex(world.rows, world.columns) if c not in world.walls]
    places = [free[i] for i in random.choice(len(free), n, replace=False)]
    return state_of(
        places,
        random.integers(0, 4, n).tolist(),
        np.flatnonzero(random.random(len(world.apples)) < 0.6).tolist(),
        (random.integers(2, 5, n) * (random.random(n) < 0.3)).tolist(),
        random.integers(0, 3, n).tolist(),
        env,
    )


@pytest.fixture(scope="module", params=["turning", "compass"])
def observed(request):
    """An environment, how its window reaches, and its step, which shows the state after it."""
    layout = ("AAWAA  A", "A    WAP", "AA  A WP", "  W   PP")
    env = envs.make("commons_harvest", layout=layout, num_players=3, movement=request.param, ahead=4, behind=1, sides=2)
    return env, (4, 1, 2) if request.param == "turning" else (2, 2, 2), quickly(env.step)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_window_is_the_map_turned_and_cut(observed, seed):
    env, reach, step = observed
    state = random_state(env, seed)
    obs, after, *_ = step(jax.random.key(seed), state, jnp.zeros(3, jnp.int32), env.default_params)
    for player in range(3):
        expected = expected_view(env, after, player, reach, env.movement == "turning")
        np.testing.assert_array_equal(obs[player], expected)


def test_the_full_view_is_the_whole_map_the_same_way_up_for_all():
    env = envs.make("commons_harvest", layout=ROOM, num_players=3, view="full")
    state = state_of([(0, 0), (2, 2), (4, 5)], [RIGHT, DOWN, LEFT], away=[0, 0, 3], cooldown=[0, 2, 0], env=env)
    obs, after, *_ = quickly(env.step)(jax.random.key(0), state, jnp.zeros(3, jnp.int32), env.default_params)
    expected = np.zeros((3, 5, 6, 10), np.uint8)
    expected[:, 4, 5, 0] = 1
    expected[:, 2, 3, 1] = 1
    for player, (own, other) in enumerate(((2, 3), (3, 2), (3, 4))):
        expected[player, 0, 0, own] = 1
        expected[player, 2, 2, other] = 1
    expected[:, 0, 0, 5 + RIGHT] = expected[:, 2, 2, 5 + DOWN] = 1
    expected[0, :, :, 9] = 1
    np.testing.assert_array_equal(obs, expected)


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
