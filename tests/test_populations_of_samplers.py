"""Populations of learners that estimate returns from play, with critics and models of their opponents."""

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import shaping
from shaping import envs
from shaping.learners import Common, gradient_learner, ppo
from shaping.learners.critic import critic
from shaping.learners.learner import Learner, LearnerState
from shaping.learners.opponent_model import opponent_model
from shaping.policies import mlp, network_critic, tabular, tabular_critic

IPD = envs.make("ipd", discount=0.9)


def same_as_a_pair(game, numbers, learner):
    """A population of two that always meet, and a match of the same learners."""
    settings = {"parameters": numbers, "seed": 2}
    found = shaping.evolve(game, learner, 2, 2, encounter=2, pairing="fixed", **settings)
    pair = shaping.train(game, learner, 1, 4, record_every=4, **settings)
    np.testing.assert_array_equal(found.theta_final[0], pair.theta_final[0])
    for name in ("value", "reward_per_step", "cooperation"):
        np.testing.assert_allclose(found[name][0, -1, 0], pair[name][0, -1].mean(), rtol=1e-5)
    return found


@pytest.mark.slow
def test_two_who_always_meet_are_the_match_of_today_with_their_critics():
    """To the last bit, though critics of networks start differently in different seats."""
    own = network_critic(IPD.observation_space, hidden=(2,))
    game, numbers = shaping.sampled(IPD, (tabular(5),) * 2, 4, 2, critics=(own,) * 2, baseline="critic")
    same_as_a_pair(game, numbers, gradient_learner(shaping.naive(), 0.5, critic=critic((own,) * 2)))


@pytest.mark.slow
def test_two_who_always_meet_are_the_match_of_today_with_models_and_critics_of_all_seats():
    own = network_critic(IPD.observation_space, hidden=(2,))
    game, numbers = shaping.sampled(IPD, (tabular(5),) * 2, 4, 2, critics=(own,) * 2, baseline="critic")
    model = opponent_model(steps=1, first_steps=2)
    learner = gradient_learner(shaping.lola("exact"), 0.5, critic=critic((own,) * 2), model=model)
    same_as_a_pair(game, numbers, learner)


@pytest.mark.slow
def test_two_networks_who_always_meet_are_the_match_of_today():
    policy, own = mlp(2, hidden=(3,)), network_critic(IPD.observation_space, hidden=(3,))
    game, numbers = shaping.sampled(IPD, (policy,) * 2, 8, 3, critics=(own,) * 2)
    learner = ppo(minibatches=2, common=Common(0.01, shaping.optimizer("adam"), critic=critic((own,) * 2)))
    same_as_a_pair(game, numbers, learner)


@struct.dataclass
class Counts:
    """Updates of the learner with its present partners, by seat: its own, and a thousand for each of theirs."""

    each: tuple[Any, ...]
    about_others: ClassVar[bool] = True

    def turned(self, order):
        return Counts(tuple(self.each[seat] for seat in order))


@struct.dataclass
class CountSettings:
    about_others: ClassVar[bool] = True

    def turned(self, order):
        return self


def counter():
    """A learner whose parameter is the number of its updates with its present partners, if nothing is confused."""

    def init(settings, key, common, policies, player, objective, dtype):
        return LearnerState(jnp.zeros(1, dtype), Counts(tuple(jnp.zeros((), dtype) for _ in policies)))

    def step(settings, key, states, player, objective):
        each = tuple(n + (1 if i == player else 1000) for i, n in enumerate(states[player].memory.each))
        total = each[player] + sum(other / 1e6 for i, other in enumerate(each) if i != player)
        return LearnerState(jnp.full(1, total), Counts(each)), {}

    return Learner(CountSettings(), init, step)


@pytest.mark.parametrize(
    ("pairing", "keep", "updates"),
    [
        pytest.param(shaping.pairing(turnover=0.0), False, 8, marks=pytest.mark.slow),
        (shaping.pairing(), False, 2),
        (shaping.pairing(), True, 8),
    ],
)
def test_what_is_known_of_others_starts_anew_with_new_partners_unless_it_is_kept(pairing, keep, updates):
    """With sixty learners hardly anybody meets the same partner twice in a row."""
    game = envs.make("ipd", horizon=1)
    found = shaping.evolve(game, counter(), 60, 4, encounter=2, pairing=pairing, keep_models=keep)
    counted = found.theta_final.values[0, :, 0]
    own = np.round(counted)
    # What it knows of itself and of others has never changed places.
    np.testing.assert_allclose(counted, own * 1.001, rtol=1e-6)
    assert np.mean(own == updates) > 0.9 and np.all(own % 2 == 0)


def test_scripts_meet_samplers_and_never_change():
    game, numbers = shaping.sampled(IPD, (tabular(5),) * 2, 4, 3)
    found = shaping.evolve(game, {"tft": "tft", "naive": shaping.naive()}, 4, 2, parameters=numbers)
    expected = 1000 * np.array([1, 1, -1, 1, -1.0])
    np.testing.assert_array_equal(found.theta_final.values[0, :2], [expected] * 2)
    assert np.isfinite(found.value.sel(type="naive")).all() and found.entropy.dims == ("match", "generation", "type")


def test_critics_of_different_seats_are_not_exchanged():
    """A game whose seats have different critics has learners that cannot change seats."""
    own = (tabular_critic(5), network_critic(IPD.observation_space, hidden=(2,)))
    game, _ = shaping.sampled(IPD, (tabular(5),) * 2, 4, 3, critics=own)
    assert not game.exchangeable and dataclasses.replace(game, critics=own[:1] * 2).exchangeable
