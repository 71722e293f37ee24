"""Directions of naive learning, LookAhead and the three LOLAs against closed forms and recomputed values.

Prisoner's dilemma (CC -1, CD -3, DC 0, DD -2) at discount 0.96 of LOLA (Foerster et al., AAMAS 2018);
matching pennies at 0.9; contribution game of POLA (Zhao et al., NeurIPS 2022). Returns are unnormalised,
states start, CC, CD, DC, DD in the shared view. The "probe" is an arbitrary point at which directions were
computed once in float64 with dense second derivatives. Original LOLA is eq. 4.4 of Foerster et al.; taylor is
Letcher et al. (ICLR 2019); exact is the actual update of LOLA-DiCE (Foerster et al., ICML 2018)."""

import numpy as np
import pytest

from shaping import envs
from shaping.rules import first_order, lola, lookahead, naive

PROBE = ((0.1, -0.2, 0.3, -0.4, 0.5), (-0.5, 0.4, -0.3, 0.2, -0.1))
ZERO = ((0.0,) * 5,) * 2
IPD = envs.make("ipd")
PENNIES = envs.make("matching_pennies", discount=0.9)
# Rewards what follows the opponent's C, punishes what follows the opponent's D; nothing at the start.
RECIPROCITY = np.array([0, 1, -1, 1, -1])


def shaping_term(direction, form, params, thetas):
    """The LOLA term alone, (nabla_1 nabla_2 V_2)^T nabla_2 V_1."""
    with_term = direction(first_order(1.0, 0.0, 1.0), form, params, thetas)
    return with_term - direction(first_order(1.0, 0.0, 0.0), form, params, thetas)


def middle_term(direction, form, params, thetas):
    """The LookAhead term alone, (nabla_1 nabla_2 V_1) nabla_2 V_2."""
    with_term = direction(first_order(1.0, 1.0, 0.0), form, params, thetas)
    return with_term - direction(first_order(1.0, 0.0, 0.0), form, params, thetas)


def test_the_shaping_term_rewards_cooperation_after_the_opponents_cooperation(direction, form_of):
    """The sign first of all: with the wrong one, LOLA runs to defection faster than naive learners."""
    term = shaping_term(direction, form_of(), IPD.default_params, ZERO)
    assert np.array_equal(np.sign(np.round(term, 9)), RECIPROCITY)
    np.testing.assert_allclose(term, 4.35 * RECIPROCITY, atol=1e-6)


def test_the_middle_term_at_zero(direction, form_of):
    term = middle_term(direction, form_of(), IPD.default_params, ZERO)
    np.testing.assert_allclose(term, 1.0875 * RECIPROCITY, atol=1e-6)


def test_naive_learning_and_both_terms_at_the_probe(direction, form_of):
    form, params = form_of(), IPD.default_params
    own = direction(naive(), form, params, PROBE)
    shaping = shaping_term(direction, form, params, PROBE)
    middle = middle_term(direction, form, params, PROBE)
    np.testing.assert_allclose(own, [-0.253950, -1.493429, -1.521844, -1.449177, -1.338969], atol=2e-6)
    np.testing.assert_allclose(shaping, [-0.000516, 5.036533, -6.704323, 6.544656, -4.444846], atol=2e-6)
    np.testing.assert_allclose(middle, [-0.004889, 1.411040, -2.220590, 1.878470, -1.484623], atol=2e-6)
    for eta in (0.3, 2.0):
        original = direction(lola("original", eta), form, params, PROBE)
        taylor = direction(lola("taylor", eta), form, params, PROBE)
        ahead = direction(lookahead(eta), form, params, PROBE)
        np.testing.assert_allclose(original, own + eta * shaping, atol=1e-12)
        np.testing.assert_allclose(taylor, own + eta * (shaping + middle), atol=1e-12)
        np.testing.assert_allclose(ahead, own + eta * middle, atol=1e-12)


@pytest.mark.parametrize(
    ("eta", "after_c", "after_d"),
    [(1.0, 2.028862, -5.028862), (0.5, 0.917334, -3.917334), (0.1, -0.958873, -2.041127)],
)
def test_exact_lola_at_zero(eta, after_c, after_d, direction, form_of):
    found = direction(lola("exact", eta), form_of(), IPD.default_params, ZERO)
    np.testing.assert_allclose(found, [-0.25, after_c, after_d, after_c, after_d], atol=2e-6)


@pytest.mark.parametrize(
    ("eta", "expected"),
    [
        (1.0, [-0.256037, 1.320317, -5.293376, 1.455755, -3.343608]),
        (0.5, [-0.265439, 1.037026, -5.119826, 1.430288, -3.449992]),
        (0.1, [-0.255411, -0.850576, -2.424971, -0.632365, -1.923722]),
    ],
)
def test_exact_lola_at_the_probe(eta, expected, direction, form_of):
    found = direction(lola("exact", eta), form_of(), IPD.default_params, PROBE)
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize(
    ("lookaheads", "expected"),
    [
        pytest.param(1, [-0.261399, 0.288665, -4.064975, 0.690707, -2.904447], marks=pytest.mark.slow),
        (2, [-0.263440, 1.316815, -5.397571, 1.422224, -3.394180]),
        pytest.param(3, [-0.251888, 1.224447, -5.049143, 1.147122, -3.063855], marks=pytest.mark.slow),
    ],
)
def test_exact_lola_with_several_lookaheads_at_the_probe(lookaheads, expected, direction, form_of):
    found = direction(lola("exact", 0.3, lookaheads), form_of(), IPD.default_params, PROBE)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_the_variants_meet_as_the_lookahead_rate_vanishes(direction, form_of):
    form, params = form_of(), IPD.default_params

    def gap(one, other):
        return np.linalg.norm(direction(one, form, params, PROBE) - direction(other, form, params, PROBE))

    np.testing.assert_allclose(gap(lola("exact", 0.01), naive()), 0.150843, rtol=0.01)
    for eta, expected in [(0.01, 2.809e-4), (0.005, 7.096e-5), (0.0025, 1.784e-5)]:
        np.testing.assert_allclose(gap(lola("exact", eta), lola("taylor", eta)), expected, rtol=0.01)
        np.testing.assert_allclose(gap(lola("taylor", eta), lola("original", eta)), 3.557363 * eta, rtol=1e-6)
    for variant in ("original", "taylor", "exact"):
        np.testing.assert_allclose(gap(lola(variant, 0.0), naive()), 0, atol=1e-12)


def test_in_zero_sum_games_original_at_twice_the_rate_is_taylor(direction, form_of):
    form, params = form_of(), PENNIES.default_params
    for thetas in np.random.default_rng(0).normal(size=(10, 2, 5)):
        for eta in (0.5, 1.0):
            original = direction(lola("original", 2 * eta), form, params, thetas)
            taylor = direction(lola("taylor", eta), form, params, thetas)
            np.testing.assert_allclose(original, taylor, atol=1e-12)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (naive(), [-0.123528, 0.218908, -0.174599, 0.104271, -0.053051]),
        (lola("original", 1.0), [-0.124893, 0.280406, -0.267379, 0.228495, -0.178179]),
        (lola("taylor", 1.0), [-0.126258, 0.341905, -0.360159, 0.352719, -0.303306]),
    ],
    ids=["naive", "original", "taylor"],
)
def test_matching_pennies_at_the_probe(rule, expected, direction, form_of):
    np.testing.assert_allclose(direction(rule, form_of(), PENNIES.default_params, PROBE), expected, atol=2e-6)


def test_contribution_game_of_two_at_zero(direction, form_of):
    form = form_of()
    params = envs.make("contribution", contribution_factor=1.2).default_params
    np.testing.assert_allclose(direction(naive(), form, params, ZERO), [-0.1, *[-0.6] * 4], atol=2e-6)
    np.testing.assert_allclose(shaping_term(direction, form, params, ZERO), 0.3915 * RECIPROCITY, atol=2e-6)
    np.testing.assert_allclose(middle_term(direction, form, params, ZERO), 0.174 * RECIPROCITY, atol=2e-6)
    exact = direction(lola("exact", 1.0), form, params, ZERO)
    np.testing.assert_allclose(exact, [-0.1, -0.072506, -1.127494, -0.072506, -1.127494], atol=2e-6)


def test_contribution_game_of_three_at_zero(direction, form_of):
    form, zero = form_of(3), ((0.0,) * 9,) * 3
    params = envs.make("contribution", num_players=3, contribution_factor=1.8).default_params
    pattern = np.array([0, 1, 0, 0, -1, 1, 0, 0, -1])
    np.testing.assert_allclose(direction(naive(), form, params, zero), [-0.1, *[-0.3] * 8], atol=2e-6)
    np.testing.assert_allclose(shaping_term(direction, form, params, zero), 0.1971 * pattern, atol=2e-6)
    np.testing.assert_allclose(middle_term(direction, form, params, zero), 0.0876 * pattern, atol=2e-6)
    half = [-0.026673, -0.293586, -0.293586, -0.586155]
    exact = direction(lola("exact", 1.0), form, params, zero)
    np.testing.assert_allclose(exact, [-0.1, *half, *half], atol=2e-6)


def test_a_naive_weight_mixes_the_naive_gradient_into_lolas_exact_direction(direction, form_of):
    form, params = form_of(), IPD.default_params
    own, ahead = direction(naive(), form, params, PROBE), direction(lola("exact", 0.3, 3), form, params, PROBE)
    for weight in (0.0, 0.4, 1.0):
        mixed = direction(lola("exact", 0.3, 3, naive_weight=weight), form, params, PROBE)
        np.testing.assert_allclose(mixed, weight * own + (1 - weight) * ahead, atol=1e-9)


@pytest.mark.parametrize("given", [{"variant": "taylor"}, {"variant": "exact", "opponents": "lola"}])
def test_a_naive_weight_elsewhere_is_refused(given):
    with pytest.raises(ValueError, match="naive_weight is 0.5: must be left out"):
        lola(**given, naive_weight=0.5)
