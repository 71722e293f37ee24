"""Rules of in-the-matrix games: who moves where, who plays with whom, and what a pair is paid."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.in_the_matrix.state import InTheMatrixState
from shaping.envs.in_the_matrix.view import heading, relative
from shaping.envs.matrix.checks import finite_numbers


def move(words: jax.Array, state: InTheMatrixState, forward: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """Rows and columns, each [players] int32, after the players who want to have moved forward if they can.

    Args:
        words: from `draw_words`; they decide who gets a cell that several players enter.
        state: the state before the moves.
        forward: [players] bool.
        size: size of the grid.
    """
    n, last = forward.shape[0], size - 1
    down, right = heading(state.directions)
    rows = jnp.clip(state.rows + jnp.where(forward, down, 0), 0, last)
    columns = jnp.clip(state.columns + jnp.where(forward, right, 0), 0, last)
    moves = (rows != state.rows) | (columns != state.columns)
    other = ~np.eye(n, dtype=bool)
    meet = (rows[:, None] == rows[None, :]) & (columns[:, None] == columns[None, :]) & other
    if n == 2:
        coin = (words[0] & 1) == 1
        first = jnp.stack([coin, ~coin])
        moves = moves & ~(jnp.any(meet & moves[None, :], 1) & ~first)
    else:
        # Directions use the lower halves of these words; the seat breaks ties, which have probability 2^-16.
        rank = ((words[1 : 1 + n] >> 16) << 3).astype(jnp.int32) | np.arange(n, dtype=np.int32)
        moves = moves & ~jnp.any(meet & moves[None, :] & (rank[None, :] > rank[:, None]), 1)
    # A player that had to stay blocks its cell, which may make another one stay: n - 1 rounds reach all players.
    for _ in range(n - 1):
        now_rows, now_columns = jnp.where(moves, rows, state.rows), jnp.where(moves, columns, state.columns)
        entered = (rows[:, None] == now_rows[None, :]) & (columns[:, None] == now_columns[None, :]) & other
        moves = moves & ~jnp.any(entered & ~moves[None, :], 1)
    return jnp.where(moves, rows, state.rows), jnp.where(moves, columns, state.columns)


def pairs(key: jax.Array, own: tuple[jax.Array, ...], fired: jax.Array, able: jax.Array, mutual: bool) -> jax.Array:
    """Who plays with whom, [players, players] bool, symmetric, at most one True in a row.

    Args:
        key: for the order in which pairs are taken; not needed with two players.
        own: rows, columns and directions of the players, each [players].
        fired, able: [players] bool, who interacts, and who can be part of a pair.
        mutual: whether both players of a pair must fire.
    """
    n = fired.shape[0]
    rows, columns, directions = own
    ahead, aside = relative(rows[None, :], columns[None, :], (rows[:, None], columns[:, None], directions[:, None]))
    hit = ((ahead == 1) & (jnp.abs(aside) <= 1)) | ((ahead == 2) & (aside == 0))
    hit = hit & fired[:, None]
    possible = (hit & hit.T if mutual else hit | hit.T) & able[:, None] & able[None, :]
    if n == 2:
        return possible
    numbers = np.triu(np.arange(n * n, dtype=np.uint32).reshape(n, n), 1)
    drawn = jax.random.bits(jax.random.fold_in(key, 2), (n, n)) & np.uint32(0x7FFFFFC0)
    upper = jnp.where(np.triu(np.ones((n, n), bool), 1), drawn | numbers, 0).astype(jnp.int32)
    order = upper + upper.T
    chosen = jnp.zeros((n, n), bool)
    for _ in range(n // 2):
        now = possible & (order == jnp.max(jnp.where(possible, order, -1)))
        chosen = chosen | now
        busy = jnp.any(chosen, 1)
        possible = possible & ~busy[:, None] & ~busy[None, :]
    return chosen


def pair_rewards(pairs: jax.Array, strategies: jax.Array, payoffs: jax.Array) -> jax.Array:
    """The rewards of players in pairs [players, players], [players].

    Args:
        pairs: as returned by `pairs`.
        strategies: [players, kinds], the mixtures they play.
        payoffs: [2, kinds, kinds], see `InTheMatrixParams`.
    """
    n, kinds = strategies.shape
    table = jnp.zeros((n, n), payoffs.dtype)
    lower = np.triu(np.ones((n, n), bool), 1)
    for own in range(kinds):
        for other in range(kinds):
            payoff = jnp.where(lower, payoffs[0, own, other], payoffs[1, other, own])
            table = table + strategies[:, None, own] * strategies[None, :, other] * payoff
    return jnp.sum(jnp.where(pairs, table, 0), 1)


def check_payoffs(value: Any) -> np.ndarray:
    """Payoffs as an array [2, kinds, kinds]; payoffs of role 0 alone are for a symmetric game.

    Raises:
        ValueError: for another shape, or a number that is not finite.
    """
    allowed = "finite numbers of the shape [2, kinds, kinds], or [kinds, kinds] of a symmetric game, 2 to 6 kinds"
    payoffs = finite_numbers("payoffs", value, allowed)
    if payoffs.ndim == 2:
        payoffs = np.stack([payoffs, payoffs.T]) if payoffs.shape[0] == payoffs.shape[1] else payoffs
    shape = payoffs.shape
    if len(shape) != 3 or shape[0] != 2 or shape[1] != shape[2] or not 2 <= shape[1] <= 6:
        raise ValueError(f"payoffs has the shape {list(shape)}; allowed: {allowed}")
    return payoffs
