"""Rules of the in-the-matrix games, one by one, against hand-written expectations."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from tests.compiling import quickly

LEFT, RIGHT, FORWARD, FIRE, STAY = range(5)


def game(**settings):
    env = envs.make("in_the_matrix", **settings)
    step = quickly(env.step)

    def play(state, *actions, key=0, **numbers):
        params = env.default_params.replace(**numbers)
        return step(jax.random.key(key), state, jnp.array(actions, jnp.int32), params)

    return env, play


@pytest.fixture(scope="module")
def two():
    return game()


@pytest.fixture(scope="module")
def three():
    return game(dialect="storm_n", num_players=3, mutual=False, regrowth=0.0)


@cache
def start_of(env):
    return quickly(env.reset)(jax.random.key(0), env.default_params)[1]


def state_of(env, *bodies, held=None, frozen=None, coins=False):
    """Players at (row, column, direction); no coins, or all."""
    state = start_of(env)
    rows, columns, directions = jnp.array(bodies, jnp.int32).T
    held = np.zeros((env.num_players, env.num_kinds)) if held is None else held
    frozen = np.zeros(env.num_players) if frozen is None else frozen
    return state.replace(
        rows=rows,
        columns=columns,
        directions=directions,
        inventories=jnp.asarray(held, jnp.int32),
        frozen=jnp.asarray(frozen, jnp.int32),
        present=jnp.full_like(state.present, coins),
    )


def places(state):
    return np.stack([state.rows, state.columns, state.directions], 1).tolist()


@pytest.mark.parametrize("direction, row, column", [(0, 4, 5), (1, 5, 4), (2, 4, 3), (3, 3, 4)])
def test_forward_goes_one_cell_in_the_direction_and_turns_change_it_by_one(two, direction, row, column):
    env, play = two
    state = state_of(env, (4, 4, direction), (0, 0, direction))
    assert places(play(state, FORWARD, LEFT)[1]) == [[row, column, direction], [0, 0, (direction + 1) % 4]]
    assert places(play(state, STAY, RIGHT)[1])[1] == [0, 0, (direction - 1) % 4]


def test_the_edge_and_who_stays_stop_a_player_and_two_may_change_places(two):
    env, play = two
    assert places(play(state_of(env, (7, 3, 1), (0, 0, 3)), FORWARD, FORWARD)[1]) == [[7, 3, 1], [0, 0, 3]]
    assert places(play(state_of(env, (4, 4, 0), (4, 5, 1)), FORWARD, LEFT)[1])[0] == [4, 4, 0]
    assert places(play(state_of(env, (4, 4, 0), (4, 5, 2)), FORWARD, FORWARD)[1]) == [[4, 5, 0], [4, 4, 2]]


def test_of_two_who_enter_one_cell_each_gets_it_half_of_the_time(two):
    env, _ = two
    state = state_of(env, (4, 3, 0), (4, 5, 2))
    keys = jax.random.split(jax.random.key(2), 2000)
    actions = jnp.array([FORWARD, FORWARD], jnp.int32)
    after = quickly(jax.vmap(lambda k: env.step(k, state, actions, env.default_params)[1]))(keys)
    first, second = np.asarray(after.columns == 4).T
    assert np.all(first ^ second)
    assert abs(first.mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)


def test_a_chain_behind_one_who_must_stay_stays_and_nobody_ever_shares_a_cell(three):
    env, play = three
    blocked = state_of(env, (4, 2, 0), (4, 3, 0), (4, 4, 0))
    assert places(play(blocked, FORWARD, FORWARD, STAY)[1]) == [[4, 2, 0], [4, 3, 0], [4, 4, 0]]
    assert places(play(blocked, FORWARD, FORWARD, FORWARD)[1]) == [[4, 3, 0], [4, 4, 0], [4, 5, 0]]


def test_many_players_never_share_a_cell_and_coins_are_conserved():
    env = envs.make("in_the_matrix", dialect="storm_n", num_players=5, grid_size=6, regrowth=0.3, spawn_directions=3)
    params = env.default_params

    def step(state, key):
        actions = jax.random.choice(key, 5, (5,), p=jnp.array([0.1, 0.1, 0.5, 0.25, 0.05])).astype(jnp.int32)
        _, after, rewards, *_, info = env.step(key, state, actions, params)
        return after, (state, after, rewards, info)

    _, start = quickly(env.reset)(jax.random.key(0), params)
    before, after, rewards, info = quickly(lambda k: jax.lax.scan(step, start, k)[1])(
        jax.random.split(jax.random.key(1), 400)
    )
    cells = np.asarray(after.rows * 6 + after.columns)
    assert all(len(set(row)) == 5 for row in cells.tolist())
    assert np.all(np.asarray(info["interacted"]).sum(1) % 2 == 0) and np.asarray(info["interacted"]).any()
    assert not np.asarray(rewards)[~np.asarray(info["interacted"])].any()
    freed = np.asarray(before.frozen == 1)
    assert freed.any() and not np.asarray(after.inventories)[freed].any()
    kept = ~freed & ~np.asarray(info["interacted"])
    gained = np.asarray(after.inventories - before.inventories)
    np.testing.assert_array_equal(gained[kept], np.asarray(info["collected"])[kept])


def test_a_coin_is_taken_by_who_enters_its_site(two):
    env, play = two
    state = state_of(env, (1, 0, 0), (7, 7, 0), coins=True)
    _, after, *_, info = play(state, FORWARD, STAY)
    # The list of sites starts with (1, 1), which is of kind 1 as in Pax.
    assert np.asarray(info["collected"]).tolist() == [[0, 1], [0, 0]]
    assert np.asarray(after.inventories).tolist() == [[0, 1], [0, 0]]
    assert np.asarray(after.sites)[~np.asarray(after.present)].tolist() == [9]


@pytest.mark.parametrize("direction", range(4))
def test_the_beam_covers_one_two_and_both_beside_the_first(two, direction):
    env, play = two
    ahead = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
    forward, aside = ahead[direction], ahead[(direction + 1) % 4]
    covered = {tuple(forward), tuple(2 * forward), tuple(forward + aside), tuple(forward - aside)}
    hit = set()
    for row in range(-3, 4):
        for column in range(-3, 4):
            if (row, column) != (0, 0):
                state = state_of(env, (3, 3, direction), (3 + row, 3 + column, 0), held=[[1, 0], [0, 1]])
                if play(state, FIRE, STAY)[-1]["interacted"].all():
                    hit.add((row, column))
    assert hit == covered


def test_a_pair_is_paid_by_its_mixtures_and_only_if_both_hold_something(two):
    env, play = two
    state = state_of(env, (4, 4, 0), (4, 5, 0), held=[[1, 3], [2, 2]])
    x, y = np.array([0.25, 0.75]), np.array([0.5, 0.5])
    first = np.array([[3, 0], [5, 1]])
    np.testing.assert_allclose(play(state, FIRE, STAY)[2], [x @ first @ y, x @ first.T @ y], rtol=1e-6)
    asymmetric = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8.5]]])
    rewards = play(state, FIRE, STAY, payoffs=jnp.asarray(asymmetric, dtype=float))[2]
    np.testing.assert_allclose(rewards, [x @ asymmetric[0] @ y, x @ asymmetric[1] @ y], rtol=1e-6)
    for held in ([[0, 0], [2, 2]], [[1, 0], [0, 0]]):
        _, after, rewards, *_ = play(state.replace(inventories=jnp.array(held, jnp.int32)), FIRE, FIRE)
        assert not np.asarray(rewards).any() and not np.asarray(after.frozen).any()


def test_a_pair_stands_still_for_freeze_steps_and_then_the_world_returns(two):
    env, play = two
    state = state_of(env, (4, 4, 0), (4, 6, 2), held=[[1, 0], [0, 1]])
    state = play(state, FIRE, STAY, freeze=jnp.int32(3))[1]
    assert np.asarray(state.frozen).tolist() == [3, 3]
    for left in (2, 1):
        state = play(state, FORWARD, FORWARD)[1]
        assert np.asarray(state.frozen).tolist() == [left, left]
        assert places(state) == [[4, 4, 0], [4, 6, 2]]
    state = play(state, FORWARD, FORWARD)[1]
    assert not np.asarray(state.frozen).any() and not np.asarray(state.inventories).any()
    assert np.asarray(state.present).sum() >= 10
    assert (np.asarray(state.rows).sum(), np.asarray(state.columns).sum()) == (7, 7)


def test_mutual_games_need_both_beams_and_frozen_players_are_left_alone(three):
    env, play = three
    held = np.ones((3, 2))
    state = state_of(env, (4, 4, 0), (4, 5, 2), (0, 0, 0), held=held)
    assert np.asarray(play(state, FIRE, STAY, STAY)[-1]["interacted"]).tolist() == [True, True, False]
    assert not play(state.replace(frozen=jnp.array([0, 2, 0], jnp.int32)), FIRE, STAY, STAY)[-1]["interacted"].any()
    mutual, play_mutual = game(mutual=True)
    pair = state_of(mutual, (4, 4, 0), (4, 5, 2), held=held[:2])
    assert not play_mutual(pair, FIRE, STAY)[-1]["interacted"].any()
    assert play_mutual(pair, FIRE, FIRE)[-1]["interacted"].all()


def test_a_player_is_in_one_pair_at_most_and_each_candidate_is_as_likely(three):
    env, _ = three
    state = state_of(env, (4, 4, 0), (4, 5, 1), (4, 6, 1), held=np.ones((3, 2)))
    actions = jnp.array([FIRE, STAY, STAY], jnp.int32)
    keys = jax.random.split(jax.random.key(2), 2000)
    info = quickly(jax.vmap(lambda k: env.step(k, state, actions, env.default_params)[-1]))(keys)
    paired = np.asarray(info["interacted"])
    assert np.all(paired[:, 0]) and np.all(paired[:, 1] ^ paired[:, 2])
    assert abs(paired[:, 1].mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)


def test_an_empty_site_grows_back_at_its_rate_and_not_under_a_player():
    env, _ = game(regrowth=0.25)
    state = state_of(env, (1, 1, 0), (7, 7, 0))
    keys = jax.random.split(jax.random.key(2), 2000)
    actions = jnp.array([STAY, STAY], jnp.int32)
    present = np.asarray(
        quickly(jax.vmap(lambda k: env.step(k, state, actions, env.default_params)[1]))(keys).present
    ).mean(0)
    under = np.asarray(state.sites) == 9
    assert present[under] == 0
    np.testing.assert_allclose(present[~under], 0.25, atol=4 * np.sqrt(0.25 * 0.75 / 2000))


def test_the_horizon_truncates_and_only_the_dialect_of_pax_withholds_the_last_reward(two):
    env, play = two
    state = state_of(env, (4, 4, 0), (4, 5, 0), held=[[1, 0], [1, 0]]).replace(step=jnp.int32(151))
    _, _, rewards, terminated, truncated, _ = play(state, FIRE, STAY)
    assert bool(truncated) and not bool(terminated) and np.asarray(rewards).tolist() == [3, 3]
    assert not np.asarray(game(dialect="storm_2p")[1](state, FIRE, STAY)[2]).any()


@pytest.mark.parametrize("size", [5, *(pytest.param(size, marks=pytest.mark.slow) for size in (3, 7, 11))])
def test_a_window_is_the_map_turned_to_the_player(size):
    env, play = game(view_size=size, num_players=3, grid_size=9, layout="random", num_coins=5)
    params = env.default_params
    _, state = quickly(env.reset)(jax.random.key(4), params)
    for time in range(12):
        obs, state, *_ = play(state, *np.random.default_rng(time).integers(0, 5, 3).tolist(), key=time)
        grid = np.full((9 + 2 * size, 9 + 2 * size), ".")
        grid[:] = "#"
        grid[size : size + 9, size : size + 9] = "."
        for player in range(3):
            for ahead, aside in ((1, 0), (2, 0), (1, 1), (1, -1)):
                step = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
                d = int(state.directions[player])
                row, column = (
                    np.array([state.rows[player], state.columns[player]]) + ahead * step[d] + aside * step[(d + 1) % 4]
                )
                if bool(state.fired[player]) and 0 <= row < 9 and 0 <= column < 9:
                    grid[size + row, size + column] = "*"
        for number, (site, there) in enumerate(zip(state.sites.tolist(), state.present.tolist(), strict=True)):
            if there:
                grid[size + site // 9, size + site % 9] = "ab"[number // 5]
        for player in range(3):
            grid[size + int(state.rows[player]), size + int(state.columns[player])] = str(player)
        for player in range(3):
            turned = np.rot90(grid, int(state.directions[player]))
            mark = np.argwhere(turned == str(player))[0]
            window = turned[mark[0] - size // 2 : mark[0] + size // 2 + 1, mark[1] : mark[1] + size]
            names = [str((player + k) % 3) for k in range(3)] + ["a", "b", "#", "*"]
            np.testing.assert_array_equal(
                np.moveaxis(np.asarray(obs)[player, :, :, :7], -1, 0), np.stack([window == name for name in names])
            )
            angles = np.zeros((size, size, 4))
            for other in set(range(3)) - {player}:
                angles[window == str(other), (int(state.directions[other]) - int(state.directions[player])) % 4] = 1
            np.testing.assert_array_equal(np.asarray(obs)[player, :, :, 7:11], angles)


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"dialect": "pax"}, "dialect is 'pax'"),
        ({"num_players": 9}, "num_players is 9"),
        ({"view_size": 4}, "view_size is 4"),
        ({"grid_size": 5}, "grid_size is 5"),
        ({"payoffs": [[1, 2, 3], [1, 2, 3]]}, "payoffs has the shape"),
        ({"payoffs": np.ones((5, 5)).tolist()}, "layout is 'corners' with 5 kinds"),
        ({"num_coins": 5}, "num_coins is 5"),
        ({"layout": "random", "grid_size": 3, "num_coins": 4}, "num_coins is 4"),
        ({"freeze": -1}, "freeze is -1"),
        ({"horizon": 0}, "horizon is 0"),
        ({"regrowth": 1.5}, "regrowth is 1.5"),
        ({"spawn": "mirrored", "num_players": 3}, "spawn is 'mirrored'"),
        ({"spawn_directions": 5}, "spawn_directions is 5"),
        ({"observation": "pixels"}, "observation is 'pixels'"),
        ({"mutual": 1}, "mutual is 1"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(settings, said):
    with pytest.raises(ValueError, match=r"; allowed: ") as refusal:
        envs.make("in_the_matrix", **settings)
    assert str(refusal.value).startswith(said) and "\n" not in str(refusal.value)
