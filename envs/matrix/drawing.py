"""Pictures of matrix games."""

import numpy as np

from shaping.envs.drawing import Sprite, empty_floor, grid_image, player_colour


def image(letters: str) -> np.ndarray:
    """A joint action, one letter per player: a disc if it cooperated (C), a square if it defected (D), a ring at the
    start (a blank)."""
    shapes = {"C": "disc", "D": "square", " ": "ring"}
    sprites = [Sprite(0, i, player_colour(i), shapes[letter]) for i, letter in enumerate(letters)]
    return grid_image(empty_floor(1, len(letters)), sprites)


def rows(digits: str, actions: int) -> np.ndarray:
    """A joint action where there are more than two actions, one digit per player: one column per player, with a disc in
    the row of its action, and no disc at the start (blanks)."""
    places = [(int(digit), i) for i, digit in enumerate(digits) if digit != " "]
    return grid_image(
        empty_floor(actions, len(digits)), [Sprite(row, i, player_colour(i), "disc") for row, i in places]
    )
