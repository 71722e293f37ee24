"""Who meets whom: learners' states are gathered by index, updated and put back."""

import dataclasses
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.learners import gradient_learner, optimizer
from shaping.objectives.exact_matrix import exact_matrix_game
from shaping.policies import tabular
from shaping.population import match as single
from shaping.population.gathering import check_pairing, gather, scatter
from shaping.population.match import Encounter, Match
from shaping.rules import naive
from tests.compiling import quickly

# One-shot, because it compiles fastest.
GAME = envs.make("ipd", horizon=1)
FORM = exact_matrix_game(GAME, (tabular(GAME.num_states),) * 2)


def match(encounter=None, number=0):
    learners = (gradient_learner(naive(), 0.5, optimizer("adam")),) * 2
    return Match(jnp.int32(3), jnp.int32(number), GAME.default_params, learners, FORM, None, encounter)


def met(number, numbers, size):
    """A match of learners of a population."""
    return match(Encounter(numbers, size), number)


def test_identity_pairing_is_todays_pairs_bit_for_bit(population):
    """Matches of two, as populations of two in which 0 always meets 1, through the compiled programs."""
    plain = [match(number=number) for number in range(3)]
    paired = [met(np.int32(number), np.arange(2, dtype=np.int32), 2) for number in range(3)]
    for one, other in zip(
        *(jax.tree.leaves(population.play(m, 4, dtype=np.float32).__dict__) for m in (plain, paired)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_population_of_two_for_good_is_the_pair_of_independent_matches_bit_for_bit(tmp_path):
    """In a process that compiles as the product does: tests compile with less optimisation and round differently."""
    program = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", 2)
import numpy as np
import shaping
from shaping import envs

game = envs.make("ipd", discount=0.9)
learner = shaping.gradient_learner(shaping.naive(), 0.5, shaping.optimizer("adam"))
pairs = shaping.train(game, learner, matches=64, updates=6)
found = shaping.evolve(game, learner, 2, 3, encounter=2, matches=64, pairing="fixed")
np.testing.assert_array_equal(found.theta_final, pairs.theta_final)
np.testing.assert_allclose(found.value[..., 0], pairs.value[:, ::2].mean("player"), rtol=1e-5)

rule = {"rule": "lola", "variant": "original", "step_size": 0.5}
common = {"game": {"name": "ipd"}, "matches": 5, "precision": "float64"}
pairs = shaping.run(common | {"players": rule, "updates": 12}, sys.argv[1] + "/pairs")
population = {"size": 2, "pairing": "fixed", "encounter": 4, "types": {"lola": rule}}
found = shaping.run(common | {"population": population, "generations": 3}, sys.argv[1] + "/populations")
pairs, found = (shaping.load(run).record.theta_final for run in (pairs, found))
np.testing.assert_array_equal(found, pairs)
"""
    plain = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], env=plain, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr


def test_gathering_and_putting_back_is_the_identity_and_moves_only_those_who_met():
    states = {"theta": jnp.arange(24.0).reshape(2, 6, 2), "count": jnp.arange(12).reshape(2, 6)}
    numbers = jnp.array([[[4, 0], [1, 5]], [[2, 3], [0, 1]]])
    seats = gather(states, numbers)
    assert [seat["theta"].shape for seat in seats] == [(2, 2, 2)] * 2
    np.testing.assert_array_equal(seats[0]["count"], [[4, 1], [8, 6]])
    np.testing.assert_array_equal(seats[1]["count"], [[0, 5], [9, 7]])
    for a, b in zip(*map(jax.tree.leaves, (scatter(states, numbers, seats), states)), strict=True):
        np.testing.assert_array_equal(a, b)
    changed = scatter(states, numbers, [jax.tree.map(lambda leaf: -leaf - 1, seat) for seat in seats])
    touched = np.asarray(changed["count"]) != np.asarray(states["count"])
    np.testing.assert_array_equal(touched, [[1, 1, 0, 0, 1, 1], [1, 1, 1, 1, 0, 0]])
    np.testing.assert_array_equal(changed["count"][0, 4], -5)


def test_a_learner_takes_its_state_and_its_stream_with_it_when_partners_change(x64):
    """Four learners of one population meet in pairs (0 1)(2 3), then (0 2)(3 1): Adam's moments go along."""
    size, pairings = 4, np.array([[[0, 1], [2, 3]], [[0, 2], [3, 1]]], np.int32)

    def begun(numbers):
        return single.start(met(0, numbers, size), jnp.float64).learners

    def update(numbers, states, update):
        return single.moved(met(0, numbers, size), states, update)

    @quickly
    def together():
        pairs = [begun(jnp.asarray(pair)) for pair in pairings[0]]
        states = jax.tree.map(lambda *leaves: jnp.stack(leaves)[None], *(own for pair in pairs for own in pair))
        for number, pairing in enumerate(pairings):
            at = jnp.asarray(pairing)[None]
            seats = gather(states, at)
            own = jax.vmap(lambda numbers, a, b, number=number: update(numbers, (a, b), number))
            states = scatter(states, at, jax.vmap(own)(at, *seats))
        return states

    @quickly
    def by_hand():
        alone = {n: own for pair in pairings[0] for n, own in zip(pair.tolist(), begun(jnp.asarray(pair)), strict=True)}
        for number, pairing in enumerate(pairings):
            after = {}
            for pair in pairing:
                moved = update(jnp.asarray(pair), tuple(alone[n] for n in pair.tolist()), number)
                after |= dict(zip(pair.tolist(), moved, strict=True))
            alone = after
        return alone

    found, expected = together(), by_hand()
    for number, state in expected.items():
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(state), strict=True):
            # Adam divides by the size of a gradient, and so magnifies the rounding of one that is nearly zero.
            np.testing.assert_allclose(a[0, number], b, rtol=1e-7)


def test_a_learner_s_start_is_its_own_whomever_it_meets():
    starts = [
        single.start(met(0, jnp.array(pair, jnp.int32), 4), jnp.float32).learners[seat].theta
        for pair, seat in (([0, 1], 1), ([1, 3], 0), ([2, 1], 1))
    ]
    for other in starts[1:]:
        np.testing.assert_array_equal(starts[0], other)
    first, second = (met(0, jnp.array(pair, jnp.int32), 4).key for pair in ([0, 1], [1, 0]))
    assert np.any(jax.random.key_data(first) != jax.random.key_data(second))


def test_a_pairing_that_names_nobody_or_somebody_twice_is_refused():
    check_pairing(np.array([[[0, 1], [2, 3]]]), 4)
    for pairing, message in (([[[0, 4]]], "learner 4; allowed: 0 to 3"), ([[[0, 1], [1, 2]]], "learner 1 twice")):
        with pytest.raises(ValueError, match=message):
            check_pairing(np.array(pairing), 4)


def test_seats_without_a_learner_or_shared_by_one_that_cannot_be_are_refused():
    alone = dataclasses.replace(match(), seats=(0, 0))
    with pytest.raises(ValueError, match=r"seats is \(0, 0\); allowed: a seat for each learner for learner 1"):
        single.start(alone, jnp.float32)


def test_shared_players_record_for_every_seat_and_end_with_one_policy(population):
    learners = (gradient_learner(naive(), 0.5),)
    matches = [Match(np.int32(0), np.int32(n), GAME.default_params, learners, FORM, (0, 0)) for n in range(2)]
    found = population.play(matches, 3, dtype=np.float32)
    assert found.values.shape == (2, 4, 2) and len(found.final) == 1
    np.testing.assert_allclose(found.values[..., 0], found.values[..., 1], rtol=1e-5)
