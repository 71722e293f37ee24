"""The rules of the Coin Game, one by one: pure functions of cells as scalars, and of the switches that they depend on.

Cells are numbered row by row; a `grid` is (rows, columns).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from shaping.envs.coin_game.counts import any_of
from shaping.envs.coin_game.state import CoinGameState
from shaping.envs.grid.random_cells import nth_free_cell, num_words, random_free_cell, split_word


def start(
    words: jax.Array, ranges: Sequence[int], num_players: int, num_coins: int, num_cells: int, distinct: bool
) -> CoinGameState:
    """A random start.

    Args:
        words: random words, uint32.
        ranges: of the numbers drawn together, see `CoinGame.begin_ranges`; coins not included there are drawn one after
            the other from the free cells.
        num_players, num_coins, num_cells: how many there are.
        distinct: whether players must start on different cells.
    """
    shared = num_words(ranges)
    colour, *drawn = split_word(words[:shared], ranges)
    players: list[jax.Array] = []
    for rank in drawn[:num_players]:
        players.append(nth_free_cell(rank, players) if distinct else rank)
    coins = drawn[num_players:]
    if not coins:
        for c in range(num_coins):
            coins.append(random_free_cell(words[shared + c], [*players, *coins], num_cells))
    return CoinGameState(tuple(players), tuple(coins), colour, jnp.int32(0))


def by_colour(state: CoinGameState, num_players: int, coins: str) -> list[jax.Array]:
    """The cell of the coin of each colour, -1 for none; `coins` is "alternating" or "per_colour"."""
    if coins == "per_colour":
        return list(state.coin_cells)
    return [jnp.where(state.colour == c, state.coin_cells[0], -1) for c in range(num_players)]


def tremble(words: jax.Array, actions: jax.Array, noise: jax.Array, num_actions: int) -> jax.Array:
    """The executed actions, [players] int32: uniformly random ones with probability `noise` [players].

    Args:
        words: [2 x players] uint32, random.
        actions: [players] int32, the chosen ones.
        noise: [players] float.
        num_actions: how many there are.
    """
    n = len(actions)
    trembles = (words[:n] >> 8).astype(noise.dtype) * 2.0**-24 < noise
    random = (words[n:] % num_actions).astype(jnp.int32)
    return jnp.where(trembles, random, actions)


def move(cell: jax.Array, action: jax.Array, names: Sequence[str], grid: tuple[int, int]) -> jax.Array:
    """The cell that an action leads to, [] int32; `names` are the names of the actions, in order."""
    rows, columns = grid
    row, column = cell // columns, cell % columns
    does = {name: action == number for number, name in enumerate(names)}
    row = jnp.where(does["down"], jnp.where(row == rows - 1, 0, row + 1), row)
    row = jnp.where(does["up"], jnp.where(row == 0, rows - 1, row - 1), row)
    column = jnp.where(does["right"], jnp.where(column == columns - 1, 0, column + 1), column)
    column = jnp.where(does["left"], jnp.where(column == 0, columns - 1, column - 1), column)
    return row * columns + column


def adjacent(cell: jax.Array, other: jax.Array, grid: tuple[int, int]) -> jax.Array:
    """Whether one move (staying does not count) leads from one cell to the other, [] bool; never to cell -1."""
    rows, columns = grid
    down, right = (other // columns - cell // columns) % rows, (other % columns - cell % columns) % columns
    near_row = (right == 0) & ((down == 1 % rows) | (down == (rows - 1) % rows))
    near_column = (down == 0) & ((right == 1 % columns) | (right == (columns - 1) % columns))
    return (near_row | near_column) & (other >= 0)


def reach(players: Sequence[jax.Array], coins: Sequence[jax.Array], tie: str) -> list[list[jax.Array]]:
    """reached[player][coin]: who takes which coin, scalars of bool, from the cells of players after their moves."""
    reached: list[list[jax.Array]] = []
    for cell in players:
        row = [cell == coin for coin in coins]
        if tie == "lowest_seat" and reached:
            row = [here & ~any_of([lower[c] for lower in reached]) for c, here in enumerate(row)]
        reached.append(row)
    return reached


def rewards(pickups: Sequence[Sequence[jax.Array]], amounts: jax.Array, penalty: str) -> list[jax.Array]:
    """Rewards of a step, one scalar per player.

    Args:
        pickups: pickups[player][colour], scalars of bool.
        amounts: [players, 3], see `CoinGameParams.rewards`.
        penalty: "per_taker" or "per_coin".
    """
    n, dtype = len(pickups), amounts.dtype
    found = []
    for i in range(n):
        own, other, taken = (amounts[i, k] for k in range(3))
        by_others = [pickups[j][i] for j in range(n) if j != i]
        if penalty == "per_coin":
            by_others = [any_of(by_others)]
        found.append(
            own * pickups[i][i].astype(dtype)
            + other * sum(pickups[i][c].astype(dtype) for c in range(n) if c != i)
            + taken * sum(by.astype(dtype) for by in by_others)
        )
    return found


def colour_after(colour: jax.Array, reached: Sequence[Sequence[jax.Array]]) -> jax.Array:
    """The colour of the single coin, [] int32: that of the next seat if it was taken, see `reach`."""
    following = jnp.where(colour == len(reached) - 1, 0, colour + 1)
    return jnp.where(any_of([row[0] for row in reached]), following, colour)


def coins_after(
    words: jax.Array,
    players: Sequence[jax.Array],
    coins: Sequence[jax.Array],
    reached: Sequence[Sequence[jax.Array]],
    respawn: str,
    num_cells: int,
) -> list[jax.Array]:
    """Cells of the coins after a step; taken coins are drawn again.

    Args:
        words: random words, uint32: with respawn "any" those of all cells together, otherwise one per coin.
        players, coins: their cells, of players after their moves.
        reached: see `reach`.
        respawn: "free" or "any".
        num_cells: number of cells of the grid.
    """
    coins = list(coins)
    if respawn == "any":
        drawn = split_word(words, [num_cells] * len(coins))
        return [
            jnp.where(any_of([row[c] for row in reached]), new, old)
            for c, (new, old) in enumerate(zip(drawn, coins, strict=True))
        ]
    for c in range(len(coins)):
        others = [*players, *coins[:c], *coins[c + 1 :]]
        new = random_free_cell(words[c], others, num_cells)
        coins[c] = jnp.where(any_of([row[c] for row in reached]), new, coins[c])
    return coins
