import itertools

import numpy as np
import pytest

from shaping.analysis import strategies
from shaping.classic_strategies import EXTORTIONATE, STRATEGIES, UNDEFINED

IPD = np.array([[-1, -3, 0, -2], [-1, 0, -3, -2]], float)
PENNIES = np.array([[1, -1, -1, 1], [-1, 1, 1, -1]], float)
ALLD = np.zeros(5)
TFT = np.array([1, 1, 0, 1, 0.0])  # own view
SWAP = [0, 1, 3, 2, 4]


def pair(first, second):
    return np.stack([first, second])[None]


def test_alld_against_alld_scores_a_fifth_in_either_view():
    for view in ("own", "shared"):
        assert strategies.tft_match(pair(ALLD, ALLD), view) == pytest.approx([0.2])


def test_tft_against_tft_scores_one_in_either_view():
    assert strategies.tft_match(pair(TFT, TFT), "own") == pytest.approx([1.0])
    assert strategies.tft_match(pair(TFT, TFT[SWAP]), "shared") == pytest.approx([1.0])


def test_joint_states_are_paired_not_own_view_indices():
    # Each player agrees with TFT after its own CD only. Player 0's CD is player 1's DC, so no joint state
    # agrees.
    other = np.array([0, 0, 0, 0, 1.0])
    assert strategies.tft_match(pair(other, other), "own") == pytest.approx([0.0])
    paired_by_index = (np.abs(pair(other, other) - TFT) < 0.5).all(axis=1).mean(axis=1)
    assert paired_by_index == pytest.approx([0.2])


def test_a_policy_at_one_half_is_not_within_one_half_of_tft():
    assert strategies.tft_match(pair(np.full(5, 0.5), np.full(5, 0.5)), "own") == pytest.approx([0.0])


@pytest.mark.parametrize("shape", [(3, 2, 1), (3, 3, 9), (3, 1, 3)])
def test_tft_match_and_nearest_strategy_are_undefined_off_two_players_and_five_states(shape):
    policy = np.full(shape, 0.9)
    assert np.isnan(strategies.tft_match(policy, "own")).all()
    payoffs = np.zeros((3, shape[1], 2 ** shape[1]))
    labels, chi = strategies.nearest_strategy(policy, payoffs, "own")
    assert (labels == UNDEFINED).all() and np.isnan(chi).all()


def test_joint_states_permutes_the_own_view_of_each_of_three_players():
    # A player that copies player 0's last action, as each seat sees it.
    for player in range(3):
        own = np.zeros(9)
        for action in range(8):
            bits = [(action >> 2) & 1, (action >> 1) & 1, action & 1]  # seat order
            mine = [bits[player]] + [b for seat, b in enumerate(bits) if seat != player]
            own[1 + 4 * mine[0] + 2 * mine[1] + mine[2]] = action
        joint = own[strategies.joint_states(3, player, "own")]
        assert joint[1:].tolist() == list(range(8))


def test_matching_pennies_has_its_mixed_equilibrium_at_one_half():
    assert strategies.mixed_equilibrium(PENNIES[None], np.zeros((1, 2))) == pytest.approx(np.full((1, 2), 0.5))


def test_mixed_equilibrium_makes_each_player_indifferent():
    payoffs = np.array([[2, -1, -1, 1], [-3, 1, 1, -2]], float)
    p, q = strategies.mixed_equilibrium(payoffs[None], np.zeros((1, 2)))[0]
    a, b = payoffs.reshape(2, 2, 2)
    assert a[0] @ [q, 1 - q] == pytest.approx(a[1] @ [q, 1 - q])
    assert b[:, 0] @ [p, 1 - p] == pytest.approx(b[:, 1] @ [p, 1 - p])


def test_noise_moves_the_chosen_equilibrium_so_that_the_executed_one_stays_and_nan_where_out_of_reach():
    payoffs = np.array([[4, -1, -1, 1], [-4, 1, 1, -1]], float)
    plain = strategies.mixed_equilibrium(payoffs[None], np.zeros((1, 2)))
    noisy = strategies.mixed_equilibrium(payoffs[None], np.full((1, 2), 0.1))
    assert noisy * 0.9 + (1 - noisy) * 0.1 == pytest.approx(plain)
    assert np.isnan(strategies.mixed_equilibrium(payoffs[None], np.full((1, 2), 0.4))).all()


@pytest.mark.parametrize("payoffs", [IPD, np.zeros((2, 4))])
def test_games_with_a_pure_equilibrium_have_no_nash_match(payoffs):
    assert np.isnan(strategies.mixed_equilibrium(payoffs[None], np.zeros((1, 2)))).all()
    half = np.full((1, 2, 5), 0.5)
    assert np.isnan(strategies.nash_match(half, payoffs[None], np.zeros((1, 2)), "own")).all()


def test_nash_match_counts_joint_states_within_a_quarter_of_both():
    policy = np.full((1, 2, 5), 0.5)
    policy[0, 0, 2] = 0.9  # player 0 after CD
    policy[0, 1, 3] = 0.9  # player 1 after its DC, the same joint state
    noise = np.zeros((1, 2))
    assert strategies.nash_match(policy, PENNIES[None], noise, "own") == pytest.approx([0.8])
    assert strategies.nash_match(policy, PENNIES[None], noise, "shared") == pytest.approx([0.6])
    assert strategies.nash_match(policy[..., :1], PENNIES[None], noise, "own") == pytest.approx([1.0])


def test_cooperative_is_null_where_mutual_cooperation_is_not_better():
    value = np.array([[-1.1, -1.1], [-1.25, -1.1], [0, 0], [0, 0], [np.nan, 0]])
    good = np.array([[-1, -1], [-1, -1], [0, 0], [1 + 3e-7, -1], [-1, -1]])
    bad = np.array([[-2, -2], [-2, -2], [1, 1], [1, -1], [-2, -2]])
    got = strategies.cooperative(value, good, bad)
    assert got[:2].tolist() == [1, 1] and np.isnan(got[2:]).all()
    assert strategies.cooperative(np.array([[-1.2, -1.25]]), good[:1], bad[:1]).tolist() == [0]


@pytest.mark.parametrize("view", ["own", "shared"])
@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("ALLC", [1, 1, 1, 1]),
        ("ALLD", [0, 0, 0, 0]),
        ("TFT", [1, 0, 1, 0]),
        ("GRIM", [1, 0, 0, 0]),
        ("WSLS", [1, 0, 0, 1]),
        ("generous TFT", [1, 0.5, 1, 0.5]),
    ],
)
def test_the_nearest_strategy_of_a_named_one_is_itself(view, name, own):
    policy = pair(np.array([0.3, *own]), np.array([0.3, *own]))
    if view == "shared":
        policy[0, 1] = policy[0, 1][SWAP]
    labels, chi = strategies.nearest_strategy(policy, IPD[None], view)
    assert [STRATEGIES[i] for i in labels[0]] == [name, name]
    assert np.isnan(chi).all()


@pytest.mark.parametrize("view", ["own", "shared"])
@pytest.mark.parametrize("chi", [1.2, 3.0, 10.0])
def test_the_extortion_fit_recovers_a_known_chi(view, chi):
    r, s, t, p = -1.0, -3.0, 0.0, -2.0
    phi = 0.7 / (1 + chi * (t - p) / (p - s))
    own = [
        1 - phi * (chi - 1) * (r - p) / (p - s),
        1 - phi * (1 + chi * (t - p) / (p - s)),
        phi * (chi + (t - p) / (p - s)),
        0,
    ]
    policy = pair(np.array([0.5, *own]), np.array([0.5, *own]))
    if view == "shared":
        policy[0, 1] = policy[0, 1][SWAP]
    labels, got = strategies.nearest_strategy(policy, IPD[None], view)
    assert (labels == EXTORTIONATE).all()
    assert got == pytest.approx(np.full((1, 2), chi))


def test_extortion_is_no_candidate_outside_a_symmetric_prisoners_dilemma_or_with_a_poor_fit():
    own = np.array([0.5, 0.9, 0.35, 0.5, 0.0])
    skewed = IPD.copy()
    skewed[1] *= 2
    snowdrift = IPD[:, [0, 3, 2, 1]]
    for payoffs in (skewed, snowdrift):
        labels, _ = strategies.nearest_strategy(pair(own, own), payoffs[None], "own")
        assert (labels != EXTORTIONATE).all()
    labels, _ = strategies.nearest_strategy(pair(own + 0.3, own + 0.3), IPD[None], "own")
    assert (labels != EXTORTIONATE).all()


def test_generosity_follows_the_payoffs_of_each_match():
    # T - R = 1, R - S = 4, R - P = 1, T - P = 2: q = min(3/4, 1/2); outside the dilemma q is 1/3.
    game = np.array([[3, -1, 4, 2], [3, 4, -1, 2]], float)
    _, chi = strategies.nearest_strategy(pair(TFT, TFT), game[None], "own")
    q = np.array([1, 1, 0.5, 1, 0.5])
    third = np.array([1, 1, 1 / 3, 1, 1 / 3])
    labels, _ = strategies.nearest_strategy(pair(q, q), game[None], "own")
    assert STRATEGIES[labels[0, 0]] == "generous TFT" and np.isnan(chi).all()
    labels, _ = strategies.nearest_strategy(pair(third, third), PENNIES[None], "own")
    assert STRATEGIES[labels[0, 0]] == "generous TFT"


FOUND = np.array([0.1, 0.2, 0.6, 0.3, 0.64])  # answers defection, whatever it does otherwise
GOOD, BAD, NEAR = np.array([[-1.0, -1]]), np.array([[-2.0, -2]]), np.array([[-1.5, -0.85]])


@pytest.mark.parametrize("view", ["own", "shared"])
@pytest.mark.parametrize("state", range(5))
@pytest.mark.parametrize("player", [0, 1])
def test_tft_is_found_where_both_answer_both_of_the_opponents_defections(view, state, player):
    policy = pair(FOUND, FOUND)
    policy[0, player, state] = 0.7
    if view == "shared":
        policy[0, 1] = policy[0, 1][SWAP]
    found = strategies.tft_found(policy, NEAR, GOOD, BAD, view)
    # Own view: the opponent has defected after CD and DD.
    assert found.tolist() == [0 if state in (2, 4) else 1]


def test_tft_is_found_only_where_the_mean_value_is_above_four_fifths_of_the_way_to_cooperation():
    policy = pair(FOUND, FOUND).repeat(3, axis=0)
    value = np.array([[-1.0, -1.39], [-1.0, -1.41], [np.nan, -1.0]])
    good, bad = GOOD.repeat(3, axis=0), BAD.repeat(3, axis=0)
    assert strategies.tft_found(policy, value, good, bad, "own").tolist() == [1, 0, 0]


def test_tft_found_is_undefined_where_cooperation_does_not_pay_or_policies_are_no_memory_one_pairs():
    assert np.isnan(strategies.tft_found(pair(FOUND, FOUND), NEAR, BAD, GOOD, "own")).all()
    assert np.isnan(strategies.tft_found(pair(FOUND, FOUND), NEAR, GOOD, GOOD, "own")).all()
    assert np.isnan(strategies.tft_found(np.zeros((1, 2, 21)), NEAR, GOOD, BAD, "own")).all()


@pytest.mark.parametrize("memory", [1, 2, 3])
def test_joint_states_of_longer_memories_exchange_cd_and_dc_in_every_round(memory):
    rounds = ["CC", "CD", "DC", "DD"]
    known = [h for length in range(memory + 1) for h in itertools.product(rounds, repeat=length)]
    swapped = [known.index(tuple(letters[::-1] for letters in history)) for history in known]
    policy = np.random.default_rng(0).uniform(size=(3, 2, len(known)))
    joint = strategies.as_joint(policy, "own")
    np.testing.assert_array_equal(joint[:, 0], policy[:, 0])
    np.testing.assert_array_equal(joint[:, 1], policy[:, 1][:, swapped])
    np.testing.assert_array_equal(strategies.as_joint(policy, "shared"), policy)
