"""The reference programs for timing sampled LOLA estimate the direction that the package computes exactly."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.objectives.exact_matrix import ExactMatrixGame
from shaping.policies import tabular
from shaping.rules import lola, naive

BATCH, HORIZON, ESTIMATES = 4096, 12, 48
THETAS = np.random.default_rng(1).normal(size=(2, 5))
# Any baseline leaves the direction as it is.
VALUES = np.random.default_rng(2).normal(size=(2, 5))


def exact_directions(rule):
    """Both players' directions [2, 5] in a game of `HORIZON` rounds, computed exactly."""
    game = envs.make("ipd", discount=0.96)
    objective = ExactMatrixGame(2, HORIZON, "own", (tabular(5),) * 2).objective(game.default_params)
    thetas = tuple(jnp.asarray(theta) for theta in THETAS)
    return np.stack([rule.direction(objective, thetas, player) for player in range(2)])


def estimates_by(name, player):
    """Estimates [ESTIMATES, 5] of a player's direction by one of the references."""
    direction = importlib.import_module(f"benchmarks.reference_dice_{name}").direction
    seeds = [{"seed": seed} if name == "jax" else {} for seed in range(ESTIMATES)]
    return np.stack([direction(THETAS, VALUES, player, BATCH, HORIZON, 1, **seed) for seed in seeds])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_dice_reference_estimates_exact_lola_without_bias_to_be_seen(name):
    module = pytest.importorskip(name)
    if name == "torch":
        module.manual_seed(0)
    with jax.enable_x64(True):
        expected = exact_directions(lola("exact", lookahead_rate=0.3, lookaheads=1))
        unshaped = exact_directions(naive())
    for player in range(2):
        estimates = estimates_by(name, player)
        error = estimates.std(axis=0, ddof=1) / np.sqrt(ESTIMATES)
        assert np.abs(estimates.mean(axis=0) - expected[player]).max() < 0.1
        assert np.all(np.abs(estimates.mean(axis=0) - expected[player]) < 4.5 * error)
        # And they tell it from a direction without the opponent's learning.
        assert np.abs((unshaped - expected)[player] / error).max() > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_dice_reference_updates_both_players_by_a_step_of_adam(name):
    pytest.importorskip(name)
    make = importlib.import_module(f"benchmarks.reference_dice_{name}").make
    for lookaheads in (1, 2):
        update = make(16, 10, lookaheads)
        first, second = update(), update()
        # From zero, and whatever the gradient, Adam first moves every parameter by the step size.
        np.testing.assert_allclose(np.abs(first), 0.2, rtol=1e-3)
        assert first.shape == (2, 5) and np.all(second != first)
