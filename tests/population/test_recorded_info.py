"""What learners record of their updates: at recorded updates only, about those updates, and without carrying it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.learners import Learner, LearnerState, gradient_learner
from shaping.learners.opponent_model import error_of, opponent_model, trust_of
from shaping.objectives.exact_matrix import exact_matrix_game
from shaping.policies import tabular
from shaping.population import match as single
from shaping.population.compiled_programs import Timetable, finish_program, segment_at, segment_program, start_program
from shaping.population.match import Match
from shaping.variables import Variable
from tests.compiling import quickly

COUNTED = Variable(("match", "update", "player"), "a number that is known", source="learner")


def begin(settings, key, common, policies, player, objective, dtype):
    return LearnerState(jnp.zeros(5, dtype), jnp.zeros((), dtype))


def count(settings, key, states, player, objective):
    own = states[player]
    return LearnerState(own.theta, own.memory + 1), {"counted": lambda: settings * own.memory}


def stay(settings, key, states, player, objective):
    return states[player], {}


def counter(factor):
    return Learner(factor, begin, count, variables={"counted": COUNTED})


def rows(population, matches, updates, every, devices=1, pieces=1):
    """(what is recorded along updates, at the end, final states)."""
    mesh, table = population.mesh(devices), Timetable(updates, every, 2, (), pieces)
    stacked = population.stack(matches, np.float32, mesh)
    states, found = start_program(mesh, np.float32)(stacked), []
    program = segment_program(mesh, table, len(matches) // devices)
    for number in range(table.segments):
        states, recorded = program(stacked, states, segment_at(table, 2 * number))
        found.append({name: np.array(x) for name, x in recorded.items()})
    last = finish_program(mesh, table, len(matches) // devices)(stacked, states)
    along = {name: np.concatenate([row[name] for row in found], 1)[:, ::pieces][:, : table.rows] for name in found[0]}
    return along, last, states


@pytest.mark.parametrize(
    ("pieces", "sampled"),
    [(2, False)] + [pytest.param(*case, marks=pytest.mark.slow) for case in ((1, False), (1, True), (2, True))],
)
def test_info_is_of_the_update_that_is_recorded(population, sampled, pieces):
    game = envs.make("ipd", discount=0.9)
    if sampled:
        form, numbers = shaping.sampled(game, (tabular(5),) * 2, 2, 2)
    else:
        form, numbers = exact_matrix_game(game, (tabular(5),) * 2), game.default_params
    silent = Learner(np.float32(0), begin, stay)
    matches = [Match(np.int32(0), np.int32(n), numbers, (silent, counter(np.float32(n + 1))), form) for n in range(2)]
    along, last, _ = rows(population, matches, 5, 2, pieces=pieces)
    assert np.all(np.isnan(along["counted"][..., 0]))
    np.testing.assert_array_equal(along["counted"][..., 1], [[0, 2, 4], [0, 4, 8]])
    np.testing.assert_array_equal(last["counted"][:, 1], [5, 10])


def test_what_a_learner_did_not_declare_is_refused():
    quiet = dataclasses.replace(counter(1.0), variables={})
    game = envs.make("ipd", discount=0.9)
    match = Match(0, 0, game.default_params, (quiet, quiet), exact_matrix_game(game, (tabular(5),) * 2))
    with pytest.raises(
        ValueError, match=r"info of learner 0 is \['counted'\]; allowed: what its variables declare, \[\]"
    ):
        single.moved(match, single.start(match, jnp.float32).learners, jnp.int32(0))


def test_model_error_and_trust_are_of_the_batch_that_the_update_learns_from(x64):
    env = envs.make("ipd", discount=0.9)
    form, numbers = shaping.sampled(env, (tabular(5),) * 2, 6, 4)
    settings = opponent_model(rate=0.1, members=2, trust=0.5, steps=2, first_steps=3)
    modelling = gradient_learner(shaping.lola("exact", 0.5), 0.5, model=settings)
    match = Match(0, 0, numbers, (modelling, gradient_learner(shaping.naive(), 0.5)), form)

    @quickly
    def found():
        states = single.start(match, jnp.float64).learners
        info = single.stepped(match, states, jnp.int32(0), True)[1]
        objective, thetas = form.objective(numbers), [state.theta for state in states]
        played = objective.sampler.play(thetas, single.use(match.key, "play", 0))
        model = states[0].memory.model
        error = error_of(model, thetas, played, objective.sampler)
        return info, error, trust_of(settings, model, dataclasses.replace(objective, observed=played))

    info, error, trust = found()
    np.testing.assert_allclose(info["model_error"][0], error, rtol=1e-12)
    np.testing.assert_allclose(info["model_trust"][0], trust, rtol=1e-12)
    assert error > 1e-3 and 0 < trust < 1 and np.isnan(info["model_error"][1])


def test_the_spread_of_the_shaping_term_is_of_independent_estimates_the_updates_own_among_them(x64):
    env = envs.make("ipd", discount=0.9)
    form, numbers = shaping.sampled(env, (tabular(5),) * 2, 6, 4)
    rule = shaping.lola("exact", 0.5)
    learners = gradient_learner(shaping.naive(), 0.5), gradient_learner(rule, 0.5, shaping_samples=3)
    match = Match(0, 0, numbers, learners, form)

    @quickly
    def found():
        from shaping.learners.gradient import _SPREAD

        states = single.start(match, jnp.float64).learners
        info = single.stepped(match, states, jnp.int32(0), True)[1]
        key, thetas = single.use(match.key_of(1), "update", 0), [state.theta for state in states]
        keys = jnp.stack([key, *(jax.random.fold_in(key, _SPREAD + n) for n in (1, 2))])
        return info, jax.lax.map(lambda k: rule.shaping(form.objective(numbers), thetas, 1, rule.settings, k), keys)

    info, each = found()
    each = np.asarray(each)
    spread = np.sum((each - each.mean(0)) ** 2) / 2
    np.testing.assert_allclose(info["shaping_sd"][1], np.sqrt(spread), rtol=1e-9)
    length = max(np.sum(each.mean(0) ** 2) - spread / 3, 0)
    np.testing.assert_allclose(info["shaping_norm"][1], np.sqrt(length), rtol=1e-9)
