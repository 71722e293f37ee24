"""Learning curves of exact learners against values recomputed in float64, through the population programs.

Prisoner's dilemma and matching pennies of LOLA (Foerster et al., AAMAS 2018), discounts 0.96 and 0.9, plain
gradient steps of size 1 on the unnormalised return, values (1 - discount) V. Different rules, games and
starts run side by side."""

import numpy as np
import pytest

from shaping import envs
from shaping.learners import gradient_learner, values
from shaping.rules import first_order, lola

pytestmark = pytest.mark.usefixtures("x64")

PROBE = (np.array([0.1, -0.2, 0.3, -0.4, 0.5]), np.array([-0.5, 0.4, -0.3, 0.2, -0.1]))
ZERO = (np.zeros(5), np.zeros(5))
COEFFICIENTS = {"naive": (0.0, 0.0), "original": (0.0, 1.0), "taylor": (1.0, 1.0)}
# (1 - discount) V_1 = (1 - discount) V_2 from zero after these updates.
TIMES = [1, 2, 5, 10, 20, 200]
FROM_ZERO = {
    "naive": [-1.807359, -1.957386, -1.978042, -1.988339, -1.994357, -1.999509],
    "original": [-1.787197, -1.454964, -1.051300, -1.019952, -1.009030, -1.000823],
    "taylor": [-1.688921, -1.207822, -1.038323, -1.017732, -1.008610, -1.000846],
    "exact": [-1.849453, -1.581840, -1.061541, -1.020704, -1.008566, -1.000599],
}
# Both players' values from the probe after 1, 10 and 100 updates.
FROM_PROBE = {
    "original": [(-1.810623, -1.778770), (-1.019976, -1.019891), (-1.001712, -1.001710)],
    "taylor": [(-1.701450, -1.684331), (-1.017542, -1.017446), (-1.001700, -1.001698)],
    "naive": [(-2.072738, -1.550986), (-1.991592, -1.988401), (-1.998997, -1.999090)],
}


def learners(rule, start):
    return [gradient_learner(rule, 1.0, initial=values(theta)) for theta in start]


def test_first_order_learners_of_every_coefficient_side_by_side(population):
    ipd = envs.make("ipd", state_view="shared")
    pennies = envs.make("matching_pennies", discount=0.9, state_view="shared")
    runs = {}
    for name, coefficients in COEFFICIENTS.items():
        rule = first_order(1.0, *coefficients)
        runs[name, "zero"] = population.match(ipd, learners(rule, ZERO))
        runs[name, "probe"] = population.match(ipd, learners(rule, PROBE))
        runs[name, "pennies"] = population.match(pennies, learners(rule, PROBE))
    runs["half"] = population.match(pennies, learners(first_order(0.5, 0.0, 1.0), PROBE))
    outcome = population.play(list(runs.values()), 200, block=5, devices=2)
    value = dict(zip(runs, outcome.values, strict=True))
    assert np.all(outcome.diverged_at == -1)

    for name in COEFFICIENTS:
        for player in range(2):
            np.testing.assert_allclose(value[name, "zero"][TIMES, player], FROM_ZERO[name], atol=1e-5)
        np.testing.assert_allclose(value[name, "probe"][[1, 10, 100]], FROM_PROBE[name], atol=1e-5)

    # Matching pennies: the distance from the equilibrium's value 0.
    size = {name: np.abs(value[name, "pennies"][:, 0]) for name in COEFFICIENTS}
    np.testing.assert_allclose(size["naive"][10], 0.153093, atol=1e-5)
    np.testing.assert_allclose(size["naive"][[50, 100]], [0.201886, 0.000919], rtol=0.5)
    assert size["naive"].max() > 0.15 and size["naive"][100:].max() > 0.1, "naive learners circle"
    np.testing.assert_allclose(size["original"][10], 0.003560, atol=1e-5)
    assert size["original"][50] < 3.4e-4 and size["original"][100] < 8e-5
    np.testing.assert_allclose(size["taylor"][10], 0.000529, atol=1e-5)
    assert size["taylor"][50] < 1e-5 and size["taylor"][100] < 1e-5
    # Half the lookahead rate is too little for the original variant.
    np.testing.assert_allclose(np.abs(value["half"][200, 0]), 0.60336, rtol=0.1)

    mean = outcome.values[:, 1:].mean(axis=1)
    np.testing.assert_allclose(outcome.trajectory_mean, mean, atol=1e-12)


@pytest.mark.slow
def test_exact_lola_from_zero_and_from_the_probe(population):
    ipd = envs.make("ipd", state_view="shared")
    matches = [population.match(ipd, learners(lola("exact", 1.0), start)) for start in (ZERO, PROBE)]
    outcome = population.play(matches, 200)
    for player in range(2):
        np.testing.assert_allclose(outcome.values[0][TIMES, player], FROM_ZERO["exact"], atol=1e-5)
    np.testing.assert_allclose(outcome.values[1][1], (-1.847182, -1.819143), atol=1e-5)
