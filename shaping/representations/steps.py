"""Episodes as weighted steps: what the networks of an encoder read.

A step is what the player saw and did, with the steps just before it. Where observations and actions are few, equal
steps are counted instead of listed, so that the networks read each of them once, however long the play.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.spaces import Box, Discrete
from shaping.representations.episodes import Episodes

_MOST_DISTINCT = 4096


class Steps(NamedTuple):
    """Steps of episodes.

    Attributes:
      contexts: what was known before acting: observations of the last `window` steps, and actions before the last;
        [steps, numbers] if equal steps are counted, else [policies, episodes, time, numbers].
      actions: what was then done, [steps, ...] or [policies, episodes, time, ...].
      weights: [policies, episodes, steps] how often each step occurred; or, not counted, [policies, episodes, time],
        1, or 0 after the end.
    """

    contexts: Any
    actions: Any
    weights: Any

    @property
    def counted(self) -> bool:
        """Whether equal steps are counted."""
        return self.contexts.ndim == 2


def steps_of(episodes: Episodes, window: int) -> Steps:
    """The steps of episodes, counted if observations and actions are discrete and there are few different ones."""
    spaces = (episodes.observation_space, episodes.action_space)
    if all(isinstance(space, Discrete) for space in spaces):
        counted = _counted(episodes, window)
        if counted is not None:
            return counted
    seen, done = (
        _numbers(x, space) for x, space in zip((episodes.observations, episodes.actions), spaces, strict=True)
    )
    running = np.asarray(episodes.running)
    parts = [seen]
    for back in range(1, window):
        parts += [_earlier(seen, back), _earlier(done, back)]
    return Steps(np.concatenate(parts, axis=-1), np.asarray(episodes.actions), running.astype(np.float32))


def action_numbers(actions: Any, space: Discrete | Box) -> jax.Array:
    """Actions [...] as numbers for a network, [..., numbers]: one-hot, or scaled to -1 .. 1."""
    return jnp.asarray(_numbers(actions, space, jnp))


def _counted(episodes: Episodes, window: int) -> Steps | None:
    """Equal steps counted; None if there are too many different ones."""
    observations, actions = np.asarray(episodes.observations), np.asarray(episodes.actions)
    seen, does = episodes.observation_space.num_values, episodes.action_space.num_values  # pyright: ignore
    # Each step as one number; 0 stands for "before the start" in earlier places.
    base = (seen + 1) * (does + 1)
    if base**window > 2**62:
        return None
    one = (observations.astype(np.int64) + 1) * (does + 1) + actions + 1
    code, scale = one.copy(), 1
    for back in range(1, window):
        scale *= base
        code += scale * _earlier(one[..., None], back)[..., 0]
    running = np.asarray(episodes.running)
    distinct, number = np.unique(np.where(running, code, -1), return_inverse=True)
    kept = distinct >= 0
    if kept.sum() > _MOST_DISTINCT:
        return None
    number = number.reshape(-1, code.shape[-1]) - int(not kept.all())
    rows, width = len(number), int(kept.sum())
    flat = (np.arange(rows)[:, None] * (width + 1) + np.where(number < 0, width, number)).ravel()
    counts = np.bincount(flat, minlength=rows * (width + 1)).reshape(rows, width + 1)[:, :width]
    contexts, done = [], None
    for back in range(window):
        digit = distinct[kept] // base**back % base
        observed, acted = digit // (does + 1) - 1, digit % (does + 1) - 1
        contexts.append(_one_hot(observed, seen))
        if back == 0:
            done = acted
        else:
            contexts.append(_one_hot(acted, does))
    weights = counts.reshape(*code.shape[:-1], width).astype(np.float32)
    return Steps(np.concatenate(contexts, axis=-1), np.asarray(done, np.int32), weights)


def _earlier(x: np.ndarray, back: int) -> np.ndarray:
    """x [..., time, numbers], `back` steps before; zeros before the start."""
    shifted = np.zeros_like(x)
    if back < x.shape[-2]:
        shifted[..., back:, :] = x[..., : x.shape[-2] - back, :]
    return shifted


def _one_hot(x: np.ndarray, values: int) -> np.ndarray:
    """[..., values]; zeros for -1."""
    return (np.asarray(x)[..., None] == np.arange(values)).astype(np.float32)


def _numbers(x: Any, space: Discrete | Box, library: Any = np) -> Any:
    """Observations or actions as float32 [..., numbers]."""
    if isinstance(space, Discrete):
        return (library.asarray(x)[..., None] == library.arange(space.num_values)).astype("float32")
    array = library.asarray(x).astype("float32")
    flat = array.reshape(*array.shape[: array.ndim - len(space.shape)], -1)
    if np.isfinite(space.low) and np.isfinite(space.high) and space.high > space.low:
        return 2 * (flat - space.low) / (space.high - space.low) - 1
    return flat
