"""A picture of what was learned: one episode of the final policies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from shaping.envs import save_gif
from shaping.objectives.game import Episode
from shaping.objectives.rollout import PlayState, begin_stream, play_step

# A picture of more steps would be watched by nobody.
_STEPS = 200


def save_episode(path: Path, episode: Episode, thetas: Sequence[Any], key: jax.Array) -> Path:
    """Plays one episode and writes it as an animated GIF, its first 200 steps where it is longer.

    Args:
      path: where to.
      episode: what is played.
      thetas: parameters of everybody's policies.
      key: consumed.
    """
    env, policies = episode.env, episode.policies
    params, thetas = jax.tree.map(jnp.asarray, (episode.params, list(thetas)))

    def step(before: PlayState, time: jax.Array) -> tuple[PlayState, Any]:
        return play_step(env, policies, thetas, params, key, before, time)[0], before.state

    def played() -> tuple[PlayState, Any]:
        steps = jnp.arange(min(episode.horizon, _STEPS))
        return lax.scan(step, begin_stream(env, policies, params, key), steps)

    last, states = jax.jit(played)()
    whole = jax.tree.map(lambda rest, end: np.concatenate([rest, np.asarray(end)[None]]), states, last.state)
    return save_gif(path, env, whole, params)


def best_match(variable: Any, matches: Sequence[int]) -> int:
    """Of these matches the one in which a variable of the record is highest at the end, in the mean over players and
    what else it has; where it is not finite in any, the first.

    Args:
      variable: an `xarray.DataArray` over match and, it may be, update, player, ...
      matches: numbers of matches.
    """
    found = variable.isel(match=list(matches))
    found = found.isel(update=-1) if "update" in found.dims else found
    means = found.mean([dim for dim in found.dims if dim != "match"]).values
    return int(np.asarray(matches)[np.argmax(np.where(np.isfinite(means), means, -np.inf))])
