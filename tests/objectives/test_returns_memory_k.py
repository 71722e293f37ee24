"""Policies that remember several rounds: the chain over histories against one built naively, and against play."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.envs import MatrixGameParams
from shaping.objectives.exact_matrix import ExactMatrixGame
from shaping.objectives.returns_memory_k import num_histories, own_histories, returns_memory_k
from shaping.policies import tabular

pytestmark = pytest.mark.usefixtures("x64")

ROUNDS = ("CC", "CD", "DC", "DD")
IPD = np.array([[-1, -3, 0, -2], [-1, 0, -3, -2]], float)
SWAPPED = {"CC": "CC", "CD": "DC", "DC": "CD", "DD": "DD"}

returns = jax.jit(returns_memory_k, static_argnames=("memory", "horizon"))


def histories(memory):
    """All histories, as tuples of rounds: shorter ones first, then in the order CC, CD, DC, DD, the earliest first."""
    return [history for length in range(memory + 1) for history in itertools.product(ROUNDS, repeat=length)]


def chain(cooperation, memory):
    """P(next history | history), and P(round | history), one entry at a time."""
    known = histories(memory)
    place = {history: number for number, history in enumerate(known)}
    moves, plays = np.zeros((len(known), len(known))), np.zeros((len(known), 4))
    for history, number in place.items():
        for action, letters in enumerate(ROUNDS):
            p = 1.0
            for player, letter in enumerate(letters):
                c = cooperation[player][number]
                p *= c if letter == "C" else 1 - c
            plays[number, action] = p
            moves[number, place[(*history, letters)[-memory:]]] += p
    return moves, plays


def reference(cooperation, payoffs, discount, memory, horizon=None):
    """Discounted returns of both players from the start."""
    moves, plays = chain(cooperation, memory)
    rewards = plays @ payoffs.T  # [histories, players]
    if horizon is None:
        return np.linalg.solve(np.eye(len(moves)) - discount * moves, rewards)[0]
    now, total = np.eye(len(moves))[0], np.zeros(2)
    for step in range(horizon):
        total = total + discount**step * now @ rewards
        now = now @ moves
    return total


def drawn(memory, seed):
    return np.random.default_rng(seed).uniform(size=(2, num_histories(memory)))


def form(memory, horizon=None, view="own"):
    return ExactMatrixGame(2, horizon, view, (tabular(num_histories(memory), memory),) * 2)


def numbers(discount=0.9, noise=(0.0, 0.0)):
    return MatrixGameParams(jnp.asarray(IPD).reshape(2, 2, 2), jnp.float64(discount), jnp.asarray(noise))


def test_there_are_5_21_and_85_histories_of_up_to_1_2_and_3_rounds():
    assert [num_histories(memory) for memory in (1, 2, 3)] == [5, 21, 85]
    assert all(num_histories(memory) == len(histories(memory)) for memory in (1, 2, 3))


@pytest.mark.parametrize("memory", [1, 2, 3])
def test_own_histories_exchange_cd_and_dc_in_every_round(memory):
    known = histories(memory)
    expected = [known.index(tuple(SWAPPED[letters] for letters in history)) for history in known]
    assert own_histories(memory).tolist() == expected


@pytest.mark.parametrize("memory", [2, 3])
@pytest.mark.parametrize("discount", [0.0, 0.9, 0.99])
def test_returns_of_an_infinite_game_equal_a_dense_solve(memory, discount):
    cooperation = drawn(memory, memory)
    found = returns(cooperation, IPD, discount, memory, None)
    np.testing.assert_allclose(found, reference(cooperation, IPD, discount, memory), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("memory", [2, 3])
@pytest.mark.parametrize("rounds_more_than_remembered", [-1, 0, 1, 5])
@pytest.mark.parametrize("discount", [0.8, 1.0])
def test_returns_of_a_finite_game_equal_a_recursion(memory, rounds_more_than_remembered, discount):
    horizon, cooperation = memory + rounds_more_than_remembered, drawn(memory, 7)
    found = returns(cooperation, IPD, discount, memory, horizon)
    np.testing.assert_allclose(found, reference(cooperation, IPD, discount, memory, horizon), rtol=1e-12)


@pytest.mark.parametrize("memory", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("view", ["own", "shared"])
@pytest.mark.parametrize("horizon", [None, 6])
@pytest.mark.parametrize("noise", [(0.0, 0.0), (0.1, 0.02)])
def test_who_looks_at_the_last_round_only_has_the_value_of_memory_one(memory, view, horizon, noise):
    short = [jnp.asarray(theta) for theta in np.random.default_rng(1).normal(size=(2, 5))]
    last = [0 if not history else 1 + ROUNDS.index(history[-1]) for history in histories(memory)]
    long = [theta[np.array(last)] for theta in short]
    expected = form(1, horizon, view).objective(numbers(noise=noise))(short)[0]
    found = form(memory, horizon, view).objective(numbers(noise=noise))(long)[0]
    np.testing.assert_allclose(found, jnp.stack(list(expected)), rtol=1e-10)


def test_the_own_view_is_the_shared_one_with_player_1s_histories_relabelled():
    theta = np.random.default_rng(5).normal(size=(2, 21))
    own = form(2, view="own").objective(numbers())([jnp.asarray(theta[0]), jnp.asarray(theta[1])])[0]
    relabelled = theta[1][own_histories(2)]
    shared = form(2, view="shared").objective(numbers())([jnp.asarray(theta[0]), jnp.asarray(relabelled)])[0]
    np.testing.assert_allclose(own, shared, rtol=1e-12)
    assert abs(own[0] - form(2, view="shared").objective(numbers())(list(jnp.asarray(theta)))[0][0]) > 1e-3


@pytest.mark.parametrize("horizon", [None, 2, 5])
def test_gradients_equal_central_differences(horizon):
    cooperation, step = drawn(2, 11), 1e-6
    value = partial(returns, payoffs=IPD, discount=0.9, memory=2, horizon=horizon)
    found = jax.jit(jax.jacrev(value))(cooperation)
    for player, state in itertools.product(range(2), (0, 1, 7, 20)):
        shift = np.zeros_like(cooperation)
        shift[player, state] = step
        expected = (value(cooperation + shift) - value(cooperation - shift)) / (2 * step)
        np.testing.assert_allclose(found[:, player, state], expected, rtol=1e-6, atol=1e-8)


def test_second_derivatives_equal_differences_of_gradients():
    theta, step = np.random.default_rng(3).normal(size=(2, 21)), 1e-5
    objective = form(2).objective(numbers())
    slope = jax.jit(jax.grad(lambda thetas: objective.of(0, [thetas[0], thetas[1]])))
    curved = jax.jit(jax.jvp, static_argnums=0)(slope, (theta,), (np.ones_like(theta),))[1]
    np.testing.assert_allclose(curved, (slope(theta + step) - slope(theta - step)) / (2 * step), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("view", ["own", pytest.param("shared", marks=pytest.mark.slow)])
def test_played_rounds_agree_with_the_exact_value_within_four_standard_errors(view):
    """A policy builds its history from what it sees one round at a time: its numbering must be the objective's."""
    game = envs.make("ipd", discount=0.8, noise=(0.1, 0.02), state_view=view)
    policies = (shaping.tabular(21, 2),) * 2
    # Far from indifferent, and different for every history: a history taken for another would show.
    thetas = [jnp.asarray(theta) for theta in 2 * np.random.default_rng(0).normal(size=(2, 21))]
    steps, batch = 60, 8000
    played = jax.jit(lambda key: shaping.rollout(game, policies, thetas, key, steps, batch))(jax.random.key(1))
    sums = np.einsum("t,tbp->bp", 0.8 ** np.arange(steps), np.asarray(played.rewards))
    exact = np.asarray(shaping.exact(game, policies)(thetas)[0])
    assert np.all(np.abs(sums.mean(0) - exact) < 4 * sums.std(0) / np.sqrt(batch))


def test_a_rollout_shows_each_history_its_own_probability():
    """Policies that nearly always do what their number says: every action must be that of the history before it."""
    game = envs.make("ipd")
    chosen = np.random.default_rng(2).choice([-50.0, 50.0], size=(2, 85))
    policies = (shaping.tabular(85, 3),) * 2
    played = shaping.rollout(game, policies, list(jnp.asarray(chosen)), jax.random.key(0), 12, 1)
    known, seen = histories(3), ((), ())
    for actions in np.asarray(played.actions)[:, 0]:
        expected = [int(chosen[player][known.index(seen[player])] < 0) for player in range(2)]
        assert actions.tolist() == expected
        letters = "".join("CD"[action] for action in actions)
        seen = ((*seen[0], letters)[-3:], (*seen[1], SWAPPED[letters])[-3:])


@pytest.mark.parametrize(
    ("game", "policies", "reason"),
    [
        ({"name": "contribution", "num_players": 3}, (tabular(21, 2),) * 3, "two players and more than one round"),
        ({"name": "ipd", "horizon": 1}, (tabular(21, 2),) * 2, "two players and more than one round"),
        ({"name": "ipd"}, (tabular(21, 2), tabular(5)), "1 and 2 rounds back"),
        ({"name": "ipd"}, (tabular(21),) * 2, r"shape \[21\]; the game has 5 states"),
        ({"name": "ipd"}, (tabular(5),), "1 policies given; the game has 2 seats"),
    ],
)
def test_policies_that_do_not_fit_the_game_are_refused(game, policies, reason):
    with pytest.raises(ValueError, match=reason):
        shaping.exact(envs.make(**game), policies)
