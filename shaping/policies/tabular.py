"""One logit per state: P(cooperate | s) = sigmoid(theta[s]), where the state is what happened in the last k rounds."""

from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.environment import check_integer
from shaping.envs.spaces import Discrete
from shaping.policies.pickling import remakable
from shaping.policies.policy import Policy


@remakable
def tabular(num_states: int, memory: int = 1, num_actions: int = 2) -> Policy:
    """A tabular policy with one logit per state, theta [num_states]; with more than two actions one logit per action,
    theta [num_states, num_actions] and pi(a | s) = softmax(theta[s])[a].

    With a memory of one round, states are in the order start, CC, CD, DC, DD. With a memory of k rounds (two players),
    states are histories of length 0, 1, ..., k, sorted by length and then in that order, the earliest round first: 21
    states for k = 2, 85 for k = 3.

    Args:
      num_states: number of states.
      memory: k; the policy itself remembers the last k observations, which an environment shows one at a time.
      num_actions: at least 2.

    Raises:
      ValueError: for a number out of its range, or a memory of several rounds with more than two actions.
    """
    check_integer("num_states", num_states, 1)
    check_integer("memory", memory, 1)
    check_integer("num_actions", num_actions, 2)
    if num_actions > 2:
        if memory > 1:
            raise ValueError(f"memory is {memory!r}; allowed: 1 with more than two actions")
        return _softmax(num_states, num_actions)

    def init(key: jax.Array, scale: jax.Array) -> jax.Array:
        return scale * jax.random.normal(key, (num_states,), jnp.float32)

    def start(batch_shape: tuple[int, ...]) -> Any:
        # A history, as its length and its number among the histories of that length.
        return None if memory == 1 else (jnp.zeros(batch_shape, jnp.int32), jnp.zeros(batch_shape, jnp.int32))

    def apply(theta: jax.Array, observation: jax.Array, history: Any) -> tuple[Any, Any]:
        from shaping.policies.distributions import categorical

        state = observation
        if memory > 1:
            length, number = history
            begun = observation > 0
            length = jnp.where(begun, jnp.minimum(length + 1, memory), 0)
            number = jnp.where(begun, (4 * number + observation - 1) % 4**length, 0)
            state, history = (4**length - 1) // 3 + number, (length, number)
        # A one-hot product instead of a gather: it has derivatives of any order and is fast on every backend.
        logit = jnp.sum(jax.nn.one_hot(state, num_states, dtype=theta.dtype) * theta, axis=-1)
        return categorical(jnp.stack([logit, jnp.zeros_like(logit)], axis=-1)), history

    return Policy(
        "tabular",
        (num_states, memory),
        init,
        start,
        apply,
        lambda theta: theta,
        rounds=memory,
        observation_space=Discrete(num_states if memory == 1 else 5),
        action_space=Discrete(2),
    )


def _softmax(num_states: int, num_actions: int) -> Policy:
    """A tabular policy with a row of logits per state."""

    def init(key: jax.Array, scale: jax.Array) -> jax.Array:
        return scale * jax.random.normal(key, (num_states, num_actions), jnp.float32)

    def apply(theta: jax.Array, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        from shaping.policies.distributions import categorical

        # A product as above; elementwise, because accelerators may round matrix products to fewer digits.
        chosen = jax.nn.one_hot(observation, num_states, dtype=theta.dtype)
        return categorical(jnp.sum(chosen[..., None] * theta, axis=-2)), memory

    return Policy(
        "tabular",
        (num_states, 1, num_actions),
        init,
        lambda batch_shape: None,
        apply,
        lambda theta: theta,
        observation_space=Discrete(num_states),
        action_space=Discrete(num_actions),
    )


@remakable
def parameters(length: int) -> Policy:
    """A plain parameter vector [length], for games in which the parameters are the actions; it takes no observation."""

    def init(key: jax.Array, scale: jax.Array) -> jax.Array:
        return scale * jax.random.normal(key, (length,), jnp.float32)

    def apply(theta: jax.Array, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        raise TypeError("a plain parameter vector has no actions: its game is a function of the parameters")

    return Policy("parameters", (length,), init, lambda batch_shape: None, apply, lambda theta: theta)
