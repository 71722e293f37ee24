"""One logit per state: P(cooperate | s) = sigmoid(theta[s])."""

from typing import Any

import jax
import jax.numpy as jnp

from shaping.policies.policy import Policy


def tabular(num_states: int) -> Policy:
    """A memory-one policy with one logit a state, theta [num_states], in the order start, CC, CD, DC, DD."""

    def init(key: jax.Array, scale: jax.Array) -> jax.Array:
        return scale * jax.random.normal(key, (num_states,), jnp.float32)

    def apply(theta: jax.Array, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        from shaping.policies.distributions import categorical

        # Gathering by a one-hot product keeps derivatives of any order and every backend happy.
        logit = jnp.sum(jax.nn.one_hot(observation, num_states, dtype=theta.dtype) * theta, axis=-1)
        return categorical(jnp.stack([logit, jnp.zeros_like(logit)], axis=-1)), memory

    return Policy("tabular", (num_states,), init, lambda batch_shape: None, apply, lambda theta: theta)


def parameters(length: int) -> Policy:
    """A bare parameter vector [length], for games played with the parameters themselves; it takes no observation."""

    def init(key: jax.Array, scale: jax.Array) -> jax.Array:
        return scale * jax.random.normal(key, (length,), jnp.float32)

    def apply(theta: jax.Array, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        raise TypeError("a bare parameter vector has no actions: its game is a function of the parameters")

    return Policy("parameters", (length,), init, lambda batch_shape: None, apply, lambda theta: theta)
