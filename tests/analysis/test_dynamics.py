"""Evolutionary dynamics, their rest points and basins, against closed forms and another solver."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from shaping.analysis import evolution

ROCK_PAPER_SCISSORS = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0.0]])
RANDOM = np.random.default_rng(5).normal(size=(4, 4))
START = np.array([0.1, 0.2, 0.3, 0.4])


def test_rock_paper_scissors_keeps_its_constant_of_motion():
    x = evolution.replicator(ROCK_PAPER_SCISSORS, [0.5, 0.3, 0.2], np.linspace(0, 200, 41))
    product = x.prod(axis=1)
    assert np.ptp(x, axis=0).min() > 0.1  # it does move
    assert np.abs(product - product[0]).max() < 1e-6


def test_the_replicator_equation_goes_where_a_stiff_solver_takes_it():
    times = np.linspace(0, 10, 6)

    def change(_, x):
        f = RANDOM @ x
        return x * (f - x @ f)

    radau = solve_ivp(change, (0, 10), START, "Radau", times, rtol=1e-10, atol=1e-14).y.T
    np.testing.assert_allclose(evolution.replicator(RANDOM, START, times), radau, atol=1e-7)


def test_two_strategies_of_constant_fitness_grow_logistically():
    x = evolution.replicator([[1, 1], [0, 0]], [0.2, 0.8], [0, 3])
    assert x[1, 0] == pytest.approx(0.2 * np.exp(3) / (0.2 * np.exp(3) + 0.8), rel=1e-9)


def test_an_absent_strategy_stays_absent_and_a_rare_one_is_not_lost():
    x = evolution.replicator([[0, 0, 9], [1, 1, 9], [2, 2, 9]], [0.5, 0.5, 0.0], [0, 100, 2000])
    assert np.all(x[:, 2] == 0)
    # x_0 / x_1 = e^-t, far below 1e-12 of the tolerance.
    assert x[1, 0] == pytest.approx(np.exp(-100), rel=1e-6)


def test_weak_fermi_imitation_is_the_replicator_equation_in_slower_time():
    times = np.array([0.0, 4.0])
    slow = evolution.fermi(RANDOM, START, times / (0.001 / 2), 0.001)
    np.testing.assert_allclose(slow, evolution.replicator(RANDOM, START, times), atol=1e-5)


def test_fermi_imitation_of_two_strategies_has_a_closed_form():
    """x' = x (1 - x) tanh(intensity c / 2) for a constant advantage c."""
    x = evolution.fermi([[2, 2], [0, 0]], [0.2, 0.8], [0, 1.5], 3.0)
    grown = 0.2 * np.exp(1.5 * np.tanh(3.0))
    assert x[1, 0] == pytest.approx(grown / (grown + 0.8), rel=1e-8)


def test_without_payoffs_mutation_evens_out_exponentially():
    for at_birth in (True, False):
        x = evolution.replicator_mutator(np.ones((2, 2)), [0.9, 0.1], [0, 2], 0.3, at_birth)
        assert x[1, 0] == pytest.approx(0.5 + 0.4 * np.exp(-0.3 * 2), rel=1e-8)


def test_without_mutation_the_replicator_mutator_equation_is_the_replicator_equation():
    payoffs = RANDOM - RANDOM.min()
    for at_birth in (True, False):
        found = evolution.replicator_mutator(payoffs, START, [0, 3], 0.0, at_birth)
        np.testing.assert_allclose(found, evolution.replicator(payoffs, START, [0, 3]), atol=1e-8)


def test_logit_dynamics_rest_where_everybody_answers_everybody_by_logit():
    x = evolution.logit(RANDOM, START, [0, 500], 0.7)[-1]
    weights = np.exp(RANDOM @ x / 0.7)
    np.testing.assert_allclose(x, weights / weights.sum(), atol=1e-8)


def test_uniform_play_of_rock_paper_scissors_is_a_rest_point_of_all():
    third = np.full(3, 1 / 3)
    for found in (
        evolution.replicator(ROCK_PAPER_SCISSORS, third, [0, 5]),
        evolution.fermi(ROCK_PAPER_SCISSORS, third, [0, 5], 2.0),
        evolution.boltzmann_q(ROCK_PAPER_SCISSORS, third, [0, 5], 0.5),
        evolution.logit(ROCK_PAPER_SCISSORS, third, [0, 5], 0.5),
        evolution.replicator_mutator(ROCK_PAPER_SCISSORS, third, [0, 5], 0.1, at_birth=False),
    ):
        np.testing.assert_allclose(found[-1], third, atol=1e-9)


def test_boltzmann_q_without_payoffs_goes_to_uniform_play():
    """d(log x_0 - log x_1)/dt = -(log x_0 - log x_1)."""
    x = evolution.boltzmann_q(np.zeros((2, 2)), [0.9, 0.1], [0, 1], 0.5)[-1]
    assert np.log(x[0] / x[1]) == pytest.approx(np.log(9) * np.exp(-1), rel=1e-8)


def test_hawks_and_doves_mix_at_value_over_cost():
    """v = 2, c = 4: hawks v / c = 1/2; eigenvalue -v (c - v) / (2 c) = -1/2."""
    pure_hawk, pure_dove, mixed = evolution.rest_points([[-1, 2], [0, 1]])
    assert [pure_hawk.stability, pure_dove.stability, mixed.stability] == ["unstable", "unstable", "stable"]
    np.testing.assert_allclose(mixed.shares, [0.5, 0.5])
    np.testing.assert_allclose(mixed.eigenvalues, [-0.5], atol=1e-12)


@pytest.mark.parametrize(("win", "stability"), [(0.5, "unstable"), (1.0, "neutral"), (2.0, "stable")])
def test_the_centre_of_rock_paper_scissors_is_stable_if_winners_win_more_than_losers_lose(win, stability):
    payoffs = np.where(ROCK_PAPER_SCISSORS > 0, win, ROCK_PAPER_SCISSORS)
    centre = evolution.rest_points(payoffs)[-1]
    np.testing.assert_allclose(centre.shares, np.full(3, 1 / 3))
    assert centre.stability == stability
    # lambda = (win - 1) (-1/6) +- i sqrt(3) (win + 1) / 6.
    np.testing.assert_allclose(centre.eigenvalues.real, -(win - 1) / 6, atol=1e-12)
    np.testing.assert_allclose(np.abs(centre.eigenvalues.imag), np.sqrt(3) * (win + 1) / 6)


def test_neutral_mixtures_are_a_continuum_of_which_the_corners_are_given():
    for payoff in (3, 0.1, -1e6, 0):
        found = evolution.rest_points(np.full((2, 2), payoff))
        assert [point.shares.tolist() for point in found] == [[1, 0], [0, 1]]
        assert {point.stability for point in found} == {"neutral"}


def test_basins_of_a_stag_hunt_meet_at_its_mixed_equilibrium():
    """Stag (1.8, 0; 1, 1) from a share above 1 / 1.8."""
    hare, stag = evolution.basins([[1.8, 0], [1, 1]], samples=1000)
    np.testing.assert_allclose([hare.shares[1], stag.shares[0]], 1, atol=1e-6)
    assert stag.ci95[0] < 1 - 1 / 1.8 < stag.ci95[1]
    assert hare.volume + stag.volume == pytest.approx(1)


def test_cycles_end_in_no_basin():
    (basin,) = evolution.basins(ROCK_PAPER_SCISSORS, samples=20, steps=100)
    assert basin.shares is None and basin.volume == 1 and basin.ci95[1] == 1


def test_a_noisy_coordination_game_has_a_basin_for_each_logit_equilibrium():
    found = evolution.basins([[2, 0], [0, 1]], "logit", samples=100, noise=0.2)
    assert len(found) == 2
    for basin in found:
        f = np.array([2, 1]) * basin.shares
        np.testing.assert_allclose(basin.shares, np.exp(f / 0.2) / np.exp(f / 0.2).sum(), atol=1e-4)
    assert len(evolution.basins([[2, 0], [0, 1]], "logit", samples=20, noise=5.0)) == 1


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: evolution.replicator(RANDOM, [1.0], [0, 1]), r"shares have the shape \[1\]"),
        (lambda: evolution.replicator(RANDOM, [1, 1, 0, 0], [0, 1]), "allowed: numbers of at least 0 with sum 1"),
        (lambda: evolution.replicator(RANDOM, START, [1, 0]), "times are"),
        (lambda: evolution.logit(RANDOM, START, [0, 1], 0), "noise is 0; allowed"),
        (lambda: evolution.replicator_mutator(RANDOM, START, [0, 1], 0.1), "rates of birth"),
        (lambda: evolution.replicator_mutator(RANDOM, START, [0, 1], [[1]], False), "mutation has the shape"),
        (lambda: evolution.replicator_mutator(RANDOM, START, [0, 1], 2.0, False), "mutation is 2.0; allowed"),
        (lambda: evolution.basins(RANDOM, "brownian"), "dynamics is 'brownian'; allowed"),
        (lambda: evolution.basins(RANDOM, "logit"), "settings of logit"),
        (lambda: evolution.basins(RANDOM, samples=0), "samples is 0; allowed"),
        (lambda: evolution.rest_points(np.eye(17)), "there are 17 strategies; allowed: up to 16"),
    ],
)
def test_what_dynamics_cannot_start_from_is_refused_in_one_line(call, names):
    with pytest.raises(ValueError, match=names) as error:
        call()
    assert "\n" not in str(error.value)
