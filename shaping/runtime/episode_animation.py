"""An animation of what was learned: one episode of the final policies."""

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

# Nobody would watch a longer animation.
_STEPS = 200


def save_episode(path: Path, episode: Episode, thetas: Sequence[Any], key: jax.Array) -> Path:
    """Plays one episode and writes it as an animated GIF; of a longer episode only the first 200 steps.

    Args:
      path: the file to write.
      episode: what to play.
      thetas: the parameters of all policies.
      key: a PRNG key, consumed.
    """
    env, policies = episode.env, episode.policies
    params, thetas = jax.tree.map(jnp.asarray, (episode.params, list(thetas)))

    def step(before: PlayState, time: jax.Array) -> tuple[PlayState, Any]:
        after, moved = play_step(env, policies, thetas, params, key, before, time)
        return after, (before.state, moved.actions, moved.rewards)

    def played() -> tuple[PlayState, Any]:
        steps = jnp.arange(min(episode.horizon, _STEPS))
        return lax.scan(step, begin_stream(env, policies, params, key), steps)

    last, (states, actions, rewards) = jax.jit(played)()
    whole = jax.tree.map(lambda rest, end: np.concatenate([rest, np.asarray(end)[None]]), states, last.state)
    return save_gif(path, env, whole, params, played=(actions, rewards))


def best_match(variable: Any, matches: Sequence[int]) -> int:
    """The match in which a variable of the record is highest at the end, averaged over players and any further
    dimensions; the first match if the variable is finite in none.

    Args:
      variable: an `xarray.DataArray` over match and possibly update, player, ...
      matches: the numbers of the matches to choose from.
    """
    found = variable.isel(match=list(matches))
    found = found.isel(update=-1) if "update" in found.dims else found
    means = found.mean([dim for dim in found.dims if dim != "match"]).values
    return int(np.asarray(matches)[np.argmax(np.where(np.isfinite(means), means, -np.inf))])
