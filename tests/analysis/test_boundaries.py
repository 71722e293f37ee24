"""Boundaries of cooperation along an axis: where they are, and that intervals cover at their rate."""

import numpy as np
import pytest

from shaping.cooperation import boundary


def test_a_share_that_rises_in_a_line_crosses_one_half_in_the_middle():
    found = boundary([0, 1, 2, 3, 4], [0, 25, 50, 75, 100], [100] * 5, level=0.6)
    assert found.position == pytest.approx(2.4) and found.rising
    assert found.ci95 == (2.0, 3.0)


def test_a_falling_share_is_found_too_and_noise_does_not_make_two_boundaries():
    found = boundary([1, 2, 4, 8], [20, 14, 16, 0], [20] * 4)
    # 14 and 16 of 20 are pooled to 15, from which the line falls to 0 between 4 and 8.
    assert found.position == pytest.approx(4 + 4 / 3) and not found.rising
    assert found.ci95 == (4.0, 8.0)


def test_without_a_crossing_there_is_no_boundary():
    found = boundary([0, 1, 2], [1, 2, 1], [20] * 3)
    assert np.isnan(found.position) and np.isnan(found.ci95).all()


def test_a_jump_lies_anywhere_between_two_values_and_few_matches_widen_the_interval():
    assert boundary([0, 1, 2, 3], [0, 0, 50, 50], [50] * 4).ci95 == (1.0, 2.0)
    low, high = boundary([0, 1, 2, 3], [0, 1, 1, 2], [2] * 4).ci95
    assert low == -np.inf or low <= 0
    assert high >= 3


@pytest.mark.parametrize("matches", [8, 40])
def test_intervals_cover_the_boundary_of_a_smooth_phase(matches):
    generator = np.random.default_rng(1)
    axis = np.linspace(0, 1, 9)
    covered, trials = 0, 300
    for _ in range(trials):
        middle = generator.uniform(0.3, 0.7)
        shares = 1 / (1 + np.exp(-(axis - middle) / 0.1))
        found = boundary(axis, generator.binomial(matches, shares), [matches] * 9, resamples=400)
        covered += found.ci95[0] <= middle <= found.ci95[1]
    # Intervals end at values of the axis, so they cover more often than 95 %; 3 standard errors below that is 91 %.
    assert covered / trials > 0.95 - 3 * np.sqrt(0.95 * 0.05 / trials)


@pytest.mark.parametrize(
    ("axis", "successes", "trials", "says"),
    [
        ([0], [1], [2], "two or more"),
        ([0, 0], [1, 1], [2, 2], "strictly ascending"),
        ([0, 1], [1, 3], [2, 2], "more successes than trials"),
    ],
)
def test_bad_input_is_refused(axis, successes, trials, says):
    with pytest.raises(ValueError, match=says):
        boundary(axis, successes, trials)
