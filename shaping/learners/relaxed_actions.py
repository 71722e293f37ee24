"""Actions as vectors that a critic takes, and through which it can be differentiated to the policy that chose them.

discrete    one-hot; from a policy softmax((logits + g) / tau) with Gumbel noise g (Jang et al. 2017), or, straight
            through, the one-hot vector of the largest of these with the derivative of that softmax
in a box    scaled to [-1, 1], flattened; from a policy its median action, as from a deterministic policy
"""

from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.spaces import Box, Discrete
from shaping.policies.along_trajectories import over_time
from shaping.policies.policy import Policy


def as_vectors(space: Discrete | Box, actions: jax.Array, dtype: Any) -> jax.Array:
    """Actions [...] of a space as vectors [..., width]."""
    if isinstance(space, Discrete):
        return jax.nn.one_hot(actions, space.num_values, dtype=dtype)
    flat = actions.reshape(*actions.shape[: actions.ndim - len(space.shape)], -1).astype(dtype)
    return 2 * (flat - space.low) / (space.high - space.low) - 1


def chosen(
    policy: Policy,
    theta: Any,
    observations: jax.Array,
    space: Discrete | Box,
    noise: jax.Array,
    temperature: Any,
    straight_through: bool,
) -> tuple[jax.Array, jax.Array]:
    """What a policy would do along streams of play, as vectors, and the numbers it was chosen from.

    Args:
      policy, theta: the player's; differentiable in theta.
      observations: [time, batch, ...] of the player.
      space: of its actions.
      noise: [time, batch, width], Gumbel noise; not used for boxes.
      temperature: tau, above 0.
      straight_through: see the file's head.

    Returns:
      (vectors, numbers): [time, batch, width] each; the numbers are logits, or for boxes logarithms of the standard
      deviations.
    """
    if isinstance(space, Discrete):

        def logits(theta: Any, observation: jax.Array, memory: Any) -> tuple[jax.Array, Any]:
            distribution, memory = policy.apply(theta, observation, memory)
            return distribution.logits, memory

        found = over_time(logits, policy.start, theta, observations)
        soft = jax.nn.softmax((found + noise) / temperature)
        if not straight_through:
            return soft, found
        hard = jax.nn.one_hot(jnp.argmax(soft, axis=-1), space.num_values, dtype=soft.dtype)
        return soft + jax.lax.stop_gradient(hard - soft), found

    def median(theta: Any, observation: jax.Array, memory: Any) -> tuple[tuple[jax.Array, jax.Array], Any]:
        distribution, memory = policy.apply(theta, observation, memory)
        return (distribution.mode(), jnp.log(distribution.sd)), memory

    actions, log_sd = over_time(median, policy.start, theta, observations)
    return as_vectors(space, actions, actions.dtype), log_sd.reshape(*log_sd.shape[:2], -1)
