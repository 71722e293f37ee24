"""Initial parameters of network layers: uniform numbers, narrower the more inputs a layer has."""

import math
from typing import Any

import jax
import jax.numpy as jnp


def fan_in_init(like: Any, key: jax.Array, scale: jax.Array) -> Any:
    """Weights and biases of every layer, each uniform between +-scale / sqrt(inputs of the layer).

    At scale 1 this is how PyTorch initialises linear and convolutional layers. It needs no matrix factorisation, unlike
    the orthogonal initialisation that flax uses for recurrent layers.

    Args:
      like: shapes of the parameters: layers nested to any depth, each with a "kernel" [..., inputs, outputs] and
        possibly a "bias"; all axes of a kernel but the last count as its inputs.
      key: a PRNG key, consumed; each leaf draws from it after folding in its own position.
      scale: of any floating dtype; the parameters have the same dtype if it is wider than float32.
    """
    places, structure = jax.tree.flatten(like)
    fans = jax.tree.leaves(_fans(like))
    drawn = {}
    # Leaves of one shape are drawn together, which changes no number: what takes long is to compile each draw.
    for shape in dict.fromkeys(leaf.shape for leaf in places):

        def numbers(place: jax.Array, shape: tuple[int, ...] = shape) -> jax.Array:
            return jax.random.uniform(jax.random.fold_in(key, place), shape, jnp.float32, -1, 1)

        alike = [i for i, leaf in enumerate(places) if leaf.shape == shape]
        together = jax.vmap(numbers)(jnp.array(alike))
        drawn |= {i: scale / math.sqrt(fans[i]) * own for i, own in zip(alike, together, strict=True)}
    return structure.unflatten([drawn[i] for i in range(len(places))])


def _fans(like: Any) -> Any:
    if "kernel" in like:
        return {name: math.prod(like["kernel"].shape[:-1]) for name in like}
    return {name: _fans(layer) for name, layer in like.items()}
