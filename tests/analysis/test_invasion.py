"""Invasions, Nash equilibria and ratings, against hand results."""

import numpy as np
import pytest

from shaping.analysis import evolution

ROCK_PAPER_SCISSORS = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0.0]])
# ALLC, ALLD, TFT over ten rounds of the donation game b = 3, c = 1, summed.
TEN_ROUNDS = np.array([[20, -10, 20], [30, 0, 3], [20, -1, 20.0]])


def test_defectors_invade_cooperators_and_nobody_invades_tit_for_tat_but_by_drift():
    graph = evolution.invasion_graph(TEN_ROUNDS)
    assert graph.tolist() == [[False, True, False], [False, False, False], [False, False, False]]
    # Defection is stable: a lone TFT loses the first round. TFT is not: ALLC does as well against it and itself.
    assert evolution.evolutionarily_stable(TEN_ROUNDS).tolist() == [False, True, False]


def test_a_mutant_equal_against_residents_invades_by_what_it_gets_from_itself():
    assert evolution.invasion_graph([[1, 1], [1, 2]]).tolist() == [[False, True], [False, False]]
    assert evolution.evolutionarily_stable([[1, 1], [1, 2]]).tolist() == [False, True]


def test_a_finite_population_can_be_invaded_where_an_infinite_one_cannot():
    """The one-third law (Nowak et al. 2004): favoured among few if the unstable equilibrium is below 1/3."""
    payoffs = [[1.0, 0.0], [0.0, 4.0]]  # equilibrium at a share of 1/5 of the second
    assert not evolution.invasion_graph(payoffs)[0, 1]
    assert evolution.invasion_graph(payoffs, population=100, intensity=0.001)[0, 1]
    assert not evolution.invasion_graph([[1.0, 0.0], [0.0, 1.5]], population=100, intensity=0.001)[0, 1]


def test_walks_of_single_mutants_stay_as_long_as_the_stationary_distribution_says():
    payoffs = np.array([[1.0, 0.2, 0.6], [1.3, 0.3, 0.4], [0.9, 0.5, 0.8]])

    def between(residents, mutants):
        pair = np.stack([residents[:, 0], mutants[:, 0]], axis=1).astype(int)
        return payoffs[pair[:, :, None], pair[:, None, :]]

    def mutants(rng, residents):
        return (residents + rng.integers(1, 3, residents.shape)) % 3

    walks = evolution.invasion_walk(between, mutants, np.zeros((2000, 1)), 300, 10, 1.0, record_every=300, seed=1)
    assert walks.shape == (2, 2000, 1)
    ruled = np.bincount(walks[-1, :, 0].astype(int), minlength=3) / 2000
    expected = evolution.stationary_distribution(payoffs, 10, 1.0)
    assert np.all(np.abs(ruled - expected) < 4 * np.sqrt(expected * (1 - expected) / 2000))
    # The first mutant of each walk, of strategies 1 and 2 in equal parts, takes over as often as the formula says.
    once = evolution.invasion_walk(between, mutants, np.zeros((20_000, 1)), 1, 10, 1.0, seed=2)[1, :, 0]
    fixes = np.array([evolution.fixation_probability(payoffs, 0, mutant, 10, 1.0) for mutant in (1, 2)]) / 2
    taken = np.array([np.mean(once == mutant) for mutant in (1, 2)])
    assert np.all(np.abs(taken - fixes) < 4 * np.sqrt(fixes / 20_000))


def test_nash_equilibria_of_textbook_games():
    (prisoners,) = evolution.nash_equilibria([[3, 0], [5, 1]])
    np.testing.assert_allclose(prisoners, [[0, 1], [0, 1]])
    stag_hunt = evolution.nash_equilibria([[4, 1], [3, 2]])
    assert sorted(x[0] for x, _ in stag_hunt) == pytest.approx([0, 0.5, 1])
    for method in evolution.nash.METHODS:
        found = evolution.nash_equilibria(ROCK_PAPER_SCISSORS, method=method)
        assert len(found) == 1
        np.testing.assert_allclose(found[0], np.full((2, 3), 1 / 3), atol=1e-9)
    ((x, y),) = evolution.nash_equilibria([[1, -1], [-1, 1]], [[-1, 1], [1, -1]])
    np.testing.assert_allclose([x, y], 0.5)


def test_two_ratings_differ_by_the_logarithm_of_the_odds():
    found = evolution.elo([[0, 3], [1, 0]], mean=1500)
    assert found[0] - found[1] == pytest.approx(400 * np.log10(3))
    assert found.mean() == pytest.approx(1500)


def test_ratings_that_made_the_probabilities_are_found_again():
    ratings = np.array([300.0, 0.0, -50.0, -250.0])
    chances = 1 / (1 + 10 ** ((ratings[None, :] - ratings[:, None]) / 400))
    np.testing.assert_allclose(evolution.elo(chances), ratings, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: evolution.elo([[0, 1], [0, 0]]), "strategies fall into 2 groups"),
        (lambda: evolution.elo([[0, -1], [1, 0]]), "scores go down to -1"),
        (lambda: evolution.nash_equilibria(np.eye(15)), "there are 15 strategies; allowed: up to 14"),
        (lambda: evolution.nash_equilibria(np.eye(2), np.eye(3)), "column_payoffs have the shape"),
        (lambda: evolution.nash_equilibria(np.eye(2), method="guess"), "method is 'guess'; allowed"),
        (lambda: evolution.invasion_graph([[1, 2]]), "payoffs has the shape"),
        (lambda: evolution.invasion_walk(None, None, [1.0], 1, 2, 1.0), "residents have the shape"),
        (lambda: evolution.invasion_walk(None, None, [[1.0]], 0, 2, 1.0), "steps is 0; allowed"),
    ],
)
def test_what_has_no_answer_is_refused_in_one_line(call, names):
    with pytest.raises(ValueError, match=names) as error:
        call()
    assert "\n" not in str(error.value)
