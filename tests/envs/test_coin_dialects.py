"""Each dialect against the rules of its program, as that program's file has them.

lola2018: Foerster et al. 2018, lola/envs/coin_game.py. lola_dice: lola_dice/envs/coin_game.py (and
alexis-jacq/LOLA_DiCE, envs/coin_game.py). pola: Silent-Zebra/POLA, jax_files/coin_game_jax.py. mfos:
luchris429/Model-Free-Opponent-Shaping, src/coin_game/coin_game_envs.py. pax: ucl-dark/pax, pax/envs/coin_game.py.
jaxmarl: JaxMARL 0.2.0, environments/coin_game/coin_game.py. loqa: MiladInk/loqa, coin_game.py and
three_player_coin_game.py. reciprocator: johnlyzhou/reciprocator, src/environments/coin_game.py.
"""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from scipy import stats

from shaping import envs
from tests.compiling import quickly
from tests.envs.coin_rules import numbers, place, play

RLDU, LRUD = ("right", "left", "down", "up"), ("left", "right", "up", "down")
SHARED = [["red", "blue", "red coin", "blue coin"]] * 2
OWN_FIRST = [["red", "blue", "red coin", "blue coin"], ["blue", "red", "blue coin", "red coin"]]
ROLLED = [["red", "blue", "red coin", "blue coin"], ["red coin", "blue coin", "red", "blue"]]
BOTH, RED_FIRST = ((-1, 1), (1, -1)), ((1, 0), (1, -2))
"""Rewards of both players on the red coin, and on the blue one."""


def rules(coins, ties, actions, distinct, steps, last, shape, dtype, planes):
    return SimpleNamespace(**locals())


RULES = {
    "lola2018": rules(1, RED_FIRST, RLDU, True, 150, "play", (4, 3, 3), np.float32, SHARED),
    "lola_dice": rules(1, BOTH, RLDU, True, 150, "play", (36,), np.float32, SHARED),
    "pola": rules(1, BOTH, RLDU, False, 50, "play", (36,), np.float32, SHARED),
    "mfos": rules(2, BOTH, RLDU, False, 16, "restart", (4, 3, 3), np.float32, SHARED),
    "pax": rules(2, BOTH, (*RLDU, "stay"), False, 16, "no_reward", (36,), np.int8, OWN_FIRST),
    "jaxmarl": rules(2, BOTH, (*RLDU, "stay"), False, 10, "no_reward", (36,), np.int8, OWN_FIRST),
    "loqa": rules(1, BOTH, LRUD, False, 50, "play", (4, 3, 3), np.float32, OWN_FIRST),
    "reciprocator": rules(2, BOTH, (*RLDU, "stay"), False, 32, "play", (4, 3, 3), np.float32, ROLLED),
}


@pytest.fixture(params=RULES)
def dialect(request):
    return request.param


@pytest.fixture
def env(dialect):
    return envs.make("coin_game", dialect=dialect)


@pytest.fixture
def rule(dialect):
    return RULES[dialect]


def coins_of(rule, red_coin, blue_coin, colour):
    """The coins on the board: both, or the one whose colour it is."""
    return [red_coin, blue_coin] if rule.coins == 2 else [(red_coin, blue_coin)[colour]]


def test_every_dialect_has_its_rules_here():
    with pytest.raises(ValueError, match=f"allowed: {', '.join(RULES)}$"):
        envs.make("coin_game", dialect="none")


def test_sizes_actions_and_lengths_are_the_programs(env, rule):
    assert env.num_players == 2 and env.grid == (3, 3)
    assert env.num_coins == rule.coins and env.action_names == rule.actions
    assert env.action_space.num_values == len(rule.actions)
    assert env.observation_space.shape == rule.shape and np.dtype(env.observation_space.dtype) == rule.dtype
    assert int(env.default_params.horizon) == rule.steps and env.default_params.noise is None
    np.testing.assert_array_equal(env.default_params.rewards, [[1, 1, -2], [1, 1, -2]])


@pytest.mark.parametrize("colour", [0, 1])
def test_ties_pay_what_the_program_pays(env, rule, colour):
    coins = coins_of(rule, *([(1, 1), (0, 0)] if colour == 0 else [(0, 0), (1, 1)]), colour)
    state = place(env, [(1, 0), (1, 2)], coins, colour if rule.coins == 1 else 0)
    assert tuple(play(env, state, "right", "left").rewards) == rule.ties[colour]


@pytest.mark.parametrize("colour", [0, 1])
def test_the_colour_alternates_where_there_is_one_coin(env, rule, colour):
    coins = coins_of(rule, (1, 1), (1, 1), colour)
    after = play(env, place(env, [(1, 0), (0, 0)], coins, colour if rule.coins == 1 else 0), "right", "up")
    assert after.colour == (1 - colour if rule.coins == 1 else 0)


@pytest.mark.parametrize("colour", [0, 1])
def test_each_player_sees_the_planes_in_the_programs_order(env, dialect, rule, colour):
    """A coin that is not there is a plane of zeros; the egocentric view has the player at (1, 1)."""
    where = {"red": (0, 1), "blue": (2, 2), "red coin": (1, 0), "blue coin": (2, 0)}
    coins = coins_of(rule, where["red coin"], where["blue coin"], colour)
    state = place(env, [where["red"], where["blue"]], coins, colour if rule.coins == 1 else 0)
    absent = {"red coin": colour == 1, "blue coin": colour == 0} if rule.coins == 1 else {}
    expected = np.zeros((2, 4, 3, 3))
    for player in range(2):
        me = where[("red", "blue")[player]]
        for channel, what in enumerate(rule.planes[player]):
            row, column = where[what]
            if dialect == "pax":
                row, column = (row - me[0] + 1) % 3, (column - me[1] + 1) % 3
            expected[player, channel, row, column] = not absent.get(what, False)
    if dialect in ("pax", "jaxmarl"):
        expected = expected.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(env.observe(state, env.default_params), expected.reshape(2, *rule.shape))


def test_three_see_as_the_three_player_programs_show():
    """LOQA turns players and coins round, each by itself; Reciprocator rolls all six planes by two places a seat."""
    cells, coins = [(0, 0), (0, 1), (0, 2)], [(1, 0), (1, 1), (1, 2)]

    def marks(env, state):
        """Which cells each player's planes mark, -1 for an empty plane."""
        seen = np.asarray(env.observe(state, env.default_params)).reshape(3, 6, 9)
        return np.where(seen.any(-1), seen.argmax(-1), -1).tolist()

    loqa = envs.make("coin_game", dialect="loqa", num_players=3)
    assert marks(loqa, place(loqa, cells, [(2, 2)], colour=1)) == [
        [0, 1, 2, -1, 8, -1],
        [1, 2, 0, 8, -1, -1],
        [2, 0, 1, -1, -1, 8],
    ]
    rolled = envs.make("coin_game", dialect="reciprocator", num_players=3)
    assert marks(rolled, place(rolled, cells, coins)) == [
        [0, 1, 2, 3, 4, 5],
        [2, 3, 4, 5, 0, 1],
        [4, 5, 0, 1, 2, 3],
    ]
    first = envs.make("coin_game", dialect="jaxmarl", num_players=3, layout="channels_first")
    assert marks(first, place(first, cells, coins)) == [
        [0, 1, 2, 3, 4, 5],
        [1, 0, 2, 4, 3, 5],
        [2, 0, 1, 5, 3, 4],
    ]


@pytest.mark.parametrize("grid", [(4, 8), (3, 11), (2, 5)])
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_boards_of_any_size_are_seen_alike(grid, layout):
    """32 cells fill a word of bits; 33 take another way."""
    env = envs.make("coin_game", dialect="pax", grid=grid, layout=layout, flat=False)
    rows, columns = grid
    where = [(0, columns - 1), (rows - 1, 1), (rows - 1, columns - 1), (0, 0)]
    seen = np.asarray(env.observe(place(env, where[:2], where[2:]), env.default_params))
    seen = seen if layout == "channels_first" else seen.transpose(0, 3, 1, 2)
    assert seen.shape == (2, 4, rows, columns) and seen.sum() == 8
    for player, order in enumerate([[0, 1, 2, 3], [1, 0, 3, 2]]):
        for channel, what in enumerate(order):
            row = (where[what][0] - where[player][0] + rows // 2) % rows
            column = (where[what][1] - where[player][1] + columns // 2) % columns
            assert seen[player, channel, row, column] == 1


def test_the_last_step_and_the_end_are_the_programs(env, rule):
    coins = coins_of(rule, (1, 1), (2, 2), 0)
    before = play(env, place(env, [(1, 0), (0, 0)], coins, step=rule.steps - 2), "right", "up")
    assert not before.truncated and not before.terminated and before.rewards == [1, 0]
    after = play(env, place(env, [(1, 0), (0, 0)], coins, step=rule.steps - 1), "right", "up")
    assert after.truncated and not after.terminated
    assert after.rewards == ([1, 0] if rule.last == "play" else [0, 0])
    assert after.pickups == ([[0, 0], [0, 0]] if rule.last == "restart" else [[1, 0], [0, 0]])


def assert_distributed(drawn, expected):
    """Chi-square of drawn values against probabilities, and none where the probability is nought."""
    observed = np.bincount(drawn, minlength=len(expected))
    assert not observed[expected == 0].any()
    some = expected > 0
    assert stats.chisquare(observed[some], expected[some] * len(drawn)).pvalue > 1e-4


def test_a_taken_coin_comes_back_uniformly_on_the_cells_the_program_allows(env, rule):
    """One coin: free of both players. Two coins: anywhere, under players and the other coin too."""
    state = place(env, [(1, 0), (2, 1)], coins_of(rule, (1, 1), (0, 2), 0))
    actions = numbers(env, "right", "right")
    keys = jax.random.split(jax.random.key(3), 20000)
    after = quickly(jax.vmap(lambda key: env.step(key, state, actions, env.default_params)[1]))(keys)
    players, coins = np.asarray(after.players), np.asarray(after.coins)
    assert np.all(players == [1 * 3 + 1, 2 * 3 + 2])
    allowed = np.ones(9)
    if rule.coins == 1:
        allowed[[1 * 3 + 1, 2 * 3 + 2]] = 0
    assert_distributed(coins[:, 0], allowed / allowed.sum())
    assert rule.coins == 1 or np.all(coins[:, 1] == 2)


def test_two_coins_taken_at_once_come_back_independently(env, rule):
    if rule.coins == 1:
        state = place(env, [(1, 0), (1, 2)], [(1, 1)])
    else:
        state = place(env, [(1, 0), (2, 0)], [(1, 1), (2, 1)])
    actions = numbers(env, "right", "left" if rule.coins == 1 else "right")
    keys = jax.random.split(jax.random.key(4), 20000)
    coins = np.asarray(quickly(jax.vmap(lambda key: env.step(key, state, actions, env.default_params)[1].coins))(keys))
    if rule.coins == 2:
        assert_distributed(coins[:, 0] * 9 + coins[:, 1], np.full(81, 1 / 81))
    else:
        # Both stand on one cell: eight are free.
        assert_distributed(coins[:, 0], np.where(np.arange(9) == 4, 0, 1 / 8))


def test_starts_are_distributed_as_the_program_draws_them(env, rule):
    """Jointly: the players' cells, the coins' and the first colour."""
    keys = jax.random.split(jax.random.key(6), 60000)
    state = quickly(jax.vmap(lambda key: env.reset(key, env.default_params)[1]))(keys)
    assert not np.any(state.step)
    (red, blue), coins = np.asarray(state.players).T, np.asarray(state.coins).T
    if rule.coins == 2:
        drawn = np.ravel_multi_index((red, blue, *coins), (9, 9, 9, 9))
        assert_distributed(drawn, np.full(9**4, 1 / 9**4))
        assert not np.any(state.colour)
        return
    expected = np.zeros((9, 9, 9, 2))
    for one in range(9):
        for two in range(9):
            if rule.distinct and one == two:
                continue
            free = [cell for cell in range(9) if cell not in (one, two)]
            expected[one, two, free] = 1 / len(free) / 2 / (72 if rule.distinct else 81)
    drawn = np.ravel_multi_index((red, blue, coins[0], np.asarray(state.colour)), expected.shape)
    assert expected.sum() == pytest.approx(1)
    assert_distributed(drawn, expected.ravel())


def test_three_distinct_players_start_uniformly_on_distinct_cells():
    env = envs.make("coin_game", dialect="lola2018", num_players=3, grid=(2, 3))
    keys = jax.random.split(jax.random.key(7), 40000)
    state = quickly(jax.vmap(lambda key: env.reset(key, env.default_params)[1]))(keys)
    cells = np.concatenate([np.asarray(state.players), np.asarray(state.coins), state.colour[:, None]], axis=1)
    shape = (6, 6, 6, 6, 3)
    expected = np.zeros(shape)
    for index in np.ndindex(*shape):
        expected[index] = (len(set(index[:4])) == 4) / (6 * 5 * 4 * 3 * 3)
    assert_distributed(np.ravel_multi_index(cells.T, shape), expected.ravel())


def test_a_setting_given_replaces_the_dialects():
    env = envs.make("coin_game", dialect="pax", egocentric=False, horizon=3, grid=(4, 5), taken=-1)
    assert (env.egocentric, env.horizon, env.grid, env.taken) == (False, 3, (4, 5), -1)
    assert env == envs.make("coin_game", dialect="jaxmarl", horizon=3, grid=(4, 5), taken=-1)


# Totals of a random player's episode from the rules' Markov chain, computed by enumeration of all states.


@pytest.mark.parametrize(
    ("dialect", "steps", "each"),
    [
        ("pola", 50, 2.8281),
        pytest.param("lola_dice", 150, 8.4732, marks=pytest.mark.slow),
        ("mfos", 16, 1.691142),
    ],
)
def test_random_players_take_as_many_coins_as_the_markov_chain_says(dialect, steps, each):
    """Own and other's coins alike, four totals of each episode; of mfos's 16 steps 15 are played."""
    env = envs.make("coin_game", dialect=dialect)
    params, games = env.default_params, 4000

    def game(key):
        def step(state, now):
            actions = env.action_space.sample(jax.random.fold_in(now, 1), (2,))
            _, state, _, _, _, info = env.step(now, state, actions, params)
            return state, info["pickups"]

        start = env.reset(key, params)[1]
        return jax.lax.scan(step, start, jax.random.split(jax.random.fold_in(key, 9), steps))[1].sum(0)

    totals = np.asarray(quickly(jax.vmap(game))(jax.random.split(jax.random.key(8), games)), float)
    # The four totals of a game hang together: the error is that of their mean over games.
    means = totals.mean((1, 2))
    assert abs(means.mean() - each) < 5 * means.std() / np.sqrt(games)
