"""The only module that imports distrax: action distributions, always from logits.

Probabilities of exactly zero have NaN gradients in distrax, logits do not.
"""

import distrax
import jax


def categorical(logits: jax.Array) -> distrax.Categorical:
    """A categorical distribution over the last axis of `logits`, [..., actions]."""
    return distrax.Categorical(logits=logits)
