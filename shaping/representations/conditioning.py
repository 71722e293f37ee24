"""Policies that see whom they meet: tables of logits that move with their partner's embedding."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def conditioned_logits(theta: jax.Array, embedding: jax.Array) -> jax.Array:
    """The logits of a `tabular` policy when its player meets a partner with this embedding.

    They are linear in the embedding, so they can be learned by anything that differentiates a return; an embedding of
    length 0 leaves a plain table, and a one-hot one a table for each partner.

    Args:
      theta: [states, 1 + dimension], for each state a bias and the weights of the embedding.
      embedding: [dimension].

    Returns:
      [states].
    """
    return theta[:, 0] + jnp.sum(theta[:, 1:] * embedding, axis=-1)
