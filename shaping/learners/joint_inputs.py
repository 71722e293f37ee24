"""What everybody sees and does as one vector, for networks that judge it: centralised critics, models of rewards."""

from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.spaces import Box, Discrete, vector_length
from shaping.objectives.play_batches import Batch, Sampler


def joint_space(sampler: Sampler) -> Box:
    """The vectors of `joint_inputs`."""
    env = sampler.env
    return Box((len(sampler.policies) * (vector_length(env.observation_space) + vector_length(env.action_space)) + 1,))


def joint_inputs(space: Any, batch: Batch, done: jax.Array) -> jax.Array:
    """The observations of all players, their actions, and how much of the stream is left, [time, batch, numbers].

    Args:
      space: of one player's observations.
      batch: whose observations they are.
      done: [time, batch, players, numbers], actions as vectors.
    """
    shape = batch.running.shape
    if isinstance(space, Discrete):
        seen = jax.nn.one_hot(batch.observations, space.num_values, dtype=done.dtype)
    else:
        seen = batch.observations.astype(done.dtype)
    left = jnp.broadcast_to((1 - jnp.arange(shape[0], dtype=done.dtype) / shape[0])[:, None, None], (*shape, 1))
    return jnp.concatenate([seen.reshape(*shape, -1), done.reshape(*shape, -1), left], axis=-1)
