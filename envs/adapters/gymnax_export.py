"""The classes behind `to_gymnax`. This module imports gymnax, so it is imported only by that function."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from gymnax.environments import environment, spaces  # pyright: ignore[reportMissingImports]

from shaping.envs.adapters.peers import Policy, typed
from shaping.envs.environment import Environment, check_actions
from shaping.envs.spaces import Box, Discrete, vector_length


@flax.struct.dataclass
class GymnaxExportState(environment.EnvState):
    """gymnax's state, which contains one of ours.

    Attributes:
        time: [] int32, steps of this episode.
        env: the state of our environment.
        observations: [players, ...], of this state; the fixed policies of other seats also see them.
        terminated, truncated: [] bool, what the last step returned: gymnax asks for them state by state.
    """

    time: Any
    env: Any
    observations: jax.Array
    terminated: jax.Array
    truncated: jax.Array


class JointDiscrete(spaces.Space):
    """Actions or observations of all players, if those of one player are the integers 0 .. n - 1: int32 [players]."""

    def __init__(self, num_players: int, n: int):
        self.n = n
        self.shape = (num_players,)
        self.dtype = jnp.dtype(jnp.int32)

    def __repr__(self) -> str:
        return f"JointDiscrete({self.shape[0]}, {self.n})"

    def sample(self, key: jax.Array) -> jax.Array:
        return jax.random.randint(key, self.shape, 0, self.n, self.dtype)

    def contains(self, x: jax.Array) -> jax.Array:
        x = jnp.asarray(x)
        return jnp.all((x >= 0) & (x < self.n)) & (x.shape == self.shape)


class GymnaxExport(environment.Environment):
    """See `to_gymnax`. Inherits gymnax's `step`, which resets, and its `reset`."""

    # Gradients are never stopped here, so there is nothing to enable.
    _supports_transition_gradients = True
    _transition_gradients_enabled = True

    def __init__(self, env: Environment, player: int | None, others: tuple[Policy, ...]):
        self.env = env
        self.player = player
        self.others = others

    @property
    def name(self) -> str:
        return self.env.name

    @property
    def default_params(self) -> Any:
        return self.env.default_params

    @property
    def num_actions(self) -> int:
        """For one player: the number of its discrete actions, or of the entries of a continuous action."""
        return vector_length(self.env.action_space)

    def reset_env(self, key: jax.Array, params: Any) -> tuple[jax.Array, GymnaxExportState]:
        observations, state = self.env.reset(typed(key), params)
        no = jnp.zeros((), bool)
        start = GymnaxExportState(
            time=jnp.zeros((), jnp.int32), env=state, observations=observations, terminated=no, truncated=no
        )
        return self._seen(observations), start

    def step_env(
        self, key: jax.Array, state: GymnaxExportState, action: int | float | jax.Array, params: Any
    ) -> tuple[jax.Array, GymnaxExportState, jax.Array, jax.Array, dict[Any, Any]]:
        """Plays one action, of one seat or of all; never resets. `is_truncated` says whether time has cut the
        episode."""
        key = typed(key)
        if self.player is not None:
            key, action = self._joint_action(key, state.observations, action)
        observations, after, rewards, terminated, truncated, info = self.env.step(
            key, state.env, jnp.asarray(action), params
        )
        after = GymnaxExportState(
            time=state.time + 1, env=after, observations=observations, terminated=terminated, truncated=truncated
        )
        return self._seen(observations), after, self._seen(rewards), terminated, info

    def observe(
        self, key: jax.Array, state: GymnaxExportState, action: int | float | jax.Array | None, params: Any
    ) -> jax.Array:
        del key, action, params
        return self._seen(state.observations)

    def get_obs(self, state: GymnaxExportState, params: Any = None, key: jax.Array | None = None) -> jax.Array:
        del params, key
        return self._seen(state.observations)

    def is_terminated(self, state: GymnaxExportState, params: Any) -> jax.Array:
        del params
        return state.terminated

    def is_truncated(self, state: GymnaxExportState, params: Any) -> jax.Array:
        del params
        return state.truncated

    def action_space(self, params: Any = None) -> Any:
        del params
        return self._space(self.env.action_space)

    def observation_space(self, params: Any = None) -> Any:
        del params
        return self._space(self.env.observation_space)

    def _seen(self, of_all: jax.Array) -> jax.Array:
        return of_all if self.player is None else of_all[self.player]

    def _joint_action(self, key: jax.Array, observations: jax.Array, action: Any) -> tuple[jax.Array, jax.Array]:
        """The key that remains for the environment, and the actions [players, ...]."""
        key, *keys = jax.random.split(key, self.env.num_players)
        seats = [seat for seat in range(self.env.num_players) if seat != self.player]
        chosen = {self.player: action}
        for seat, policy, own_key in zip(seats, self.others, keys, strict=True):
            chosen[seat] = policy(observations[seat], own_key)
        space = self.env.action_space
        alone = [check_actions(jnp.asarray(chosen[seat])[None], 1, space) for seat in range(self.env.num_players)]
        return key, jnp.concatenate(alone)

    def _space(self, space: Discrete | Box) -> Any:
        n = self.env.num_players
        if isinstance(space, Discrete):
            return spaces.Discrete(space.num_values) if self.player is not None else JointDiscrete(n, space.num_values)
        shape = space.shape if self.player is not None else (n, *space.shape)
        return spaces.Box(space.low, space.high, shape, jnp.dtype(space.dtype))
