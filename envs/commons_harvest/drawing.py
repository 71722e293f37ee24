"""Pictures and texts of a harvest map with its players; arrays as in `CommonsHarvestState`."""

import jax
import numpy as np

from shaping.envs.commons_harvest.maps import HarvestMap
from shaping.envs.drawing import Sprite, empty_floor, grid_image, player_colour

_FACINGS = ("up", "right", "down", "left")
_GRASS, _WALL, _APPLE = (214, 232, 200), (120, 120, 115), (40, 140, 50)


def image(world: HarvestMap, apples: jax.Array, places: jax.Array, facing: jax.Array, away: jax.Array) -> np.ndarray:
    """Players are triangles that point where they face; apples are discs on the grass that bears them."""
    floor = empty_floor(world.rows, world.columns)
    for colour, cells in ((_GRASS, world.apples), (_WALL, world.walls)):
        for row, column in cells:
            floor[row, column] = colour
    sprites = [
        Sprite(int(row), int(column), player_colour(i), _FACINGS[int(facing[i])], 0.85)
        for i, (row, column) in enumerate(np.asarray(places))
        if int(away[i]) == 0
    ]
    ripe = np.flatnonzero(np.asarray(apples))
    return grid_image(floor, sprites + [Sprite(*world.apples[i], _APPLE, "disc", 0.4) for i in ripe])


def text(world: HarvestMap, apples: jax.Array, places: jax.Array, facing: jax.Array, away: jax.Array) -> str:
    """Apples; the grid (digits are players, o apples, . cells that bear them, W wall); where players face."""
    letters = np.full((world.rows, world.columns), " ")
    ripe = np.asarray(apples)
    for letter, cells in (("W", world.walls), (".", world.apples)):
        for cell in cells:
            letters[cell] = letter
    for i in np.flatnonzero(ripe):
        letters[world.apples[i]] = "o"
    lines = []
    for player, (row, column) in enumerate(np.asarray(places)):
        if (left := int(away[player])) == 0:
            letters[row, column] = str(player % 10)
        lines.append(f"player {player} " + (f"away for {left}" if left else _FACINGS[int(facing[player])]))
    return "\n".join([f"{int(ripe.sum())} apples", *map("".join, letters), *lines])
