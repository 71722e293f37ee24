"""Partners, rivals and equalisers, against known strategies and published conditions."""

import numpy as np
import pytest

from shaping import cooperation, envs


def donation(benefit, discount=1 - 1e-6):
    return envs.make("ipd", reward=benefit - 1, sucker=-1, temptation=benefit, punishment=0, discount=discount)


def test_classic_strategies_are_what_they_are_known_as():
    # At b = 3, R + R > T + P, so that win-stay lose-shift is a partner.
    found = cooperation.relations(donation(3), ["tft", "alld", "allc", "wsls", "grim"], tolerance=1e-5)
    assert found.partner.tolist() == [True, False, False, True, True]
    assert found.rival.tolist() == [True, True, False, False, True]
    assert found.friendly_rival.tolist() == [True, False, False, False, True]
    assert not found.equaliser.any()
    with_machines = cooperation.relations(donation(3), ["tft", "alld", "allc", "wsls", "tf2t"], tolerance=1e-5)
    assert with_machines.partner[:4].tolist() == found.partner[:4].tolist()
    np.testing.assert_allclose(with_machines.most[:4], found.most[:4], atol=1e-9)
    # Defecting every other round earns (b + b - 1) / 2 from tit-for-two-tats.
    assert with_machines.most[4] == pytest.approx(2.5, abs=1e-5)


def test_with_a_discount_tit_for_tat_is_behind_by_its_first_round():
    found = cooperation.relations(donation(3, discount=0.9), ["tft"])
    assert found.lead[0] == pytest.approx(0.1 * (3 + 1))
    assert not found.rival[0]


@pytest.mark.parametrize("above", [-0.01, 0.01])
def test_a_reactive_player_is_a_partner_up_to_a_generosity_of_one_minus_cost_over_benefit(above):
    """p_D <= 1 - c/b (Akin 2016; Stewart and Plotkin 2014)."""
    q = 1 - 1 / 3 + above
    assert cooperation.relations(donation(3), [[1, 1, q, 1, q]], 1e-5).partner.tolist() == [above < 0]


@pytest.mark.parametrize(
    ("cd", "dc", "dd", "partner"),
    [(0.9, 0.5, 0.4, True), (0.5, 0.9, 0.45, True), (0.9, 0.7, 0.4, False), (0.9, 0.5, 0.6, False)],
)
def test_a_reactive_player_of_two_rounds_is_a_partner_within_the_published_conditions(cd, dc, dd, partner):
    """(p_CD + p_DC) / 2 <= 1 - c/(2b) and p_DD <= 1 - c/b, here at b = 2 (Glynatsi and others 2024)."""
    other = np.array([0, 1, 0, 1])  # whether the other defected, of own CC, CD, DC, DD
    answers = np.array([[1.0, cd], [dc, dd]])  # by the other's round before the last, then its last
    two = answers[np.repeat(other, 4), np.tile(other, 4)]
    table = np.concatenate([[1.0, 1.0, cd, 1.0, cd], two])
    assert cooperation.relations(donation(2), [table], 1e-5).partner.tolist() == [partner]


def test_a_reactive_player_whose_answer_weighs_cost_against_benefit_is_an_equaliser():
    """b d (p - q) = c: whatever the opponent pays comes back."""
    game = donation(2, discount=0.9)
    q, answer = 0.2, 0.5 / 0.9
    found = cooperation.relations(game, [[0.3, q + answer, q, q + answer, q], [0.3, 0.9, 0.3, 0.9, 0.3]])
    assert found.equaliser.tolist() == [True, False]
    assert found.most[0] == pytest.approx(2 * (0.1 * 0.3 + 0.9 * q))


def test_a_game_with_two_roles_is_refused():
    with pytest.raises(ValueError, match="is not a symmetric game"):
        cooperation.relations(envs.make("battle_of_the_sexes"), ["tft"])
