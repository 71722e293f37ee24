"""Evolution strategies and the genetic hill climb against what they estimate, and through a configuration."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import shaping
from shaping import envs
from shaping.learners import Common, es, genetic, optimizer
from shaping.learners.es import _without_exploration, fitness_of
from shaping.learners.learner import LearnerState
from shaping.objectives import from_returns
from shaping.objectives.play_batches import Sampler
from shaping.objectives.sampled_objective import sampled_objective
from shaping.policies import tabular
from shaping.policies.gaussian import gaussian
from shaping.rules.search import normals, ranks, slope
from tests.compiling import quickly
from tests.runs import played

KEY = jax.random.key(3)
CURVATURE = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 3.0]])
TOP = np.array([1.0, -2.0, 0.5])


def hill(theta):
    return -0.5 * (theta - TOP) @ CURVATURE @ (theta - TOP)


QUADRATIC = from_returns(lambda thetas: [hill(thetas[0])])


def started(theta):
    return [LearnerState(jnp.asarray(theta), ())]


def begun(learner, theta):
    state = learner.init(KEY, KEY, (tabular(3),), 0, None, jnp.float32)
    return state.replace(theta=jnp.asarray(theta, jnp.float32))


def test_an_antithetic_estimate_of_a_quadratic_is_the_gradient_projected_on_what_was_tried(x64):
    """The curvature cancels within a pair, so that the estimate is exactly the mean of eps eps' times the gradient."""
    theta, sigma, pairs = np.array([0.3, 0.1, -0.4]), 0.2, 50
    noise = np.asarray(normals(KEY, pairs, jnp.zeros(3)))
    fitness = np.array([hill(theta + sign * sigma * eps) for eps in noise for sign in (1, -1)])
    gradient = CURVATURE @ (TOP - theta)
    found = np.asarray(slope(jnp.asarray(noise), jnp.asarray(fitness), sigma, "raw"))
    np.testing.assert_allclose(found, noise.T @ noise @ gradient / pairs, rtol=1e-9)
    # In expectation eps eps' is the identity; entries of its mean have a variance of at most 2 / pairs.
    many = np.asarray(normals(KEY, 20_000, jnp.zeros(3)))
    error = np.sqrt(2 / 20_000) * np.abs(gradient).sum()
    assert np.abs(many.T @ many @ gradient / 20_000 - gradient).max() < 4 * error


def test_ranks_are_centred_blind_to_scale_and_equal_for_equals():
    np.testing.assert_allclose(ranks(jnp.array([3.0, -1.0, 10.0])), [0.0, -0.5, 0.5], atol=1e-7)
    values = jnp.array([0.1, 0.7, -0.2, 5.0])
    np.testing.assert_array_equal(ranks(values), ranks(jnp.exp(values)))
    np.testing.assert_allclose(ranks(jnp.ones(6)), np.zeros(6), atol=1e-7)
    np.testing.assert_allclose(ranks(jnp.array([0.0, jnp.nan, 1.0])), [0.0, -0.5, 0.5], atol=1e-7)


def test_a_step_is_optax_s_on_that_estimate_and_sigma_shrinks_to_its_limit():
    common = Common(0.05, optimizer("adam"))
    learner = es(population=8, sigma=0.2, sigma_decay=0.5, sigma_limit=0.07, common=common)
    first = begun(learner, [0.0, 0.0, 0.0])
    step = quickly(lambda state: learner.step(KEY, [state], 0, QUADRATIC))
    after, told = step(first)
    # Adam's first step is the sign of the direction.
    noise = normals(jax.random.fold_in(KEY, 0), 4, jnp.zeros(3))
    fitness = jnp.stack([hill(sign * 0.2 * eps) for eps in noise for sign in (1, -1)])
    expected = 0.05 * np.sign(slope(noise, fitness, 0.2))
    np.testing.assert_allclose(after.theta, expected, rtol=1e-5)
    np.testing.assert_allclose(told["fitness"], fitness.mean(), rtol=1e-5)
    np.testing.assert_allclose(told["fitness_best"], fitness.max(), rtol=1e-5)
    sigmas = [first.memory.sigma, after.memory.sigma, step(after)[0].memory.sigma]
    np.testing.assert_allclose(sigmas, [0.2, 0.1, 0.07], rtol=1e-6)
    assert optax.tree.get(after.memory.optimizer, "count") == 1


def test_without_exploration_own_actions_are_medians_and_those_of_others_are_drawn():
    cournot = envs.make("cournot")
    policies = (gaussian(cournot.action_space),) * 2
    game, params = shaping.sampled(cournot, policies, batch=2, horizon=1, discount=1.0)
    plain = _without_exploration(game.objective(params), (0,)).sampler
    thetas = [policies[0].init(jax.random.fold_in(KEY, i), jnp.float32(1)) for i in range(2)]
    play = quickly(plain.play)
    actions = np.stack([play(thetas, jax.random.fold_in(KEY, number)).actions[0, :, :, 0] for number in range(2)])
    assert np.ptp(actions[..., 0]) == 0 and np.ptp(actions[..., 1]) > 0


@pytest.mark.parametrize("make", [es, genetic])
def test_chunks_change_nothing_and_a_member_does_not_depend_on_how_many_there_are(make):
    state = begun(make(population=12), [0.5, 0.5, 0.5])
    makers = [make(population=12, chunk=chunk) for chunk in (None, 4)]
    ends = quickly(lambda: [maker.step(KEY, [state], 0, QUADRATIC)[0].theta for maker in makers])()
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-6)
    assert not np.allclose(ends[0], 0.5)
    few, many = (normals(KEY, count, jnp.zeros(2)) for count in (3, 9))
    np.testing.assert_array_equal(few, many[:3])


def test_fitness_is_the_return_of_the_objective_whether_sampled_or_exact(x64):
    env = shaping.envs.make("ipd", discount=0.9, horizon=4)
    sampler = Sampler(env, (tabular(5),) * 2, env.default_params, 0.9, 6, 4)
    objective, thetas = sampled_objective(sampler), [jnp.linspace(-1, 1, 5), jnp.linspace(0.5, -0.5, 5)]

    @quickly
    def found():
        each = jnp.stack([objective.of(seat, thetas, KEY) for seat in range(2)])
        return fitness_of(objective, thetas, (1,), KEY), fitness_of(objective, thetas, (0, 1), KEY), each

    one, both, each = found()
    np.testing.assert_allclose([one, both], [each[1], each.sum()], rtol=1e-9)


def test_the_best_mutant_replaces_its_parent_only_if_it_is_better():
    learner = genetic(population=16, sigma=0.3)
    low = begun(learner, TOP + 1.0)
    step = quickly(lambda state: learner.step(KEY, [state], 0, QUADRATIC))
    after, told = step(low)
    assert hill(np.asarray(after.theta)) == pytest.approx(float(told["fitness_best"]), rel=1e-5)
    assert told["fitness_best"] > hill(TOP + 1.0)
    top = begun(learner, TOP)
    np.testing.assert_array_equal(step(top)[0].theta, top.theta)


def test_what_does_not_fit_is_refused_in_a_line():
    for make, message in (
        (lambda: es(population=7), "population is 7; allowed: an even number"),
        (lambda: es(population=8, chunk=3), "chunk is 3; allowed: a divisor of population, 8"),
        (lambda: genetic(population=8, chunk=5), "chunk is 5; allowed: a divisor of population, 8"),
        (lambda: es(sigma=0.0), "sigma is 0.0; allowed: a number, above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.slow
def test_a_configuration_learns_to_cooperate_with_tit_for_tat_by_evolution(tmp_path):
    """Any policy that never defects first is a best reply, worth -1; N(0, 1) logits start at about -1.5."""
    config = {
        "game": "ipd",
        "players": [
            {"rule": "es", "population": 16, "sigma": 0.3, "sigma_decay": 0.99, "step_size": 0.2},
            {"strategy": "tft"},
        ],
        "optimizer": "adam",
        "matches": 4,
        "updates": 60,
        "record_every": 20,
    }
    record = played(shaping.run(config, tmp_path / "run"))
    assert (record.value.isel(update=0, player=0) < -1.1).all()
    assert (record.value.isel(update=-1, player=0) > -1.02).all()
    sigma = record.search_scale.isel(player=0, match=0).values
    np.testing.assert_allclose(sigma, 0.3 * 0.99 ** record["update"].values, rtol=1e-5)
