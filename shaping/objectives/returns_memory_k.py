"""Discounted returns of two players that remember the last k rounds, by the Markov chain over histories.

Histories of length l = 0, ..., k are numbered in base four, the earliest round first, CC, CD, DC, DD = 0, ..., 3.
During the first k rounds every round has its own histories; from then on play moves among the 4^k histories of length
k. With d_l the discounted probability of each history of length l at time l,

    d_{l+1}[h a] = gamma d_l[h] P(a | h)                          for l < k
    D = d_k + gamma S D,  (S D)[h' a] = sum_b D[b h'] P(a | b h')     afterwards
    V_i = sum over all histories of (discounted visits of h) P(a | h) r_i(a)
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from shaping.objectives.gaussian_elimination import inverse, multiply, multiply_transposed
from shaping.objectives.returns_arrays import joint_probabilities
from shaping.objectives.state_visits import visits_over_rounds


def num_histories(memory: int) -> int:
    """Histories of length 0 to `memory` of two players with two actions: 5, 21, 85 for 1, 2, 3."""
    return (4 ** (memory + 1) - 1) // 3


def own_histories(memory: int) -> np.ndarray:
    """For each history in player 0's view, its number in player 1's view: CD and DC are exchanged in every round."""
    places = []
    for length in range(memory + 1):
        first = num_histories(length - 1) if length else 0
        digits = (np.arange(4**length)[:, None] // 4 ** np.arange(length)[::-1]) % 4
        places.append(first + (np.array([0, 2, 1, 3])[digits] * 4 ** np.arange(length)[::-1]).sum(axis=1))
    return np.concatenate(places).astype(int)


def returns_memory_k(
    cooperation: jax.Array, payoffs: jax.Array, discount: jax.Array, memory: int, horizon: int | None
) -> jax.Array:
    """Unnormalised returns [2].

    Args:
      cooperation: [2, histories] P(execute C | history), histories in player 0's view for both.
      payoffs: [2, 4], joint actions in the order CC, CD, DC, DD.
      discount: scalar in [0, 1), or up to 1 with a horizon.
      memory: k, at least 1.
      horizon: rounds of the game; None for an infinite game.
    """
    joint = joint_probabilities(cooperation)  # [histories, 4]
    now = jnp.ones((1,), joint.dtype)
    visits = jnp.zeros((4,), joint.dtype)
    young = memory if horizon is None else min(memory, horizon)
    for length in range(young):
        first = num_histories(length - 1) if length else 0
        flow = now[:, None] * joint[first : first + 4**length]
        visits = visits + jnp.sum(flow, axis=0)
        now = discount * flow.reshape(-1)
    old = joint[num_histories(memory - 1) :]  # [4^k, 4]

    def moved(d: jax.Array) -> jax.Array:
        """S d: drops the earliest round and appends the new one."""
        return jnp.sum((d[:, None] * old).reshape(4, -1, 4), axis=0).reshape(-1)

    if horizon is None:
        inverted = lax.optimization_barrier(inverse(*lax.stop_gradient((_transition(old), discount))))
        total = lax.custom_linear_solve(
            lambda d: d - discount * moved(d),
            now,
            lambda _, b: multiply_transposed(inverted, b),
            lambda _, b: multiply(inverted, b),
        )
    elif horizon <= memory:
        return jnp.sum(payoffs * visits, axis=1)
    else:
        total = visits_over_rounds(moved, now, discount, horizon - memory)
    visits = visits + jnp.sum(total[:, None] * old, axis=0)
    return jnp.sum(payoffs * visits, axis=1)


def _transition(old: jax.Array) -> jax.Array:
    """P(next history | history) among histories of full length, [4^k, 4^k]."""
    count = old.shape[0]
    follows = (np.arange(count)[:, None] * 4 % count) == (np.arange(count)[None, :] // 4 * 4)
    return jnp.where(follows, jnp.tile(old, (1, count // 4)), 0)
