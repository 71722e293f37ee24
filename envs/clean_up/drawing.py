"""Pictures and texts of CleanUp; arrays as in `CleanUpState`."""

import jax
import numpy as np

from shaping.envs.drawing import Sprite, empty_floor, grid_image, player_colour

_CLEAN_WATER, _DIRT, _ORCHARD, _APPLE = (170, 210, 235), (125, 105, 75), (214, 232, 200), (40, 140, 50)


def image(columns: int, dirt: jax.Array, apples: jax.Array, places: jax.Array, frozen: jax.Array) -> np.ndarray:
    """The river on the right, brown where dirty; the orchard on the left; a disc for each player, a ring if frozen."""
    floor = empty_floor(len(dirt), columns)
    floor[:, 0] = _ORCHARD
    floor[:, -1] = np.where(np.asarray(dirt)[:, None], _DIRT, _CLEAN_WATER)
    sprites = [
        Sprite(int(row), int(column), player_colour(i), "ring" if int(frozen[i]) else "disc", 0.8)
        for i, (row, column) in enumerate(np.asarray(places))
    ]
    sprites += [Sprite(int(row), 0, _APPLE, "disc", 0.4) for row in np.flatnonzero(np.asarray(apples))]
    return grid_image(floor, sprites)


def text(columns: int, dirt: jax.Array, apples: jax.Array, places: jax.Array, frozen: jax.Array) -> str:
    """The grid: digits are players, o apples, ~ clean and # dirty water; then who is frozen."""
    cells = np.full((len(dirt), columns), ".")
    cells[:, 0] = np.where(np.asarray(apples), "o", ".")
    cells[:, -1] = np.where(np.asarray(dirt), "#", "~")
    for player, (row, column) in enumerate(np.asarray(places)):
        cells[row, column] = str(player % 10)
    lines = [f"{int(np.sum(apples))} apples, {int(np.sum(dirt))} dirty cells", *map("".join, cells)]
    lines += [f"player {i} frozen for {int(left)}" for i, left in enumerate(np.asarray(frozen)) if left]
    return "\n".join(lines)
