"""The classes behind `to_jaxmarl`. This module imports JaxMARL, so it is imported only by that function."""

from functools import partial
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxmarl.environments import spaces  # pyright: ignore[reportMissingImports]
from jaxmarl.environments.multi_agent_env import MultiAgentEnv, State  # pyright: ignore[reportMissingImports]

from shaping.envs.adapters.peers import typed
from shaping.envs.environment import Environment
from shaping.envs.spaces import Box, Discrete


@flax.struct.dataclass
class JaxMARLExportState(State):
    """JaxMARL's state, which has `done` [] bool and `step` [] int32 and contains one of ours.

    Attributes:
        env: the state of our environment.
        observations: [players, ...], of this state: JaxMARL asks for the observations of a state, whereas our interface
            returns them together with it.
    """

    env: Any
    observations: jax.Array


class JaxMARLExport(MultiAgentEnv):
    """See `to_jaxmarl`. Inherits JaxMARL's `step`, which resets, and its dictionaries of spaces."""

    def __init__(self, env: Environment, params: Any):
        super().__init__(num_agents=env.num_players)
        self.env = env
        self.params = params
        self.observation_spaces = {agent: _space(env.observation_space) for agent in self.agents}
        self.action_spaces = {agent: _space(env.action_space) for agent in self.agents}

    @property
    def name(self) -> str:
        return self.env.name

    @property
    def agent_classes(self) -> dict[str, list[str]]:
        return {"players": list(self.agents)}

    @partial(jax.jit, static_argnums=(0,))
    def reset(self, key: jax.Array) -> tuple[dict[str, jax.Array], JaxMARLExportState]:
        observations, state = self.env.reset(typed(key), self.params)
        start = JaxMARLExportState(
            done=jnp.zeros((), bool), step=jnp.zeros((), jnp.int32), env=state, observations=observations
        )
        return self.get_obs(start), start

    def step_env(
        self, key: jax.Array, state: JaxMARLExportState, actions: dict[str, jax.Array]
    ) -> tuple[
        dict[str, jax.Array], JaxMARLExportState, dict[str, jax.Array], dict[str, jax.Array], dict[str, jax.Array]
    ]:
        """Plays one joint action; actions by agent, in any order; never resets."""
        stacked = jnp.stack([jnp.asarray(actions[agent]) for agent in self.agents])
        observations, after, rewards, terminated, truncated, info = self.env.step(
            typed(key), state.env, stacked, self.params
        )
        done = terminated | truncated
        after = JaxMARLExportState(done=done, step=state.step + 1, env=after, observations=observations)
        dones: dict[str, jax.Array] = dict.fromkeys((*self.agents, "__all__"), done)
        return (
            self.get_obs(after),
            after,
            self._by_agent(rewards),
            dones,
            info | {"terminated": terminated, "truncated": truncated},
        )

    def get_obs(self, state: JaxMARLExportState) -> dict[str, jax.Array]:
        return self._by_agent(state.observations)

    def get_avail_actions(self, state: JaxMARLExportState) -> dict[str, jax.Array]:
        """All actions are always available; [actions] bool for each agent."""
        del state
        space = self.env.action_space
        if not isinstance(space, Discrete):
            raise NotImplementedError("available actions are only provided for discrete actions")
        return {agent: jnp.ones((space.num_values,), bool) for agent in self.agents}

    def _by_agent(self, array: jax.Array) -> dict[str, jax.Array]:
        return {agent: array[seat] for seat, agent in enumerate(self.agents)}


def _space(space: Discrete | Box) -> Any:
    if isinstance(space, Discrete):
        return spaces.Discrete(space.num_values)
    return spaces.Box(space.low, space.high, space.shape, jnp.dtype(space.dtype))
