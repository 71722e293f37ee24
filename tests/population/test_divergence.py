"""Matches that overflow: marked, frozen and NaN from then on, without effect on other matches."""

import numpy as np
import pytest

from shaping.learners import gradient_learner, values
from shaping.objectives import Analytic
from shaping.population.match import Match
from shaping.rules import lola, naive

pytestmark = pytest.mark.usefixtures("x64")


def quartic(thetas, weight):
    """V_i = weight (x_i . x_i)^2 / 4 - (x_0 . x_1) / 4 for parameters x_i of length 2."""
    norms = [sum(x * x for x in theta) for theta in thetas]
    product = sum(x * y for x, y in zip(*thetas, strict=True))
    return [weight * norm**2 / 4 - product / 4 for norm in norms]


GAME = Analytic(quartic, (2, 2))


def match(number, step_size, weight=-0.25, rule=None, start=None) -> Match:
    rng = np.random.default_rng(number)
    starts = rng.normal(size=(2, 2)) if start is None else start
    learners = tuple(gradient_learner(rule or naive(), step_size, initial=values(theta)) for theta in starts)
    return Match(np.int32(0), np.int32(number), np.float64(weight), learners, GAME)


def by_hand(step_size, weight, x) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Parameters and values after 0, 1, ... updates of naive learners, until something is not finite."""
    x, path, shown = np.array(x), [], []
    with np.errstate(all="ignore"):
        while True:
            norms = (x * x).sum(axis=1)
            path.append(x)
            shown.append(weight * norms**2 / 4 - (x[0] * x[1]).sum() / 4)
            if not (np.all(np.isfinite(x)) and np.all(np.isfinite(shown[-1]))):
                return path, shown
            x = x + step_size * (weight * norms[:, None] * x - x[::-1] / 4)


@pytest.mark.parametrize("rule", [naive(), lola("exact", 0.01)], ids=["naive", "exact"])
def test_a_match_that_overflows_is_marked_frozen_and_leaves_its_neighbours_alone(rule, population):
    calm = [match(number, 0.1, rule=rule) for number in range(4)]
    # Its values overflow first (degree 4), its parameters stay finite for one more update.
    wild = match(1, 10.0, rule=rule)
    without = population.play(calm, 12, segment=5)
    with_it = population.play([calm[0], wild, *calm[2:]], 12, segment=5)

    at = with_it.diverged_at[1]
    assert 0 < at < 12
    np.testing.assert_array_equal(with_it.diverged_at[[0, 2, 3]], -1)
    assert np.all(np.isfinite(with_it.values[1, :at])) and np.all(np.isnan(with_it.values[1, at:]))
    assert np.all(np.isnan(with_it.trajectory_mean[1]))
    assert np.all(np.isfinite([theta[1] for theta in with_it.final]))
    neighbours = [0, 2, 3]
    assert with_it.values[neighbours].tobytes() == without.values[neighbours].tobytes()
    assert with_it.trajectory_mean[neighbours].tobytes() == without.trajectory_mean[neighbours].tobytes()
    for seat in range(2):
        assert with_it.final[seat][neighbours].tobytes() == without.final[seat][neighbours].tobytes()


@pytest.mark.parametrize(
    ("step_size", "weight"),
    [(10.0, -0.25), (1e200, -0.25), (1e308, -100.0), (1e4, 3.0)],
    ids=["values-first", "huge-step", "parameters-first", "ascent"],
)
@pytest.mark.parametrize("segment", [1, 12])
def test_divergence_is_dated_and_frozen_at_the_last_finite_parameters(step_size, weight, segment, population):
    start = np.random.default_rng(5).normal(size=(2, 2))
    path, shown = by_hand(step_size, weight, start)
    at, finite = len(path) - 1, [x for x in path if np.all(np.isfinite(x))]
    outcome = population.play([match(0, step_size, weight, start=start), match(1, 0.1)], 12, segment=segment)
    np.testing.assert_array_equal(outcome.diverged_at, [at, -1])
    np.testing.assert_allclose(outcome.values[0, :at], shown[:-1], rtol=1e-10)
    assert np.all(np.isnan(outcome.values[0, at:]))
    np.testing.assert_allclose([theta[0] for theta in outcome.final], finite[-1], rtol=1e-10)


def test_divergence_of_the_value_at_the_last_update_is_dated(population):
    start = np.random.default_rng(5).normal(size=(2, 2))
    path, _ = by_hand(10.0, -0.25, start)
    at = len(path) - 1
    outcome = population.play([match(0, 10.0, start=start), match(1, 0.1)], at)
    np.testing.assert_array_equal(outcome.diverged_at, [at, -1])
    assert np.all(np.isnan(outcome.values[0, at])) and np.all(np.isfinite(outcome.values[0, :at]))


def test_a_value_that_is_not_finite_before_the_first_update_is_dated_zero(population):
    # One step of size 1 / |x|^2 leads from a value that overflows back to small numbers.
    start = np.array([[1e80, 0.0], [0.0, 0.0]])
    outcome = population.play([match(0, 4e-160, start=start), match(1, 0.1)], 3)
    np.testing.assert_array_equal(outcome.diverged_at, [0, -1])
    assert np.all(np.isnan(outcome.values[0]))
