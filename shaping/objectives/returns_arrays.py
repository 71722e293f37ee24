"""Discounted returns of a repeated game over arrays: like `returns_scalars`, but for any number of players, and with
finite horizons.

Programs stay small whatever the number of players: one inverse serves every solve.
"""

import itertools
import operator
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from shaping.objectives.gaussian_elimination import inverse, multiply, multiply_transposed
from shaping.objectives.state_visits import visits_over_rounds


def returns_arrays(cooperation: jax.Array, payoffs: jax.Array, discount: jax.Array) -> jax.Array:
    """Unnormalised returns of an infinitely repeated game, [players].

    Args:
      cooperation: [players, 1 + joint actions] P(execute C | joint state), the start first.
      payoffs: [players, joint actions], joint actions in binary counting with C = 0, seat 0 most significant.
      discount: scalar in [0, 1).
    """
    return chain_returns(joint_probabilities(cooperation), payoffs, discount)


def chain_returns(joint: jax.Array, payoffs: jax.Array, discount: jax.Array) -> jax.Array:
    """`returns_arrays` for a Markov chain of joint actions, with any number of actions.

    Args:
      joint: [1 + joint actions, joint actions] P(joint action | last joint action), the start first.
      payoffs, discount: as in `returns_arrays`.
    """
    initial, transition = joint[0], joint[1:]
    inverted = lax.optimization_barrier(inverse(*lax.stop_gradient((transition, discount))))
    visits = lax.custom_linear_solve(
        lambda d: d - discount * jnp.sum(transition * d[:, None], axis=0),
        initial,
        lambda _, b: multiply_transposed(inverted, b),
        lambda _, b: multiply(inverted, b),
    )
    return jnp.sum(payoffs * visits, axis=1)


def finite_returns(cooperation: jax.Array, payoffs: jax.Array, discount: jax.Array, horizon: int) -> jax.Array:
    """Unnormalised returns [players] of a game of `horizon` rounds: sum over t < horizon of discount^t p0 P^t r.

    The arguments are those of `returns_arrays`; discount may be 1.
    """
    return finite_chain_returns(joint_probabilities(cooperation), payoffs, discount, horizon)


def finite_chain_returns(joint: jax.Array, payoffs: jax.Array, discount: jax.Array, horizon: int) -> jax.Array:
    """`finite_returns` for a Markov chain of joint actions; see `chain_returns`."""
    if horizon == 1:
        return jnp.sum(payoffs * joint[0], axis=1)
    visits = visits_over_rounds(lambda now: jnp.sum(joint[1:] * now[:, None], axis=0), joint[0], discount, horizon)
    return jnp.sum(payoffs * visits, axis=1)


def joint_probabilities(cooperation: jax.Array) -> jax.Array:
    """Probability of each joint action in each state, [states, joint actions], from [players, states]."""
    players = cooperation.shape[0]
    defects = np.array(list(itertools.product((0, 1), repeat=players)), bool)  # [joint actions, players]
    own = [jnp.where(defects[:, i], 1 - c[:, None], c[:, None]) for i, c in enumerate(cooperation)]
    return reduce(operator.mul, own)
