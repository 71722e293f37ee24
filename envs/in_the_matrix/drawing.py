"""Pictures and texts of states of in-the-matrix games."""

import jax.numpy as jnp
import numpy as np

from shaping.envs.drawing import Sprite, empty_floor, grid_image, player_colour
from shaping.envs.in_the_matrix.state import InTheMatrixState
from shaping.envs.in_the_matrix.view import beam_cells

_COIN_COLOURS = ((0, 158, 115), (214, 39, 40), (230, 159, 0), (86, 180, 233), (204, 121, 167), (90, 90, 90))
_LIT = (250, 236, 150)
_ARROWS = ("right", "down", "left", "up")


def image(state: InTheMatrixState, size: int) -> np.ndarray:
    """The map: players are triangles in their direction (in a ring while frozen), coins are discs by kind, beams are
    lit. Below it, one line per player shows its colour and the numbers of coins it holds as bars, one for each kind."""
    n = state.rows.shape[0]
    num_coins = _coins_of_a_kind(state)
    floor = empty_floor(size, size)
    rows, columns = np.asarray(state.rows), np.asarray(state.columns)
    fired = np.asarray(state.fired)
    for beam_rows, beam_columns in beam_cells(*(jnp.asarray(x) for x in (rows, columns, state.directions))):
        for row, column in zip(np.asarray(beam_rows)[fired], np.asarray(beam_columns)[fired], strict=True):
            if 0 <= row < size and 0 <= column < size:
                floor[row, column] = _LIT
    sprites = []
    for number, (site, there) in enumerate(zip(np.asarray(state.sites), np.asarray(state.present), strict=True)):
        if there:
            colour = _COIN_COLOURS[number // num_coins]
            sprites.append(Sprite(int(site) // size, int(site) % size, colour, "disc", 0.45))
    for seat in range(n):
        place = int(rows[seat]), int(columns[seat]), player_colour(seat)
        if state.frozen[seat] > 0:
            sprites.append(Sprite(*place, "ring", 0.98))
        sprites.append(Sprite(*place, _ARROWS[int(state.directions[seat])], 0.6))
    picture = grid_image(floor, sprites)
    return np.concatenate([picture, *(_inventory_line(state, seat, picture.shape[1]) for seat in range(n))])


def _inventory_line(state: InTheMatrixState, seat: int, width: int) -> np.ndarray:
    kinds, num_coins = state.inventories.shape[1], _coins_of_a_kind(state)
    height = 4 * kinds + 4
    line = np.full((height, width, 3), 255, np.uint8)
    line[2:-2, 2:10] = player_colour(seat)
    unit = max(1, (width - 14) // (2 * num_coins))
    for kind in range(kinds):
        for coin in range(min(int(state.inventories[seat, kind]), (width - 14) // unit)):
            left = 14 + coin * unit
            line[2 + 4 * kind : 5 + 4 * kind, left : left + max(1, unit - 2)] = _COIN_COLOURS[kind]
    return line


def text(state: InTheMatrixState, size: int) -> str:
    """The map, with ">v<^" for directions and the seats below, coins as a, b, ..., and the inventories."""
    num_coins = _coins_of_a_kind(state)
    grid = [["."] * size for _ in range(size)]
    for number, (site, there) in enumerate(zip(np.asarray(state.sites), np.asarray(state.present), strict=True)):
        if there:
            grid[int(site) // size][int(site) % size] = "abcdef"[number // num_coins]
    lines = []
    for seat in range(state.rows.shape[0]):
        row, column, direction = (int(x[seat]) for x in (state.rows, state.columns, state.directions))
        grid[row][column] = str(seat)
        held = np.asarray(state.inventories)[seat].tolist()
        lines.append(f"player {seat} looks {_ARROWS[direction]}, holds {held}, frozen {int(state.frozen[seat])}")
    return "\n".join([f"step {int(state.step)}", *("".join(row) for row in grid), *lines])


def _coins_of_a_kind(state: InTheMatrixState) -> int:
    return state.sites.shape[0] // state.inventories.shape[1]
