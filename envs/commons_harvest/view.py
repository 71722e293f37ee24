"""Observations of commons harvest: planes of symbols, of the whole map or of a window that rotates with the player."""

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.commons_harvest.maps import HarvestMap


def one_ahead(facing: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One cell ahead for players that face 0 up, 1 right, 2 down, 3 left: rows down and columns to the right, int32."""
    down = (facing == 2).astype(jnp.int32) - (facing == 0).astype(jnp.int32)
    right = (facing == 1).astype(jnp.int32) - (facing == 3).astype(jnp.int32)
    return down, right


def seen_from(places: jax.Array, facing: jax.Array, cells: jax.Array) -> tuple[jax.Array, jax.Array]:
    """How far cells [cells, 2] are ahead of players and to their right, each [players, cells] int32."""
    down, right = (x[:, None] for x in one_ahead(facing))
    rows = cells[None, :, 0] - places[:, None, 0]
    columns = cells[None, :, 1] - places[:, None, 1]
    return rows * down + columns * right, rows * right - columns * down


def full_view(
    world: HarvestMap, apples: jax.Array, places: jax.Array, facing: jax.Array, here: jax.Array, ready: jax.Array
) -> jax.Array:
    """The whole map, the same way up for all: [players, rows, columns, 7 + players] uint8; see `window_view`."""
    n = places.shape[0]
    table = jnp.broadcast_to(
        _table(world, apples).reshape(1, world.rows, world.columns), (n, world.rows, world.columns)
    )
    in_row = places[:, :1] == np.arange(world.rows)[None]
    in_column = places[:, 1:] == np.arange(world.columns)[None]
    in_row, in_column = (jnp.broadcast_to(lines[None], (n, *lines.shape)) for lines in (in_row, in_column))
    everybody = jnp.ones_like(here)
    return _planes(table, in_row, in_column, jnp.broadcast_to(facing[None], (n, n)), here, ready, everybody)


def window_view(
    world: HarvestMap,
    apples: jax.Array,
    places: jax.Array,
    facing: jax.Array,
    here: jax.Array,
    ready: jax.Array,
    turned: jax.Array,
    window: tuple[int, int, int],
) -> jax.Array:
    """The cells around each player.

    Args:
        world: the map.
        apples: [apple cells] bool.
        places: [players, 2] int32, row and column.
        facing: [players] int32, 0 up, 1 right, 2 down, 3 left.
        here: [players] bool, who is on the map.
        ready: [players] bool, who may zap.
        turned: [players] int32, the direction that is up in each player's window.
        window: cells ahead, behind, and to either side.

    Returns:
        [players, ahead + behind + 1, 2 x sides + 1, 7 + players] uint8: apples; walls and the outside; oneself; the
        others by ascending seat; players facing up, right, down, left in this window; whether one may zap. All 0 for a
        player that is not on the map.
    """
    ahead, behind, sides = window
    rows, columns = world.rows, world.columns
    forward = np.arange(ahead, -behind - 1, -1, dtype=np.int32)
    aside = np.arange(-sides, sides + 1, dtype=np.int32)
    down, right = (x[:, None] for x in one_ahead(turned))
    row, column = places[:, :1], places[:, 1:]
    # A line of the window is a line of the map, a row or a column, and the map's lines are words with one bit per cell,
    # so a few look-ups and shifts suffice. `line` [players, height] and `bit` [players, width] are the cells'
    # coordinates.
    upright = down != 0
    line = jnp.where(upright, row + down * forward[None], column + right * forward[None])
    bit = jnp.where(upright, column - down * aside[None], row + right * aside[None])
    lines, bits = jnp.where(upright, rows, columns), jnp.where(upright, columns, rows)
    inside = ((line >= 0) & (line < lines))[:, :, None] & ((bit >= 0) & (bit < bits))[:, None, :]
    number = jnp.clip(line, 0, lines - 1) + jnp.where(upright, 0, rows)
    shift = jnp.clip(bit, 0, bits - 1).astype(jnp.uint32)[:, None, :]

    def look_up(words: jax.Array) -> jax.Array:
        return inside & (((words[number][:, :, None] >> shift) & np.uint32(1)) == 1)

    weights = _lines(world, world.apples)
    apple = look_up(jnp.sum(jnp.where(apples[None], weights, np.uint32(0)), axis=1, dtype=jnp.uint32))
    wall = ~inside
    if world.walls:
        wall |= look_up(jnp.asarray(np.bitwise_or.reduce(_lines(world, world.walls), axis=1)))
    is_ahead, is_aside = seen_from(places, turned, places)
    in_row, in_column = is_ahead[:, :, None] == forward[None, None], is_aside[:, :, None] == aside[None, None]
    scene = apple.astype(jnp.int32) | (wall.astype(jnp.int32) << 1)
    return _planes(scene, in_row, in_column, (facing[None] - turned[:, None]) & 3, here, ready, here)


def _lines(world: HarvestMap, cells: tuple[tuple[int, int], ...]) -> np.ndarray:
    """[rows + columns, cells] uint32, the bits that cells set in the words of the map's rows and columns."""
    words = np.zeros((world.rows + world.columns, len(cells)), np.uint32)
    for number, (row, column) in enumerate(cells):
        words[row, number] = np.uint32(1 << column)
        words[world.rows + column, number] = np.uint32(1 << row)
    return words


def _table(world: HarvestMap, apples: jax.Array) -> jax.Array:
    """[rows, columns] int32: 1 where there is an apple, 2 where there is a wall."""
    number = np.full((world.rows, world.columns), len(world.apples), np.int32)
    for i, cell in enumerate(world.apples):
        number[cell] = i
    for cell in world.walls:
        number[cell] = len(world.apples) + 1
    return jnp.concatenate([apples.astype(jnp.int32), np.array([0, 2], np.int32)])[number]


def _planes(
    scene: jax.Array,
    in_row: jax.Array,
    in_column: jax.Array,
    facing: jax.Array,
    here: jax.Array,
    ready: jax.Array,
    sees: jax.Array,
) -> jax.Array:
    """Planes from what each player sees: apples (1) and walls (2) [players, height, width], which players are in which
    of its rows and columns, [players, players, ...] bool, and which way they face, [players, players]; all 0 if it sees
    nothing."""
    # A cell is a word with one bit per plane, which is faster than one plane at a time. Players are on different cells.
    n = scene.shape[0]
    seat = np.arange(n, dtype=np.int32)
    order = np.where(seat[None] == seat[:, None], 0, seat[None] + (seat[None] < seat[:, None]))  # own first
    word = np.left_shift(1, 2 + order).astype(np.int32) | (1 << (2 + n + facing))
    at = in_row[:, :, :, None] & in_column[:, :, None, :] & here[None, :, None, None]
    held = jnp.sum(jnp.where(at, word[:, :, None, None], 0), axis=1, dtype=jnp.int32)
    cells = scene | held | ((here & ready).astype(jnp.int32) << (6 + n))[:, None, None]
    cells = jnp.where(sees[:, None, None], cells, 0)
    plane = np.arange(7 + n, dtype=np.int32)[None, None, None]
    return ((cells[..., None] >> plane) & 1).astype(jnp.uint8)
