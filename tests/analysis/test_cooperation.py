"""Measures of cooperation: counts, traits and zero-determinant fits, against hand counts and known players."""

import numpy as np
import pytest

from shaping import cooperation
from shaping.analysis.statistics import wilson_ci95
from shaping.policies.zero_determinant import extortionate, generous_zd

PAYOFFS = [-1.0, -3.0, 0.0, -2.0]
TFT, WSLS, GRIM = [1, 1, 0, 1, 0], [1, 1, 0, 0, 1], [1, 1, 0, 0, 0]


def play(first, second, steps, batch=1, seed=0):
    """Actions [time, batch, 2] of two tables of one round."""
    p, q = np.asarray(first, float), np.asarray(second, float)[[0, 1, 3, 2, 4]]
    draws = np.random.default_rng(seed).random((steps, batch, 2))
    state, actions = np.zeros(batch, int), np.empty((steps, batch, 2), int)
    for t in range(steps):
        actions[t] = np.stack([draws[t, :, 0] >= p[state], draws[t, :, 1] >= q[state]], axis=1)
        state = 1 + 2 * actions[t, :, 0] + actions[t, :, 1]
    return actions


def test_histories_are_counted_as_by_hand():
    # Player 0: C D C; player 1: C C D.
    found = cooperation.cooperation_by_history(np.array([[[0, 0]], [[1, 0]], [[0, 1]]]), rounds=2)
    assert found.labels[:7] == ("start", "CC", "CD", "DC", "DD", "CC CC", "CC CD")
    counted = [dict(zip(found.labels, row, strict=True)) for row in found.steps]
    assert {label for label, n in counted[0].items() if n} == {"start", "CC", "CC DC"}
    assert {label for label, n in counted[1].items() if n} == {"start", "CC", "CC CD"}
    assert found.probability[0, found.labels.index("CC")] == 0
    assert found.probability[0, found.labels.index("CC DC")] == 1
    assert np.isnan(found.probability[0, found.labels.index("DD")])
    assert found.ci95[0, found.labels.index("DD")].tolist() == [0, 1]
    np.testing.assert_allclose(found.ci95[0, 1], wilson_ci95(0, 1))


def test_three_players_see_their_own_action_first():
    found = cooperation.cooperation_by_history(np.array([[[0, 1, 1]], [[0, 0, 0]]]))
    seen = [found.labels[1 + int(np.argmax(row[1:]))] for row in found.steps]
    assert seen == ["CDD", "DCD", "DCD"]


def test_intervals_of_cooperation_cover_what_a_player_does():
    table = np.array([0.5, 0.8, 0.3, 0.6, 0.1])
    found = cooperation.cooperation_by_history(play(table, np.full(5, 0.5), 20, batch=2000))
    inside = (found.ci95[0, :, 0] <= table) & (table <= found.ci95[0, :, 1])
    assert inside.all() and np.diff(found.ci95[0]).max() < 0.06
    # Over 400 short games the interval of P(C | CC) covers at about its rate.
    games = play(table, np.full(5, 0.5), 60, batch=400, seed=1)
    covered = 0
    for game in range(400):
        low, high = cooperation.cooperation_by_history(games[:, game : game + 1]).ci95[0, 1]
        covered += low <= 0.8 <= high
    assert 0.92 < covered / 400 < 0.985


def test_classic_players_have_the_traits_they_are_known_for():
    found = cooperation.traits([TFT, WSLS, GRIM, [1] * 5, [0] * 5])
    assert found.niceness.tolist() == [1, 1, 1, 1, 0]
    assert found.provocability.tolist() == [1, 1, 1, 0, 1]
    # After the other came back to C: tit-for-tat forgives, GRIM only where it did not take its part.
    assert found.forgiveness.tolist() == [1, 0.5, 0.5, 1, 0]
    assert found.contrition.tolist() == [1, 0, 0, 1, 0]


def test_traits_of_play_are_those_of_the_table():
    table = [1, 0.9, 0.2, 0.7, 0.1]
    found = cooperation.traits_of_play(play(table, [1, 0.8, 0.5, 0.5, 0.5], 40, batch=3000))
    assert found.ci95 is not None
    low, high = found.ci95[0].T
    expected = np.array([np.nan, 0.8, np.nan, 0.7])
    known = np.isfinite(expected)
    assert np.all((low <= expected)[known] & (expected <= high)[known])
    # Nobody has defected yet: C at the start for certain, then 0.9 a round.
    nice = cooperation.traits_of_play(play(table, [1] * 5, 2, batch=4000))
    assert nice.niceness[0] == pytest.approx((1 + 0.9) / 2, abs=0.01)
    assert np.isnan(nice.provocability[0])
    with pytest.raises(ValueError, match="allowed"):
        cooperation.traits_of_play(np.zeros((3, 1, 3), int))


@pytest.mark.parametrize("chi", [1.0, 2.0, 5.0])
@pytest.mark.parametrize(("plant", "generosity"), [(extortionate, 0.0), (generous_zd, 1.0)])
def test_planted_zero_determinant_strategies_are_recovered(chi, plant, generosity):
    found = cooperation.zero_determinant_fit(plant(chi), PAYOFFS)
    assert found.chi == pytest.approx(chi, rel=1e-9)
    assert found.residual < 1e-12
    assert np.isnan(found.generosity) if chi == 1 else found.generosity == pytest.approx(generosity, abs=1e-9)
    discounted = cooperation.zero_determinant_fit(plant(3.0, discount=0.9), PAYOFFS, discount=0.9)
    assert discounted.chi == pytest.approx(3, rel=1e-9) and discounted.residual < 1e-12


@pytest.mark.parametrize(("chi", "share", "largest"), [(2.0, 0.999, 0.03), (5.0, 0.999, 0.07), (2.0, 0.5, 0.06)])
def test_no_unbiased_estimate_of_the_extortion_factor_is_more_accurate(chi, share, largest):
    """With 2,500 rounds in each state, the error is that of Cramer and Rao's bound. How large it is depends on how
    strongly the player reacts: `share` of the most that chi and the payoffs allow."""
    r, s, t, p = PAYOFFS
    phi = share * min((p - s) / ((p - s) + chi * (t - p)), (p - s) / ((p - s) * chi + (t - p)))
    table = np.asarray(extortionate(chi, phi=phi, reward=r, sucker=s, temptation=t, punishment=p))
    rounds, games = 2500, 4000
    counts = np.random.default_rng(5).binomial(rounds, table[1:], (games, 4))
    policy = np.concatenate([np.zeros((games, 1)), counts / rounds], axis=1)
    found = cooperation.zero_determinant_fit(policy, PAYOFFS, np.full((games, 5), rounds))
    design = np.array([[r, r, 1], [s, t, 1], [t, s, 1], [p, p, 1]], float)
    information = design.T @ (design * (rounds / np.maximum(table[1:] * (1 - table[1:]), 1e-9))[:, None])
    scale = phi / (p - s)
    slope = np.array([-chi / scale, -1 / scale, 0])
    bound = np.sqrt(slope @ np.linalg.solve(information, slope))
    spread = np.std(found.chi)
    # The standard error of a standard deviation over 4,000 games is 1.1 %; chi 5 is still a little skewed.
    assert spread == pytest.approx(bound, rel=0.05) and np.median(found.chi_error) == pytest.approx(bound, rel=0.03)
    assert spread < largest * chi
    covered = np.mean(np.abs(found.chi - chi) < 1.96 * found.chi_error)
    assert abs(covered - 0.95) < 0.015


def test_what_is_not_zero_determinant_leaves_a_residual():
    assert cooperation.zero_determinant_fit(WSLS, PAYOFFS).residual > 0.1


@pytest.mark.parametrize("chi", [2.0, 5.0])
def test_ten_thousand_rounds_tell_the_extortion_factor_within_its_errors(chi):
    table = extortionate(chi)
    actions = play(table, np.full(5, 0.5), 10_000, batch=100, seed=3)
    fits = []
    for game in range(100):
        counted = cooperation.cooperation_by_history(actions[:, game : game + 1])
        fits.append(cooperation.zero_determinant_fit(counted.probability[0], PAYOFFS, counted.steps[0]))
    error = np.array([fit.chi_error for fit in fits])
    apart = np.array([fit.chi for fit in fits]) - chi
    assert np.all(np.abs(apart) < 4 * error) and error.mean() < 0.12 * chi
    # 95 of 100 are within 1.96 errors, give or take 3 times 2.2.
    assert 88 <= np.sum(np.abs(apart) < 1.96 * error) <= 100
    assert 0.5 < np.mean([fit.chi_square for fit in fits]) < 1.6


def test_a_policy_of_which_too_little_was_seen_has_no_fit():
    steps = np.array([1, 50, 50, 0, 0])
    found = cooperation.zero_determinant_fit([1, 0.9, 0.5, np.nan, np.nan], PAYOFFS, steps)
    assert np.isnan(found.chi) and found.freedom == 0


def test_a_line_through_values_with_errors_has_the_right_slope():
    """Own + 2 = 3 (other + 2), both measured with errors that ordinary least squares would take for flatness."""
    rng, chi, size = np.random.default_rng(0), 3.0, 0.1
    inside, slopes = 0, []
    for _ in range(200):
        other = rng.uniform(-2, -1.6, 30)
        own = -2 + chi * (other + 2)
        errors = np.broadcast_to(size**2 * np.eye(2), (30, 2, 2))
        measured = own + size * rng.normal(size=30), other + size * rng.normal(size=30)
        found = cooperation.zero_determinant_line(*measured, errors, PAYOFFS)
        inside += abs(found.chi - chi) < 1.96 * found.chi_error
        slopes.append(float(found.chi))
    assert np.median(slopes) == pytest.approx(chi, abs=0.15)
    flat = np.polyfit(measured[1], measured[0], 1)[0]
    assert flat < 2.4  # what the errors would have made of it
    assert 175 <= inside <= 200
    exact = cooperation.zero_determinant_line(own, other, payoffs=PAYOFFS)
    assert exact.chi == pytest.approx(chi, rel=1e-6) and exact.generosity == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: cooperation.cooperation_by_history([[0, 1]]), "actions have the shape"),
        (lambda: cooperation.cooperation_by_history([[[2]]]), "actions are not all 0"),
        (lambda: cooperation.cooperation_by_history([[[0, 1]]], -1), "rounds is -1"),
        (lambda: cooperation.cooperation_by_history([[[0, 1]]], 20), "which makes"),
        (lambda: cooperation.traits([0.5] * 4), "policy has the shape"),
        (lambda: cooperation.zero_determinant_fit([1] * 4, PAYOFFS), "policy has the shape"),
        (lambda: cooperation.zero_determinant_fit(TFT, [1, 2]), "payoffs have the shape"),
        (lambda: cooperation.zero_determinant_fit(TFT, PAYOFFS, [1]), "steps have the shape"),
        (lambda: cooperation.zero_determinant_fit(TFT, PAYOFFS, discount=0), "discount is 0"),
        (lambda: cooperation.zero_determinant_line([1, 2], [1, 2]), "values have the shapes"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(call, names):
    with pytest.raises(ValueError, match=names) as error:
        call()
    assert "\n" not in str(error.value)
