"""Reciprocal rewards against sums written out by hand, and their exact expectation against a chain of three rounds."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.learners import Common, optimizer, values
from shaping.learners.reciprocator import reciprocator
from shaping.learners.reciprocity import account, exact_reciprocal_return, reciprocal_reward
from shaping.objectives import exact
from shaping.policies import tabular
from tests.compiling import quickly

pytestmark = pytest.mark.usefixtures("x64")

GAMMA, FORMS = 0.9, ["balance", "credit", "one_step"]
PAYOFFS = np.array([[-1.0, -3, 0, -2], [-1, 0, -3, -2]])
NUMBERS = np.random.default_rng(2)
exact_return = quickly(exact_reciprocal_return, static_argnums=(4, 5))


@pytest.mark.parametrize("form", FORMS)
def test_rewards_are_balances_times_influences(form):
    influences = NUMBERS.normal(size=(5, 2, 3, 3))
    decay, debit = {"balance": (GAMMA, 1), "credit": (GAMMA, 0), "one_step": (0, 0)}[form]
    expected = np.zeros((5, 2, 3))
    for b, i, j in itertools.product(range(2), range(3), range(3)):
        balance = 0.0
        for t in range(5):
            if i != j:
                expected[t, b, i] += balance * influences[t, b, i, j] / 2
            balance = decay * balance + influences[t, b, j, i] - debit * influences[t, b, i, j]
    np.testing.assert_allclose(reciprocal_reward(jnp.asarray(influences), GAMMA, form), expected, atol=1e-13)


def influence(baselines, state, taken, player):
    """Of a player on the other, in a joint state (0 the start) in which the joint action `taken` is played."""
    bit, other = (2, 1) if player == 0 else (1, 0)
    c = baselines[player][state]
    return PAYOFFS[other][taken] - c * PAYOFFS[other][taken & ~bit] - (1 - c) * PAYOFFS[other][taken | bit]


def by_the_chain_of_three_rounds(cooperation, baselines, player):
    """The one-step form: 64 states (the joint actions two rounds ago, one round ago, and now), as the authors do it,
    and before it the two rounds in which not all of them exist."""
    other = 1 - player
    chance = np.array([[p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)] for p, q in cooperation.T])
    first = np.zeros((4, 4, 4))
    # The second round: what the other did at the start times what the player does now.
    total = 0.0
    for one, two in itertools.product(range(4), repeat=2):
        happens = chance[0, one] * chance[1 + one, two]
        debt = influence(baselines, 0, one, other)
        total += GAMMA * happens * debt * influence(baselines, 1 + one, two, player)
        first[one, two] = happens * chance[1 + two]
    moves = np.zeros((64, 64))
    rewards = np.zeros(64)
    for one, two, three in itertools.product(range(4), repeat=3):
        at = 16 * one + 4 * two + three
        debt = influence(baselines, 1 + one, two, other)
        rewards[at] = debt * influence(baselines, 1 + two, three, player)
        for four in range(4):
            moves[at, 16 * two + 4 * three + four] = chance[1 + three, four]
    visits = np.linalg.solve((np.eye(64) - GAMMA * moves).T, first.ravel())
    return total + GAMMA**2 * visits @ rewards


@pytest.mark.parametrize("player", [0, 1])
def test_the_exact_one_step_return_is_that_of_the_chain_of_64_states(player):
    cooperation, baselines = NUMBERS.uniform(size=(2, 2, 5))
    found = exact_return(cooperation, baselines, PAYOFFS, GAMMA, player, "one_step")
    np.testing.assert_allclose(found, by_the_chain_of_three_rounds(cooperation, baselines, player), rtol=1e-11)


@pytest.mark.parametrize("form", FORMS)
def test_the_exact_return_is_the_sum_over_rounds_of_expected_rewards(form):
    # By moments: E[b_t 1(state)] is carried along with P(state), round by round.
    cooperation, baselines = NUMBERS.uniform(size=(2, 2, 5))
    decay, debit = account(form, GAMMA)
    chance = np.array([[p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)] for p, q in cooperation.T])
    there, balance, total = np.eye(5)[0], np.zeros(5), 0.0
    for t in range(400):
        after, kept = np.zeros(5), np.zeros(5)
        for state, taken in itertools.product(range(5), range(4)):
            given = influence(baselines, state, taken, 0)
            made = influence(baselines, state, taken, 1) - debit * given
            total += GAMMA**t * balance[state] * chance[state, taken] * given
            after[1 + taken] += there[state] * chance[state, taken]
            kept[1 + taken] += chance[state, taken] * (decay * balance[state] + made * there[state])
        there, balance = after, kept
    found = exact_return(cooperation, baselines, PAYOFFS, GAMMA, 0, form)
    np.testing.assert_allclose(found, total, rtol=1e-11)


def test_a_step_ascends_the_return_and_the_reciprocal_return_against_the_last_baselines():
    game = envs.make("ipd", discount=GAMMA)
    at = exact(game, (tabular(5),) * 2)
    probe = NUMBERS.normal(size=(2, 5))
    thetas = [jnp.asarray(theta) for theta in probe]
    learner = reciprocator(2.0, "one_step", 2, 1, common=Common(0.1, optimizer("sgd"), values(probe[0])))

    @quickly
    def run():
        state = learner.init(jax.random.key(0), jax.random.key(1), (tabular(5),) * 2, 0, at, jnp.float64)
        once, _ = learner.step(jax.random.key(2), [state, replace(state, theta=thetas[1])], 0, at)
        held = replace(once, theta=thetas[0])
        twice, _ = learner.step(jax.random.key(2), [held, replace(state, theta=thetas[1])], 0, at)
        return once.theta, twice.theta

    once, twice = (np.asarray(theta) for theta in run())

    def total(theta, baselines):
        p, q = (1 / (1 + np.exp(-x)) for x in (theta, probe[1]))
        cooperation = np.stack([p, q[[0, 1, 3, 2, 4]]])
        value = exact_returns(cooperation)
        return value + 2 * by_the_chain_of_three_rounds(cooperation, baselines, 0)

    def exact_returns(cooperation):
        chance = np.array([[p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)] for p, q in cooperation.T])
        return np.linalg.solve((np.eye(4) - GAMMA * chance[1:]).T, chance[0]) @ PAYOFFS[0]

    own = np.stack([1 / (1 + np.exp(-probe[0])), (1 / (1 + np.exp(-probe[1])))[[0, 1, 3, 2, 4]]])
    for moved, baselines in ((once, np.full((2, 5), 0.5)), (twice, (0.5 + own) / 2)):
        slope = [(total(probe[0] + h, baselines) - total(probe[0] - h, baselines)) / 2e-5 for h in 1e-5 * np.eye(5)]
        np.testing.assert_allclose(moved - probe[0], 0.1 * np.array(slope), atol=1e-8)


def test_wrong_arguments_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"allowed: \[time, batch, players, players\]"):
        reciprocal_reward(jnp.zeros((2, 2, 2, 3)))
    with pytest.raises(ValueError, match="form is 'debt'; allowed: balance, credit, one_step"):
        reciprocator(form="debt")  # pyright: ignore[reportArgumentType]
