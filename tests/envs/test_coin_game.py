"""The rules of the Coin Game, point by point, from states set up by hand. Red is seat 0, blue seat 1."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from tests.compiling import quickly
from tests.envs.coin_rules import (
    GOES,
    N_KEYS,
    assert_uniform,
    coin_game,
    numbers,
    one_coin,
    pairs,
    place,
    play,
    step_many,
    strict,  # noqa: F401
    two_coins,
)

# Moves


@pytest.mark.parametrize(
    ("settings", "moves"),
    [
        ({"dialect": "pola"}, ["right", "left", "down", "up"]),
        ({"dialect": "loqa"}, ["left", "right", "up", "down"]),
        ({"dialect": "pax", "egocentric": False}, ["right", "left", "down", "up", "stay"]),
        ({"moves": "left_right_up_down", "stay": True}, ["left", "right", "up", "down", "stay"]),
    ],
)
def test_every_move_from_every_cell_goes_one_cell_on_the_torus(settings, moves):
    env = coin_game(grid=(3, 4), **settings)
    assert list(env.action_names) == moves and env.action_space.num_values == len(moves)
    cells, actions = np.divmod(np.arange(12 * len(moves), dtype=np.int32), len(moves))
    both_cells = np.stack([cells, cells[::-1]], axis=1)
    both_actions = np.stack([actions, actions[::-1]], axis=1)
    start = place(env, [(0, 0)] * 2, [(0, 0)] * env.num_coins)
    keys = jax.random.split(jax.random.key(0), len(cells))
    after = quickly(
        jax.vmap(
            lambda key, players, actions: (
                env.step(
                    key,
                    envs.CoinGameState.of(players, start.coins, start.colour, start.step),
                    actions,
                    env.default_params,
                )[1].players
            )
        )
    )(keys, jnp.asarray(both_cells), jnp.asarray(both_actions))
    for player in range(2):
        for cell, action, came_to in zip(
            both_cells[:, player], both_actions[:, player], np.asarray(after)[:, player], strict=True
        ):
            (row, column), (down, right) = divmod(int(cell), 4), GOES[moves[action]]
            assert divmod(int(came_to), 4) == ((row + down) % 3, (column + right) % 4)


def test_players_may_change_places():
    after = play(one_coin(), place(one_coin(), [(1, 0), (1, 1)], [(2, 2)]), "right", "left")
    assert after.players == [(1, 1), (1, 0)] and after.rewards == [0, 0] and after.coins == [(2, 2)]


def test_players_may_share_a_cell_and_leave_it_together():
    env = one_coin()
    after = play(env, place(env, [(0, 0), (1, 1)], [(2, 2)]), "down", "left")
    assert after.players == [(1, 0), (1, 0)]
    assert play(env, after.state, "up", "up").players == [(0, 0), (0, 0)]


# Who takes what


@pytest.mark.parametrize(
    ("taker", "colour", "rewards"), [(0, 0, [1, 0]), (0, 1, [1, -2]), (1, 1, [0, 1]), (1, 0, [-2, 1])]
)
@pytest.mark.parametrize("dialect", ["lola2018", "lola_dice", "pola", "loqa"])
def test_a_coin_pays_one_to_its_taker_and_costs_its_owner_two_if_that_is_another(dialect, taker, colour, rewards):
    env = coin_game(dialect=dialect)
    players = [(1, 0), (0, 2)] if taker == 0 else [(0, 2), (1, 0)]
    after = play(env, place(env, players, [(1, 1)], colour), *(["right", "up"] if taker == 0 else ["up", "right"]))
    pickups = [[0, 0], [0, 0]]
    pickups[taker][colour] = 1
    assert after.rewards == rewards and after.pickups == pickups


def test_nothing_is_paid_where_nobody_reaches_a_coin():
    env = one_coin()
    after = play(env, place(env, [(0, 0), (2, 0)], [(1, 1)], 1), "right", "left")
    assert (after.rewards, after.pickups, after.coins, after.colour) == ([0, 0], [[0, 0], [0, 0]], [(1, 1)], 1)


def test_leaving_a_coin_does_not_take_it():
    env = two_coins()
    state = place(env, [(1, 1), (2, 2)], [(1, 1), (2, 2)])
    after = play(env, state, "right", "up")
    assert after.rewards == [0, 0] and after.coins == [(1, 1), (2, 2)]


@pytest.mark.parametrize(("tie", "colour", "rewards"), [("all", 0, [-1, 1]), ("all", 1, [1, -1])])
def test_all_that_reach_a_coin_at_once_take_it(tie, colour, rewards):
    env = one_coin(tie=tie)
    after = play(env, place(env, [(1, 0), (1, 2)], [(1, 1)], colour), "right", "left")
    assert after.rewards == rewards and np.array(after.pickups)[:, colour].tolist() == [1, 1]


@pytest.mark.parametrize(("colour", "rewards"), [(0, [1, 0]), (1, [1, -2])])
def test_the_lowest_seat_alone_takes_a_coin_where_the_rule_says_so(colour, rewards):
    env = one_coin(tie="lowest_seat")
    after = play(env, place(env, [(1, 0), (1, 2)], [(1, 1)], colour), "right", "left")
    assert after.rewards == rewards and np.array(after.pickups)[:, colour].tolist() == [1, 0]
    alone = play(env, place(env, [(1, 0), (1, 2)], [(1, 1)], colour), "left", "left")
    assert alone.rewards == ([-2, 1] if colour == 0 else [0, 1])


def test_of_three_the_lower_of_two_on_a_coin_takes_it():
    env = one_coin(tie="lowest_seat", num_players=3)
    after = play(env, place(env, [(0, 0), (1, 0), (1, 2)], [(1, 1)], 2), "up", "right", "left")
    assert after.pickups == [[0, 0, 0], [0, 0, 1], [0, 0, 0]] and after.rewards == [0, 1, -2]


def test_a_lone_taker_of_both_coins_on_one_cell_gets_both():
    env = two_coins()
    after = play(env, place(env, [(1, 0), (2, 2)], [(1, 1), (1, 1)]), "right", "stay")
    assert after.rewards == [2, -2] and after.pickups == [[1, 1], [0, 0]]
    after = play(env, place(env, [(2, 2), (1, 0)], [(1, 1), (1, 1)]), "stay", "right")
    assert after.rewards == [-2, 2] and after.pickups == [[0, 0], [1, 1]]


def test_two_takers_of_both_coins_on_one_cell_get_nothing():
    env = two_coins()
    after = play(env, place(env, [(1, 0), (1, 2)], [(1, 1), (1, 1)]), "right", "left")
    assert after.rewards == [0, 0] and after.pickups == [[1, 1], [1, 1]]


def test_of_two_coins_each_is_taken_by_itself():
    env = two_coins()
    after = play(env, place(env, [(1, 0), (0, 0)], [(0, 1), (1, 1)]), "right", "right")
    assert after.rewards == [1 - 2, 1 - 2] and after.pickups == [[0, 1], [1, 0]]
    after = play(env, place(env, [(1, 0), (2, 2)], [(1, 1), (0, 0)]), "right", "stay")
    assert after.rewards == [1, 0] and after.coins[1] == (0, 0)


def test_a_player_that_stays_on_a_coin_that_came_back_under_it_takes_it():
    env = two_coins()
    params, start = env.default_params, place(env, [(1, 0), (0, 0)], [(1, 1), (2, 2)])
    keys = jax.random.split(jax.random.key(1), 200)
    coins = step_many(env, start, ["right", "stay"], params, keys)[1].coins[:, 0]
    under = int(np.flatnonzero(np.asarray(coins) == 1 * 3 + 1)[0])
    _, state, rewards, *_ = env.step(keys[under], start, numbers(env, "right", "stay"), params)
    assert np.asarray(rewards).tolist() == [1, 0] and pairs(env, state.players)[0] == pairs(env, state.coins)[0]
    after = play(env, state, "stay", "stay")
    assert after.rewards == [1, 0] and after.pickups == [[1, 0], [0, 0]]


@pytest.mark.parametrize("num_players", [2, 3])
def test_the_colour_of_the_only_coin_goes_on_by_one_seat_each_time_it_is_taken(num_players):
    env = one_coin(num_players=num_players)
    away = [(0, 2)] * (num_players - 1)
    for colour in range(num_players):
        state = place(env, [(1, 0), *away], [(1, 1)], colour)
        assert play(env, state, "right", *["up"] * len(away)).colour == (colour + 1) % num_players
        assert play(env, state, "left", *["up"] * len(away)).colour == colour


def test_coins_of_every_colour_keep_it():
    env = two_coins(num_players=3)
    after = play(env, place(env, [(1, 0), (0, 0), (0, 0)], [(1, 1), (2, 2), (2, 1)]), "right", "stay", "stay")
    assert after.colour == 0 and after.coins[1:] == [(2, 2), (2, 1)]
    assert after.pickups == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


# More players


def test_four_players_of_four_colours_pay_each_other():
    env = two_coins(num_players=4, grid=4)
    coins = [(0, 1), (1, 1), (2, 1), (3, 1)]
    # Seat 0 takes colour 1, seat 1 colour 1, seat 2 colour 3, seat 3 nothing.
    after = play(env, place(env, [(1, 0), (1, 2), (3, 0), (0, 3)], coins), "right", "left", "right", "stay")
    assert after.pickups == [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert after.rewards == [1, 1 - 2, 1, -2]
    assert [after.coins[0], after.coins[2]] == [(0, 1), (2, 1)]


@pytest.mark.parametrize(
    ("penalty", "by_two", "by_all"), [("per_taker", [-4, 1, 1], [-3, 1, 1]), ("per_coin", [-2, 1, 1], [-1, 1, 1])]
)
def test_an_owner_pays_for_each_taker_or_once_for_the_coin(penalty, by_two, by_all):
    env = one_coin(num_players=3, penalty=penalty)
    two = place(env, [(0, 0), (1, 0), (1, 2)], [(1, 1)], 0)
    assert play(env, two, "left", "right", "left").rewards == by_two
    all_three = place(env, [(0, 1), (1, 0), (1, 2)], [(1, 1)], 0)
    assert play(env, all_three, "down", "right", "left").rewards == by_all
    # Of one's own coin nobody else takes, nothing is paid.
    assert play(env, all_three, "down", "left", "up").rewards == [1, 0, 0]


@pytest.mark.parametrize(("num_players", "taken"), [(2, -2.0), (3, -1.5), (4, -4 / 3), (np.int64(5), -1.25)])
def test_the_owner_of_a_reciprocators_coin_pays_n_over_n_minus_one(num_players, taken):
    """Zhou et al. 2024, `src/environments/coin_game.py`, COIN_MISMATCH_PUNISHMENT."""
    env = coin_game(dialect="reciprocator", num_players=num_players, grid=4)
    n = int(num_players)
    coins = [(1, 1), *[(3, 3)] * (n - 1)]
    after = play(env, place(env, [(0, 0), (1, 0), *[(2, 2)] * (n - 2)], coins), "stay", "right", *["stay"] * (n - 2))
    np.testing.assert_allclose(after.rewards, [taken, 1, *[0] * (n - 2)], rtol=1e-6)
    assert coin_game(dialect="reciprocator", taken=-5).taken == -5


# Ends


@pytest.mark.parametrize("last_step", ["play", "no_reward"])
def test_the_horizon_truncates_and_does_not_terminate(last_step):
    env = two_coins(last_step=last_step, horizon=3)
    for step, truncated in [(0, False), (1, False), (2, True)]:
        after = play(env, place(env, [(1, 0), (0, 0)], [(1, 1), (2, 2)], step=step), "right", "stay")
        assert (after.truncated, after.terminated) == (truncated, False) and int(after.state.step) == step + 1
        assert after.pickups == [[1, 0], [0, 0]] and after.players == [(1, 1), (0, 0)]
        assert after.rewards == ([0, 0] if truncated and last_step == "no_reward" else [1, 0])


def test_a_step_that_restarts_ignores_actions_and_pays_and_counts_nothing():
    """Lu et al. 2022, `src/coin_game/coin_game_envs.py`: of 16 steps 15 are played."""
    env = coin_game(dialect="mfos", horizon=4)
    for step in (0, 1, 2):
        after = play(env, place(env, [(1, 0), (0, 0)], [(1, 1), (2, 2)], step=step), "right", "right")
        assert after.rewards == [1, 0] and not after.truncated and after.players == [(1, 1), (0, 1)]
    state = place(env, [(1, 0), (0, 0)], [(1, 1), (2, 2)], step=3)
    after = play(env, state, "right", "right")
    assert after.truncated and not after.terminated and int(after.state.step) == 4
    assert after.rewards == [0, 0] and after.pickups == [[0, 0], [0, 0]]
    other = play(env, state, "left", "up")
    assert (other.players, other.coins) == (after.players, after.coins)
    np.testing.assert_array_equal(after.obs, env.observe(after.state, env.default_params))

    keys = jax.random.split(jax.random.key(3), N_KEYS)
    fresh = step_many(env, state, ["right", "right"], env.default_params, keys)[1]
    cells = np.concatenate([np.asarray(fresh.players), np.asarray(fresh.coins)], axis=1)
    assert_uniform(cells, 9)
    # and independently of each other: each pair of cells is drawn once in 81.
    for one, two in [(0, 1), (0, 2), (1, 3), (2, 3)]:
        assert_uniform(cells[:, one] * 9 + cells[:, two], 81)


def test_one_program_plays_many_rewards_and_horizons():
    env = one_coin(noise=0.0)
    params = envs.CoinGameParams(
        rewards=jnp.array([[[1.0, 1, -2], [1, 1, -2]], [[3, 0.5, 7], [5, -1, -0.25]], [[0, 0, 0], [0, 0, 1]]]),
        horizon=jnp.array([4, 5, 50], jnp.int32),
        noise=jnp.zeros((3, 2)),
    )
    state = place(env, [(1, 0), (1, 2)], [(1, 1)], colour=1, step=3)
    keys = jax.random.split(jax.random.key(0), 3)

    def step(key, params):
        return env.step(key, state, numbers(env, "right", "left"), params)[2:5]

    rewards, terminated, truncated = quickly(jax.vmap(step))(keys, params)
    # Both take blue's coin: red is paid for another's colour, blue for its own and for having it taken.
    np.testing.assert_allclose(rewards, [[1, -1], [0.5, 4.75], [0, 1]])
    assert np.asarray(truncated).tolist() == [True, False, False] and not np.any(terminated)
