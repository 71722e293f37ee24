"""What players of commons harvest see: planes of symbols, of the whole map or of a window that turns with the player."""

import jax
import jax.numpy as jnp
import numpy as np

from envs.harvest_maps import HarvestMap
from envs.occupancy import own_first


def one_ahead(facing: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One cell ahead of who faces 0 up, 1 right, 2 down, 3 left: rows down and columns to the right, int32."""
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
    return _planes(table, in_row, in_column, jnp.broadcast_to(facing[None], (n, n)), here, ready)


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
        [players, ahead + behind + 1, 2 x sides + 1, 7 + players] uint8: apples; walls and outside; oneself; the others
        by ascending seat; who faces up, right, down, left in this window; whether one may zap. All 0 for who is not on
        the map.
    """
    ahead, behind, sides = window
    forward, aside = np.arange(ahead, -behind - 1, -1), np.arange(-sides, sides + 1)
    down, right = (x[:, None, None] for x in one_ahead(turned))
    rows = places[:, 0, None, None] + down * forward[None, :, None] + right * aside[None, None]
    columns = places[:, 1, None, None] + right * forward[None, :, None] - down * aside[None, None]
    inside = (rows >= 0) & (rows < world.rows) & (columns >= 0) & (columns < world.columns)
    # One look at the map for both planes; what is outside is found as the wall at its end.
    table = jnp.append(_table(world, apples), np.uint8(2))
    seen = table[jnp.where(inside, rows * world.columns + columns, world.rows * world.columns)]
    is_ahead, is_aside = seen_from(places, turned, places)
    in_row, in_column = is_ahead[:, :, None] == forward[None, None], is_aside[:, :, None] == aside[None, None]
    planes = _planes(seen, in_row, in_column, (facing[None] - turned[:, None]) % 4, here, ready)
    return planes * here[:, None, None, None].astype(jnp.uint8)


def _table(world: HarvestMap, apples: jax.Array) -> jax.Array:
    """[rows x columns] uint8: 1 where there is an apple, 2 where there is a wall."""
    number = np.full((world.rows, world.columns), len(world.apples), np.int32)
    for i, cell in enumerate(world.apples):
        number[cell] = i
    for cell in world.walls:
        number[cell] = len(world.apples) + 1
    return jnp.append(apples.astype(jnp.uint8), np.array([0, 2], np.uint8))[number.reshape(-1)]


def _planes(
    table: jax.Array, in_row: jax.Array, in_column: jax.Array, facing: jax.Array, here: jax.Array, ready: jax.Array
) -> jax.Array:
    """Planes from what each player sees: cells [players, height, width], in which of its rows and columns whom,
    [players, players, ...] bool, and which way they face, [players, players] int32."""
    n = table.shape[0]
    # Whom a cell holds: 0 nobody, else 1 + 4 x seat + facing. A cell holds one player, so that a sum is a choice.
    code = jnp.where(here[None], 1 + 4 * np.arange(n, dtype=np.int32)[None] + facing, 0)
    at = in_row[:, :, :, None] & in_column[:, :, None, :]
    holds = jnp.sum(jnp.where(at, code[:, :, None, None], 0), axis=1, dtype=jnp.int32)
    seat, way = (holds - 1) // 4, (holds - 1) % 4
    order = own_first(jnp.arange(n, dtype=jnp.int32))
    planes = [table == 1, table == 2]
    planes += [seat == order[:, i, None, None] for i in range(n)]
    planes += [(way == direction) & (holds > 0) for direction in range(4)]
    planes += [jnp.broadcast_to((here & ready)[:, None, None], table.shape)]
    return jnp.stack(planes, axis=-1).astype(jnp.uint8)
