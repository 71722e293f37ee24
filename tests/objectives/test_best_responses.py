"""Best responses to many policies, against hand results and all deterministic responses."""

import itertools

import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.objectives.best_responses import pair_values

RANDOM = np.random.default_rng(0).random((1000, 5))
DETERMINISTIC = np.array(list(itertools.product((0.0, 1.0), repeat=5)))


@pytest.mark.parametrize("settings", [{}, {"noise": (0.1, 0.02), "discount": 0.8}], ids=["plain", "noise"])
def test_no_deterministic_policy_of_one_round_does_better_and_one_does_as_well(settings):
    game = envs.make("battle_of_the_sexes", **settings)
    league = shaping.league_values(game, np.concatenate([DETERMINISTIC, RANDOM])).value[:32, 32:]
    for seat in (0, 1):
        best = shaping.best_responses(game, RANDOM, seat)
        np.testing.assert_allclose(best.value, league[..., seat].max(axis=0), atol=1e-12)


def test_the_responses_that_are_named_earn_what_is_said_and_so_do_the_players():
    game, players = envs.make("ipd", noise=0.02), RANDOM[:20]
    best = shaping.best_responses(game, players)
    # As the player sees it: its own action first; as the response does, CD and DC change places.
    responses = 1.0 - best.actions[:, [0, 1, 3, 2, 4]]
    league = shaping.league_values(game, np.concatenate([responses, players])).value
    number = np.arange(20)
    np.testing.assert_allclose(league[number, 20 + number, 0], best.value, atol=1e-12)
    np.testing.assert_allclose(league[20 + number, number, 1], best.opponent_value, atol=1e-12)


def test_known_strategies_are_answered_as_by_hand():
    d = 0.96
    game = envs.make("ipd", discount=d)
    players = ["tft", "alld", "wsls", "grim", "allc", [1, 1, 0.3, 1, 0.3], [1, 1, 0.9, 1, 0.9]]
    best = shaping.best_responses(game, players)
    # Cooperate; defect; defect (T and P in turns pay more than R here); cooperate; defect; cooperate where a defection
    # is forgiven with .3, since -2 * .7 d < -1, defect where with .9.
    expected = [-1, -2, -2 * d / (1 + d), -1, 0, -1, -2 * 0.1 * d]
    np.testing.assert_allclose(best.value, expected, atol=1e-12)
    theirs = [-1, -2, (-3 - 2 * d) / (1 + d), -1, -3, -1, -3 * (1 - d) - (3 * 0.9 + 2 * 0.1) * d]
    np.testing.assert_allclose(best.opponent_value, theirs, atol=1e-12)
    assert best.actions[0].tolist() == [0] * 5 and best.actions[1].tolist() == [1] * 5


def test_tit_for_two_tats_is_exploited_every_other_round():
    d = 0.96
    best = shaping.best_responses(envs.make("ipd", discount=d), ["tf2t", "tft"])
    # D, C, D, C, ... : T and R in turns.
    np.testing.assert_allclose(best.value, [-d / (1 + d), -1], atol=1e-12)
    np.testing.assert_allclose(best.opponent_value[0], (-3 - d) / (1 + d), atol=1e-12)


def test_a_machine_and_its_table_are_answered_alike():
    game = envs.make("ipd", noise=0.05)
    tables = shaping.best_responses(game, RANDOM[:3])
    machines = shaping.best_responses(game, [*RANDOM[:3], "tf2t"])
    np.testing.assert_allclose(machines.value[:3], tables.value, atol=1e-12)
    longer = shaping.best_responses(game, [*RANDOM[:3], np.full(21, 0.5)])
    np.testing.assert_allclose(longer.value[:3], tables.value, atol=1e-12)


def test_in_a_game_with_an_end_the_last_round_is_a_defection():
    game = envs.make("ipd", horizon=3, discount=1)
    best = shaping.best_responses(game, ["tft", "allc"])
    # C, C, D against tit-for-tat: -1, -1, 0.
    np.testing.assert_allclose(best.value, [-2 / 3, 0])
    np.testing.assert_allclose(best.opponent_value, [-5 / 3, -3])
    assert best.actions.shape == (2, 3, 5)
    assert best.actions[0, 2].tolist() == [1] * 5
    once = shaping.best_responses(envs.make("stag_hunt", horizon=1), [[0.9] * 5, [0.1] * 5])
    np.testing.assert_allclose(once.value, [0.9 * 4 + 0.1 * 1, 0.1 * 3 + 0.9 * 2])


def test_mutual_defection_cannot_be_exploited_and_mutual_cooperation_can():
    game = envs.make("ipd")
    tables = np.array([[0.0] * 5, [1.0] * 5])
    found = shaping.exploitabilities(game, tables, tables)
    np.testing.assert_allclose(found.values, [[-2, -2], [-1, -1]], atol=1e-12)
    np.testing.assert_allclose(found.gains, [[0, 0], [1, 1]], atol=1e-12)
    np.testing.assert_allclose(found.nash_conv, [0, 2], atol=1e-12)


@pytest.mark.parametrize("settings", [{}, {"horizon": 3}, {"state_view": "shared", "noise": 0.1}])
def test_values_of_pairs_are_those_of_the_league_and_nobody_gains_less_than_nothing(settings):
    game = envs.make("chicken", **settings)
    found = shaping.exploitabilities(game, RANDOM[:5], RANDOM[5:10])
    league = shaping.league_values(game, RANDOM[:10]).value
    number = np.arange(5)
    np.testing.assert_allclose(found.values[:, 0], league[number, 5 + number, 0], atol=1e-9)
    np.testing.assert_allclose(found.values[:, 1], league[5 + number, number, 1], atol=1e-9)
    assert found.gains.min() >= -1e-9


def test_a_player_who_always_shows_heads_loses_every_penny():
    """Matching pennies: against a player that always shows heads either seat wins each round."""
    game = envs.make("matching_pennies")
    heads = np.ones((1, 5))
    assert shaping.best_responses(game, heads, 0).value[0] == pytest.approx(1)
    assert shaping.best_responses(game, heads, 1).value[0] == pytest.approx(1)
    found = shaping.exploitabilities(game, np.full((1, 5), 0.5), np.full((1, 5), 0.5))
    assert found.nash_conv[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: shaping.best_responses(envs.make("ipd"), RANDOM, 2), "seat is 2; allowed: 0 or 1"),
        (lambda: shaping.best_responses(envs.make("contribution", num_players=3), RANDOM), "3 players; allowed: 2"),
        (lambda: shaping.exploitabilities(envs.make("ipd"), RANDOM, RANDOM[:2]), "1000 and 2 players"),
        (lambda: shaping.exploitabilities(envs.make("ipd"), ["tf2t"], ["tft"]), "machines among the players"),
    ],
)
def test_what_has_no_best_response_is_refused(call, names):
    with pytest.raises(ValueError, match=names):
        call()


def test_how_much_better_than_always_defecting_one_can_do_against_strategies_drawn_at_random():
    """Exact for the 32 strategies without chance: by enumeration a best memory-one reply is worth 1/4 more a round.
    The less extreme the strategies, the less there is to find out about them."""
    game = envs.make("ipd", reward=1.0, sucker=-1.0, temptation=2.0, punishment=0.0, discount=0.9999)
    rng, count = np.random.default_rng(0), 2000
    tables = {"beta": rng.beta(0.5, 0.5, (count, 5)), "uniform": rng.random((count, 5))}
    tables["corners"] = DETERMINISTIC
    gains = {}
    for name, table in tables.items():
        gain = shaping.best_responses(game, table).value - pair_values(game, np.zeros_like(table), table)[:, 0]
        gains[name] = gain.mean(), gain.std() / len(gain) ** 0.5
    assert gains["corners"][0] == pytest.approx(0.25, abs=1e-3)
    for name, expected in (("beta", 0.108), ("uniform", 0.049)):
        assert abs(gains[name][0] - expected) < 4 * gains[name][1]
