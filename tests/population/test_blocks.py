"""Populations that lie in blocks: everybody meets everybody, and devices can have a part of the learners each."""

import os
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType

import shaping
from shaping import envs
from shaping.config.errors import ConfigError
from shaping.population import blocks
from shaping.population.compiled_programs import AXIS
from shaping.population.learner_types import learners_of
from shaping.population.meeting_population import Rules, begin
from shaping.population.population_programs import Population, setup_of
from shaping.populations import _populations
from shaping.runtime import loop
from shaping.runtime.devices import population_mesh
from shaping.training import game_of

SIZE, GENERATIONS = 16, 4000


def places_over_time(turnover):
    """The learner at each place in every generation, [generations, places], without anybody learning."""
    form, numbers = game_of(envs.make("ipd", horizon=1), None, None)
    learners, still = learners_of({"any": shaping.gradient_learner(shaping.naive())})
    meeting = shaping.pairing(blocks=4, turnover=turnover)
    rules = Rules(form, SIZE, 1, False, still)
    template = Population((), (), numbers(), learners, (), meeting, shaping.selection(), rules, ())
    own = setup_of(_populations(template, (SIZE,), 0, np.arange(1), "float32"))
    key = jax.vmap(lambda number: jax.random.key(number))(own.number)

    def generation(state, number):
        apart = blocks.separated(rules, own, key, number, state.leaves)
        state = blocks.moved(rules, own, state, key, number, apart)
        return state, state.places[0]

    @jax.jit
    def run():
        state = begin(rules, own, jnp.zeros((1, SIZE), jnp.int32), jnp.float32)
        return lax.scan(generation, state, jnp.arange(GENERATIONS, dtype=jnp.int32))[1]

    return np.asarray(run())


@pytest.mark.parametrize("turnover", [0.5, pytest.param(1.0, marks=pytest.mark.slow)])
def test_any_two_learners_meet_equally_often(turnover):
    found = places_over_time(turnover)
    np.testing.assert_array_equal(np.sort(found, axis=1), np.tile(np.arange(SIZE), (GENERATIONS, 1)))
    pairs = np.sort(found.reshape(GENERATIONS, -1, 2), axis=2)
    met = np.zeros((GENERATIONS, SIZE, SIZE))
    met[np.arange(GENERATIONS)[:, None], pairs[..., 0], pairs[..., 1]] = 1
    chance = 1 / (SIZE - 1)
    apart = met[:, *np.triu_indices(SIZE, 1)] - chance
    # Two of one block are likely to be so in the next generation too, and a pair may stay together: the variance of the
    # number of their meetings is that of independent draws times one plus twice the sum of these correlations.
    lags = range(1, 60)
    again = sum(np.mean(apart[:-lag] * apart[lag:]) for lag in lags) / (chance * (1 - chance))
    squares = apart.sum(axis=0) ** 2 / (GENERATIONS * chance * (1 - chance) * (1 + 2 * again))
    # Of 119 degrees of freedom.
    assert abs(np.mean(squares) - 1) < 4 * np.sqrt(2 / 119) and np.max(squares) < 20


PROGRAM = """
import sys
import pickle
import jax
from tests.compiling import reuse_contexts
reuse_contexts()
jax.config.update("jax_num_cpu_devices", 4)
from tests.population.test_blocks import population
pickle.dump(population(sys.argv[1]), sys.stdout.buffer)
"""


def population(kind):
    """What is recorded of a population that can be divided among devices, or of one that cannot."""
    types = {name: shaping.gradient_learner(shaping.naive(), size) for name, size in (("fast", 1.0), ("slow", 0.3))}
    mixed = shaping.pairing(blocks=4, turnover=0.5)
    imitating = shaping.selection("fermi", rate=0.5)
    game, how = envs.make("ipd", horizon=1), {"precision": "float64", "sample": 5, "matches": 2}
    own = {"pairing": mixed} if kind == "divided" else {"pairing": "ring", "selection": imitating}
    found = shaping.evolve(game, types, 32, 6, **own, **how)
    return {name: recorded.values for name, recorded in found.data_vars.items()}


def assert_close(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_population_on_two_devices_is_that_on_one(monkeypatch):
    assert len(jax.devices()) == 2
    both = population("divided")
    one = population_mesh().devices[:1]
    monkeypatch.setattr(loop, "population_mesh", lambda: jax.make_mesh((1,), (AXIS,), (AxisType.Auto,), devices=one))
    assert_close(population("divided"), both)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["divided", "whole"])
def test_populations_on_four_devices_are_those_on_fewer(kind):
    done = subprocess.run([sys.executable, "-c", PROGRAM, kind], env=os.environ, capture_output=True, timeout=280)
    assert done.returncode == 0, done.stderr.decode()
    assert_close(pickle.loads(done.stdout), population(kind))


def test_blocks_that_do_not_fit_are_refused():
    for own, size, said in (
        ({"blocks": 4}, 24, "population.size is 24; allowed: a multiple of 16"),
        ({"blocks": 0}, 16, "pairing.blocks is 0; allowed: an integer of 1 or more"),
        ({"kind": "ring", "blocks": 2}, 16, "pairing.blocks is given; allowed: with kind well_mixed"),
    ):
        with pytest.raises((ConfigError, ValueError), match=said):
            meeting = shaping.pairing(**own)  # pyright: ignore[reportArgumentType]
            shaping.evolve(envs.make("ipd"), shaping.naive(), size, 1, pairing=meeting)
    copying = shaping.selection("fermi", events=1)
    with pytest.raises(ConfigError, match="selection.kind is fermi; allowed: none where a population lies in blocks"):
        shaping.evolve(envs.make("ipd"), shaping.naive(), 16, 1, pairing=shaping.pairing(blocks=4), selection=copying)
