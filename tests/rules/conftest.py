"""Directions of any rule in any exact matrix game by few compiled programs: numbers are arguments, structure
is static."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from shaping.objectives.exact_matrix import ExactMatrixGame
from shaping.policies import tabular


@partial(jax.jit, static_argnames=("form", "player"))
def _direction(rule, form, params, thetas, player):
    return rule.direction(form.objective(params), thetas, player)


@pytest.fixture
def direction(x64):
    """`(rule, form, params, thetas, player=0) -> direction`, compiled once for each structure, in float64."""

    def of(rule, form, params, thetas, player=0):
        # Python numbers and arrays would otherwise compile to two programs.
        rule, params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (rule, params))
        thetas = tuple(jnp.asarray(theta, jnp.float64) for theta in thetas)
        return _direction(rule, form, params, thetas, player)

    return of


@pytest.fixture
def form_of():
    """`(players, horizon, state_view) -> ExactMatrixGame` with tabular policies."""

    def form(players=2, horizon=None, state_view="shared"):
        states = 1 if horizon == 1 else 1 + 2**players
        return ExactMatrixGame(players, horizon, state_view, (tabular(states),) * players)

    return form
