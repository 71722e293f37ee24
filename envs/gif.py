"""Episodes as animated GIFs."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from shaping.envs.declarations import image
from shaping.envs.environment import Environment


def save_gif(
    path: str | Path, env: Environment, states: Any, params: Any = None, milliseconds: int = 300, scale: int = 2
) -> Path:
    """An episode as an animated GIF that repeats for ever.

    Args:
        path: the file to write; its folder must exist.
        env: the environment.
        states: the states in order, leaves [time, ...].
        params: the environment's numbers; None for its defaults.
        milliseconds: how long each state is shown; GIFs are limited to hundredths of a second.
        scale: pixels in the file for each pixel of `image`.
        scale: pixels of the file for one of `image`.

    Returns:
        the path.

    Raises:
        ValueError: if there is no state.
    """
    from PIL import Image

    numbers = env.default_params if params is None else params
    states = jax.tree.map(np.asarray, states)
    length = len(jax.tree.leaves(states)[0])
    if not length:
        raise ValueError("states has the length 0; allowed: at least one state")
    frames = []
    for time in range(length):
        picture = image(env, jax.tree.map(lambda leaf, time=time: leaf[time], states), numbers)
        frames.append(Image.fromarray(np.repeat(np.repeat(picture, scale, 0), scale, 1)))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)
    return Path(path)
