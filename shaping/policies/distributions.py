"""The only module that imports distrax: action distributions, always from logits.

Probabilities of exactly zero have NaN gradients in distrax, logits do not.
"""

from typing import Any

import distrax
import jax
import jax.numpy as jnp


def categorical(logits: jax.Array) -> distrax.Categorical:
    """A categorical distribution over the last axis of `logits`, [..., actions]."""
    return distrax.Categorical(logits=logits)


def sampled(distribution: Any, key: jax.Array, uniform: jax.Array | None = None) -> jax.Array:
    """An action: by inversion from one number in [0, 1) where the distribution is categorical and a number is given,
    else whatever the distribution draws with the key.

    Numbers drawn for a whole trajectory at once cost a fraction of a key a step.
    """
    if uniform is None or not isinstance(distribution, distrax.Categorical):
        return distribution.sample(seed=key)
    below = jnp.cumsum(jax.nn.softmax(distribution.logits, axis=-1), axis=-1)[..., :-1]
    return jnp.sum(jnp.asarray(uniform)[..., None] >= below, axis=-1, dtype=jnp.int32)
