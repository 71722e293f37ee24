"""Populations in which tables and networks meet: each combination is the match of such learners, and nobody's
randomness depends on the company."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.config.errors import ConfigError
from shaping.config.plan import plan
from shaping.learners import gradient_learner
from shaping.learners.learner import Learner, LearnerState
from shaping.policies import mlp, tabular
from shaping.population.random_keys import learner_key, use

GAME, NUMBERS = shaping.sampled(envs.make("ipd", discount=0.9), (tabular(5),) * 2, 2, 2)
NET = mlp(2, hidden=(2,))


def wanderer():
    """A learner that moves at random, and towards what the other one's parameters add up to."""

    def init(settings, key, common, policies, player, objective, dtype):
        return LearnerState(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, dtype), policies[player].shapes), ())

    def step(settings, key, states, player, objective):
        other = sum(jnp.sum(leaf) for leaf in jax.tree.leaves(states[1 - player].theta))
        moved = jax.tree.map(
            lambda leaf: leaf + jax.random.normal(key, dtype=jnp.float32) + 0.1 * other, states[player].theta
        )
        return LearnerState(moved, ()), {}

    return Learner((), init, step)


TYPES = {"table": wanderer(), "net": wanderer()}
SETTINGS = {"parameters": NUMBERS, "precision": "float64", "seed": 3}


def drawn(number, update):
    key = use(learner_key(jnp.int32(3), jnp.int32(0), number), "update", update)
    return float(jax.random.normal(key, dtype=jnp.float32))


def test_what_is_random_of_a_learner_does_not_depend_on_the_structure_of_its_company():
    """Tables are learners 0 to 2 and networks 3 to 5; they meet as 0 and 1, 2 and 3, 4 and 5. Every trajectory by
    hand, from the learners' own keys."""
    mixed = shaping.evolve(GAME, TYPES, 6, 2, pairing="fixed", policies={"net": NET}, **SETTINGS)
    size = np.array([5] * 3 + [NET.num_parameters] * 3)
    where, other = np.zeros(6), np.array([1, 0, 3, 2, 5, 4])
    for update in range(2):
        where = where + [drawn(number, update) for number in range(6)] + 0.1 * (size * where)[other]
    for own, many, found in zip(where, size, mixed.theta_final.values[0], strict=True):
        np.testing.assert_allclose(found[:many], own, rtol=1e-12)
        assert np.isnan(found[many:]).all()


@pytest.mark.slow
def test_a_table_and_a_network_that_always_meet_are_the_match_of_them():
    types = {
        "table": gradient_learner(shaping.naive(), 2.0),
        "net": gradient_learner(shaping.lola("exact"), 1.0, initial=shaping.fan_in(1.0)),
    }
    game = dataclasses.replace(GAME, policies=(tabular(5), NET))
    pair = shaping.train(game, list(types.values()), 1, 2, record_every=2, **SETTINGS)
    found = shaping.evolve(GAME, types, 2, 2, pairing="fixed", policies={"net": NET}, **SETTINGS)
    np.testing.assert_allclose(found.theta_final[0], pair.theta_final[0], rtol=1e-12)
    np.testing.assert_allclose(found.value[0, -1], pair.value[0, -1], rtol=1e-12)


@pytest.mark.slow
def test_a_copy_has_the_structure_of_its_original():
    """Who meets somebody with a higher value becomes a copy of it, and plays on as one."""
    select = shaping.selection("fermi", intensity=1e9, rate=1.0)
    found = shaping.evolve(GAME, TYPES, 6, 4, policies={"net": NET}, selection=select, sample=6, **SETTINGS)
    kinds, rows = found.type_sample.values[0], found.theta_sample.values[0]
    np.testing.assert_array_equal(np.isnan(rows[..., -1]), kinds == 0)
    assert np.isfinite(rows[..., :5]).all()
    # Some tables became networks, and some networks tables.
    assert {-1, 1} <= set(np.unique(np.diff(kinds.astype(int), axis=0)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"policies": {"none": NET}}, "policies: 'none' is not allowed"),
        ({"policies": {"net": "mlp"}}, "policies.net: 'mlp' is not allowed"),
        ({"policies": {"net": NET}, "selection": shaping.selection("fermi", rate=1.0, payoff="expected")}, "payoff"),
    ],
)
def test_what_cannot_have_several_policies_is_refused(change, said):
    with pytest.raises(ConfigError, match=said):
        shaping.evolve(GAME, TYPES, 4, 1, parameters=NUMBERS, **change)


def test_types_of_several_policies_need_play_and_one_view():
    types = {"table": {"rule": "naive", "share": 0.5}, "net": {"rule": "naive", "policy": "mlp"}}
    exact = {"game": "ipd", "population": {"size": 4, "types": types}, "generations": 1}
    with pytest.raises(ConfigError, match=r"population.types.net.policy: needs play; objective.kind must be dice"):
        plan(exact)
    types["net"]["policy"] = {"kind": "mlp", "state_view": "shared"}
    with pytest.raises(ConfigError, match=r"population.types.net.policy: types see the game differently"):
        plan(exact | {"objective": {"kind": "dice"}})
    types["net"]["policy"] = {"kind": "mlp", "units": 3}
    with pytest.raises(ConfigError, match=r"population.types.net.policy.units: unknown key"):
        plan(exact | {"objective": {"kind": "dice"}})
