"""Aggregates of runs and welfare against results by hand, and the coverage of their intervals."""

import numpy as np
import pytest
from scipy.stats import norm, trim_mean

from shaping import cooperation, envs

GAMES = 300


def coverage(measure, draw, truth):
    rng = np.random.default_rng(0)
    found = [measure(draw(rng)).ci95 for _ in range(GAMES)]
    return np.mean([low <= truth <= high for low, high in found])


def test_the_interquartile_mean_is_the_mean_of_the_middle_half():
    scores = np.random.default_rng(0).normal(size=(12, 2))
    assert cooperation.iqm(scores, 100).value == pytest.approx(trim_mean(scores.ravel(), 0.25))
    # Of six scores a half of the second and of the fifth counts.
    assert cooperation.iqm([0, 1, 2, 4, 8, 100.0], 100).value == pytest.approx((0.5 * 1 + 2 + 4 + 0.5 * 8) / 3)
    assert cooperation.iqm([3.0] * 5).ci95 == (3, 3)


def test_standard_errors_are_the_spread_of_estimates_over_repetitions():
    rng = np.random.default_rng(0)
    for measure, draw in (
        (lambda x: cooperation.iqm(x, 100), lambda: rng.normal(size=40)),
        (lambda x: cooperation.gini_interval(x, 100), lambda: rng.random(40)),
        (lambda x: cooperation.probability_of_improvement(x[:40], x[40:]), lambda: rng.normal(size=70)),
    ):
        found = [measure(draw()) for _ in range(300)]
        spread = np.std([each.value for each in found])
        # The spread of 300 is known to 4 %.
        assert np.mean([each.error for each in found]) == pytest.approx(spread, rel=0.16)


@pytest.mark.parametrize("seeds", [8, 20])
def test_intervals_of_the_interquartile_mean_cover_at_their_rate(seeds):
    # The mean of an exponential variable between its quartiles: 2 times the integral of -log(1 - u) from 1/4 to 3/4.
    truth = 2 * ((0.25 * np.log(0.25) - 0.25) - (0.75 * np.log(0.75) - 0.75))
    found = coverage(lambda x: cooperation.iqm(x, 400), lambda rng: rng.exponential(size=seeds), truth)
    assert 0.91 < found < 0.985


def test_an_interquartile_mean_of_few_seeds_has_an_interval_of_use():
    # In the middle half of many resamples hardly anything differs; Student's intervals are 4.7 errors wide.
    rng = np.random.default_rng(3)
    for found in (cooperation.iqm(rng.exponential(size=8), 400) for _ in range(100)):
        assert found.ci95[1] - found.ci95[0] < 25 * found.error


def test_intervals_over_tasks_of_different_levels_cover_at_their_rate():
    rng = np.random.default_rng(1)
    everything = np.sort((rng.normal(size=(400_000, 3)) + 2 * np.arange(3)).ravel())
    truth = everything[len(everything) // 4 : 3 * len(everything) // 4].mean()

    def draw(rng):
        return rng.normal(size=(8, 3)) + 2 * np.arange(3)

    assert 0.91 < coverage(lambda x: cooperation.iqm(x, 400), draw, truth) < 0.985


def test_improvement_counts_pairs_and_ties_by_half():
    assert cooperation.probability_of_improvement([1, 2], [0, 2]).value == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    certain = cooperation.probability_of_improvement([5, 6, 7], [1, 2, 3])
    assert certain.value == 1 and certain.ci95[1] == 1 and 0.3 < certain.ci95[0] < 0.6
    over_tasks = cooperation.probability_of_improvement([[1, 0], [1, 0]], [[0, 1], [0, 1]])
    assert over_tasks.value == 0.5


@pytest.mark.parametrize("ahead", [0.0, 1.0])
def test_intervals_of_improvement_cover_at_least_at_their_rate(ahead):
    def draw(rng):
        return rng.normal(size=12) + ahead, rng.normal(size=10)

    found = coverage(lambda x: cooperation.probability_of_improvement(*x), draw, norm.cdf(ahead / np.sqrt(2)))
    assert 0.93 < found < 0.995


def test_the_gini_coefficient_of_known_distributions():
    assert cooperation.gini([1, 1, 1, 1]) == pytest.approx(0)
    assert cooperation.gini([0, 0, 0, 1]) == pytest.approx(3 / 4)
    np.testing.assert_allclose(cooperation.gini([[1, 3], [2, 2]]), [0.25, 0])
    sample = [1.0, 2.0, 6.0]
    assert cooperation.gini_interval(sample, 100).value == pytest.approx(3 / 2 * cooperation.gini(sample))
    everybody = cooperation.gini_interval(np.random.default_rng(0).exponential(size=5000), 200)
    assert everybody.ci95[0] < 0.5 < everybody.ci95[1] and everybody.error < 0.01


def test_intervals_of_the_gini_coefficient_cover_at_about_their_rate():
    found = coverage(lambda x: cooperation.gini_interval(x, 400), lambda rng: rng.random(40), 1 / 3)
    assert 0.91 < found < 0.985


def test_a_schelling_diagram_has_the_payoffs_by_cooperating_others():
    found = cooperation.schelling_diagram(envs.make("contribution", num_players=3, contribution_factor=1.5).payoffs)
    # k others contribute: C pays (k + 1) / 2 - 1, D k / 2.
    np.testing.assert_allclose(found, [[-0.5, 0], [0, 0.5], [0.5, 1]], atol=1e-12)
    np.testing.assert_allclose(cooperation.schelling_diagram(envs.make("ipd").payoffs), [[-3, -2], [-1, 0]])
    with pytest.raises(ValueError, match="payoffs have the shape"):
        cooperation.schelling_diagram([[1, 2], [3, 4]])


def test_welfare_and_what_anarchy_costs():
    np.testing.assert_allclose(cooperation.welfare([[1, 3], [2, 2]]), [2, 2])
    assert cooperation.price_of_anarchy([1, 1], best=3) == pytest.approx(3)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: cooperation.iqm([1, 2, 3]), "scores have the shape"),
        (lambda: cooperation.iqm([1, 2, 3, np.nan]), "entries that are not finite"),
        (lambda: cooperation.iqm([1, 2, 3, 4], resamples=5), "resamples is 5"),
        (lambda: cooperation.probability_of_improvement([1, 2], [[1, 2], [3, 4]]), "scores have the shapes"),
        (lambda: cooperation.gini([-1, 2]), "values go down to -1"),
        (lambda: cooperation.gini([0, 0]), "not all 0"),
        (lambda: cooperation.gini_interval([1, 2]), "values have the shape"),
        (lambda: cooperation.price_of_anarchy([-1, -1], 0), "the mean over players falls to -1"),
    ],
)
def test_what_cannot_be_summarised_is_refused_in_one_line(call, names):
    with pytest.raises(ValueError, match=names) as error:
        call()
    assert "\n" not in str(error.value)
