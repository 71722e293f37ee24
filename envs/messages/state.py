"""Numbers and states of environments with messages, and actions joined with messages."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class MessagesParams:
    """The numbers of an environment with messages. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        env: those of the wrapped environment.
        cost: [] float of 0 or more, see `Messages`.
    """

    env: Any
    cost: jax.Array

    @property
    def discount(self) -> Any:
        """That of the wrapped environment, if it has one."""
        return self.env.discount

    @property
    def noise(self) -> Any:
        """Likewise."""
        return self.env.noise


@flax.struct.dataclass
class MessagesState:
    """The state of the wrapped environment, and what has been said.

    Attributes:
        env: the state of the wrapped environment.
        heard: what can still be heard, the last first: [memory, players] int32, 1 + the word, 0 if none was said yet;
            with actions of a `Box` [memory, players, symbols] float, 0 if none was said yet.
        step: [] int32, steps of this episode, those of talk included.
        opening: what the players saw at the start, if there is talk before the first action; otherwise None.
    """

    env: Any
    heard: jax.Array
    step: jax.Array
    opening: Any = None


def join(actions: jax.Array, messages: jax.Array, vocabulary: int) -> jax.Array:
    """Discrete actions and messages as one number each, action x vocabulary + message; int32, any shape."""
    return actions.astype(jnp.int32) * vocabulary + messages.astype(jnp.int32)


def split(joined: jax.Array, vocabulary: int) -> tuple[jax.Array, jax.Array]:
    """Separates the discrete actions and messages that `join` combined; int32."""
    return joined // vocabulary, joined % vocabulary


def append(actions: jax.Array, messages: jax.Array) -> jax.Array:
    """Actions of a `Box` [players, ...] as vectors, with the messages [players, messages] after them."""
    return jnp.concatenate([actions.reshape(actions.shape[0], -1), messages.astype(actions.dtype)], axis=1)
