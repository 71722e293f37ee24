"""Observations of a Coin Game: one-hot planes, in the orders and frames that published programs use."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

VIEWS = ("shared", "self_first", "cyclic", "rolled")
LAYOUTS = ("channels_first", "channels_last")


def channel_order(view: str, player: int, num_players: int) -> list[int]:
    """The position of each plane for one player; planes are players 0 .. n-1, then coins of colours 0 .. n-1."""
    n = num_players
    if view == "shared":
        seats = list(range(n))
    elif view == "self_first":
        seats = [player, *(seat for seat in range(n) if seat != player)]
    elif view == "cyclic":
        seats = [(player + offset) % n for offset in range(n)]
    else:
        return [(channel + 2 * player) % (2 * n) for channel in range(2 * n)]
    return [*seats, *(n + seat for seat in seats)]


def planes(
    players: Sequence[jax.Array],
    coins: Sequence[jax.Array],
    grid: tuple[int, int],
    view: str,
    egocentric: bool,
    layout: str,
    flat: bool,
    dtype: str,
) -> jax.Array:
    """Observations of all players.

    Args:
        players: their cells, int32 scalars.
        coins: the cell of the coin of each colour, -1 for none.
        grid: rows and columns.
        view, egocentric, layout, flat, dtype: see `envs.CoinGame`.

    Returns:
        [players, 2n, rows, columns], [players, rows, columns, 2n], or these flattened after the first axis.
    """
    n, (rows, columns) = len(players), grid
    everything = [*players, *coins]
    seen = []
    for i in range(n):
        at = [everything[channel] for channel in channel_order(view, i, n)]
        if egocentric:
            at = [_shifted(cell, players[i], grid) for cell in at]
        seen.append(_one_hot(at, rows * columns, layout))
    shape = (n, 2 * n, rows, columns) if layout == "channels_first" else (n, rows, columns, 2 * n)
    return jnp.stack(seen).astype(jnp.dtype(dtype)).reshape((n, -1) if flat else shape)


def _one_hot(at: Sequence[jax.Array], cells: int, layout: str) -> jax.Array:
    """One plane per channel, 1 at its cell and 0 elsewhere, flattened in the layout's order: [2n x cells] bool.

    The planes are built as bits of a few words, several channels per word, and extracted with constant masks. This
    takes a third of the time of comparing every entry, and observations are the most expensive part of a step.
    """
    channels = len(at)
    if cells > 32:
        place = jnp.arange(channels * cells, dtype=jnp.int32)
        found = jnp.zeros(channels * cells, bool)
        for c, cell in enumerate(at):
            code = cells * c + cell if layout == "channels_first" else channels * cell + c
            found = found | (place == jnp.where(cell < 0, -1, code))
        return found
    together = 32 // cells
    words = [jnp.uint32(0) for _ in range(-(-channels // together))]
    masks = np.zeros((len(words), channels, cells), np.uint32)
    for c, cell in enumerate(at):
        first = c % together * cells
        bit = jnp.uint32(1) << (cell + first).astype(jnp.uint32)
        words[c // together] = words[c // together] | jnp.where(cell < 0, jnp.uint32(0), bit)
        masks[c // together, c] = 1 << (first + np.arange(cells, dtype=np.uint32))
    if layout == "channels_last":
        masks = masks.swapaxes(1, 2)
    found = jnp.zeros(channels * cells, jnp.uint32)
    for word, mask in zip(words, masks.reshape(len(words), -1), strict=True):
        found = found | (word & jnp.asarray(mask))
    return found != 0


def _shifted(cell: jax.Array, middle: jax.Array, grid: tuple[int, int]) -> jax.Array:
    """The cell as seen by a player in the middle of the board; -1 stays -1."""
    rows, columns = grid
    row = (cell // columns - middle // columns + rows // 2) % rows
    column = (cell % columns - middle % columns + columns // 2) % columns
    return jnp.where(cell < 0, -1, row * columns + column)
