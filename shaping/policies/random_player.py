"""A player that acts at random, whatever it sees: play against it reveals most of another player's policy."""

from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.spaces import Box, Discrete
from shaping.policies.pickling import remakable
from shaping.policies.policy import Policy

# tanh(u) of a logistic variable u with this standard deviation is uniform; that of a normal one nearly so.
_SD = 0.85


@remakable
def random_player(observation_space: Discrete | Box, action_space: Discrete | Box) -> Policy:
    """Draws every discrete action equally often, and continuous ones nearly uniformly from their box (the density is
    within a seventh of the uniform one's but for a fiftieth of the box at each end). theta is ().

    Args:
      observation_space, action_space: those of one player.
    """

    def apply(theta: Any, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        from shaping.policies.distributions import categorical, squashed_normal

        del theta, observation
        if isinstance(action_space, Discrete):
            return categorical(jnp.zeros(action_space.num_values)), memory
        middle = jnp.zeros(action_space.shape)
        return squashed_normal(middle, jnp.full(action_space.shape, jnp.log(_SD)), action_space), memory

    return Policy(
        "random_player",
        (observation_space, action_space),
        lambda key, scale: (),
        lambda batch_shape: (),
        apply,
        scalars=False,
        observation_space=observation_space,
        action_space=action_space,
    )
