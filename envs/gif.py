"""Episodes as animated GIFs."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from shaping.envs.declarations import image, text
from shaping.envs.drawing import array_lines, text_image
from shaping.envs.environment import Environment


def save_gif(
    path: str | Path,
    env: Environment,
    states: Any,
    params: Any = None,
    milliseconds: int = 300,
    scale: int = 2,
    played: tuple[Any, Any] | None = None,
) -> Path:
    """An episode as an animated GIF that repeats for ever.

    Args:
        path: the file to write; its folder must exist.
        env: the environment.
        states: the states in order, leaves [time, ...].
        params: the environment's numbers; None for its defaults.
        milliseconds: how long each state is shown; GIFs are limited to hundredths of a second.
        scale: pixels in the file for each pixel of `image`.
        played: actions [time - 1, players, ...] and rewards [time - 1, players] of the steps from each state to the
            next. An environment that draws no pictures of its own shows them as text, with the state they led to.

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
        state = jax.tree.map(lambda leaf, time=time: leaf[time], states)
        if played is None or hasattr(env, "image"):
            picture = image(env, state, numbers)
        else:
            picture = text_image("\n".join([text(env, state, numbers), *_lines_of_step(played, time - 1)]))
        frames.append(Image.fromarray(np.repeat(np.repeat(picture, scale, 0), scale, 1)))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)
    return Path(path)


def _lines_of_step(played: tuple[Any, Any], step: int) -> list[str]:
    """What was done and earned in a step, one line each; as many lines before the first step, so that all frames
    have one size."""
    actions, rewards = played
    if step < 0:
        return ["first state", " "]
    return array_lines({"actions": np.asarray(actions)[step], "rewards": np.asarray(rewards)[step]})
