"""Fixation probabilities and evolution with rare mutations, against closed forms and published numbers."""

from math import comb

import numpy as np
import pytest

from shaping.analysis.evolution import (
    fixation_from_advantages,
    fixation_probability,
    log_fixation_probabilities,
    stationary_distribution,
)

PAYOFFS = np.random.default_rng(3).random((5, 5)) * 2 - 1
# EGTtools 0.1.14.2, PairwiseComparison(30, Matrix2PlayerGameHolder(5, PAYOFFS)) at intensity 0.1 and 1: fixation of
# strategy 1 among residents of 0, of 4 among 3, and the stationary distribution at rare mutations. Probabilities below
# 1e-7 are 0 there.
EGTTOOLS = {
    0.1: (
        0.07179657523544516,
        0.02756155912211686,
        [0.049990599109900266, 0.09558914315769279, 0.1632120292907394, 0.239850590029417, 0.4513576384122506],
    ),
    1.0: (
        0.4917839273103824,
        0.0012931870900672953,
        [0.003815943977675705, 0.0113009686227882, 0.011990373411392793, 0.049236805413376314, 0.9236559085747669],
    ),
}


def test_hawks_invade_doves_as_often_as_egttools_says():
    assert fixation_probability([[-0.5, 2], [0, 0]], 1, 0, 100, 1.0) == pytest.approx(0.8641155742462664, rel=1e-12)


@pytest.mark.parametrize("intensity", EGTTOOLS)
def test_five_strategies_fix_and_rule_as_in_egttools(intensity):
    first, second, ruling = EGTTOOLS[intensity]
    assert fixation_probability(PAYOFFS, 0, 1, 30, intensity) == pytest.approx(first, rel=1e-10)
    assert fixation_probability(PAYOFFS, 3, 4, 30, intensity) == pytest.approx(second, rel=1e-10)
    # Its own cut-off takes off at most 1e-7 of a probability.
    np.testing.assert_allclose(stationary_distribution(PAYOFFS, 30, intensity), ruling, rtol=0, atol=1e-6)


@pytest.mark.parametrize("intensity", [0.01, 0.1, 1.0])
def test_random_games_fix_and_rule_as_in_egttools(intensity):
    pytest.importorskip("egttools")
    from egttools.analytical import PairwiseComparison
    from egttools.games import Matrix2PlayerGameHolder
    from egttools.utils import calculate_stationary_distribution

    for seed in range(20):
        n = 2 + seed % 5
        payoffs = np.random.default_rng(seed).normal(size=(n, n))
        game = Matrix2PlayerGameHolder(n, payoffs)  # named, as EGTtools does not keep it alive itself
        theirs = PairwiseComparison(40, game)
        ours = np.exp(log_fixation_probabilities(payoffs, 40, intensity))
        found = [
            [theirs.calculate_fixation_probability(j, i, intensity) if i != j else 1 / 40 for j in range(n)]
            for i in range(n)
        ]
        # A probability of less than 1e-7 is 0 there.
        np.testing.assert_allclose(ours, found, rtol=1e-8, atol=1.1e-7)
        if ours.min() > 1e-4:
            transitions, _ = theirs.calculate_transition_and_fixation_matrix_sml(intensity)
            ruling = calculate_stationary_distribution(np.asarray(transitions).T)
            np.testing.assert_allclose(stationary_distribution(payoffs, 40, intensity), ruling, atol=1e-8)


def test_a_neutral_mutant_fixes_once_in_the_number_of_players():
    assert fixation_probability(PAYOFFS, 0, 1, 20, 0.0) == pytest.approx(1 / 20)
    assert fixation_probability(PAYOFFS, 0, 1, 20, 0.0, mutants=5) == pytest.approx(5 / 20)
    assert fixation_probability(np.ones((2, 2)), 0, 1, 20, 3.0) == pytest.approx(1 / 20)


def test_a_constant_advantage_gives_the_geometric_sum():
    """Of fitness r = e^(intensity advantage): (1 - 1/r) / (1 - 1/r^N), the Moran process of constant fitness."""
    r, size = np.exp(0.3), 12
    found = fixation_probability([[0, 0], [0.3, 0.3]], 0, 1, size, 1.0)
    assert found == pytest.approx((1 - 1 / r) / (1 - r**-size), rel=1e-12)


def test_the_ratio_of_two_fixations_is_the_product_of_the_ratios():
    """rho_AB / rho_BA = prod_k T+(k) / T-(k), even where both are below the smallest float."""
    M = np.array([[3, 0], [0, 2.0]])
    size, intensity = 40, 200.0
    logs = log_fixation_probabilities(M, size, intensity)
    k = np.arange(1, size)
    advantage = ((k - 1) * M[1, 1] + (size - k) * M[1, 0] - k * M[0, 1] - (size - k - 1) * M[0, 0]) / (size - 1)
    assert logs[0, 1] < -2000
    assert logs[0, 1] - logs[1, 0] == pytest.approx(intensity * advantage.sum(), rel=1e-12)


def test_the_matrix_of_logarithms_has_the_single_probabilities():
    logs = log_fixation_probabilities(PAYOFFS, 7, 0.5)
    single = [[fixation_probability(PAYOFFS, i, j, 7, 0.5) for j in range(5)] for i in range(5)]
    np.testing.assert_allclose(np.exp(logs), single, rtol=1e-12)


@pytest.mark.parametrize(
    ("fitness", "expected"),
    [("linear", (0.19354839, 0.51612903)), ("exponential", (0.09003057, 0.33475904))],
    ids=["moran", "fermi"],
)
def test_a_public_good_is_provided_as_often_as_ludics_says(fitness, expected):
    """N = 3, r = 1.5, contribution 1, everybody in one group; linear fitness 1 + payoff / 2, Fermi imitation at 1.

    As a game of pairs: with two others, each of whom is met half of the time, a contributor has to bring in 2 r / 3 to
    give the good of the three.
    """
    share = 1.5 / 3
    M = [[2 * share + share - 1, share - 1], [2 * share, 0.0]]
    intensity = 0.5 if fitness == "linear" else 1.0
    found = [fixation_probability(M, 1, 0, 3, intensity, fitness, mutants) for mutants in (1, 2)]
    np.testing.assert_allclose(found, expected, atol=5e-9)


def test_a_collective_risk_dilemma_fixes_as_in_egttools():
    """Groups of 6 drawn from 50: with 3 contributors or more everybody keeps 1; contributors pay 0.1 anyhow (EGTtools,
    OneShotCRD(1.0, 0.1, 1.0, 6, 3) at intensity 1)."""
    size, group, threshold, cost = 50, 6, 3, 0.1

    def payoff(contributes, others):
        return float(others + contributes >= threshold) - cost * contributes

    def mean(contributes, contributors):
        """Over the 5 others, of whom the number of contributors is hypergeometric."""
        pool = contributors - contributes
        ways = [comb(pool, i) * comb(size - 1 - pool, group - 1 - i) for i in range(group)]
        return sum(w * payoff(contributes, i) for i, w in enumerate(ways)) / comb(size - 1, group - 1)

    advantage = np.array([mean(0, size - k) - mean(1, size - k) for k in range(1, size)])  # of k defectors
    assert fixation_from_advantages(advantage, 1.0) == pytest.approx(0.003682100470889826, rel=1e-9)
    assert fixation_from_advantages(-advantage[::-1], 1.0) == pytest.approx(0.041964192822715705, rel=1e-9)


def test_two_strategies_rule_in_the_ratio_of_their_fixations():
    M = [[3, 0], [5, 1]]
    to, fro = fixation_probability(M, 0, 1, 20, 0.1), fixation_probability(M, 1, 0, 20, 0.1)
    np.testing.assert_allclose(stationary_distribution(M, 20, 0.1), [fro / (to + fro), to / (to + fro)], rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (([[1, 2]], 0, 0, 10, 1.0), "payoffs has the shape"),
        (([[1, np.nan], [0, 0]], 0, 1, 10, 1.0), "payoffs has 1 entries"),
        (("words", 0, 1, 10, 1.0), "payoffs is 'words'"),
        (([[1]], 0, 1, 10, 1.0), "mutant is 1; allowed: 0 to 0"),
        (([[1]], 0, 0, 1, 1.0), "population is 1; allowed"),
        (([[1]], 0, 0, 10, -1.0), "intensity is -1.0; allowed"),
        (([[1]], 0, 0, 10, 1.0, "cubic"), "fitness is 'cubic'; allowed"),
        (([[1]], 0, 0, 10, 1.0, "linear", 10), "mutants is 10; allowed: 1 to 9"),
        (([[-3.0]], 0, 0, 10, 1.0, "linear"), "linear fitness falls to -2"),
    ],
)
def test_what_is_no_process_is_refused_in_one_line(arguments, names):
    with pytest.raises(ValueError, match=names) as error:
        fixation_probability(*arguments)
    assert "\n" not in str(error.value)
