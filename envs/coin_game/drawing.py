"""Pictures and texts of the Coin Game."""

from collections.abc import Sequence

import numpy as np

from shaping.envs.coin_game.state import CoinGameState
from shaping.envs.drawing import Sprite, empty_floor, grid_image, player_colour


def image(state: CoinGameState, grid: tuple[int, int], colours: Sequence[int]) -> np.ndarray:
    """The board from above: coins are discs, players are rings of their colour, the widest for the lowest seat.

    Args:
        state: one state.
        grid: rows and columns.
        colours: the colours of the coins, in the state's order.
    """
    columns = grid[1]
    cells = np.asarray(state.coins)
    sprites = [
        Sprite(*divmod(int(cell), columns), player_colour(c), "disc", 0.42 - 0.1 * (list(cells[:i]).count(cell)))
        for i, (c, cell) in enumerate(zip(colours, cells, strict=True))
    ]
    for i, cell in enumerate(np.asarray(state.players)):
        sprites.append(Sprite(*divmod(int(cell), columns), player_colour(i), "ring", 0.95 - 0.07 * i))
    return grid_image(empty_floor(*grid), sprites)


def text(state: CoinGameState, grid: tuple[int, int], colours: Sequence[int]) -> str:
    """A board on which 0, 1, ... are players and a, b, ... the coins of their colours; for the arguments see
    `image`."""
    rows, columns = grid
    cells = [""] * (rows * columns)
    for i, cell in enumerate(np.asarray(state.players)):
        cells[cell] += str(i)
    for c, cell in zip(colours, np.asarray(state.coins), strict=True):
        cells[cell] += "abcdefgh"[c]
    width = max(1, *map(len, cells))
    board = [" ".join(cells[r * columns + c].ljust(width, ".") for c in range(columns)) for r in range(rows)]
    return "\n".join([f"step {int(state.step)}", *board])
