"""The consistency loss of Willi et al. (2022, COLA) against closed forms and an independent computation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping.envs import MatrixGameParams
from shaping.learners.consistency import consistency_loss
from shaping.learners.gradient import GradientMemory
from shaping.learners.learner import LearnerState
from shaping.objectives.exact_matrix import ExactMatrixGame
from shaping.policies import tabular
from shaping.rules import lola, lookahead
from shaping.rules.hola import hola

pytestmark = pytest.mark.usefixtures("x64")


TANDEM = shaping.analytic_game("tandem").objective({})


@partial(jax.jit, static_argnames="objective")
def losses_at(objective, rules, thetas):
    """C at points [points, players], one parameter a player; rates are arguments, so that an order compiles once."""
    learners = [shaping.gradient_learner(rule) for rule in rules]

    def at(point):
        states = [LearnerState(theta[None], GradientMemory((), None)) for theta in point]
        return consistency_loss(learners, states, objective)

    return jax.vmap(at)(thetas)


def tandem_losses(rules, thetas):
    return np.array(losses_at(TANDEM, rules, thetas))


SLOW = pytest.mark.slow  # each order takes twice as long to compile as the one below
POINTS = np.random.default_rng(0).uniform(-1, 1, size=(20, 2))


@pytest.mark.parametrize(("order", "loss"), [(1, 128), (2, 512), pytest.param(6, 131072, marks=SLOW)])
def test_on_tandem_at_rate_1_the_loss_is_the_same_everywhere(order, loss):
    """Willi et al. 2022, Table 1a."""
    np.testing.assert_allclose(tandem_losses([hola(1.0, order)] * 2, POINTS), loss, rtol=1e-9)


@pytest.mark.parametrize("order", [1, 2, pytest.param(6, marks=SLOW)])
@pytest.mark.parametrize("rate", [0.3, 0.05])
def test_on_tandem_the_loss_is_its_closed_form(order, rate):
    """HOLA's directions are a s + b with s = x + y; C is twice the square of one order's difference from the next."""
    a, b, lines = -2.0, 2.0, []
    for _ in range(order + 1):
        a, b = -2 * (1 + rate * a) ** 2, -2 * rate * (1 + rate * a) * b + 2
        lines.append((a, b))
    slope, level = np.subtract(lines[-1], lines[-2])
    expected = 2 * (slope * POINTS.sum(axis=1) + level) ** 2
    np.testing.assert_allclose(tandem_losses([hola(rate, order)] * 2, POINTS), expected, rtol=1e-7, atol=1e-20)


def test_players_of_different_rates_are_asked_each_at_its_own():
    """Of a naive player 0 and a LOLA player 1 that anticipates it, both are right: player 0 imagines no step at all."""
    np.testing.assert_allclose(tandem_losses([hola(0.0), hola(0.3)], POINTS), 0, atol=1e-20)
    assert np.median(tandem_losses([hola(0.3), hola(0.3)], POINTS)) > 0.1


def test_naive_directions_are_consistent_where_nothing_is_anticipated():
    np.testing.assert_allclose(tandem_losses([lookahead(0.0)] * 2, POINTS), 0, atol=1e-25)


def test_lola_exact_and_hola_of_order_1_are_equally_inconsistent():
    exact = tandem_losses([lola("exact", 0.2)] * 2, POINTS)
    np.testing.assert_allclose(exact, tandem_losses([hola(0.2, 1)] * 2, POINTS), rtol=1e-10)


PENNIES = [
    *[(10.0, order, loss) for order, loss in ((1, 0.0757), (3, 1.72), (4, 6.38))],
    *[(5.0, order, loss) for order, loss in ((1, 0.00683), (3, 0.0386), (4, 0.132))],
    *[(1.0, order, loss) for order, loss in ((1, 9.69e-6), (3, 3.17e-8), (4, 4.35e-9))],
]


@pytest.mark.parametrize("order", [1, *(pytest.param(order, marks=SLOW) for order in (3, 4))])
def test_mean_losses_on_matching_pennies_are_those_of_an_independent_computation(order):
    """L_1 = (2p - 1)(2q - 1) = -L_2, p and q logistic, on a grid over [-7, 7]^2.

    The setting is that of Willi et al. 2022, Table 2a; values are those of an independent computation.
    """
    nodes = -7 + 14 * (np.arange(140) + 0.5) / 140
    grid = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    game = ExactMatrixGame(2, 1, "own", (tabular(1),) * 2)
    payoffs = np.array([[[-1, 1], [1, -1]], [[1, -1], [-1, 1]]], float)
    objective = game.objective(MatrixGameParams(jnp.asarray(payoffs), jnp.float64(0), jnp.zeros(2)))
    for rate, _, expected in [case for case in PENNIES if case[1] == order]:
        mean = losses_at(objective, [hola(rate, order)] * 2, grid).mean()
        np.testing.assert_allclose(mean, expected, rtol=0.02)
