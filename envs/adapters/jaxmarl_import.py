"""Environments of JaxMARL as ours."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.adapters.peers import require
from shaping.envs.drawing import array_lines
from shaping.envs.environment import check_actions
from shaping.envs.spaces import Box, Discrete


def jaxmarl(id: str, settings: Any = (), horizon: int | None = None) -> "JaxMARLGame":
    """An environment of JaxMARL by its `id`, made with `settings`. Needs the extra `peers`.

    Args:
        id: a name that `jaxmarl.make` knows.
        settings: its arguments, as a mapping or as pairs.
        horizon: steps of an episode, unless the environment ends it earlier.

    Raises:
        ValueError: JaxMARL is not installed, has no such environment, or has one that `from_jaxmarl` refuses.
    """
    try:
        require("jaxmarl.environments")
        make = require("jaxmarl").make
    except ImportError as error:
        raise ValueError(f"name is 'jaxmarl'; allowed: with JaxMARL ({error})") from None
    try:
        # JaxMARL computes settings when an environment is made, which may happen while a program is traced.
        with jax.ensure_compile_time_eval():
            return from_jaxmarl(make(id, **dict(settings)))
    except (TypeError, KeyError) as error:
        allowed = f"an environment of JaxMARL and settings that it has ({error})"
        raise ValueError(f"id is {id!r}; allowed: {allowed}") from None


def from_jaxmarl(jaxmarl_env: Any) -> "JaxMARLGame":
    """An environment of JaxMARL 0.2.0 as one of ours.

    Raises:
        ImportError: if JaxMARL is not installed.
        ValueError: if it is not an environment of JaxMARL; if its agents' spaces differ, or are neither discrete nor a
            box, nor for observations a dictionary of these; if bounds of actions differ between entries (bounds of
            observations are widened); for dictionaries that are not those of the spaces.
    """
    base = require("jaxmarl.environments.multi_agent_env").MultiAgentEnv
    if not isinstance(jaxmarl_env, base):
        raise ValueError(f"jaxmarl_env is a {type(jaxmarl_env).__name__}; allowed: a MultiAgentEnv of JaxMARL")
    agents = jaxmarl_env.agents
    spaces = {}
    parts = _parts(jaxmarl_env.observation_space(agents[0]), agents[0])
    for what, space_of in (
        ("observation", jaxmarl_env.observation_space),
        ("action", jaxmarl_env.action_space),
    ):
        of_agents = [_space(what, agent, space_of(agent)) for agent in agents]
        for agent, space in zip(agents, of_agents, strict=True):
            if space != of_agents[0]:
                raise ValueError(
                    f"{what} space of {agent} is {space} and that of {agents[0]} {of_agents[0]}; allowed: the same "
                    "space for all agents"
                )
        spaces[what] = of_agents[0]
    game = JaxMARLGame(jaxmarl_env, spaces["observation"], spaces["action"], parts)
    if parts:
        _check_dictionaries(game)
    return game


def _check_dictionaries(game: "JaxMARLGame") -> None:
    """Refuses dictionaries of observations that are not those of the spaces."""
    try:
        found = jax.eval_shape(lambda key: game.reset(key, ())[0], jax.random.key(0)).shape
    except (KeyError, TypeError, IndexError):
        found = None
    if found != (game.num_players, *game.observation_space.shape):
        raise ValueError(f"observations of {game.name} are not by agent as its spaces say; allowed: those that are")


@flax.struct.dataclass
class JaxMARLState:
    """A state of JaxMARL with the players' observations: some of its environments cannot compute them from a state.

    Attributes:
        env: JaxMARL's state.
        observations: [players, ...].
    """

    env: Any
    observations: jax.Array


@dataclass(frozen=True)
class JaxMARLGame:
    """An environment of JaxMARL behind our interface; made by `from_jaxmarl`.

    Players are `jaxmarl_env.agents` in that order, also in the dictionaries that JaxMARL receives: its coin game reads
    actions by position. The state is JaxMARL's, with its observations. `step` calls `step_env`, which does not reset.

    Differences from our own environments:
        - It has no numbers: `default_params` is (), because JaxMARL keeps its settings in the object.
        - `terminated` is `dones["__all__"]`, and `truncated` is never True: JaxMARL does not distinguish a time limit
          from an end.
        - `info` is JaxMARL's, with `dones` [players] bool added: an agent may be done before the others are. Where
          JaxMARL says nothing of an agent, it is done when all are.
        - Observations are cast to the dtype that their space declares, which JaxMARL does not always respect.
        - Observations that are dictionaries become one vector of floats, the parts in the order of their names: boxes
          flattened, integers one-hot.
        - It has no measures; the picture shows the state as text.
        - Actions that are sometimes unavailable (`get_avail_actions`) are not treated differently.

    JaxMARL's code assumes JAX's default promotion of dtypes and ranks, which is used while it runs.

    Attributes:
        jaxmarl_env: the environment; compared by identity.
        observation_space, action_space: those of one player.
        parts: names and spaces of the parts of observations that are dictionaries; () for others.
    """

    jaxmarl_env: Any
    observation_space: Discrete | Box
    action_space: Discrete | Box
    parts: tuple[tuple[str, Discrete | Box], ...] = ()

    @property
    def name(self) -> str:
        return self.jaxmarl_env.name

    @property
    def num_players(self) -> int:
        return len(self.jaxmarl_env.agents)

    @property
    def default_params(self) -> tuple[()]:
        return ()

    def reset(self, key: jax.Array, params: Any) -> tuple[jax.Array, JaxMARLState]:
        """The start of an episode: observations [players, ...] and the state."""
        del params
        with _usual_promotion():
            after = self._seen(*self.jaxmarl_env.reset(key))
        return after.observations, after

    def step(
        self, key: jax.Array, state: JaxMARLState, actions: jax.Array, params: Any
    ) -> tuple[jax.Array, JaxMARLState, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        """See `Environment.step`.

        Raises:
            ValueError: see `check_actions`.
        """
        del params
        actions = check_actions(actions, self.num_players, self.action_space)
        agents = self.jaxmarl_env.agents
        with _usual_promotion():
            observations, their_state, rewards, dones, info = self.jaxmarl_env.step_env(
                key, state.env, {agent: actions[seat] for seat, agent in enumerate(agents)}
            )
            after = self._seen(observations, their_state)
            return (
                after.observations,
                after,
                jnp.stack([jnp.asarray(rewards[agent], dtype=float) for agent in agents]),
                jnp.asarray(dones["__all__"], dtype=bool),
                jnp.asarray(False),
                {**info, "dones": jnp.stack([jnp.asarray(dones.get(a, dones["__all__"]), dtype=bool) for a in agents])},
            )

    def observe(self, state: JaxMARLState, params: Any) -> jax.Array:
        """What the players see in a state, [players, ...]."""
        del params
        return state.observations

    def text(self, state: JaxMARLState, params: Any) -> str:
        """The name, and one line for each array of JaxMARL's state."""
        del params
        return "\n".join([self.name, *array_lines(state.env)])

    def _seen(self, observations: Any, state: Any) -> JaxMARLState:
        dtype = self.observation_space.dtype
        seen = [observations[agent] for agent in self.jaxmarl_env.agents]
        if self.parts:
            seen = [self._joined(each) for each in seen]
        stacked = jnp.stack([jnp.asarray(each, dtype=dtype) for each in seen])
        return JaxMARLState(jax.tree.map(_strong, state), stacked)

    def _joined(self, observation: Mapping[str, Any]) -> jax.Array:
        """A dictionary as one vector."""
        found = []
        for name, space in self.parts:
            part = jnp.asarray(observation[name])
            part = jax.nn.one_hot(part, space.num_values) if isinstance(space, Discrete) else part
            found.append(jnp.ravel(part).astype(jnp.float32))
        return jnp.concatenate(found)


@contextmanager
def _usual_promotion() -> Iterator[None]:
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _strong(leaf: Any) -> jax.Array:
    """The leaf with a strong dtype: JaxMARL's states lose or gain weak types between reset and step."""
    array = jnp.asarray(leaf)
    return jax.lax.convert_element_type(array, array.dtype)


def _parts(space: Any, agent: str) -> tuple[tuple[str, Discrete | Box], ...]:
    """The parts of a space that is a dictionary, in the order of their names; () for another."""
    named = getattr(space, "spaces", space)
    if not isinstance(named, Mapping):
        return ()
    return tuple((name, _space("observation", agent, named[name])) for name in sorted(named))


def _space(what: str, agent: str, space: Any) -> Discrete | Box:
    theirs = require("jaxmarl.environments.spaces")
    parts = _parts(space, agent) if what == "observation" else ()
    if parts:
        boxes = [Box((part.num_values,)) if isinstance(part, Discrete) else part for _, part in parts]
        size = sum(math.prod(box.shape) for box in boxes)
        return Box((size,), min(box.low for box in boxes), max(box.high for box in boxes))
    if isinstance(space, theirs.Discrete):
        return Discrete(int(space.n))
    if isinstance(space, theirs.Box):
        low, high = np.unique(np.asarray(space.low)), np.unique(np.asarray(space.high))
        if what == "action" and (len(low) > 1 or len(high) > 1):
            raise ValueError(
                f"action space of {agent} has different bounds per entry; allowed: one low and one high for all entries"
            )
        shape = tuple(int(size) for size in np.atleast_1d(np.asarray(space.shape, int)))
        return Box(shape, float(low[0]), float(high[-1]), jnp.dtype(space.dtype).name)
    raise ValueError(f"{what} space of {agent} is {type(space).__name__}; allowed: Discrete or Box")
