"""Cheap talk: an environment in which every action carries a message."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs import declarations
from shaping.envs.declarations import Measure
from shaping.envs.environment import Environment, check_actions, check_integer
from shaping.envs.grid.player_order import own_first
from shaping.envs.spaces import Box, Discrete


@flax.struct.dataclass
class MessagesState:
    """The state of the wrapped environment, and the last messages.

    Attributes:
        env: the state of the wrapped environment.
        heard: the messages of the last step: [players] int32, 1 + the message, 0 if none was sent yet; with actions of
            a `Box` [players, messages] float, 0 if none was sent yet.
    """

    env: Any
    heard: jax.Array


def join(actions: jax.Array, messages: jax.Array, vocabulary: int) -> jax.Array:
    """Discrete actions and messages as one number each, action x vocabulary + message; int32, any shape."""
    return actions.astype(jnp.int32) * vocabulary + messages.astype(jnp.int32)


def split(joined: jax.Array, vocabulary: int) -> tuple[jax.Array, jax.Array]:
    """Separates the discrete actions and messages that `join` combined; int32."""
    return joined // vocabulary, joined % vocabulary


def append(actions: jax.Array, messages: jax.Array) -> jax.Array:
    """Actions of a `Box` [players, ...] as vectors, with the messages [players, messages] after them."""
    return jnp.concatenate([actions.reshape(actions.shape[0], -1), messages.astype(actions.dtype)], axis=1)


@dataclass(frozen=True)
class Messages:
    """An environment whose players also send a message at each step, which all hear at the next.

    Messages cost nothing and change neither rewards nor anything else in the wrapped environment, which sees the same
    keys and actions as without them. All players hear all messages of the last step, including their own, and only
    these; at the start of an episode nothing has been said. The wrapper belongs inside `AutoReset`, so that a new
    episode starts with silence.

    With discrete actions, the message is one of `messages` words, 0 .. messages - 1, and the action space is
    Discrete(actions x messages), see `join` and `split`. With actions in a `Box`, the message is a vector of `messages`
    numbers within the bounds of the actions, which follows them in one vector, see `append`.

    One's own message comes first in what is heard, then the others' by ascending seat. Observations in a `Box` become
    one
    vector: the observation, then for each player its word, one-hot and all 0 before the first (with actions in a `Box`,
    the numbers). A discrete observation becomes, with discrete actions, the number observation x (messages + 1)^players
    + w, where w has the players' words (1 + word, 0 before the first) as digits to the base messages + 1, the first
    most significant; with actions in a `Box`, it becomes a vector of its one-hot encoding and the messages.

    Attributes:
        env: the environment to wrap; it must not have messages or `AutoReset` around it.
        messages: number of words, 2 or more, or of numbers in a message, 1 or more.

    Raises:
        ValueError: if messages is out of its range, or if spaces are too large or of integers. One line: what, its
            value and what is allowed.
    """

    env: Environment
    messages: int

    def __post_init__(self):
        check_integer("messages", self.messages, 2 if self._words else 1, 4096)
        if isinstance(self.env.action_space, Box) and not self._is_float(self.env.action_space):
            raise ValueError(f"messages is {self.messages!r}; allowed: 0 where actions are a Box of integers")
        for what, space in (("actions", self.env.action_space), ("observations", self.env.observation_space)):
            many = self._joint_words if what == "observations" else self.messages
            if self._words and isinstance(space, Discrete) and space.num_values * many >= 2**31:
                raise ValueError(
                    f"messages is {self.messages!r}; allowed: fewer than 2^31 {what}, "
                    f"here {space.num_values} x {many} with {self.num_players} players"
                )

    @property
    def _words(self) -> bool:
        return isinstance(self.env.action_space, Discrete)

    @property
    def _joint_words(self) -> int:
        return (self.messages + 1) ** self.num_players

    @staticmethod
    def _is_float(space: Box) -> bool:
        return np.issubdtype(np.dtype(space.dtype), np.floating)

    @property
    def name(self) -> str:
        return self.env.name

    @property
    def num_players(self) -> int:
        return self.env.num_players

    @property
    def action_space(self) -> Discrete | Box:
        """See the class."""
        space = self.env.action_space
        if isinstance(space, Discrete):
            return Discrete(space.num_values * self.messages)
        return Box((_size(space) + self.messages,), space.low, space.high, space.dtype)

    @property
    def observation_space(self) -> Discrete | Box:
        """See the class."""
        space, actions = self.env.observation_space, self.env.action_space
        width = self.num_players * self.messages
        if isinstance(actions, Discrete):
            if isinstance(space, Discrete):
                return Discrete(space.num_values * self._joint_words)
            return Box((_size(space) + width,), min(space.low, 0), max(space.high, 1), space.dtype)
        if isinstance(space, Discrete):
            return Box((space.num_values + width,), min(actions.low, 0), max(actions.high, 1))
        dtype = space.dtype if self._is_float(space) else "float32"
        return Box((_size(space) + width,), min(space.low, actions.low, 0), max(space.high, actions.high, 0), dtype)

    @property
    def default_params(self) -> Any:
        return self.env.default_params

    def reset(self, key: jax.Array, params: Any) -> tuple[jax.Array, MessagesState]:
        """The start of an episode: nothing has been said."""
        seen, state = self.env.reset(key, params)
        n, actions = self.num_players, self.env.action_space
        none = jnp.zeros((n,), jnp.int32) if self._words else jnp.zeros((n, self.messages), actions.dtype)
        return self._with_words(seen, none), MessagesState(state, none)

    def step(
        self, key: jax.Array, state: MessagesState, actions: jax.Array, params: Any
    ) -> tuple[jax.Array, MessagesState, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        """Plays one joint action and passes on the messages.

        Args:
            key: for the wrapped environment, unchanged.
            state: the state before.
            actions: [players, ...], actions and messages, see the class.
            params: those of the wrapped environment.

            Returns:
            as `Environment.step`, with the messages added to `info` as `messages`: [players] int32, or [players,
            messages] float.

        Raises:
            ValueError: for actions of a wrong shape or dtype, and, outside of jit, of a wrong value.
        """
        actions = check_actions(actions, self.num_players, self.action_space)
        played, said = self._split(actions)
        seen, after, rewards, terminated, truncated, info = self.env.step(key, state.env, played, params)
        heard = said + 1 if self._words else said.astype(self.env.action_space.dtype)
        obs, info = self._with_words(seen, heard), info | {"messages": said}
        return obs, MessagesState(after, heard), rewards, terminated, truncated, info

    @property
    def observes(self) -> bool:
        """Whether there is an `observe`, which is the case if the wrapped environment has one."""
        return declarations.observes(self.env)

    def observe(self, state: MessagesState, params: Any) -> jax.Array:
        """What the players see and hear, [players, ...]."""
        seen = declarations.observe(self.env, state.env, params)
        return self._with_words(seen, state.heard)

    @property
    def egocentric(self) -> bool:
        return declarations.egocentric(self.env)

    @property
    def measures(self) -> Mapping[str, Measure]:
        """Those of the wrapped environment, like all of the following."""
        return declarations.measures(self.env)

    def metrics(self, counts: Any) -> dict[str, jax.Array]:
        return declarations.metrics(self.env, counts)

    @property
    def showcase(self) -> str:
        return declarations.showcase(self.env)

    @property
    def number_names(self) -> tuple[str, ...]:
        return declarations.number_names(self.env)

    @property
    def default_numbers(self) -> dict[str, Any]:
        return declarations.default_numbers(self.env)

    def with_numbers(self, params: Any, numbers: Mapping[str, Any]) -> Any:
        return declarations.with_numbers(self.env, params, numbers)

    def start_counts(self) -> Any:
        """Those of the wrapped environment."""
        return declarations.start_counts(self.env)

    def count(
        self,
        counts: Any,
        state: MessagesState,
        actions: jax.Array,
        rewards: jax.Array,
        ended: jax.Array,
        info: dict[str, Any],
    ) -> Any:
        """The wrapped environment's statistics after one more step."""
        return declarations.count(self.env, counts, state.env, self._split(actions)[0], rewards, ended, info)

    def image(self, state: MessagesState, params: Any) -> np.ndarray:
        """The picture of the wrapped environment's state."""
        return declarations.image(self.env, state.env, params)

    def text(self, state: MessagesState, params: Any) -> str:
        """The wrapped environment's text, and a line such as "said: 2 -", with a dash if nothing was said yet."""
        heard = np.asarray(state.heard)
        if self._words:
            said = ["-" if word == 0 else str(word - 1) for word in heard]
        else:
            said = ["[" + " ".join(f"{x:.2f}" for x in message) + "]" for message in heard]
        return f"{declarations.text(self.env, state.env, params)}\nsaid: {' '.join(said)}"

    def _with_words(self, seen: jax.Array, heard: jax.Array) -> jax.Array:
        """What is seen of the wrapped environment, [players, ...], and what is heard, in one observation."""
        n, space = self.num_players, self.env.observation_space
        if self._words and isinstance(space, Discrete):
            base = self.messages + 1
            places = np.array([base ** (n - 1 - k) for k in range(n)], np.int32)
            return seen * self._joint_words + jnp.sum(own_first(heard) * places[None], axis=1, dtype=jnp.int32)
        dtype = self.observation_space.dtype
        if self._words:
            words = jnp.arange(1, self.messages + 1, dtype=jnp.int32)
            said = own_first((heard[:, None] == words[None]).astype(dtype))
        else:
            said = own_first(heard.astype(dtype))
        if isinstance(space, Discrete):
            seen = seen[:, None] == jnp.arange(space.num_values, dtype=jnp.int32)[None]
        return jnp.concatenate([seen.reshape(n, -1).astype(dtype), said.reshape(n, -1)], axis=1)

    def _split(self, actions: jax.Array) -> tuple[jax.Array, jax.Array]:
        space = self.env.action_space
        if isinstance(space, Discrete):
            return split(actions, self.messages)
        size = _size(space)
        return actions[:, :size].reshape(self.num_players, *space.shape), actions[:, size:]


def _size(space: Box) -> int:
    """The number of entries of one player's array."""
    return int(np.prod(space.shape))
