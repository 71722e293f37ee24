"""Scripted players of the Coin Game on boards made by hand, and in every view of them."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.coin_game.dialects import DIALECTS
from shaping.envs.coin_game.game import MOVES, CoinGameState
from shaping.policies import coin_game_players
from tests.compiling import quickly

NOWHERE = -1
NAMES = ("right", "left", "down", "up", "stay")


@cache
def chooser(name, env, player):
    """Probabilities of a player's actions on many boards, one program whichever the boards."""
    policy = getattr(coin_game_players, name)(env, player)

    def probabilities(players, coins, colour):
        state = CoinGameState.of(players, coins, colour, jnp.int32(0))
        return policy.apply((), env.observe(state, env.default_params)[player], None)[0].probs

    return quickly(jax.vmap(probabilities))


def done(name, env, player, players, coins, colour=0):
    """Which actions a player may take, by name, on each of many boards: [boards] sets.

    Args:
      players, coins: [boards, ...] cells.
    """
    arrays = [jnp.asarray(x, jnp.int32) for x in (players, coins, np.broadcast_to(colour, len(players)))]
    found = np.asarray(chooser(name, env, player)(*arrays))
    sets = []
    for row in found:
        assert set(np.round(row[row > 0] * np.count_nonzero(row), 5)) == {1}  # equally likely
        sets.append({env.action_names[a] for a in np.flatnonzero(row)})
    return sets


def one_coin(**settings):
    return envs.make("coin_game", dialect="pola", **settings)


def steps_apart(grid, a, b):
    """Steps between cells on a torus, by trying all that lead round it."""
    (ra, ca), (rb, cb) = (divmod(cell, grid[1]) for cell in (a, b))
    return min(abs(ra - rb + i * grid[0]) + abs(ca - cb + j * grid[1]) for i in (-1, 0, 1) for j in (-1, 0, 1))


@pytest.mark.parametrize("moves", ["right_left_down_up", "left_right_up_down"])
def test_ties_are_broken_as_published(moves):
    """From the middle of 3 x 3: up or down wherever the coin is not in the own row, right where it is here."""
    expected = ["up", "up", "up", "left", "right", "right", "down", "down", "down"]
    opposite = ["down", "down", "down", "right", "left", "left", "up", "up", "up"]
    env, middle, cells = one_coin(moves=moves), [[4, 0]] * 9, np.arange(9)[:, None]
    assert done("greedy_any", env, 0, middle, cells) == [{name} for name in expected]
    assert done("greedy_any", env, 0, middle, cells, 1) == [{name} for name in expected]
    assert done("cooperate", env, 0, middle, cells) == [{name} for name in expected]
    assert done("cooperate", env, 0, middle, cells, 1) == [{name} for name in opposite]
    # Seat 1 in the same place, to whom the other colour is its own.
    turned = [[0, 4]] * 9
    assert done("cooperate", env, 1, turned, cells, 1) == [{name} for name in expected]
    assert done("cooperate", env, 1, turned, cells, 0) == [{name} for name in opposite]


@pytest.mark.parametrize("grid", [(3, 3), (4, 5), (2, 6)])
def test_each_step_of_a_greedy_player_comes_nearer(grid):
    env = one_coin(grid=grid)
    cells = env.num_cells
    pairs = [(a, b) for a in range(cells) for b in range(cells) if a != b]
    chosen = done("greedy_any", env, 0, [[a, 0] for a, _ in pairs], [[b] for _, b in pairs])
    for (a, b), names in zip(pairs, chosen, strict=True):
        down, right = MOVES[next(iter(names))]
        after = (a // grid[1] + down) % grid[0] * grid[1] + (a % grid[1] + right) % grid[1]
        assert len(names) == 1 and steps_apart(grid, after, b) == steps_apart(grid, a, b) - 1


def test_the_nearest_coin_comes_first_then_the_own_then_the_lowest_colour():
    env = envs.make("coin_game", dialect="pax", num_players=3, grid=5, egocentric=False)
    middle = 12  # up 7, down 17, left 11, right 13; 2 is two above
    boards = ([11, 2, 22], [2, 11, 22], [7, 11, 17], [2, 11, 17], [2, 17, 11], [12, 11, 7])
    coins = np.array(boards)
    here = [[middle] * 3] * len(boards)
    assert done("greedy_any", env, 0, here, coins) == [{"left"}, {"left"}, {"up"}, {"left"}, {"down"}, {"stay"}]
    assert done("greedy_any", env, 1, here, coins)[2:4] == [{"left"}, {"left"}]
    assert done("greedy_any", env, 2, here, coins)[2:4] == [{"down"}, {"down"}]
    assert done("greedy_own", env, 1, here, coins) == [{"up"}, {"left"}, {"left"}, {"left"}, {"down"}, {"left"}]
    assert done("cooperate", env, 1, here, coins) == done("greedy_own", env, 1, here, coins)


def test_without_a_coin_of_its_own_a_player_stays_or_moves_at_random():
    for env, expected in ((one_coin(), set(NAMES[:4])), (one_coin(stay=True), {"stay"})):
        assert done("greedy_own", env, 0, [[4, 0]] * 2, [[1], [3]], [1, 0]) == [expected, {"left"}]


def test_a_cooperator_does_not_stay_on_another_s_coin():
    assert done("cooperate", one_coin(stay=True), 0, [[4, 0]], [[4]], 1) == [{"left"}]


def test_whoever_avoids_others_coins_does_everything_but_end_on_one():
    env = envs.make("coin_game", dialect="reciprocator")
    here, coins = [[4, 0]] * 4, [[1, 3], [3, 4], [0, 8], [1, 1]]
    everything = set(NAMES)
    expected = [everything - {"left"}, everything - {"stay"}, everything, everything - {"up"}]
    assert done("avoid_other", env, 0, here, coins) == expected
    assert done("avoid_other", env, 1, [[0, 4]] * 4, [coin[::-1] for coin in coins]) == expected
    # One row: up and down end where one stands, and on two cells left is right.
    tight = envs.make("coin_game", dialect="reciprocator", grid=(1, 2), num_players=3, respawn="any", start_coins="any")
    assert done("avoid_other", tight, 0, [[0, 0, 0]] * 2, [[0, 0, 1], [0, 1, 1]]) == [
        everything,
        everything - {"left", "right"},
    ]


def test_random_and_stay_do_what_they_are_called():
    env = one_coin(stay=True)
    assert done("random", env, 0, [[4, 0]], [[3]]) == [set(NAMES)]
    assert done("stay", env, 0, [[4, 0]], [[3]]) == [{"stay"}]


@pytest.mark.parametrize(
    ("players", "every"), [(3, False), *(pytest.param(n, True, marks=pytest.mark.slow) for n in (2, 3))]
)
def test_every_view_layout_and_order_of_moves_leads_to_the_same_decision(players, every):
    """Against the shared view with planes first, on which the boards above are played."""
    rng = np.random.default_rng(players)
    views = [
        {"view": "self_first", "egocentric": True, "layout": "channels_last", "flat": True, "dtype": "int8"},
        {"view": "cyclic", "layout": "channels_first", "moves": "left_right_up_down", "flat": False},
        {"view": "rolled", "layout": "channels_last", "flat": False},
        {"view": "cyclic", "egocentric": True, "layout": "channels_first", "flat": True},
    ]
    common = {"dialect": "pola", "num_players": players, "grid": (3, 4), "stay": True}
    named = list(zip(views, ("greedy_any", "cooperate", "avoid_other", "greedy_own"), strict=True))
    for coins, some in (("alternating", named[:2]), ("per_colour", named[2:])):
        count = 1 if coins == "alternating" else players
        boards = [rng.integers(0, 12, (20, size)) for size in (players, count)]
        colour = rng.integers(0, players, 20) if coins == "alternating" else 0
        plain = envs.make("coin_game", coins=coins, **common)
        for settings, name in named if every else some:
            env = envs.make("coin_game", coins=coins, **common | settings)
            seat = players - 1
            assert done(name, env, seat, *boards, colour) == done(name, plain, seat, *boards, colour)


def test_what_is_certain_is_always_drawn_and_has_no_entropy():
    env = one_coin()
    obs, _ = env.reset(jax.random.key(0), env.default_params)
    distribution = coin_game_players.greedy_any(env).apply((), obs[0], None)[0]
    drawn = distribution.sample(seed=jax.random.key(1), sample_shape=(100_000,))
    assert len(np.unique(drawn)) == 1
    assert distribution.log_prob(drawn[0]) == 0 and distribution.entropy() == 0


def test_players_by_number_are_those_by_name():
    env = one_coin(stay=True)
    obs, _ = env.reset(jax.random.key(3), env.default_params)
    numbered = coin_game_players.by_number(env, 1)
    logits = quickly(jax.vmap(lambda theta: numbered.apply(theta, obs[1], None)[0].logits))(jnp.arange(6))
    for number, name in enumerate(coin_game_players.NAMES):
        expected = getattr(coin_game_players, name)(env, 1).apply((), obs[1], None)[0].logits
        np.testing.assert_array_equal(logits[number], expected)
    assert numbered.num_parameters == 1 and coin_game_players.random(env).num_parameters == 0


def test_all_play_in_an_auto_reset_of_any_dialect_as_in_the_game_alone():
    for dialect in DIALECTS:
        env = envs.make("coin_game", dialect=dialect)
        assert coin_game_players.cooperate(envs.AutoReset(env), 1) == coin_game_players.cooperate(env, 1)
        assert coin_game_players.cooperate(env, 1) != coin_game_players.cooperate(env, 0)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: coin_game_players.stay(one_coin()), "stay is False in this game; allowed: a game made with stay=True"),
        (lambda: coin_game_players.random(envs.make("ipd")), "env is ipd; allowed: coin_game, alone or auto-reset"),
        (lambda: coin_game_players.random(one_coin(), 2), "player is 2; allowed: an integer from 0 to 1"),
        (lambda: coin_game_players.random(one_coin()).table(()), "random has no table of logits; allowed: "),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(make, reason):
    with pytest.raises(ValueError, match=f"^{reason}.*$"):
        make()
