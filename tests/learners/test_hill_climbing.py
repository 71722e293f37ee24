"""Hill climbers accept what their rule says, and nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.learners import Common, fmtl, selfish
from shaping.learners.initial_parameters import initial_parameters
from shaping.learners.learner import LearnerState
from shaping.objectives.exact_matrix import exact_matrix_game
from shaping.policies import mlp, tabular
from shaping.policies.memory_one import logit

pytestmark = pytest.mark.usefixtures("x64")

GAME = envs.make("ipd", horizon=1, reward=1.0, sucker=-1.0, temptation=2.0, punishment=0.0)
COUNT = 4000


def stepped(learner, own, other):
    """Many independent steps of a learner that cooperates with probability `own`, [COUNT] probabilities."""
    form = exact_matrix_game(GAME, (tabular(1),) * 2)
    objective = dataclasses.replace(form.objective(GAME.default_params), scale=jnp.float64(1))
    states = [LearnerState(logit(jnp.full(1, p)), ()) for p in (own, other)]
    keys = jax.random.split(jax.random.key(0), COUNT)
    found = jax.jit(jax.vmap(lambda key: learner.step(key, states, 0, objective)[0].theta[0]))(keys)
    return np.asarray(jax.nn.sigmoid(found))


def test_selfish_learners_accept_what_gains_and_never_leave_the_probabilities():
    """In the one-shot dilemma less cooperation always gains: half of the proposals are accepted."""
    found = stepped(selfish(), 0.5, 0.3)
    moved = found[found != 0.5]
    assert abs(len(moved) / COUNT - 0.5) < 4 * np.sqrt(0.25 / COUNT)
    assert moved.min() > 0.4 - 1e-9 and moved.max() < 0.5 and moved.mean() == pytest.approx(0.45, abs=0.005)
    edge = stepped(selfish(width=0.2), 0.05, 0.3)
    assert edge.min() < 1e-9 and np.all(edge <= 0.05 + 1e-9)


@pytest.mark.parametrize(("other", "tolerance"), [(0.5, 0.1), (0.4, 0.3), (0.2, 0.1)])
def test_fair_minded_learners_aim_at_the_sum_as_often_as_values_are_alike(other, tolerance):
    """More cooperation always raises the sum here; values are x - y = 3 (q - p) apart, so that the one who cooperates
    more is fairer if it cooperates less."""
    own = 0.5
    efficient = np.exp(-((3 * (other - own)) ** 2) / (2 * tolerance**2))
    found = stepped(fmtl(tolerance=tolerance), own, other)
    more, less = np.mean(found > own + 1e-12), np.mean(found < own - 1e-12)
    fairer = 0.0 if other == own else 0.5
    for share, expected in ((more, efficient / 2), (less, (1 - efficient) * fairer)):
        assert abs(share - expected) < 4 * np.sqrt(0.25 / COUNT)


def test_starts_are_of_the_arcsine_distribution():
    drawn = initial_parameters(shaping.arcsine(), jax.random.key(1), (tabular(4000),), 0, None, jnp.float64)
    chosen = np.sort(np.asarray(jax.nn.sigmoid(drawn)))
    # The distribution function makes them uniform: Kolmogorov and Smirnov's distance, at the level of 1e-4.
    uniform = 2 / np.pi * np.arcsin(np.sqrt(chosen))
    assert np.abs(uniform - (np.arange(4000) + 0.5) / 4000).max() < 2.23 / np.sqrt(4000)


def test_logistic_starts_are_probabilities_without_a_preference():
    drawn = initial_parameters(shaping.logistic(), jax.random.key(1), (tabular(4000),), 0, None, jnp.float64)
    chosen = np.sort(np.asarray(jax.nn.sigmoid(drawn)))
    assert np.abs(chosen - (np.arange(4000) + 0.5) / 4000).max() < 2.23 / np.sqrt(4000)


def test_only_tables_are_climbed():
    with pytest.raises(ValueError, match="policy is a mlp; allowed: tabular"):
        selfish().init(jax.random.key(0), jax.random.key(0), (mlp(2),) * 2, 0, None, jnp.float32)


@pytest.mark.slow
@pytest.mark.optimised
def test_selfish_learning_is_invaded_by_fair_minded_learning_in_the_prisoners_dilemma():
    """McAvoy, Kates-Harbeck, Chatterjee and Hilbe (2022): two selfish learners defect; a fair-minded one among them
    does far better, does better still with its like, and the selfish partner of a fair-minded one gets no less than
    it. 2,500 pairs each; differences are far beyond their standard errors."""
    game = envs.make("ipd", discount=0.999, reward=1.0, sucker=-1.0, temptation=2.0, punishment=0.0)
    common = Common(initial=shaping.arcsine())
    kinds = {"fair": fmtl(common=common), "selfish": selfish(common=common)}
    ends = {}
    for pair in (("selfish", "selfish"), ("fair", "selfish"), ("fair", "fair")):
        players = [kinds[name] for name in pair]
        found = shaping.train(game, players, 2500, 4000, record_every=4000, precision="float64")
        ends[pair] = found.value.values[:, -1]
    error = max(end.std(axis=0).max() for end in ends.values()) / 50
    both, mixed, fair = (ends[pair].mean(axis=0) for pair in ends)
    assert both.mean() < 0.15 and fair.mean() > 0.95
    assert mixed[0] > both.mean() + 20 * error and fair.mean() > mixed[1] + 4 * error
    assert mixed[1] > mixed[0] - 4 * error
