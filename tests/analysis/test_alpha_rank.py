"""alpha-rank and the state reduction below it, against OpenSpiel's numbers, closed forms and exact rational numbers."""

from fractions import Fraction

import numpy as np
import pytest

from shaping.analysis.evolution import alpha_rank, log_stationary
from shaping.analysis.evolution.alpha_rank import SELECTION

# OpenSpiel 2.0.2, open_spiel.python.egt.alpharank.compute([payoffs], ...), payoffs =
# np.random.default_rng(seed).random((n, n)); intensity 0.1 with 20 players, 0.7 with 30, and the limit at epsilon 0.01.
OPENSPIEL = {
    (3, 2): {
        ("local", 0.1, 20): [0.5000811060126689, 0.37246838545006544, 0.12745050853726575],
        ("local", 0.7, 30): [0.985125404316143, 0.01487314783738529, 1.4478464717596514e-06],
        ("global", 0.1, 20): [0.3740697208329573, 0.4413444074260748, 0.18458587174096794],
        ("global", 0.7, 30): [0.23921596151924623, 0.7605763840481691, 0.00020765443258465922],
        ("local", np.inf, 50): [0.9801980198019804, 0.014776854569879148, 0.0050251256281407045],
    },
    (5, 3): {
        ("local", 0.7, 30): [
            0.21349974182522474,
            0.12596082908089531,
            0.2623589601093497,
            0.2116370061547154,
            0.1865434628298148,
        ],
        ("global", 0.7, 30): [
            0.01194803623224158,
            0.038127820975927616,
            0.07063597787417446,
            0.1697369835148945,
            0.7095511814027619,
        ],
    },
}
CASES = [(game, *setting, ranks) for game, settings in OPENSPIEL.items() for setting, ranks in settings.items()]


@pytest.mark.parametrize(("game", "selection", "intensity", "population", "ranks"), CASES)
def test_random_games_rank_as_in_openspiel(game, selection, intensity, population, ranks):
    n, seed = game
    payoffs = np.random.default_rng(seed).random((n, n))
    np.testing.assert_allclose(alpha_rank(payoffs, intensity, population, selection), ranks, rtol=0, atol=1e-8)


def ranked_as_in_openspiel(games, larger):
    """Checks random games of 2 to 20 strategies; in the global model OpenSpiel is slow, so its larger games are
    apart."""
    openspiel = pytest.importorskip("open_spiel.python.egt.alpharank")
    for seed in range(games):
        n = 2 + seed % 19
        payoffs = np.random.default_rng(seed).random((n, n))
        for selection in SELECTION:
            if larger != (selection == "global" and n > 8):
                continue
            for intensity, population in ((0.1, 20), (0.7, 30)):
                ranks = openspiel.compute(
                    [payoffs], m=population, alpha=intensity, use_local_selection_model=selection == "local"
                )[2]
                found = alpha_rank(payoffs, intensity, population, selection)
                np.testing.assert_allclose(found, ranks, rtol=0, atol=1e-8)


def test_two_random_games_of_every_size_rank_as_openspiel_ranks_them():
    ranked_as_in_openspiel(38, larger=False)


@pytest.mark.slow
@pytest.mark.parametrize("larger", [False, True])
def test_a_hundred_random_games_rank_as_in_openspiel(larger):
    ranked_as_in_openspiel(100, larger)


def test_the_five_strategies_of_han_and_others_rank_as_published():
    """OpenSpiel's test of the model of Han, Pereira and Lenaerts: population 20, alpha 0.1, global selection."""
    r, t, p, s, d, e = 1, 2, 0, -1, 4, 0.25
    payoffs = [
        [r - e / 2, r - e, 0, s + d - e, r - e],
        [r, r, s, s, s],
        [0, t, p, p, p],
        [t - d, t, p, p, p],
        [r, t, p, p, p],
    ]
    ranks = [0.40966787, 0.07959841, 0.20506998, 0.08505983, 0.2206039]
    np.testing.assert_allclose(alpha_rank(payoffs, 0.1, 20, "global"), ranks, atol=5e-9)


def test_at_no_intensity_all_rank_alike():
    np.testing.assert_allclose(alpha_rank(np.arange(9.0).reshape(3, 3), 0.0), np.full(3, 1 / 3), rtol=1e-12)


def test_two_strategies_at_the_defaults_rank_in_the_ratio_of_their_fixations():
    """rho_rs / rho_sr = e^((m - 1) u) is e^4900 here, which no float holds."""
    ranks = alpha_rank([[0, 1], [0, 0]])
    assert ranks.tolist() == [1.0, 0.0]
    assert alpha_rank([[0, 1e-4], [0, 0]])[1] == pytest.approx(1 / (1 + np.exp(49 * 1e-2)), rel=1e-12)


def exact_stationary(powers):
    """Of rates 2^-power, in rational numbers: Gaussian elimination that cannot lose a digit."""
    n = len(powers)
    Q = [[Fraction(1, 2 ** int(powers[i, j])) if i != j else Fraction(0) for j in range(n)] for i in range(n)]
    for k in range(n - 1, 0, -1):
        leaves = sum(Q[k][:k])
        for i in range(k):
            Q[i][k] /= leaves
            for j in range(k):
                Q[i][j] += Q[i][k] * Q[k][j]
    pi = [Fraction(1)]
    for k in range(1, n):
        pi.append(sum(pi[i] * Q[i][k] for i in range(k)))
    return [float(x / sum(pi)) for x in pi]


def test_rates_over_thousands_of_orders_of_magnitude_are_reduced_exactly():
    for seed in range(10):
        powers = np.random.default_rng(seed).integers(0, 4000, (5, 5))
        found = np.exp(log_stationary(-powers * np.log(2)))
        np.testing.assert_allclose(found, exact_stationary(powers), rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("intensity", [0.1, 5.0, 100.0])
def test_blocks_reduce_a_large_chain_as_logarithms_do(intensity):
    rng = np.random.default_rng(1)
    rates = intensity * rng.normal(size=(150, 150))
    rates -= 10 * intensity * rng.random(150)[:, None]
    in_blocks, in_logarithms = log_stationary(rates.copy(), small=1), log_stationary(rates, small=1000)
    np.testing.assert_allclose(np.exp(in_blocks), np.exp(in_logarithms), rtol=1e-9, atol=1e-25)


def test_a_large_chain_with_two_traps_is_left_to_logarithms():
    """Two pairs of states that leave each other once in e^1500 steps: products of floats would see no way out."""
    n = 140
    rates = np.full((n, n), -3000.0)
    rates[:, :4] = -1.0
    rates[:2, :] = rates[2:4, :] = -3000.0
    rates[[0, 1, 2, 3], [1, 0, 3, 2]] = 0.0
    rates[0, 2], rates[2, 0] = -1500.0, -1501.0
    found = np.exp(log_stationary(rates))
    # From the first pair into the second e times as often as back.
    e = np.exp(1)
    np.testing.assert_allclose(found[:4], np.array([1, 1, e, e]) / (2 + 2 * e), rtol=1e-9)
    assert found[4:].max() < 1e-300


def test_two_closed_classes_have_no_one_answer():
    rates = np.full((4, 4), -np.inf)
    rates[[0, 1, 2, 3], [1, 0, 3, 2]] = 0.0
    with pytest.raises(ValueError, match="more than one closed class"):
        log_stationary(rates)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"selection": "sexual"}, "selection is 'sexual'; allowed: local, global"),
        ({"epsilon": 0.5}, "epsilon is 0.5; allowed"),
        ({"intensity": -1}, "intensity is -1; allowed"),
        ({"population": 1.5}, "population is 1.5; allowed"),
    ],
)
def test_what_cannot_be_ranked_is_refused(settings, names):
    with pytest.raises(ValueError, match=names):
        alpha_rank([[1, 0], [0, 1]], **settings)
