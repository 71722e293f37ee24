"""Pictures of play: grids of coloured cells as arrays of pixels, and animated GIFs of episodes. On the host."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from shaping.envs.environment import Environment

# Okabe and Ito's palette, apart for colour-blind eyes too; players and their coins in seat order, red and blue first.
PLAYER_COLOURS = (
    (213, 94, 0),
    (0, 114, 178),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
    (120, 94, 60),
    (90, 90, 90),
)
FLOOR = (245, 245, 242)
LINES = (205, 205, 200)
_PIXELS = 32
_SHAPES = ("square", "disc", "ring", "up", "right", "down", "left")


@dataclass(frozen=True)
class Sprite:
    """One thing on a cell: its place, colour, shape (square, disc, ring, or a triangle that points up, right, down,
    left) and size (1 fills the cell)."""

    row: int
    column: int
    colour: tuple[int, int, int]
    shape: str = "disc"
    size: float = 0.7


def player_colour(player: int) -> tuple[int, int, int]:
    """The colour of a seat, and of what belongs to it."""
    return PLAYER_COLOURS[player % len(PLAYER_COLOURS)]


def grid_image(floor: np.ndarray, sprites: Iterable[Sprite], pixels: int = _PIXELS) -> np.ndarray:
    """A grid seen from above.

    Args:
        floor: [rows, columns, 3] colours of the cells, 0 to 255.
        sprites: what lies and stands on it; later ones cover earlier ones, several on a cell should differ in size.
        pixels: of a cell's side.

    Returns:
        [rows x pixels, columns x pixels, 3] uint8.
    """
    picture = np.repeat(np.repeat(np.asarray(floor, np.uint8), pixels, 0), pixels, 1)
    picture[::pixels], picture[:, ::pixels] = LINES, LINES
    across = (np.arange(pixels) + 0.5) / pixels * 2 - 1
    y, x = np.meshgrid(across, across, indexing="ij")
    for sprite in sprites:
        cell = picture[
            sprite.row * pixels : (sprite.row + 1) * pixels, sprite.column * pixels : (sprite.column + 1) * pixels
        ]
        cell[_mask(sprite.shape, x / sprite.size, y / sprite.size)] = sprite.colour
    return picture


def _mask(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    inside = (abs(x) <= 1) & (abs(y) <= 1)
    if shape == "square":
        return inside
    if shape in ("disc", "ring"):
        radius = x**2 + y**2
        return (radius <= 1) & ((shape == "disc") | (radius >= 0.55))
    if shape not in _SHAPES:
        raise ValueError(f"shape is {shape!r}; allowed: {', '.join(_SHAPES)}")
    along = {"up": -y, "down": y, "right": x, "left": -x}[shape]
    beside = abs(x) if shape in ("up", "down") else abs(y)
    return inside & (beside <= (1 - along) / 2)


def empty_floor(rows: int, columns: int) -> np.ndarray:
    """A floor for `grid_image`, [rows, columns, 3]."""
    return np.tile(np.array(FLOOR, np.uint8), (rows, columns, 1))


def gauge_image(levels: Sequence[float], common: Sequence[float] = (), height: int = 96, width: int = 32) -> np.ndarray:
    """Bars filled from below to their levels in 0 .. 1 (clipped), side by side, for games without a grid: one a player
    in its colour, and then, in black, those of what is common to all."""
    bars = [(level, player_colour(player)) for player, level in enumerate(levels)]
    bars += [(level, (40, 40, 40)) for level in common]
    picture = np.tile(np.array(FLOOR, np.uint8), (height, width * len(bars), 1))
    for place, (level, colour) in enumerate(bars):
        filled = round(float(np.clip(np.nan_to_num(level), 0, 1)) * (height - 4))
        left = place * width + width // 8
        picture[2 : height - 2, left : left + width * 3 // 4] = LINES
        picture[height - 2 - filled : height - 2, left : left + width * 3 // 4] = colour
    return picture


def save_gif(
    path: str | Path, env: Environment, states: Any, params: Any = None, milliseconds: int = 300, scale: int = 2
) -> Path:
    """An episode as an animated GIF that repeats for ever.

    Args:
        path: where to write; its folder must exist.
        env: what was played.
        states: the states in order, leaves [time, ...].
        params: the environment's numbers; its own defaults if None.
        milliseconds: that each state is shown; GIFs know hundredths of a second.
        scale: pixels of the file for one of `env.image`.

    Returns:
        the path.

    Raises:
        ValueError: there is no state.
    """
    from PIL import Image

    numbers = env.default_params if params is None else params
    states = jax.tree.map(np.asarray, states)
    length = len(jax.tree.leaves(states)[0])
    if not length:
        raise ValueError("states has the length 0; allowed: at least one state")
    frames = []
    for time in range(length):
        picture = env.image(jax.tree.map(lambda leaf, time=time: leaf[time], states), numbers)
        frames.append(Image.fromarray(np.repeat(np.repeat(picture, scale, 0), scale, 1)))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)
    return Path(path)
