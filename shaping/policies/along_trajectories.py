"""Policies and critics along recorded trajectories: one compiled pass, differentiable to any order.

Time is the first axis and streams of play the second. If episodes follow one another in a stream, `ended` says after
which steps a player forgets.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from shaping.policies.policy import Policy

# Observations that a policy without memory answers together.
_TOGETHER = 4096


def over_time(
    apply: Callable[[Any, Any, Any], tuple[Any, Any]],
    start: Callable[[tuple[int, ...]], Any],
    parameters: Any,
    observations: Any,
    batch_axes: int = 1,
    ended: jax.Array | None = None,
) -> Any:
    """The outputs of `apply` along trajectories: step by step if there is memory, in one call if there is none.

    `apply` sees one observation of one stream at a time and need not broadcast.

    Args:
      apply: `(parameters, observation, memory) -> (out, memory)`; out is a pytree of arrays. It cannot be a
        distribution, which cannot leave a scan; read what you need from it inside.
      start: `(batch_shape) -> memory` before the first step.
      parameters: of one player.
      observations: pytree of arrays [time, batch, ...].
      batch_axes: how many axes `batch` stands for, 0 or more.
      ended: [time, batch] bool, whether a step is the last of an episode, after which memory is reset; None if each
        stream is one episode.

    Returns:
      out, with [time, batch] in front.
    """
    if not jax.tree.leaves(jax.eval_shape(lambda: start(()))):

        def answer(observation: Any) -> Any:
            return apply(parameters, observation, start(()))[0]

        for _ in range(batch_axes):
            answer = jax.vmap(answer)
        return _in_parts(answer, observations, batch_axes)

    def step(memory: Any, now: tuple[Any, Any]) -> tuple[Any, Any]:
        observation, last = now
        out, memory = apply(parameters, observation, memory)
        if last is not None:
            memory = jax.tree.map(lambda new, old: jnp.where(last, new, old), start(()), memory)
        return memory, out

    def stream(seen: tuple[Any, Any]) -> Any:
        return lax.scan(step, start(()), seen)[1]

    for _ in range(batch_axes):
        stream = jax.vmap(stream, in_axes=1, out_axes=1)
    return stream((observations, ended))


def _in_parts(answer: Callable[[Any], Any], observations: Any, batch_axes: int) -> Any:
    """`answer` for every step. On a CPU, only as many steps at a time as keep the layers' outputs in the cache; for a
    large batch this is several times as fast as all steps at once."""
    steps, *batch = jax.tree.leaves(observations)[0].shape[: 1 + batch_axes]
    together = max(1, _TOGETHER // max(1, math.prod(batch)))
    if together >= steps or jax.default_backend() != "cpu":
        return jax.vmap(answer)(observations)
    return lax.map(answer, observations, batch_size=together)


def logits_over_time(policy: Policy, theta: Any, observations: jax.Array, ended: jax.Array | None = None) -> jax.Array:
    """Logits [time, batch, actions] of a categorical policy; see `over_time`. distrax normalises them, so they are the
    log-probabilities of the actions."""

    def apply(theta: Any, observation: jax.Array, memory: Any) -> tuple[jax.Array, Any]:
        distribution, memory = policy.apply(theta, observation, memory)
        return distribution.logits, memory

    return over_time(apply, policy.start, theta, observations, ended=ended)


def read(
    policy: Policy, theta: Any, observations: jax.Array, actions: jax.Array, ended: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Log-probabilities [time, batch] of recorded actions and entropies [time, batch] in nats, for any policy.

    Args:
      policy, theta: the player's present policy and parameters; not necessarily those that played.
      observations: [time, batch, ...] what the player saw.
      actions: [time, batch, ...] what it did.
      ended: see `over_time`.

    Returns:
      (log-probabilities, entropies); entropies are zero if the distribution does not provide them.
    """

    def apply(theta: Any, now: tuple[jax.Array, jax.Array], memory: Any) -> tuple[tuple[jax.Array, jax.Array], Any]:
        observation, action = now
        distribution, memory = policy.apply(theta, observation, memory)
        log_probability = distribution.log_prob(action)
        try:
            entropy = distribution.entropy()
        except NotImplementedError:
            entropy = jnp.zeros_like(log_probability)
        return (log_probability, entropy), memory

    return over_time(apply, policy.start, theta, (observations, actions), ended=ended)


def values_over_time(
    apply: Callable[[Any, jax.Array, Any], tuple[jax.Array, Any]],
    start: Callable[[tuple[int, ...]], Any],
    phi: Any,
    observations: jax.Array,
    ended: jax.Array | None = None,
) -> jax.Array:
    """Values [time, batch] of a critic, given its `apply` and `start`; see `over_time`."""
    return over_time(apply, start, phi, observations, ended=ended)


def compare(
    policy: Policy, theta: Any, other: Any, observations: jax.Array, ended: jax.Array | None = None
) -> jax.Array:
    """KL(other || theta) between a policy's distributions under two parameter values, [time, batch], in nats."""

    def apply(both: tuple[Any, Any], observation: jax.Array, memories: tuple[Any, Any]) -> tuple[jax.Array, Any]:
        found = [policy.apply(t, observation, memory) for t, memory in zip(both, memories, strict=True)]
        return found[1][0].kl_divergence(found[0][0]), tuple(memory for _, memory in found)

    return over_time(apply, lambda shape: (policy.start(shape),) * 2, (theta, other), observations, ended=ended)
