"""Networks that turn episodes into an embedding of whoever played them.

Grover et al. (2018, arXiv 1806.06464) read each step with a network and take the mean over an episode. Here the mean is
over all steps of all given episodes, so neither the order of episodes nor that of steps (beyond the window) matters,
and more episodes are one better estimate. A last layer or two turn the mean into the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.spaces import Box, Discrete, vector_length
from shaping.policies.distributions import categorical, squashed_normal
from shaping.representations.episodes import Episodes
from shaping.representations.steps import Steps, action_numbers, steps_of

_BLOCK = 2**22
"""Numbers in a block of steps that is encoded at once."""


class _Reader(nn.Module):
    """A step, as numbers [..., numbers], to features [..., widths[-1]]."""

    widths: Sequence[int]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in self.widths:
            x = nn.relu(nn.Dense(width)(x))
        return x


class _Head(nn.Module):
    """The mean of features to an embedding [..., dimension]."""

    widths: Sequence[int]
    dimension: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in self.widths:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.dimension)(x)


class _Decoder(nn.Module):
    """A context and an embedding to the numbers of a distribution over actions."""

    widths: Sequence[int]
    outputs: int

    @nn.compact
    def __call__(self, context: jax.Array, embedding: jax.Array) -> jax.Array:
        # The first layer reads both; its parts are added, so that a context is read once for all embeddings.
        x = nn.relu(nn.Dense(self.widths[0])(context) + nn.Dense(self.widths[0], use_bias=False)(embedding))
        for width in self.widths[1:]:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.outputs)(x)


@dataclass(frozen=True)
class Encoder:
    """Networks with their parameters; made by `representations.train`.

    Attributes:
      observation_space, action_space: of the players whose episodes it reads.
      dimension: of embeddings.
      window: how many steps it sees together, the last one included.
      widths: of the layers that read a step.
      head: of the layers between the mean and the embedding; () for one linear layer.
      decoder: of the layers that predict actions from a context and an embedding.
      params: of the networks, by name.
      losses: of its training, by name, [updates / 100] each.
    """

    observation_space: Discrete | Box
    action_space: Discrete | Box
    dimension: int = 32
    window: int = 1
    widths: tuple[int, ...] = (64, 64)
    head: tuple[int, ...] = (128,)
    decoder: tuple[int, ...] = (64, 64)
    params: Any = field(default=None, compare=False, repr=False)
    losses: Any = field(default=None, compare=False, repr=False)

    def initialised(self, key: jax.Array) -> Encoder:
        """The same with random parameters."""
        contexts = jnp.zeros(self._contexts)
        done = jnp.zeros(self.action_space.shape, self.action_space.dtype)
        step = jnp.concatenate([contexts, action_numbers(done, self.action_space)])
        reader, head, decoder = jax.random.split(key, 3)
        features, embedding = jnp.zeros((self.widths or step.shape)[-1]), jnp.zeros(self.dimension)
        made = {
            "reader": _Reader(self.widths).init(reader, step),
            "head": _Head(self.head, self.dimension).init(head, features),
            "decoder": _Decoder(self.decoder, self._outputs).init(decoder, contexts, embedding),
        }
        return replace(self, params=made)

    @property
    def _contexts(self) -> int:
        seen, done = vector_length(self.observation_space), vector_length(self.action_space)
        return self.window * seen + (self.window - 1) * done

    @property
    def _outputs(self) -> int:
        space = self.action_space
        return vector_length(space) if isinstance(space, Discrete) else 2 * vector_length(space)

    def embed(self, params: Any, contexts: Any, actions: Any, weights: Any) -> jax.Array:
        """The embedding of each policy from all steps with a weight.

        Args:
          params: of the networks.
          contexts, actions: of steps, [steps, ...], or [policies, steps, ...] if each policy has its own.
          weights: [policies, steps].

        Returns:
          [policies, dimension].
        """
        x = jnp.concatenate([contexts, action_numbers(actions, self.action_space)], axis=-1)
        features: Any = _Reader(self.widths).apply(params["reader"], x)
        product = "ps,sf->pf" if features.ndim == 2 else "ps,psf->pf"
        mean = jnp.einsum(product, weights, features) / jnp.maximum(weights.sum(axis=-1, keepdims=True), 1)
        found: Any = _Head(self.head, self.dimension).apply(params["head"], mean)
        return found

    def log_likelihood(self, params: Any, embeddings: Any, contexts: Any, actions: Any) -> jax.Array:
        """The log-probability of actions of policies with these embeddings.

        Args:
          params: of the networks.
          embeddings: [policies, dimension].
          contexts, actions: as in `embed`.

        Returns:
          [policies, steps].
        """
        given = contexts if contexts.ndim == 3 else contexts[None]
        found: Any = _Decoder(self.decoder, self._outputs).apply(params["decoder"], given, embeddings[:, None])
        return self._distribution(found).log_prob(actions)

    def _distribution(self, numbers: jax.Array) -> Any:
        space = self.action_space
        if isinstance(space, Discrete):
            return categorical(numbers)
        mean, log_sd = (part.reshape(*part.shape[:-1], *space.shape) for part in jnp.split(numbers, 2, axis=-1))
        return squashed_normal(mean, log_sd, space)


def encode(encoder: Encoder, episodes: Episodes) -> np.ndarray:
    """The embedding of each policy from all its episodes together, [policies, dimension] float32."""
    return _encoded(encoder, episodes, together=True)[:, 0]


def encode_each(encoder: Encoder, episodes: Episodes) -> np.ndarray:
    """The embedding of each policy from each of its episodes alone, [policies, episodes, dimension] float32."""
    return _encoded(encoder, episodes, together=False)


def _encoded(encoder: Encoder, episodes: Episodes, together: bool) -> np.ndarray:
    known = (encoder.observation_space, encoder.action_space)
    if (episodes.observation_space, episodes.action_space) != known:
        raise ValueError(
            f"episodes have {episodes.observation_space} and {episodes.action_space}; allowed: those that the encoder "
            f"was trained on, {known[0]} and {known[1]}"
        )
    steps = steps_of(episodes, encoder.window)
    flat = _together(steps) if together else _apart(steps)
    rows = flat.weights.shape[0]
    numbers = flat.weights.shape[1] * (1 if steps.counted else max(1, flat.contexts.shape[-1]))
    block, parts = max(1, min(rows, _BLOCK // numbers)), []
    embed = jax.jit(encoder.embed)
    for start in range(0, rows, block):
        at = np.minimum(np.arange(start, start + block), rows - 1)
        given = (flat.contexts, flat.actions) if steps.counted else (flat.contexts[at], flat.actions[at])
        parts.append(np.asarray(embed(encoder.params, *given, flat.weights[at]))[: rows - start])
    each = 1 if together else episodes.each
    return np.concatenate(parts).reshape(episodes.policies, each, encoder.dimension)


def _together(steps: Steps) -> Steps:
    """All steps of a policy in a row, [policies, steps, ...]."""
    if steps.counted:
        return steps._replace(weights=steps.weights.sum(axis=1))
    return Steps(*(x.reshape(x.shape[0], x.shape[1] * x.shape[2], *x.shape[3:]) for x in steps))


def _apart(steps: Steps) -> Steps:
    """Every episode a row of its own, [policies * episodes, steps, ...]."""
    rows = steps.weights.shape[0] * steps.weights.shape[1]
    if steps.counted:
        return steps._replace(weights=steps.weights.reshape(rows, -1))
    return Steps(*(x.reshape(rows, *x.shape[2:]) for x in steps))
