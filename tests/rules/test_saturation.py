"""Policies that have become deterministic: directions vanish and stay finite."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.rules import first_order, lola, naive

RULES = {"naive": naive(), "first_order": first_order(), "exact": lola("exact"), "exact-3": lola("exact", 1.0, 3)}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "exact")) for n in RULES])
def test_directions_of_saturated_policies_are_finite_and_vanish_at_mutual_defection(name, direction, form_of):
    form, params = form_of(), envs.make("ipd").default_params
    for own, other in itertools.product((-60.0, -20.0, 20.0, 60.0), repeat=2):
        found = direction(RULES[name], form, params, (np.full(5, own), np.full(5, other)))
        assert np.all(np.isfinite(found)), (own, other)
    for level in (-20.0, -60.0):
        found = direction(RULES[name], form, params, (np.full(5, level),) * 2)
        assert np.all(np.abs(found) < 1e-6)
    for seed in range(10):
        signs = np.random.default_rng(seed).choice([-1, 1], (2, 5))
        for level in (20.0, 60.0):
            assert np.all(np.isfinite(direction(RULES[name], form, params, level * signs)))


@pytest.mark.parametrize("name", ["exact", pytest.param("first_order", marks=pytest.mark.slow)])
def test_directions_of_saturated_policies_are_finite_in_float32(name, form_of):
    form, params = form_of(), envs.make("ipd").default_params
    directions = jax.jit(jax.vmap(lambda thetas: RULES[name].direction(form.objective(params), list(thetas), 0)))
    signs = np.random.default_rng(0).choice([-1, 1], (50, 2, 5)).astype(np.float32)
    for level in (20, 60, 200):
        found = directions(jnp.asarray(level * signs))
        assert found.dtype == jnp.float32
        assert np.all(np.isfinite(found))


@pytest.mark.parametrize("name", ["first_order", "exact"])
def test_directions_of_saturated_policies_are_finite_for_three_players(name, direction, form_of):
    form = form_of(3)
    params = envs.make("contribution", num_players=3, contribution_factor=1.8).default_params
    for seed in range(5):
        signs = np.random.default_rng(seed).choice([-1, 1], (3, 9))
        for level in (20.0, 60.0):
            assert np.all(np.isfinite(direction(RULES[name], form, params, level * signs)))
    assert np.all(np.abs(direction(RULES[name], form, params, np.full((3, 9), -20.0))) < 1e-6)
