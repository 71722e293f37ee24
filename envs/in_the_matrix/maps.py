"""Where coins lie in in-the-matrix games, and where players start and return.

"corners" is the map of Pax and JaxMARL: coins on the twelve cells at the inner corners, (1, 1), (1, 2), (2, 1) and
their mirror images, players on 18 cells at the rim. With "random" both may be anywhere.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def coin_sites(size: int) -> np.ndarray:
    """The twelve sites of "corners", [12] int32; negative positions count from the far edge."""
    sites = ((1, 1), (1, 2), (2, 1), (1, -2), (2, -2), (1, -3))
    sites += ((-2, 2), (-3, 1), (-2, 1), (-2, -2), (-2, -3), (-3, -2))
    return _cells(sites, size)


def fixed_sites(size: int, kinds: int) -> np.ndarray:
    """Sites of "corners" by kind: the last kind has the first of the twelve, as in Pax."""
    sites = coin_sites(size)
    return np.concatenate([sites[kind::kinds] for kind in reversed(range(kinds))])


def draw_sites(key: jax.Array, layout: str, size: int, kinds: int, num_coins: int, shuffle: bool) -> jax.Array:
    """The coins' sites of an episode, [kinds * num_coins] int32: those of "corners", dealt again if `shuffle`, or drawn
    from all cells; `key` is not used if they are fixed."""
    if layout == "random":
        shuffled = jax.random.permutation(jax.random.fold_in(key, 3), size**2)
        return shuffled[: kinds * num_coins].astype(jnp.int32)
    if shuffle:
        return jax.random.permutation(jax.random.fold_in(key, 3), jnp.asarray(coin_sites(size)))
    return jnp.asarray(fixed_sites(size, kinds))


def start_cells(layout: str, size: int) -> np.ndarray:
    """The cells on which players start; "corners" has 18 as in Pax, of which (2, 1) and (5, 6) of an 8 x 8 map are
    sites."""
    if layout == "random":
        return np.arange(size * size, dtype=np.int32)
    rim = ((0, 0), (1, 0), (2, 0), (0, 1), (2, 1), (-1, 0), (-2, 0), (-3, 0), (-1, 1))
    return _cells((*rim, *((-1 - row, -1 - column) for row, column in rim)), size)


def draw_words(key: jax.Array, players: int, mirrored: bool) -> jax.Array:
    """The random words of a step, uint32, from which collisions, places and directions are drawn.

    Mirrored places take two: the lowest bit of words[0] decides a collision and the other bits the place; words[1]
    holds both directions. Otherwise there are 1 + 2 players: the upper halves of words[1 : 1 + players] decide
    collisions and the lower halves directions, the last ones places; with two players words[0] decides a collision here
    too.
    """
    return jax.random.bits(key, (2 if mirrored else 1 + 2 * players,), jnp.uint32)


def mirrored_places(words: jax.Array, starts: np.ndarray, size: int) -> jax.Array:
    """Cells of two players, [2] int32, the second the point reflection of the first; uniform to 1e-4."""
    first = jnp.asarray(starts)[_below(words[0] & np.uint32(0xFFFFFFFE), len(starts))]
    return jnp.stack([first, size**2 - 1 - first])


def free_places(words: jax.Array, starts: np.ndarray, cells: jax.Array, back: jax.Array) -> jax.Array:
    """Cells of all players, [players] int32; for players who are `back` they are drawn, seat by seat, from the start
    cells on which nobody is; uniform to 1e-4."""
    n = cells.shape[0]
    cells = jnp.where(back, -1, cells)
    for player in range(n):
        free = ~jnp.any(starts[:, None] == cells[None, :], 1)
        upto = jnp.cumsum(free, dtype=jnp.int32)
        pick = _below(words[1 + n + player], upto[-1].astype(jnp.uint32))
        place = jnp.sum(jnp.where(free & (upto == pick + 1), starts, 0), dtype=jnp.int32)
        cells = jnp.where((np.arange(n) == player) & back, place, cells)
    return cells


def start_directions(words: jax.Array, players: int, mirrored: bool, count: int) -> jax.Array:
    """Directions below `count`, [players] int32, uniform to 1e-4."""
    if mirrored:
        drawn = jnp.stack([words[1] & np.uint32(0xFFFF), words[1] >> 16])
    else:
        drawn = words[1 : 1 + players] & np.uint32(0xFFFF)
    return ((drawn * np.uint32(count)) >> 16).astype(jnp.int32)


def _below(word: jax.Array, count: Any) -> jax.Array:
    """floor(word / 2^32 x count) as int32, for a count below 2^16."""
    low = ((word & np.uint32(0xFFFF)) * jnp.asarray(count, jnp.uint32)) >> 16
    return (((word >> 16) * jnp.asarray(count, jnp.uint32) + low) >> 16).astype(jnp.int32)


def _cells(places: tuple[tuple[int, int], ...], size: int) -> np.ndarray:
    return np.array([(row % size) * size + column % size for row, column in places], np.int32)


def must_be_free(num_players: int, layout: str, return_of: str) -> bool:
    """Whether there are no mirrored places on which players could start."""
    return num_players > 2 or layout == "random" or return_of == "players"
