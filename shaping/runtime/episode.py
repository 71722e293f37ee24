"""A picture of what was learned: one episode of the final policies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from shaping.envs import save_gif
from shaping.objectives.rollout import PlayState, begin_stream, play_step
from shaping.objectives.sampled_game import SampledGame


def save_episode(path: Path, form: SampledGame, numbers: Any, thetas: Sequence[Any], key: jax.Array) -> Path:
    """Plays one episode and writes it as an animated GIF.

    Args:
      path: where to.
      form, numbers: the game and the numbers of its environment.
      thetas: parameters of everybody's policies.
      key: consumed.
    """

    def step(before: PlayState, time: jax.Array) -> tuple[PlayState, Any]:
        return play_step(form.env, form.policies, thetas, numbers, key, before, time)[0], before.state

    def played() -> tuple[PlayState, Any]:
        return lax.scan(step, begin_stream(form.env, form.policies, numbers, key), jnp.arange(form.horizon))

    last, states = jax.jit(played)()
    whole = jax.tree.map(lambda rest, end: np.concatenate([rest, np.asarray(end)[None]]), states, last.state)
    return save_gif(path, form.env, whole, numbers)


def best_match(record: Any, matches: Sequence[int]) -> int:
    """Of these matches of a record, the one whose players take most coins of their own colour at the end."""
    shares = record["own_fraction"].isel(match=list(matches), update=-1).mean("player").values
    return int(np.asarray(matches)[np.nanargmax(np.where(np.isfinite(shares), shares, -1))])
