"""One learner on several seats: its parameters, critics and optimiser once, its direction the sum of its seats'."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.learners import Common, a2c, gradient_learner, named_learner, optimizer, values
from shaping.learners.critic import critic, value_loss
from shaping.learners.opponent_model import opponent_model
from shaping.objectives.exact_matrix import exact_matrix_game
from shaping.policies import tabular, tabular_critic
from shaping.population import match as single
from shaping.population.match import Match
from tests.compiling import quickly

pytestmark = pytest.mark.usefixtures("x64")

THETA = np.array([0.1, -0.2, 0.3, -0.4, 0.5])
GAME = envs.make("ipd", discount=0.9)
TABLES = (tabular_critic(5),) * 2


def exact_match(learner):
    form = exact_matrix_game(GAME, (tabular(5),) * 2)
    return Match(0, 0, GAME.default_params, (learner,), form, (0, 0))


def sampled_match(learner):
    game, numbers = shaping.sampled(GAME, (tabular(5),) * 2, 4, 3, critics=TABLES)
    return Match(0, 0, numbers, (learner,), game, (0, 0))


@pytest.mark.parametrize(
    ("make", "rule"),
    [(sampled_match, shaping.naive()), (exact_match, shaping.lola("exact", 0.4))]
    + [pytest.param(sampled_match, shaping.lola("exact", 0.4), marks=pytest.mark.slow)],
    ids=["sampled naive", "exact lola", "sampled lola"],
)
def test_a_shared_learner_climbs_the_sum_of_its_seats_directions(make, rule):
    match = make(gradient_learner(rule, 0.5, optimizer("sgd"), values(THETA)))

    def both():
        state = single.start(match, jnp.float64)
        after = single.moved(match, state.learners, jnp.int32(0))
        objective = match.game.objective(match.params)
        key = single.use(match.key_of(0), "update", 0)
        apart = [
            rule.direction(objective, [jnp.asarray(THETA)] * 2, seat, jax.random.fold_in(key, seat))
            for seat in range(2)
        ]
        return state, after, apart

    state, after, apart = quickly(both)()
    assert len(state.learners) == len(after) == 1 and len(state.value_sum) == 2
    np.testing.assert_allclose(after[0].theta, THETA + 0.5 * (apart[0] + apart[1]), rtol=1e-12)
    assert np.abs(apart[0]).max() > 1e-3 and np.abs(apart[1]).max() > 1e-3


def test_a_shared_critic_learns_from_all_its_seats_and_is_held_once():
    kept = critic(TABLES, 0.3, optimizer="sgd")
    match = sampled_match(a2c(common=Common(0.5, initial=values(THETA), critic=kept)))

    def both():
        state = single.start(match, jnp.float64)
        after = single.moved(match, state.learners, jnp.int32(0))[0]
        objective = match.game.objective(match.params)
        thetas = [jnp.asarray(THETA)] * 2
        played = objective.sampler.play(thetas, single.use(match.key, "play", 0))

        def loss(phi):
            at = dataclasses.replace(objective, observed=played).within([phi, phi])
            return sum(value_loss(kept, at, None, seat, played) for seat in range(2))

        return state.learners[0].memory.critic, after, -0.3 * jax.grad(loss)(jnp.zeros(5))

    before, after, expected = quickly(both)()
    assert before.parameters[1] is None and after.memory.critic.parameters[1] is None
    np.testing.assert_allclose(after.memory.critic.parameters[0], expected, rtol=1e-10)
    assert np.abs(after.theta - THETA).max() > 1e-3


def test_learners_that_cannot_be_shared_say_so():
    with pytest.raises(ValueError, match=r"^seats is \(0, 0\); allowed: one seat for learner 0"):
        single.start(exact_match(named_learner("cola", {})), jnp.float64)
    with pytest.raises(ValueError, match="opponent_model is given; allowed: for learners that have opponents"):
        single.start(sampled_match(gradient_learner(shaping.naive(), model=opponent_model())), jnp.float64)
    game, numbers = shaping.sampled(GAME, (tabular(5), shaping.memory_one(5)), 4, 3)
    with pytest.raises(ValueError, match="players 0 and 1 have different policies"):
        single.start(Match(0, 0, numbers, (gradient_learner(shaping.naive()),), game, (0, 0)), jnp.float64)
