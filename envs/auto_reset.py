"""Plays one episode after another: an environment that starts again whenever an episode ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs import declarations
from shaping.envs.declarations import Measure
from shaping.envs.environment import Environment, check_integer
from shaping.envs.spaces import Box, Discrete

# The key of a start that may follow a step differs from the step's key in these bits.
_RESET = 0x9E3779B9


@flax.struct.dataclass
class AutoResetState:
    """The state of the present episode, and its number within its trial.

    Attributes:
        env: the state of the wrapped environment.
        episode: [] int32, episodes of this trial that have ended, 0 .. episodes - 1; without trials, all episodes that
            have ended.
    """

    env: Any
    episode: jax.Array


@dataclass(frozen=True)
class AutoReset:
    """An environment that resets itself at the end of an episode.

    There are two boundaries. The *inner* one ends an episode: `terminated` or `truncated` of the wrapped environment,
    passed on unchanged. The observation returned is then the first of the next episode; the last one of the episode is
    `info["terminal_observation"]`. The *outer* boundary ends a trial of `episodes` episodes, the unit in which shapers
    count (a meta-episode of M-FOS, Pax, JaxMARL): `info["trial_ended"]`. The caller decides what is forgotten at which
    boundary; `info["episode_ended"]` reports the inner one.

    Attributes:
        env: the environment to play.
        episodes: episodes of a trial; None for no outer boundary.
        remembers: whether those who play it remember one episode in the next, until the trial ends.

    Raises:
        ValueError: if episodes is not an integer of 1 or more.
    """

    env: Environment
    episodes: int | None = None
    remembers: bool = False

    def __post_init__(self):
        if self.episodes is not None:
            check_integer("episodes", self.episodes, 1)

    @property
    def name(self) -> str:
        return self.env.name

    @property
    def num_players(self) -> int:
        return self.env.num_players

    @property
    def observation_space(self) -> Discrete | Box:
        return self.env.observation_space

    @property
    def action_space(self) -> Discrete | Box:
        return self.env.action_space

    @property
    def default_params(self) -> Any:
        return self.env.default_params

    def reset(self, key: jax.Array, params: Any) -> tuple[jax.Array, AutoResetState]:
        """The start of the first episode of a trial."""
        obs, state = self.env.reset(key, params)
        return obs, AutoResetState(state, jnp.int32(0))

    def step(
        self, key: jax.Array, state: AutoResetState, actions: jax.Array, params: Any
    ) -> tuple[jax.Array, AutoResetState, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        """Plays one joint action and, where it ends the episode, starts the next.

        Returns:
            as `Environment.step`, with these added to `info`: terminal_observation [players, ...], the observation that
            the step led to, whether or not it ended the episode; episode_ended, trial_ended [] bool, the inner and the
            outer boundary; forgotten [] bool, the one at which players forget.
        """
        obs, after, rewards, terminated, truncated, info = self.env.step(key, state.env, actions, params)
        first, start = self.env.reset(_other(key), params)
        ended = terminated | truncated
        episode = state.episode + ended.astype(jnp.int32)
        trial_ended = jnp.asarray(False) if self.episodes is None else episode >= self.episodes
        episode = jnp.where(trial_ended, 0, episode)
        info = info | {"terminal_observation": obs, "episode_ended": ended, "trial_ended": trial_ended}
        info["forgotten"] = trial_ended if self.remembers else ended
        after = jax.tree.map(lambda new, old: jnp.where(ended, new, old), start, after)
        # Observing again costs less than selecting between two observations, and nothing if no observation is used.
        again = declarations.observes(self.env)
        obs = declarations.observe(self.env, after, params) if again else jnp.where(ended, first, obs)
        return obs, AutoResetState(after, episode), rewards, terminated, truncated, info

    @property
    def observes(self) -> bool:
        """Whether there is an `observe`, which is the case if the wrapped environment has one."""
        return declarations.observes(self.env)

    def observe(self, state: AutoResetState, params: Any) -> jax.Array:
        return declarations.observe(self.env, state.env, params)

    def counterfactuals(self, observations: jax.Array) -> jax.Array | None:
        """Those of the wrapped environment."""
        return declarations.counterfactuals(self.env, observations)

    @property
    def egocentric(self) -> bool:
        return declarations.egocentric(self.env)

    @property
    def measures(self) -> Mapping[str, Measure]:
        return declarations.measures(self.env)

    def metrics(self, counts: Any) -> dict[str, jax.Array]:
        return declarations.metrics(self.env, counts)

    @property
    def showcase(self) -> str:
        return declarations.showcase(self.env)

    def start_counts(self) -> Any:
        return declarations.start_counts(self.env)

    def count(
        self,
        counts: Any,
        state: AutoResetState,
        actions: jax.Array,
        rewards: jax.Array,
        ended: jax.Array,
        info: dict[str, Any],
    ) -> Any:
        return declarations.count(self.env, counts, state.env, actions, rewards, ended, info)

    def image(self, state: AutoResetState, params: Any) -> np.ndarray:
        return declarations.image(self.env, state.env, params)

    def text(self, state: AutoResetState, params: Any) -> str:
        return f"episode {int(state.episode)}\n{declarations.text(self.env, state.env, params)}"

    @property
    def number_names(self) -> tuple[str, ...]:
        return declarations.number_names(self.env)

    @property
    def default_numbers(self) -> dict[str, Any]:
        return declarations.default_numbers(self.env)

    def with_numbers(self, params: Any, numbers: Mapping[str, Any]) -> Any:
        return declarations.with_numbers(self.env, params, numbers)


def _other(key: jax.Array) -> jax.Array:
    """A key whose stream is unrelated to that of `key`: a counter-based generator guarantees this for any two different
    keys, whereas folding in a number would cost every step a block of the generator."""
    return jax.random.wrap_key_data(jax.random.key_data(key) ^ np.uint32(_RESET), impl=jax.random.key_impl(key))
