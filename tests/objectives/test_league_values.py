"""Everyone against everyone, against the one-by-one exact values, hand results and play."""

import importlib
import itertools

import jax
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.objectives.behaviour_tables import behaviours, lengthened, next_histories
from shaping.policies import stack_automata

TABLES = np.random.default_rng(0).random((3, 5))
CLASSIC = ["allc", "alld", "tft", "grim", "wsls"]


def one_by_one(game, tables, row, column):
    """Value of both seats by the objective that learners ascend, in float64."""
    with jax.enable_x64(True):
        policies = (shaping.memory_one(tables.shape[1]),) * 2
        params = game.default_params
        returns, _ = shaping.exact(game, policies)([jax.numpy.asarray(tables[row]), jax.numpy.asarray(tables[column])])
        scale = 1 - float(params.discount) if game.horizon is None else 1 / game.horizon
        return [float(x) * scale for x in returns]


@pytest.mark.parametrize(
    "game",
    [
        envs.make("battle_of_the_sexes", noise=(0.1, 0.02)),
        envs.make("ipd", state_view="shared"),
        envs.make("chicken", horizon=3, discount=1),
    ],
    ids=["two roles and noise", "shared view", "three rounds"],
)
def test_every_cell_is_the_value_of_that_match(game):
    found = shaping.league_values(game, TABLES)
    for row, column in itertools.product(range(3), repeat=2):
        first, second = one_by_one(game, TABLES, row, column)
        assert found.value[row, column, 0] == pytest.approx(first, abs=1e-9)
        assert found.value[column, row, 1] == pytest.approx(second, abs=1e-9)


def test_classic_strategies_earn_what_can_be_counted_by_hand():
    found = shaping.league_values(envs.make("ipd", discount=0.96), CLASSIC)
    d = 0.96
    expected = [
        [-1, -3, -1, -1, -1],
        [0, -2, -2 * d, -2 * d, -2 * d / (1 + d)],
        [-1, -3 * (1 - d) - 2 * d, -1, -1, -1],
        [-1, -3 * (1 - d) - 2 * d, -1, -1, -1],
        [-1, (-3 - 2 * d) / (1 + d), -1, -1, -1],
    ]
    np.testing.assert_allclose(found.value[..., 0], expected, rtol=1e-12)
    np.testing.assert_allclose(found.value[..., 1], expected, rtol=1e-12)  # the game is symmetric
    np.testing.assert_allclose(found.payoffs, expected, rtol=1e-12)
    cooperation = [
        [1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0],
        [1, 1 - d, 1, 1, 1],
        [1, 1 - d, 1, 1, 1],
        [1, 1 / (1 + d), 1, 1, 1],
    ]
    np.testing.assert_allclose(found.cooperation[..., 0], cooperation, rtol=1e-12)


def test_tit_for_tat_with_trembling_hands_earns_the_known_value():
    found = shaping.league_values(envs.make("ipd", noise=0.05), ["tft"])
    assert found.value[0, 0, 0] == pytest.approx(-1.3676, abs=5e-5)


@pytest.mark.parametrize("settings", [{}, {"noise": 0.03}, {"horizon": 4, "discount": 1}, {"state_view": "shared"}])
def test_tables_and_machines_earn_the_same(settings):
    game = envs.make("ipd", **settings)
    tables = [*behaviours(["tft", "extortionate"]), TABLES[0]]
    as_tables = shaping.league_values(game, tables)
    with_a_machine = shaping.league_values(game, [*tables, "tf2t"])
    np.testing.assert_allclose(with_a_machine.value[:3, :3], as_tables.value, atol=1e-12)
    np.testing.assert_allclose(with_a_machine.cooperation[:3, :3], as_tables.cooperation, atol=1e-12)


def test_a_longer_memory_that_is_not_used_changes_nothing():
    game = envs.make("ipd", noise=0.01)
    longer = np.random.default_rng(1).random(21)
    mixed = shaping.league_values(game, [TABLES[0], TABLES[1], longer])
    np.testing.assert_allclose(mixed.value[:2, :2], shaping.league_values(game, TABLES[:2]).value, atol=1e-12)
    as_machines = shaping.league_values(game, [TABLES[0], longer, "tf2t"])
    np.testing.assert_allclose(as_machines.value[:2, :2], mixed.value[::2, ::2], atol=1e-12)


def test_a_history_is_followed_by_the_one_with_the_new_round_at_its_end():
    follows = next_histories(2)
    # After CD DC comes DC DD: histories of two rounds start at 5, in base four CD = 1, DC = 2, DD = 3.
    assert follows[5 + 4 * 1 + 2, 1 + 3] == 5 + 4 * 2 + 3
    assert follows[0].tolist() == [0, 1, 2, 3, 4]
    table = lengthened(np.arange(5) / 4, 2)
    assert table[5 + 4 * 3 + 1] == table[1 + 1]


def test_policies_of_a_run_are_taken_by_their_logits_and_machines_as_they_are():
    logits = np.log(TABLES / (1 - TABLES))
    policy = shaping.tabular(5)
    np.testing.assert_allclose(behaviours([(policy, theta) for theta in logits]), TABLES, atol=1e-12)
    machines, stacked = stack_automata(["tft", "tf2t"])
    player = jax.tree.map(lambda leaf: leaf[1], stacked)
    game = envs.make("ipd")
    found = shaping.league_values(game, [(machines, player), "alld"])
    assert found.value[0, 1, 0] == pytest.approx(shaping.league_values(game, ["tf2t", "alld"]).value[0, 1, 0])


def test_float32_is_right_to_its_own_digits():
    game = envs.make("ipd")
    single = shaping.league_values(game, TABLES, precision="float32")
    assert single.value.dtype == np.float32
    np.testing.assert_allclose(single.value, shaping.league_values(game, TABLES).value, atol=1e-5)


def test_a_league_that_is_cut_into_blocks_is_the_same_league(monkeypatch):
    module = importlib.import_module("shaping.objectives.league_values")
    game, tables = envs.make("ipd"), np.random.default_rng(2).random((7, 5))
    whole = shaping.league_values(game, tables)
    monkeypatch.setattr(module, "_BLOCK", 9)
    monkeypatch.setattr(module, "_WIDTH", 4)
    np.testing.assert_allclose(shaping.league_values(game, tables).value, whole.value, rtol=1e-12)


@pytest.mark.parametrize(
    ("players", "names"),
    [
        ([], r"players is \[\]"),
        ("tft", "players is 'tft'; allowed: a sequence"),
        (["titfortat"], "strategy is 'titfortat'"),
        ([[1, 1, 0, 1, 1.5]], "player 0 cooperates with probability 1.5"),
        (np.ones((2, 4)), r"players has the shape \[2, 4\]; allowed: 5, 21"),
        ([3], r"player 0 has the shape \[\]"),
        ([object()], "player 0 is <object"),
        ([(shaping.network(envs.make("ipd").observation_space, envs.make("ipd").action_space), None)], "player 0 is"),
    ],
)
def test_who_cannot_play_is_refused_in_one_line(players, names):
    with pytest.raises(ValueError, match=names) as error:
        shaping.league_values(envs.make("ipd"), players)
    assert "\n" not in str(error.value)


def test_a_game_of_three_is_refused():
    with pytest.raises(ValueError, match="the game has 3 players; allowed: 2"):
        shaping.league_values(envs.make("contribution", num_players=3), ["tft"])
    with pytest.raises(ValueError, match="precision is 'half'"):
        shaping.league_values(envs.make("ipd"), ["tft"], precision="half")
