"""The policy of a seat whose player acts elsewhere: a place holder without parameters."""

from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.spaces import Box, Discrete
from shaping.policies.pickling import remakable
from shaping.policies.policy import Policy


@remakable
def placeholder_policy(observation_space: Discrete | Box, action_space: Discrete | Box) -> Policy:
    """Every discrete action is equally likely, and a continuous one is the middle of its box, whatever is observed.

    theta is (): log-probabilities are constants and have no derivatives. It fills a seat whose policy does not matter
    or cannot be asked for, such as that of a shaper in the eyes of those whom it shapes.

    Args:
      observation_space, action_space: those of one player.
    """

    def apply(theta: Any, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        from shaping.policies.distributions import always, categorical

        del theta, observation
        if isinstance(action_space, Discrete):
            return categorical(jnp.zeros(action_space.num_values)), memory
        return always(jnp.full(action_space.shape, (action_space.low + action_space.high) / 2), action_space), memory

    return Policy(
        "placeholder",
        (observation_space, action_space),
        lambda key, scale: (),
        lambda batch_shape: (),
        apply,
        scalars=False,
        observation_space=observation_space,
        action_space=action_space,
    )
