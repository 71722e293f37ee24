"""Elements of pictures of play: grids of coloured cells, bars, and text, as arrays of pixels. They run on the host."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

# Okabe and Ito's palette, which colour-blind eyes can distinguish; for players and their coins in seat order.
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
_COLUMNS = 72
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
    """The colour of a seat, and of what belongs to the seat."""
    return PLAYER_COLOURS[player % len(PLAYER_COLOURS)]


def grid_image(floor: np.ndarray, sprites: Iterable[Sprite], pixels: int = _PIXELS) -> np.ndarray:
    """A grid seen from above.

    Args:
        floor: [rows, columns, 3] colours of the cells, 0 to 255.
        sprites: what is on the grid; later ones cover earlier ones, so several on a cell should differ in size.
        pixels: length of a cell's side.

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
    """Vertical bars filled to levels in 0 .. 1 (clipped), side by side, for games without a grid: one per player in
    the player's colour, followed by black ones for what is common to all."""
    bars = [(level, player_colour(player)) for player, level in enumerate(levels)]
    bars += [(level, (40, 40, 40)) for level in common]
    picture = np.tile(np.array(FLOOR, np.uint8), (height, width * len(bars), 1))
    for place, (level, colour) in enumerate(bars):
        filled = round(float(np.clip(np.nan_to_num(level), 0, 1)) * (height - 4))
        left = place * width + width // 8
        picture[2 : height - 2, left : left + width * 3 // 4] = LINES
        picture[height - 2 - filled : height - 2, left : left + width * 3 // 4] = colour
    return picture


def array_lines(arrays: Any) -> list[str]:
    """A line such as "step: 3" for each array of a pytree."""
    lines = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(arrays)[0]:
        values = np.array2string(np.asarray(leaf), precision=3, suppress_small=True, threshold=64)
        lines.append(f"{jax.tree_util.keystr(path, simple=True, separator='.')}: {' '.join(values.split())}")
    return lines


def text_image(text: str) -> np.ndarray:
    """Lines of text as a picture, [height, width, 3] uint8; the width is the same for every text, and longer lines are
    cut."""
    from PIL import Image, ImageDraw

    lines = [line[:_COLUMNS].ljust(_COLUMNS) for line in text.splitlines()]
    panel = Image.new("RGB", (6 * _COLUMNS + 16, 16 * len(lines) + 16), FLOOR)
    draw = ImageDraw.Draw(panel)
    for row, line in enumerate(lines):
        draw.text((8, 8 + 16 * row), line, fill=(0, 0, 0))
    return np.asarray(panel, np.uint8)
