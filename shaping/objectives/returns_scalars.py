"""Discounted returns of an infinitely repeated two-player game, scalar by scalar: the fastest form for a population.

With P the chain over joint actions and p0 the distribution of the first one, the discounted occupancy of joint actions
solves d = p0 + gamma P^T d, and V_i = d . r_i. Derivatives of every order come from `jax.lax.custom_linear_solve`,
which differentiates the equation and never the elimination: each order takes more solves with the same factors.
"""

import itertools
import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any

import jax
from jax import lax

from shaping.objectives.gaussian_elimination import (
    Scalars,
    factorise_scalars,
    solve_scalars,
    solve_scalars_transposed,
)


def returns_scalars(cooperation: Sequence[Scalars], payoffs: Sequence[Scalars], discount: jax.Array) -> list[jax.Array]:
    """Unnormalised returns, one scalar per player.

    Args:
      cooperation: [players][1 + joint actions] P(execute C | joint state), the start first.
      payoffs: [players][joint actions], joint actions in binary counting with C = 0, seat 0 most significant.
      discount: scalar in [0, 1).
    """
    joint = [joint_probabilities([c[state] for c in cooperation]) for state in range(len(cooperation[0]))]
    visits = _occupancy(joint[0], joint[1:], discount)
    return [_dot(visits, row) for row in payoffs]


def joint_probabilities(cooperation: Scalars) -> list[jax.Array]:
    """Probability of each joint action, [joint actions], from each player's probability of cooperating."""
    pairs = [(c, 1 - c) for c in cooperation]
    return [
        reduce(operator.mul, [pair[action] for pair, action in zip(pairs, actions, strict=True)])
        for actions in itertools.product((0, 1), repeat=len(cooperation))
    ]


def _occupancy(initial: Scalars, transition: Sequence[Scalars], discount: jax.Array) -> list[jax.Array]:
    # Where XLA respects the barrier, it keeps XLA from recomputing the factors in each of the fusions that read them.
    factors = lax.optimization_barrier(factorise_scalars(*lax.stop_gradient((transition, discount))))

    def matvec(d: Scalars) -> list[jax.Array]:
        return [x - discount * _dot(column, d) for x, column in zip(d, zip(*transition, strict=True), strict=True)]

    return lax.custom_linear_solve(
        matvec,
        list(initial),
        lambda _, b: solve_scalars_transposed(factors, b),
        lambda _, b: solve_scalars(factors, b),
    )


def _dot(x: Sequence[Any], y: Sequence[Any]) -> jax.Array:
    return reduce(operator.add, [a * b for a, b in zip(x, y, strict=True)])
