"""Communication: an environment in which every action carries a message."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs import declarations
from shaping.envs.declarations import Measure, placed
from shaping.envs.environment import Environment, check_actions, check_integer, check_number
from shaping.envs.grid.player_order import own_first
from shaping.envs.messages import counts as message_counts
from shaping.envs.messages import measures as message_measures
from shaping.envs.messages.state import MessagesParams, MessagesState, split
from shaping.envs.spaces import Box, Discrete

COST = "message_cost"
"""The name of the cost among the numbers of an environment with messages."""


@dataclass(frozen=True)
class Messages:
    """An environment whose players also send a message at each step, which all hear at the next.

    Messages change nothing in the wrapped environment, which sees the same keys and actions as without them. All
    players hear the last messages of all, including their own; at the start of an episode nothing has been said. The
    wrapper belongs inside `AutoReset`, so that a new episode starts with silence.

    With discrete actions, the message is one of `symbols` words, 0 .. symbols - 1, and the action space is
    Discrete(actions x symbols), see `join` and `split`. With actions in a `Box`, the message is a vector of `symbols`
    numbers within the bounds of the actions, which follows them in one vector, see `append`.

    Word 0 is free; any other word costs its sender `cost`. (A vector costs `cost` times the sum of its absolute
    values.)

    One's own messages come first in what is heard, then the others' by ascending seat, of each the last first.
    Observations in a `Box` become one vector: the observation, then each word, one-hot and all 0 where none was said
    yet (with actions in a `Box`, the numbers). A discrete observation becomes, with discrete actions, the number
    observation x (symbols + 1)^(players x memory) + w, where w has the words (1 + word, 0 where none was said yet) as
    digits to the base symbols + 1, the first most significant; with actions in a `Box`, it becomes a vector of its
    one-hot encoding and the messages.

    With discrete actions it declares measures of communication beside those of the wrapped environment, see
    `envs.messages.measures`. What a message is about is what its sender sees, if that is a number, or else the `object`
    that the wrapped environment tells of (see `declarations.objects`).

    Attributes:
        env: the environment to wrap; it must not have messages or `AutoReset` around it.
        symbols: number of words, or of numbers in a message. One word says nothing, but costs the same time.
        cost: the default number, see above.
        before: steps of talk before each episode, in which actions do nothing and pay nothing.
        memory: how many of everybody's last messages are heard.

    Raises:
        ValueError: if a setting is out of its range, or if spaces are too large or of integers. One line: what, its
            value and what is allowed.
    """

    env: Environment
    symbols: int
    cost: float = 0.0
    before: int = 0
    memory: int = 1

    def __post_init__(self):
        check_integer("symbols", self.symbols, 1, 4096)
        object.__setattr__(self, "cost", check_number("cost", self.cost, 0))
        check_integer("before", self.before, 0, 1000)
        check_integer("memory", self.memory, 1, 16)
        if isinstance(self.env.action_space, Box) and not self._is_float(self.env.action_space):
            raise ValueError(f"symbols is {self.symbols!r}; allowed: no messages where actions are a Box of integers")
        for what, space in (("actions", self.env.action_space), ("observations", self.env.observation_space)):
            many = self._joint_words if what == "observations" else self.symbols
            if self._words and isinstance(space, Discrete) and space.num_values * many >= 2**31:
                raise ValueError(
                    f"symbols is {self.symbols!r}; allowed: fewer than 2^31 {what}, "
                    f"here {space.num_values} x {many} with {self.num_players} players"
                )

    @property
    def _words(self) -> bool:
        return isinstance(self.env.action_space, Discrete)

    @property
    def _num_actions(self) -> int:
        """How many discrete actions the wrapped environment has."""
        space = self.env.action_space
        return space.num_values if isinstance(space, Discrete) else 0

    @property
    def _joint_words(self) -> int:
        return (self.symbols + 1) ** (self.num_players * self.memory)

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
            return Discrete(space.num_values * self.symbols)
        return Box((_size(space) + self.symbols,), space.low, space.high, space.dtype)

    @property
    def observation_space(self) -> Discrete | Box:
        """See the class."""
        space, actions = self.env.observation_space, self.env.action_space
        width = self.num_players * self.memory * self.symbols
        if isinstance(actions, Discrete):
            if isinstance(space, Discrete):
                return Discrete(space.num_values * self._joint_words)
            return Box((_size(space) + width,), min(space.low, 0), max(space.high, 1), space.dtype)
        if isinstance(space, Discrete):
            return Box((space.num_values + width,), min(actions.low, 0), max(actions.high, 1))
        dtype = space.dtype if self._is_float(space) else "float32"
        return Box((_size(space) + width,), min(space.low, actions.low, 0), max(space.high, actions.high, 0), dtype)

    @property
    def default_params(self) -> MessagesParams:
        return MessagesParams(self.env.default_params, jnp.asarray(self.cost, dtype=float))

    def reset(self, key: jax.Array, params: MessagesParams) -> tuple[jax.Array, MessagesState]:
        """The start of an episode: nothing has been said."""
        seen, state = self.env.reset(key, params.env)
        shape = (self.memory, self.num_players)
        none = jnp.zeros(shape, jnp.int32)
        if not self._words:
            none = jnp.zeros((*shape, self.symbols), self.env.action_space.dtype)
        opening = seen if self.before else None
        return self._with_words(seen, none), MessagesState(state, none, jnp.int32(0), opening)

    def step(
        self, key: jax.Array, state: MessagesState, actions: jax.Array, params: MessagesParams
    ) -> tuple[jax.Array, MessagesState, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        """Plays one joint action and passes on the messages.

        Args:
            key: for the wrapped environment, unchanged.
            state: the state before.
            actions: [players, ...], actions and messages, see the class.
            params: the numbers.

        Returns:
            as `Environment.step`. `info` has in addition `messages`: [players] int32, or [players, symbols] float;
            and, if messages are words and it is known what they are about, `topics`: [players] int32, -1 for nothing.
            In a step of talk the rest of `info` is of a step that was not played.

        Raises:
            ValueError: for actions of a wrong shape or dtype, and, outside of jit, of a wrong value.
        """
        actions = check_actions(actions, self.num_players, self.action_space)
        played, said = self._split(actions)
        seen, after, rewards, terminated, truncated, info = self.env.step(key, state.env, played, params.env)
        info = info | {"messages": said}
        if self._topics:
            about = info["object"] if declarations.objects(self.env) is not None else None
            info["topics"] = declarations.observe(self.env, state.env, params.env) if about is None else about
        if self.before:
            talks = state.step < self.before
            seen, after, rewards, terminated, truncated = jax.tree.map(
                lambda old, new: jnp.where(talks, old, new),
                (state.opening, state.env, jnp.zeros_like(rewards), jnp.asarray(False), jnp.asarray(False)),
                (seen, after, rewards, terminated, truncated),
            )
        paid = said > 0 if self._words else jnp.sum(jnp.abs(said), axis=-1)
        rewards = rewards - params.cost.astype(rewards.dtype) * paid.astype(rewards.dtype)
        latest = (said + 1 if self._words else said.astype(self.env.action_space.dtype))[None]
        heard = jnp.concatenate([latest, state.heard[:-1]])
        after = MessagesState(after, heard, state.step + 1, state.opening)
        return self._with_words(seen, heard), after, rewards, terminated, truncated, info

    @property
    def observes(self) -> bool:
        """Whether there is an `observe`, which is the case if the wrapped environment has one."""
        return declarations.observes(self.env)

    def observe(self, state: MessagesState, params: MessagesParams) -> jax.Array:
        """What the players see and hear, [players, ...]."""
        return self._with_words(declarations.observe(self.env, state.env, params.env), state.heard)

    def counterfactuals(self, observations: jax.Array) -> jax.Array | None:
        """What the players would see if one of the others had said something else, [others x messages, players, ...]:
        for each of a player's others, every message; None if there are too many."""
        if not self._tries:
            return None
        space, shape = self.env.observation_space, (self.num_players, self.memory, self.symbols)
        if isinstance(space, Discrete):
            return message_counts.replaced_digits(observations, *shape)
        return message_counts.replaced_vectors(observations, _size(space), *shape)

    @property
    def egocentric(self) -> bool:
        return declarations.egocentric(self.env)

    @property
    def measures(self) -> Mapping[str, Measure]:
        """Those of the wrapped environment, and of communication."""
        own: dict[str, Measure] = dict(declarations.measures(self.env))
        if self._words:
            objects = self._topics and self.memory > 1 and np.shape(declarations.objects(self.env))[1:] > (1,)
            names = getattr(self.env, "action_labels", range(self._num_actions))
            own |= message_measures.measures(self.symbols, tuple(map(str, names)), self._topics, objects, self._tries)
        return own

    def metrics(self, counts: Any) -> dict[str, jax.Array]:
        """The values of `measures`."""
        if not self._words:
            return declarations.metrics(self.env, counts)
        told = message_measures.metrics(counts["messages"], declarations.objects(self.env), self.symbols, self.memory)
        own = declarations.metrics(self.env, counts["env"])
        return own | {name: value for name, value in told.items() if name in self.measures}

    @property
    def showcase(self) -> str:
        """That of the wrapped environment."""
        return declarations.showcase(self.env)

    @property
    def number_names(self) -> tuple[str, ...]:
        """Those of the wrapped environment, and the cost."""
        return (*declarations.number_names(self.env), COST)

    @property
    def default_numbers(self) -> dict[str, Any]:
        return declarations.default_numbers(self.env) | {COST: self.cost}

    def with_numbers(self, params: MessagesParams, numbers: Mapping[str, Any]) -> MessagesParams:
        """See `envs.declarations.with_numbers`."""
        own = {name: number for name, number in numbers.items() if name != COST}
        cost = params.cost
        if COST in numbers:
            cost = placed(COST, numbers[COST], params.cost, self.cost, np.ndim(params.cost))
        return MessagesParams(declarations.with_numbers(self.env, params.env, own), cost)

    def start_counts(self) -> Any:
        """Those of the wrapped environment; if messages are words, as `env` beside what is counted of `messages`, see
        `envs.messages.counts.start`."""
        own = declarations.start_counts(self.env)
        if not self._words:
            return own
        about, messages = self._topics * message_counts.num_topics(self.env), self.symbols**self.memory
        told = message_counts.start(self.num_players, self.symbols, self._num_actions, about, messages, self._tries)
        return {"env": own, "messages": told}

    def count(
        self,
        counts: Any,
        state: MessagesState,
        actions: jax.Array,
        rewards: jax.Array,
        ended: jax.Array,
        info: dict[str, Any],
    ) -> Any:
        """The statistics after one more step. With the probabilities that `declarations.counterfactuals` describes in
        `info`, these are counted instead of what was drawn; without them, influence is not measured."""
        played, said = self._split(actions)
        before = counts["env"] if self._words else counts
        own = declarations.count(self.env, before, state.env, played, rewards, ended, info)
        acts = declarations.acting(self.env, state.env)
        if self.before:
            talks = state.step < self.before
            own = jax.tree.map(lambda old, new: jnp.where(talks, old, new), before, own)
            acts = acts & ~talks
        if not self._words:
            return own
        shape = (self.num_players, self._num_actions, self.symbols)
        chosen = jax.nn.one_hot(actions, self._num_actions * self.symbols, dtype=jnp.float32)
        chosen = info.get("probabilities", chosen).astype(jnp.float32).reshape(shape)
        told = message_counts.add(counts["messages"], state.heard, chosen, acts, ended, info)
        return {"env": own, "messages": told}

    def image(self, state: MessagesState, params: MessagesParams) -> np.ndarray:
        """The picture of the wrapped environment's state."""
        return declarations.image(self.env, state.env, params.env)

    def text(self, state: MessagesState, params: MessagesParams) -> str:
        """The wrapped environment's text, and a line such as "said: 2 -", with a dash if nothing was said yet."""
        heard = np.asarray(state.heard)[0]
        if self._words:
            said = ["-" if word == 0 else str(word - 1) for word in heard]
        else:
            said = ["[" + " ".join(f"{x:.2f}" for x in message) + "]" for message in heard]
        return f"{declarations.text(self.env, state.env, params.env)}\nsaid: {' '.join(said)}"

    @property
    def _topics(self) -> bool:
        """Whether it is counted what messages are about."""
        return message_counts.has_topics(self.env, self.symbols**self.memory)

    @property
    def _tries(self) -> bool:
        """Whether other messages are tried to see what they would change."""
        messages = self.symbols**self.memory
        return self._words and messages > 1 and messages * (self.num_players - 1) <= message_counts.MOST_TRIED

    def _with_words(self, seen: jax.Array, heard: jax.Array) -> jax.Array:
        """What is seen of the wrapped environment, [players, ...], and what is heard, in one observation."""
        n, space = self.num_players, self.env.observation_space
        # For each player, everybody's messages, its own first, and of each the last first.
        told = own_first(jnp.swapaxes(heard, 0, 1))
        if self._words and isinstance(space, Discrete):
            places = message_counts.place_values(n, self.memory, self.symbols)
            return seen * self._joint_words + jnp.sum(told.reshape(n, -1) * places[None], axis=1, dtype=jnp.int32)
        dtype = self.observation_space.dtype
        if self._words:
            words = jnp.arange(1, self.symbols + 1, dtype=jnp.int32)
            told = told[..., None] == words
        if isinstance(space, Discrete):
            seen = seen[:, None] == jnp.arange(space.num_values, dtype=jnp.int32)[None]
        return jnp.concatenate([seen.reshape(n, -1).astype(dtype), told.reshape(n, -1).astype(dtype)], axis=1)

    def _split(self, actions: jax.Array) -> tuple[jax.Array, jax.Array]:
        space = self.env.action_space
        if isinstance(space, Discrete):
            return split(actions, self.symbols)
        size = _size(space)
        return actions[:, :size].reshape(self.num_players, *space.shape), actions[:, size:]


def _size(space: Box) -> int:
    """The number of entries of one player's array."""
    return int(np.prod(space.shape))
