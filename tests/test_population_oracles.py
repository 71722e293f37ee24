"""What populations do, against closed forms: where they end, how imitation spreads, how often mutants take over."""

import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.objectives.exact_matrix import exact_matrix_game
from shaping.policies import memory_one, strategy

pytestmark = [pytest.mark.slow, pytest.mark.optimised]

STAG_HUNT = envs.make("stag_hunt", horizon=1, reward=1.8, sucker=0.0, temptation=1.0, punishment=1.0)
HAWK_DOVE = envs.make("matrix_game", horizon=1, payoffs=[[[-1, 2], [0, 1]], [[-1, 0], [2, 1]]])
DONATION = envs.make("ipd", discount=0.9, noise=0.01, reward=2.0, sucker=-1.0, temptation=3.0, punishment=0.0)
RULES = {
    "naive": shaping.naive(),
    "taylor, rate 1": shaping.lola("taylor", 1.0),
    "taylor, rate 2": shaping.lola("taylor", 2.0),
}


def ends(game, rule, matches):
    """P(action 0) of all populations at the end, [matches]; all start from one logit U(-1, 1) of their population."""
    learner = shaping.gradient_learner(rule, 1.0, initial=shaping.uniform(1.0))
    found = shaping.evolve(game, learner, 4, 100, encounter=20, matches=matches, shared=True)
    chosen = 1 / (1 + np.exp(-found.theta_final.values[..., 0]))
    # Learners that are alike in a symmetric game stay alike, whomever they meet.
    assert np.ptp(chosen, axis=1).max() < 1e-4
    return chosen[:, 0]


@pytest.mark.parametrize(("rule", "share"), [("naive", 0.3884), ("taylor, rate 1", 0.4909), ("taylor, rate 2", 0.5605)])
def test_more_populations_end_in_the_stag_hunt_the_more_they_shape(rule, share):
    """Shares are the probability that a start lies above the rest point of the rule: naive learners turn at
    p = 1 / 1.8, LOLA where 1.8 p - 1 + rate 1.8 p**2 (1 - p)**2 (3.6 p - 1) is 0."""
    count = 4000
    found = np.mean(ends(STAG_HUNT, RULES[rule], count) > 0.5)
    assert abs(found - share) < 3 * np.sqrt(share * (1 - share) / count)


@pytest.mark.parametrize(("rule", "hawks"), [("naive", 0.5), ("taylor, rate 1", 0.636), ("taylor, rate 2", 0.728)])
def test_shaping_makes_hawks_of_populations_that_start_alike(rule, hawks):
    np.testing.assert_allclose(ends(HAWK_DOVE, RULES[rule], 50), hawks, atol=6e-4)


def type_values(names):
    """What strategies of the donation game are worth against each other, float64."""
    form = exact_matrix_game(DONATION, (memory_one(5),) * 2)
    tables = [strategy(name)[1] for name in names]
    worth = [[form.evaluate(DONATION.default_params, [a, b])["value"][0] for b in tables] for a in tables]
    return np.array(worth, float)


@pytest.mark.parametrize("intensity", [0.1, 3.0])
def test_imitation_follows_the_mean_field_from_generation_to_generation(intensity):
    """x_i' = x_i sum_j x_j tanh(intensity (f_i - f_j) / 2) per imitation each, with f of a finite population. What is
    left of every generation's change is noise of known size, and its mean over all of them is nothing."""
    names, size, rate, generations, matches = ["alld", "tft", "allc"], 100_000, 0.1, 100, 2
    own = shaping.selection("fermi", intensity=intensity, rate=rate, payoff="expected")
    found = shaping.evolve(
        DONATION, {n: n for n in names}, size, generations, matches=matches, selection=own, precision="float64"
    )
    x, worth = found.share.values, type_values(names)
    now = x[:, :-1]
    payoffs = (now @ worth.T * size - np.diag(worth)) / (size - 1)
    advantage = payoffs[..., :, None] - payoffs[..., None, :]
    drift = rate * now * np.sum(now[..., None, :] * np.tanh(intensity * advantage / 2), axis=-1) * size / (size - 1)
    residue = x[:, 1:] - now - drift
    # Learners that become type i and learners that cease to be, each at most once; those that stay type i do not count.
    moves = rate * now[..., :, None] * now[..., None, :] * (1 - np.eye(3))
    gained = np.sum(moves / (1 + np.exp(-intensity * advantage)), axis=-1)
    lost = np.sum(moves / (1 + np.exp(intensity * advantage)), axis=-1)
    deviation = residue / np.sqrt((gained + lost) / size)
    count = generations * matches
    assert np.all(np.abs(deviation.mean(axis=(0, 1))) < 4 / np.sqrt(count))
    # Three shares that add up to one have two degrees of freedom a generation.
    assert abs(np.mean(deviation**2) - 1) < 4 / np.sqrt(count)


def fixation(worth, size, intensity):
    """The probability that one of type 0 takes over a population of type 1, by the closed formula (pairwise comparison
    and the Moran process with exponential fitness have the same)."""
    k = np.arange(1, size)
    mutant = ((k - 1) * worth[0, 0] + (size - k) * worth[0, 1]) / (size - 1)
    resident = (k * worth[1, 0] + (size - k - 1) * worth[1, 1]) / (size - 1)
    return 1 / (1 + np.sum(np.exp(np.cumsum(-intensity * (mutant - resident)))))


@pytest.mark.parametrize("kind", ["fermi", "birth_death"])
@pytest.mark.parametrize("size", [50, 100])
def test_mutants_take_over_as_often_as_the_closed_formula_says(kind, size):
    names, matches, intensity = ["tft", "alld"], 1000, 0.1
    found = shaping.evolve(
        DONATION,
        {n: n for n in names},
        size,
        4000,
        shares={"tft": 1 / size, "alld": "rest"},
        selection=shaping.selection(kind, intensity=intensity, events=size, payoff="expected"),
        until="fixation",
        matches=matches,
    )
    assert np.all(found.fixed_at > 0)
    expected = fixation(type_values(names), size, intensity)
    won = float(found.share[:, -1, 0].mean())
    assert abs(won - expected) < 4 * np.sqrt(expected * (1 - expected) / matches)


def test_the_closed_formula_is_that_of_a_published_case():
    """Hawk-dove [[-.5, 2], [0, 0]] at N = 100 and intensity 1 (a test of EGTtools)."""
    assert fixation(np.array([[-0.5, 2], [0, 0]]), 100, 1.0) == pytest.approx(0.8641155742462664, rel=1e-12)
