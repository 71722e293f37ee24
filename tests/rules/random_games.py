"""Random games of two and three players, and directions of all seats at many points."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs import MatrixGameParams
from shaping.objectives import from_losses, from_returns
from shaping.objectives.exact_matrix import ExactMatrixGame
from shaping.policies import tabular


def polynomial(numbers, thetas):
    """Returns of players with three parameters each, a polynomial of degree three in all of them."""
    everything = jnp.concatenate(thetas)
    linear, square, cube = numbers
    d = everything.shape[0]
    terms = jnp.sum(linear * everything, 1), jnp.sum(square * everything[:, None] * everything, (1, 2))
    return sum(terms) + jnp.sum(cube * (everything[:, None, None] * everything[:, None] * everything), (1, 2, 3)) / d


def polynomial_numbers(players, seed=0):
    rng = np.random.default_rng(seed)
    d = 3 * players
    return tuple(jnp.asarray(rng.normal(size=(players,) + (d,) * degree)) for degree in (1, 2, 3))


def matrix_game(params, thetas):
    """Returns of memory-one policies in the shared view."""
    players = len(thetas)
    form = ExactMatrixGame(players, None, "shared", (tabular(1 + 2**players),) * players)
    return jnp.stack(list(form.objective(params)(thetas)[0]))


def matrix_numbers(players, seed=0):
    rng = np.random.default_rng(seed)
    payoffs = rng.normal(size=(players,) + (2,) * players)
    noise = np.full(players, 0.05)
    return jax.tree.map(jnp.asarray, MatrixGameParams(payoffs=payoffs, discount=np.float64(0.8), noise=noise))


def game(name, players):
    """(function, numbers, number of parameters per player)"""
    if name == "polynomial":
        return polynomial, polynomial_numbers(players), 3
    return matrix_game, matrix_numbers(players), 1 + 2**players


CASES = [(name, players) for name in ("polynomial", "matrix game") for players in (2, 3)]


@partial(jax.jit, static_argnames=("function", "seats"))
def all_directions(rule, function, numbers, thetas, seats=None):
    """The directions [points, seats, parameters] of all seats, or of `seats`, at points [points, seats, parameters]."""
    objective = from_returns(lambda ts: function(numbers, ts))

    def at(point):
        asked = range(len(point)) if seats is None else seats
        return jnp.stack([rule.direction(objective, list(point), seat) for seat in asked])

    return jax.vmap(at)(thetas)


def points(players, length, count=16, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(count, players, length)))


def tandem(thetas):
    return [sum(thetas) ** 2 - 2 * theta for theta in thetas]


@partial(jax.jit, static_argnames=("losses", "steps"))
def descend(rule, losses, thetas, step_size, steps):
    """Everybody's parameters after some updates, scalars."""
    objective = from_losses(losses)

    def body(_, now):
        return [t + step_size * rule.direction(objective, now, seat) for seat, t in enumerate(now)]

    return jax.lax.fori_loop(0, steps, body, list(thetas))
