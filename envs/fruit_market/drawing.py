"""Pictures and texts of a fruit market."""

import numpy as np

from shaping.envs.drawing import FLOOR, Sprite, empty_floor, grid_image, player_colour, text_image
from shaping.envs.fruit_market.maps import MarketMap
from shaping.envs.fruit_market.measures import FRUIT
from shaping.envs.fruit_market.state import FruitMarketState

_WATER, _WALL, _LAND = (170, 205, 235), (120, 120, 115), (222, 234, 208)
_COLOURS = ((200, 40, 30), (240, 205, 40))
_UNRIPE = (135, 165, 110)


def image(world: MarketMap, state: FruitMarketState, kinds: np.ndarray) -> np.ndarray:
    """The map, and below it what everybody holds and offers.

    Discs are ripe fruit, rings unripe ones, apples red and bananas yellow; players are squares in their own colours
    with a dot in the colour of what they grow.
    """
    floor = empty_floor(world.rows, world.columns)
    for colour, cells in ((_LAND, world.bears), (_WATER, world.water), (_WALL, world.walls)):
        floor[cells] = colour
    sprites = []
    trees, ripe = (np.asarray(x).reshape(world.rows, world.columns) for x in (state.trees, state.ripe_in == 0))
    for row, column in np.argwhere(trees > 0):
        colour = _COLOURS[trees[row, column] - 1]
        if not ripe[row, column]:
            sprites.append(Sprite(int(row), int(column), _UNRIPE, "disc", 0.9))
        sprites.append(Sprite(int(row), int(column), colour, "disc" if ripe[row, column] else "ring", 0.9))
    for i, (row, column) in enumerate(np.asarray(state.places)):
        sprites.append(Sprite(int(row), int(column), player_colour(i), "square", 0.6))
        sprites.append(Sprite(int(row), int(column), _COLOURS[kinds[i]], "disc", 0.3))
    parts = [grid_image(floor, sprites), text_image("\n".join(_lines(state, kinds)))]
    width = max(part.shape[1] for part in parts)
    return np.concatenate([_widened(part, width) for part in parts])


def text(world: MarketMap, state: FruitMarketState, kinds: np.ndarray) -> str:
    """The map (digits are players, A and B ripe apples and bananas, a and b unripe ones, ~ water, W wall), and what
    everybody holds and offers."""
    letters = np.full((world.rows, world.columns), ".")
    letters[world.water], letters[world.walls] = "~", "W"
    trees, ripe = (np.asarray(x).reshape(world.rows, world.columns) for x in (state.trees, state.ripe_in == 0))
    for kind, letter in ((1, "A"), (2, "B")):
        letters[(trees == kind) & ripe], letters[(trees == kind) & ~ripe] = letter, letter.lower()
    for i, (row, column) in enumerate(np.asarray(state.places)):
        letters[row, column] = str(i % 10)
    return "\n".join([f"step {int(state.step)}", *map("".join, letters), *_lines(state, kinds)])


def _lines(state: FruitMarketState, kinds: np.ndarray) -> list[str]:
    """For example "0 (apple farmer): 2 apples, 1 banana; up to 3 apples for 1 banana"."""
    found = []
    for i, (held, offer) in enumerate(zip(np.asarray(state.held), np.asarray(state.offers), strict=True)):
        line = f"{i} ({FRUIT[kinds[i]][:-1]} farmer): {_some(held[0], 0)}, {_some(held[1], 1)}"
        if offer.any():
            asked = int(np.argmax(offer))
            line += f"; up to {_some(-offer[1 - asked], 1 - asked)} for {_some(offer[asked], asked)}"
        found.append(line)
    return found


def _some(number: int, fruit: int) -> str:
    return f"{int(number)} {FRUIT[fruit] if number != 1 else FRUIT[fruit][:-1]}"


def _widened(picture: np.ndarray, width: int) -> np.ndarray:
    """With floor on both sides."""
    missing = width - picture.shape[1]
    wide = np.tile(np.array(FLOOR, np.uint8), (picture.shape[0], width, 1))
    left = missing // 2
    wide[:, left : left + picture.shape[1]] = picture
    return wide
