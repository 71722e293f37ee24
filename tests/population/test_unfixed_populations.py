"""Populations of one type are left out of selection, and nothing else changes."""

import jax
import jax.numpy as jnp
import numpy as np

from shaping.population import unfixed_populations
from shaping.population.selection import Outcome, Scene, selected, selection

OWN = selection("fermi", intensity=1.0, events=6)
NONE = (jnp.zeros((5, 1), jnp.int32), jnp.ones(5, jnp.int32))


def select(given):
    key, values, types = given
    return selected(OWN, key, Scene(values, types, jnp.zeros((2, 2)), *NONE), None)


def test_mixed_populations_are_selected_as_they_are_side_by_side_with_others(monkeypatch):
    monkeypatch.setattr(unfixed_populations, "_BLOCK", 4)
    draw = np.random.default_rng(0)
    types = jnp.asarray(
        draw.random((11, 5)) < np.array([0, 0.5, 1, 0.2, 0, 0.5, 0.5, 1, 0.3, 0.6, 0.5])[:, None], jnp.int32
    )
    given = (jax.random.split(jax.random.key(0), 11), jnp.asarray(draw.random((11, 5)), jnp.float32), types)
    found = jax.jit(lambda given: unfixed_populations.selected_where_mixed(select, given, given[2]))(given)
    expected = jax.jit(jax.vmap(select))(given)
    mixed = np.ptp(np.asarray(types), axis=1) > 0
    assert 4 < mixed.sum() < 11
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one[mixed], other[mixed])
    still = Outcome(np.arange(5), types[0], np.zeros(5, bool), np.int32(0), np.int32(0))
    for one, other in zip(found, still, strict=True):
        np.testing.assert_array_equal(one[0], other)


def test_only_strategies_that_do_not_mutate_stand_still():
    assert unfixed_populations.can_stand_still(OWN, True) and not unfixed_populations.can_stand_still(OWN, False)
    assert not unfixed_populations.can_stand_still(selection("fermi", events=6, mutation=0.1), True)
    assert not unfixed_populations.can_stand_still(selection("fermi", rate=0.5), True)
