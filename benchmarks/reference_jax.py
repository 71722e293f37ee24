"""Exact LOLA with one lookahead, plainly written in jax: `vmap`, `jnp.linalg.solve`, nested `jax.grad`; and every other
rule of the package on returns written in this way.

Several batched LAPACK calls in one program can deadlock jaxlib 0.10 and 0.11 on few cores: run this in a process
with `XLA_FLAGS=--xla_cpu_enable_concurrency_optimized_scheduler=false`, and with a time limit.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def returns(theta_0: Any, theta_1: Any, payoffs: Any, discount: float) -> jax.Array:
    """Unnormalised returns [2] from logits [5] in own view (start, CC, CD, DC, DD), payoffs [2, 4]."""
    p = jax.nn.sigmoid(theta_0)
    q = jax.nn.sigmoid(theta_1)[np.array([0, 1, 3, 2, 4])]
    joint = jnp.stack([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)], axis=-1)
    visits = jnp.linalg.solve(jnp.eye(4, dtype=joint.dtype) - discount * joint[1:].T, joint[0])
    return payoffs @ visits


def direction_0(theta_0: Any, theta_1: Any, payoffs: Any, discount: float, lookahead_rate: float) -> jax.Array:
    """Player 0's direction: the gradient of its return after player 1's naive step, through that step."""

    def shaped(theta: jax.Array) -> jax.Array:
        ascent = jax.grad(lambda opponent: returns(theta, opponent, payoffs, discount)[1])(theta_1)
        return returns(theta, theta_1 + lookahead_rate * ascent, payoffs, discount)[0]

    return jax.grad(shaped)(theta_0)


def direction_1(theta_0: Any, theta_1: Any, payoffs: Any, discount: float, lookahead_rate: float) -> jax.Array:
    """Player 1's direction, the same with the seats exchanged."""

    def shaped(theta: jax.Array) -> jax.Array:
        ascent = jax.grad(lambda opponent: returns(opponent, theta, payoffs, discount)[0])(theta_0)
        return returns(theta_0 + lookahead_rate * ascent, theta, payoffs, discount)[1]

    return jax.grad(shaped)(theta_1)


def directions(theta: Any, payoffs: Any, discount: float, lookahead_rate: float) -> jax.Array:
    """Both players' directions for all pairs, [2, pairs, 5] like `theta`."""
    payoffs = jnp.asarray(payoffs, theta.dtype)

    def both(theta_0: jax.Array, theta_1: jax.Array) -> tuple[jax.Array, jax.Array]:
        settings = payoffs, discount, lookahead_rate
        return direction_0(theta_0, theta_1, *settings), direction_1(theta_0, theta_1, *settings)

    return jnp.stack(jax.vmap(both)(theta[0], theta[1]))


def rule_directions(rule: Any, theta: Any, payoffs: Any, discount: float) -> jax.Array:
    """Both players' directions by a rule of the package on the returns above, [2, pairs, 5] like `theta`."""
    from shaping.objectives import from_returns

    payoffs = jnp.asarray(payoffs, theta.dtype)
    objective = from_returns(lambda thetas: returns(*thetas, payoffs, discount))

    def both(theta_0: jax.Array, theta_1: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(rule.direction(objective, (theta_0, theta_1), seat) for seat in range(2))

    return jnp.stack(jax.vmap(both)(theta[0], theta[1]))


def contender(
    theta: np.ndarray, ascent: Callable[[jax.Array], jax.Array], step_size: float, updates: int
) -> Callable[[], np.ndarray]:
    """A function that runs all updates from `theta` [2, pairs, 5] and returns the new parameters.

    `ascent` gives both players' directions, one of the two above at its settings.
    """

    @jax.jit
    def run(theta: jax.Array) -> jax.Array:
        def update(theta: jax.Array, _: None) -> tuple[jax.Array, None]:
            return theta + step_size * ascent(theta), None

        return jax.lax.scan(update, theta, None, length=updates)[0]

    start = jnp.asarray(theta)
    return lambda: np.asarray(run(start))
