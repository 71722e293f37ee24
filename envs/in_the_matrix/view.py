"""Observations of in-the-matrix games, as bits of egocentric windows, and the cells that beams reach."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.in_the_matrix.state import InTheMatrixState

BEAM = ((1, 0), (2, 0), (1, 1), (1, -1))
"""Cells of the beam as (ahead, to the left)."""


def heading(directions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Rows and columns of one step forward, each of the shape of `directions`.

    0 is to the right (columns grow), 1 down, 2 to the left, 3 up.
    """
    odd, sign = directions & 1, 1 - (directions & 2)
    return odd * sign, (1 - odd) * sign


def relative(rows: Any, columns: Any, own: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    """How far ahead of the players cells are, and how far to the side of the next higher direction.

    Args:
        rows, columns: of cells, broadcastable with the players.
        own: rows, columns and directions of the players, each [players].

    Returns:
        ahead, aside: int32, negative behind the player and to the other side.
    """
    own_rows, own_columns, directions = own
    down, right = heading(directions)
    by_row, by_column = rows - own_rows, columns - own_columns
    return by_row * down + by_column * right, by_row * right - by_column * down


def beam_cells(rows: jax.Array, columns: jax.Array, directions: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
    """Rows and columns of the four cells that a beam covers, some of them outside the map; each in the players'
    shape."""
    down, right = heading(directions)
    return [(rows + ahead * down + aside * right, columns + ahead * right - aside * down) for ahead, aside in BEAM]


def window_cell(ahead: jax.Array, aside: jax.Array, size: int, where: Any) -> jax.Array:
    """The index of a cell in a window of `size` x `size`, sideways major; -1 outside it and unless `where`."""
    half = size // 2
    inside = (ahead >= 0) & (ahead < size) & (aside >= -half) & (aside <= half) & where
    return jnp.where(inside, (aside + half) * size + ahead, -1)


def num_words(size: int) -> int:
    """The number of int32 words whose bits are the cells of a window."""
    return -(-size * size // 32)


def _octet_and_bit(cell: Any, size: int) -> tuple[Any, Any]:
    """Where a cell is stored: consecutive cells are in consecutive octets, which `window_planes` reads side by side."""
    octets = 4 * num_words(size)
    return cell % octets, cell // octets


def cell_bits(cell: jax.Array, size: int) -> tuple[jax.Array, ...]:
    """A cell's index as one bit of the window's words; no bit for -1."""
    words = num_words(size)
    octet, bit = (cell & 3, cell >> 2) if words == 1 else _octet_and_bit(jnp.maximum(cell, 0), size)
    one = jnp.where(cell >= 0, jnp.left_shift(1, ((octet & 3) << 3) | (bit & 7)), 0)
    return (one,) if words == 1 else tuple(jnp.where(octet >> 2 == word, one, 0) for word in range(words))


def wall_bits(own: tuple[jax.Array, ...], grid_size: int, size: int) -> tuple[jax.Array, ...]:
    """The cells of every player's window that lie outside the map, as words of bits."""
    rows, columns, directions = own
    down, right = heading(directions)
    last = grid_size - 1
    # How much of the map remains in the direction (down, right): to the far edge, or to row or column 0.
    forward = jnp.where(down + right > 0, last, 0) - jnp.where(down != 0, rows, columns)
    ahead_free = jnp.abs(forward)
    across = jnp.where(down != 0, columns, rows)
    positive = jnp.where(right - down > 0, last - across, across)
    negative = last - positive
    half = size // 2
    cells = np.arange(size * size)
    words = [jnp.zeros_like(rows) for _ in range(num_words(size))]

    def add(members: np.ndarray, outside: jax.Array) -> None:
        octet, bit = _octet_and_bit(members, size)
        for word in range(len(words)):
            mask = np.bitwise_or.reduce(np.where(octet // 4 == word, 1 << (octet % 4 * 8 + bit), 0)).astype(np.uint32)
            words[word] |= jnp.where(outside, mask.view(np.int32), 0)

    for step in range(1, size):
        add(cells[cells % size == step], ahead_free < step)
    for step in range(1, half + 1):
        add(cells[cells // size == half + step], positive < step)
        add(cells[cells // size == half - step], negative < step)
    return tuple(words)


def window_planes(words: jax.Array, numbers: jax.Array, size: int) -> jax.Array:
    """Channels of bits and repeated numbers as uint8 planes, [players, size^2, channels + numbers].

    Args:
        words: [players, channels, words] int32.
        numbers: [players, numbers] int32 in 0 .. 255.
        size: of the window.
    """
    bits, repeated = words.shape[1], numbers.shape[1]
    n, total = numbers.shape[0], bits + repeated
    octets = (words[:, :, :, None] >> np.arange(0, 32, 8, dtype=np.int32)[None, None, None]) & 255
    octets = jnp.swapaxes(octets.reshape(n, bits, -1), 1, 2)
    repeats = jnp.broadcast_to(numbers[:, None, :], (n, octets.shape[1], repeated))
    # The following is most of a step's work. It runs over long rows of bytes, each of them the octets of some cells
    # side by side, of which one bit is kept (and limited to 1); the numbers are unchanged.
    row = jnp.concatenate([octets, repeats], -1).astype(jnp.uint8).reshape(n, -1)
    row = jax.lax.optimization_barrier(row)
    rows, rest = divmod(size * size * total, row.shape[1])
    tiled = jax.lax.optimization_barrier(jnp.concatenate([row] * rows + [row[:, :rest]], 1))
    mask = np.full((size * size, total), 255, np.uint8)
    mask[:, :bits] = 1 << _octet_and_bit(np.arange(size * size), size)[1][:, None]
    most = np.tile(np.array([1] * bits + [255] * repeated, np.uint8), size * size)
    planes = jax.lax.optimization_barrier(jnp.minimum(tiled & mask.reshape(1, -1), most[None]))
    return planes.reshape(n, size * size, total)


def observation(state: InTheMatrixState, sites: tuple[Any, Any], grid_size: int, size: int, flat: bool) -> jax.Array:
    """What the players see: planes [players, size, size, planes + numbers], or flat [players, all of them]; uint8.

    `envs.InTheMatrix` says which planes and numbers there are, in this order.

    Args:
        state: the state of the game.
        sites: rows and columns of the coins' sites; constants, if every episode has the same ones, make it faster.
        grid_size: size of the map.
        size: size of the window.
        flat: whether it is a vector, the planes and then the numbers; otherwise each number is repeated over a plane.
    """
    n = state.rows.shape[0]
    bodies = state.rows, state.columns, state.directions, state.fired
    cyclic = (np.arange(n)[:, None] + np.arange(n)[None, :]) % n  # seats in the order in which each player counts them

    def window(everybody: list[tuple[jax.Array, ...]]) -> jax.Array:
        return jnp.stack([jnp.stack([*word]) for word in _window(everybody, state, sites, grid_size, size)])

    if n == 2:  # scalars, which a vmap over games turns into plain vectors
        channels = jnp.stack([window([tuple(x[seat] for x in bodies) for seat in row]) for row in cyclic])
    else:
        channels = jax.vmap(lambda seen: window([tuple(x[number] for x in seen) for number in range(n)]))(
            tuple(x[cyclic] for x in bodies)
        )
    held = jnp.minimum(state.inventories, 255)
    holds = (jnp.sum(held, 1, keepdims=True, dtype=jnp.int32) > 0).astype(jnp.int32)
    shown = jnp.where((state.frozen > 0)[:, None], held, 0)
    others = cyclic.T[1:]
    numbers = [held, holds, *(holds[seats] for seats in others), *(shown[seats] for seats in others)]
    if flat:
        planes = window_planes(channels, jnp.zeros((n, 0), jnp.int32), size).reshape(n, -1)
        return jnp.concatenate([planes, *(part.astype(jnp.uint8) for part in numbers)], 1)
    return window_planes(channels, jnp.concatenate(numbers, 1), size).reshape(n, size, size, -1)


def _window(
    bodies: list[tuple[jax.Array, ...]], state: InTheMatrixState, sites: tuple[Any, Any], grid_size: int, size: int
) -> list[tuple[jax.Array, ...]]:
    """The channels of one player's window, each as words of bits [].

    Args:
        bodies: row, column, direction and whether its beam shows, each [], of oneself and then the others.
        state, sites, grid_size, size: see `observation`.
    """
    own = bodies[0][:3]
    rows, columns = sites
    kinds = state.inventories.shape[1]

    def bits(row: Any, column: Any, where: Any) -> tuple[jax.Array, ...]:
        return cell_bits(window_cell(*relative(row, column, own), size, where), size)

    def join(left: tuple[jax.Array, ...], right: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        return tuple(a | b for a, b in zip(left, right, strict=True))

    nothing = tuple(jnp.zeros((), jnp.int32) for _ in range(num_words(size)))
    players = [bits(row, column, True) for row, column, _, _ in bodies]
    turned = [nothing] * 4
    for seen, (_, _, direction, _) in zip(players[1:], bodies[1:], strict=True):
        angle = (direction - own[2]) & 3
        turned = [join(turned[k], tuple(jnp.where(angle == k, w, 0) for w in seen)) for k in range(4)]
    coins = [nothing] * kinds
    for site in range(len(rows)):
        kind = site * kinds // len(rows)
        coins[kind] = join(coins[kind], bits(rows[site], columns[site], state.present[site]))
    wall = wall_bits(own, grid_size, size)
    beam = nothing
    for row, column, direction, fired in bodies:
        for beam_row, beam_column in beam_cells(row, column, direction):
            beam = join(beam, bits(beam_row, beam_column, fired))
    for covering in (*players, *coins, wall):
        beam = tuple(a & ~b for a, b in zip(beam, covering, strict=True))
    return jax.lax.optimization_barrier([*players, *coins, wall, beam, *turned])
