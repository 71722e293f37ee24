"""Discounted returns of a repeated game with arrays: the formulas of `returns_scalars`, for any number of players.

Programs stay small: eliminations are loops, and the returns of all players are solved for at once.
"""

import jax
import jax.numpy as jnp
from jax import lax

from shaping.objectives.elimination import factorise_array, solve_array, solve_array_transposed


@jax.custom_jvp
def returns_arrays(cooperation: jax.Array, payoffs: jax.Array, discount: jax.Array) -> jax.Array:
    """Unnormalised returns of an infinitely repeated game, [players].

    Args:
      cooperation: [players, 1 + joint actions] P(execute C | joint state), the start first.
      payoffs: [players, joint actions], joint actions in binary counting with C = 0, seat 0 most significant.
      discount: scalar in [0, 1).
    """
    joint = joint_actions(cooperation)
    visits, _ = _solve(joint, payoffs, discount)
    return jnp.sum(payoffs * visits, axis=1)


@returns_arrays.defjvp
def _jvp(
    primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]
) -> tuple[jax.Array, jax.Array]:
    cooperation, payoffs, discount = primals
    cooperation_dot, payoffs_dot, discount_dot = tangents
    joint = joint_actions(cooperation)
    visits, following = _solve(joint, payoffs, discount)
    occupancy = jnp.concatenate([jnp.ones_like(visits[:1]), discount * visits])
    # [players whose return, players whose action, states]
    advantages = _advantages(cooperation, following)
    gain = jnp.sum(advantages * cooperation_dot * occupancy, axis=(1, 2))
    expected = jnp.sum(following[:, None, :] * joint[1:], axis=2)  # [players, states]
    change = gain + jnp.sum(payoffs_dot * visits, axis=1) + discount_dot * jnp.sum(expected * visits, axis=1)
    return jnp.sum(payoffs * visits, axis=1), change


def finite_returns(cooperation: jax.Array, payoffs: jax.Array, discount: jax.Array, horizon: int) -> jax.Array:
    """Unnormalised returns [players] of a game of `horizon` rounds: sum over t < horizon of discount^t p0 P^t r.

    Args as in `returns_arrays`; discount may be 1.
    """
    joint = joint_actions(cooperation)

    def body(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], None]:
        now, total = carry
        now = discount * jnp.sum(joint[1:] * now[:, None], axis=0)
        return (now, total + now), None

    (_, visits), _ = lax.scan(body, (joint[0], joint[0]), None, length=horizon - 1)
    return jnp.sum(payoffs * visits, axis=1)


def joint_actions(cooperation: jax.Array) -> jax.Array:
    """Probability of each joint action in each state, [states, joint actions], from [players, states]."""
    joint = jnp.ones((cooperation.shape[1], 1), cooperation.dtype)
    for c in cooperation:
        joint = (joint[:, :, None] * jnp.stack([c, 1 - c], axis=1)[:, None, :]).reshape(c.shape[0], -1)
    return joint


def _solve(joint: jax.Array, payoffs: jax.Array, discount: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Discounted occupancies d [joint actions] and returns from playing each, u [players, joint actions]."""
    initial, transition = joint[0], joint[1:]
    factors = lax.optimization_barrier(factorise_array(*lax.stop_gradient((transition, discount))))

    def forward(u: jax.Array) -> jax.Array:  # [joint actions, players]
        return u - discount * jnp.sum(transition[:, :, None] * u[None, :, :], axis=1)

    def backward(d: jax.Array) -> jax.Array:
        return d - discount * jnp.sum(transition * d[:, None], axis=0)

    visits = lax.custom_linear_solve(
        backward,
        initial,
        lambda _, b: solve_array_transposed(factors, b),
        lambda _, b: solve_array(factors, b),
    )
    following = lax.custom_linear_solve(
        forward,
        payoffs.T,
        lambda _, b: solve_array(factors, b),
        lambda _, b: solve_array_transposed(factors, b),
    )
    return visits, following.T


def _advantages(cooperation: jax.Array, following: jax.Array) -> jax.Array:
    """Gain in i's return when j cooperates for sure instead of defecting, [players i, players j, states].

    The expected return is linear in each player's probability, so the gain is its derivative.
    """
    n, states = cooperation.shape

    def expected(probabilities: jax.Array) -> jax.Array:  # [players i, players j, states] -> scalar
        rest = jnp.broadcast_to(following[:, None, :], (n, states, following.shape[1]))
        for seat in range(n):
            halves = rest.reshape(n, states, 2, -1)
            c = probabilities[:, seat, :, None]
            rest = halves[:, :, 1] + c * (halves[:, :, 0] - halves[:, :, 1])
        return jnp.sum(rest)

    return jax.grad(expected)(jnp.broadcast_to(cooperation[None], (n, n, states)))
