"""Trains an encoder from episodes of many policies."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from shaping.envs.environment import check_choice, check_integer, check_number
from shaping.representations.encoder import Encoder
from shaping.representations.episodes import Episodes
from shaping.representations.steps import Steps, steps_of

OBJECTIVES = ("imitation", "identification", "both")
CONTRASTS = ("softmax", "triplet")
_CHUNK = 100
_MOST_GROUP, _MOST_KNOWN = 5, 10
"""Episodes in a group: of a player who is to be named, and of those who are known."""
_IMITATED = 32
"""Policies of a batch whose actions are predicted; identification needs many to tell apart, imitation does not."""


def train(
    episodes: Episodes,
    objective: str = "both",
    *,
    contrast: str = "softmax",
    weight: float = 1.0,
    jitter: float = 1.0,
    dimension: int = 32,
    window: int = 1,
    widths: tuple[int, ...] = (64, 64),
    head: tuple[int, ...] = (128,),
    decoder: tuple[int, ...] = (64, 64),
    updates: int = 4000,
    batch: int = 128,
    step_size: float = 1e-2,
    seed: int = 0,
) -> Encoder:
    """An encoder from episodes to a vector, trained without knowing anything but who played them.

    Each update draws some policies, and of each two groups of episodes that do not overlap. The embedding of one group
    has to say what the policy does in the other (imitation), to be closer to the other group's embedding than those of
    different policies are (identification), or both. The first group has one to five episodes, the other one to ten, so
    that the encoder knows what one episode is worth as well as several.

    Args:
      episodes: of two policies or more, two or more of each.
      objective: "imitation", "identification" or "both".
      contrast: how identification is measured. "softmax": the log-probability of the right policy among those of the
        batch, in proportion to exp(-squared distance) (Snell et al. 2017, arXiv 1703.05175). "triplet": (1 +
        exp(|r - n| - |r - p|))^-2 with another group r, the same policy's p and another policy's n (Grover et al.
        2018).
      weight: of identification beside imitation; they used 0.1 with a triplet.
      jitter: how strongly the steps of the first group are weighted at random, so that the encoder does not learn its
        episodes by heart: a step that occurred n times counts n + jitter sqrt(n) z times, z normal, but at least 0.
      dimension, window, widths, head, decoder: see `Encoder`.
      updates: of Adam, at least 1.
      batch: policies in an update; at most as many as there are.
      step_size: at first; it decays to 0 as a cosine does.
      seed: of parameters and batches.

    Raises:
      ValueError: a name or number that is not allowed.
    """
    check_choice("objective", objective, OBJECTIVES)
    check_choice("contrast", contrast, CONTRASTS)
    for what, value in (("dimension", dimension), ("window", window), ("updates", updates)):
        check_integer(what, value, 1)
    check_integer("batch", batch, 2)
    check_number("weight", weight, 0)
    check_number("jitter", jitter, 0)
    check_number("step_size", step_size, 0)
    if episodes.policies < 2 or episodes.each < 2:
        raise ValueError(
            f"episodes are {episodes.each} of {episodes.policies} policies; allowed: two or more of two or more"
        )
    blank = Encoder(
        episodes.observation_space, episodes.action_space, dimension, window, tuple(widths), tuple(head), tuple(decoder)
    )
    begin, batches = jax.random.split(jax.random.key(seed))
    encoder = blank.initialised(begin)
    steps = steps_of(episodes, window)
    optimiser = optax.adam(optax.cosine_decay_schedule(step_size, updates))
    group = min(_MOST_GROUP, episodes.each // 2)
    sizes = (group, min(_MOST_KNOWN, episodes.each - group))
    how = (objective, contrast, min(batch, episodes.policies), sizes)
    state, losses = (encoder.params, optimiser.init(encoder.params)), []
    # The steps stay outside of the program, which gathers from them.
    data = jax.tree.map(jnp.asarray, steps)
    chunk = jax.jit(partial(_updates, blank, optimiser, how))
    for start in range(0, updates, _CHUNK):
        numbers = np.arange(start, start + _CHUNK)
        state, found = chunk(state, data, batches, numbers, numbers < updates, jnp.array([weight, jitter]))
        losses.append({name: np.asarray(x)[: updates - start].mean() for name, x in found.items()})
    told = {name: np.array([part[name] for part in losses]) for name in losses[0]}
    return replace(blank, params=jax.tree.map(np.asarray, state[0]), losses=told)


def _updates(
    encoder: Encoder,
    optimiser: Any,
    how: tuple[str, str, int, tuple[int, int]],
    state: Any,
    data: Steps,
    key: jax.Array,
    numbers: jax.Array,
    live: jax.Array,
    strengths: jax.Array,
) -> tuple[Any, Any]:
    """Some updates; those that are not `live` change nothing."""

    def update(before: Any, at: tuple[jax.Array, jax.Array]) -> tuple[Any, Any]:
        params, inner = before
        number, lives = at
        gradient, told = jax.grad(_loss, argnums=2, has_aux=True)(
            encoder, how, params, data, jax.random.fold_in(key, number), strengths
        )
        change, inner = optimiser.update(gradient, inner, params)
        after = (optax.apply_updates(params, change), inner)
        return jax.tree.map(lambda new, old: jnp.where(lives, new, old), after, before), told

    return lax.scan(update, state, (numbers, live))


def _loss(
    encoder: Encoder,
    how: tuple[str, str, int, tuple[int, int]],
    params: Any,
    data: Steps,
    key: jax.Array,
    strengths: jax.Array,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The loss of one update, and its parts; `how` is the objective, the contrast, and how many policies and episodes
    are drawn, `strengths` the weight of identification and the jitter."""
    objective, contrast, batch, groups = how
    weight, jitter = strengths
    who, which, sizes, apart, luck = jax.random.split(key, 5)
    policies, each = data.weights.shape[:2]
    chosen = jax.random.permutation(who, policies)[:batch]
    most = sum(groups)
    shuffled = jax.vmap(lambda key: jax.random.permutation(key, each)[:most])(jax.random.split(which, batch))
    # How many episodes of each group count; in the group to compare with, the same number for the whole batch.
    counts = (
        jax.random.randint(sizes, (batch, 1), 1, groups[0] + 1),
        jnp.broadcast_to(jax.random.randint(apart, (), 1, groups[1] + 1), (batch, 1)),
    )
    both = []
    for picked, count in zip((shuffled[:, : groups[0]], shuffled[:, groups[0] :]), counts, strict=True):
        counted = (jnp.arange(picked.shape[1]) < count).astype(data.weights.dtype)
        both.append(_of_groups(data, chosen, picked, counted))
    contexts, actions, weights = both[0]
    moved = weights + jitter * jnp.sqrt(weights) * jax.random.normal(luck, weights.shape)
    both[0] = (contexts, actions, jnp.maximum(moved, 0))
    first, second = (encoder.embed(params, *given) for given in both)
    told: dict[str, jax.Array] = {}
    total = jnp.float32(0)
    if objective != "identification":
        contexts, actions, weights = both[1]
        few = slice(0, _IMITATED)
        own = (contexts, actions) if data.counted else (contexts[few], actions[few])
        found = encoder.log_likelihood(params, first[few], *own)
        told["imitation"] = -jnp.sum(found * weights[few]) / jnp.maximum(weights[few].sum(), 1)
        total += told["imitation"]
    if objective != "imitation":
        told["identification"] = _softmax(first, second) if contrast == "softmax" else _triplet(first, second)
        total += told["identification"] * (weight if objective == "both" else 1)
    return total, told


def _of_groups(data: Steps, chosen: jax.Array, picked: jax.Array, counted: jax.Array) -> tuple[Any, Any, Any]:
    """Contexts, actions and weights [policies, steps] of the picked episodes [policies, group] of some policies."""
    if data.counted:
        weights = jnp.einsum("pgs,pg->ps", data.weights[chosen[:, None], picked], counted)
        return data.contexts, data.actions, weights
    contexts, actions, weights = (x[chosen[:, None], picked] for x in data)
    weights = weights * counted[..., None]
    return tuple(x.reshape(x.shape[0], x.shape[1] * x.shape[2], *x.shape[3:]) for x in (contexts, actions, weights))  # pyright: ignore


def _softmax(first: jax.Array, second: jax.Array) -> jax.Array:
    distances = jnp.sum((first[:, None] - second[None]) ** 2, axis=-1)
    return -jnp.mean(jnp.diagonal(jax.nn.log_softmax(-distances, axis=1)))


def _triplet(first: jax.Array, second: jax.Array) -> jax.Array:
    """r is the second group's embedding, p the first group's, n that of the next policy of the batch."""

    def length(x: jax.Array) -> jax.Array:
        # The small number keeps the derivative finite where both are equal.
        return jnp.sqrt(jnp.sum(x**2, axis=-1) + 1e-12)

    same, other = length(second - first), length(second - jnp.roll(first, 1, axis=0))
    return jnp.mean(jax.nn.sigmoid(same - other) ** 2)
