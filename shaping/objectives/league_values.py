"""Exact values and cooperation of everyone against everyone: fixed policies of a repeated two-player game.

Values are those of `shaping.objectives.exact_matrix`, in blocks of rows and columns: one compiled program computes all
pairs of a block. Tables of one round are computed scalar by scalar, longer ones through the chain of their joint
histories, and machines, which have no table, pair by pair through the chain of their joint states (`automaton_pairs`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs import MatrixGame
from shaping.objectives.automaton_pairs import machine_pairs
from shaping.objectives.behaviour_tables import each_behaviour, machine_of, memory_of, stacked
from shaping.objectives.game import value_scale
from shaping.objectives.returns_arrays import finite_returns
from shaping.objectives.returns_memory_k import num_histories, own_histories, returns_memory_k
from shaping.objectives.returns_scalars import returns_scalars
from shaping.policies.automaton import Machine

# Pairs in a block of memory-one tables: few enough for its intermediate arrays to stay in the cache.
_BLOCK = 2**17
_WIDTH = 4096


@dataclass(frozen=True)
class LeagueValues:
    """What every player earns against every other.

    Attributes:
      value: [row, column, seat], normalised value of the row's player in `seat`, with the column's player opposite.
      cooperation: [row, column, seat], the fraction of steps in which the row's player then plays C, as executed, and
        discounted like the value.
    """

    value: np.ndarray
    cooperation: np.ndarray

    @property
    def payoffs(self) -> np.ndarray:
        """[row, column], what row gets against column, averaged over seats; the payoffs of `shaping.evolution`."""
        return self.value.mean(axis=2)


def league_values(game: MatrixGame, players: Any, precision: str = "float64") -> LeagueValues:
    """Values and cooperation of all pairs of players in both orders, self-play included.

    Args:
      game: of two players, with any horizon; its payoffs, discount and noise are used.
      players: an array [players, histories] of P(choose C) after each history, the start first, as the player sees it
        (5 histories for a memory of one round, 21 for two); or a sequence of names of strategies, pairs (policy,
        theta), tables and machines.
      precision: "float64" or "float32", for tables; machines are always in float64.

    Raises:
      ValueError: a game of more players, a player that is neither table nor machine, or another precision.
    """
    if game.num_players != 2:
        raise ValueError(f"the game has {game.num_players} players; allowed: 2")
    if precision not in ("float32", "float64"):
        raise ValueError(f"precision is {precision!r}; allowed: float32, float64")
    found = each_behaviour(players)
    with jax.enable_x64(precision == "float64"):
        if isinstance(found, np.ndarray):
            value, cooperation = _of_tables(game, found, precision)
        else:
            value, cooperation = _of_several_kinds(game, found, precision)
    return LeagueValues(np.moveaxis(value, 0, -1), np.moveaxis(cooperation, 0, -1))


def _of_several_kinds(
    game: MatrixGame, found: list[np.ndarray | Machine], precision: str
) -> tuple[np.ndarray, np.ndarray]:
    """value and cooperation, [seat, row, column] each: tables in blocks, pairs with a machine in it one by one."""
    tables = np.array([number for number, one in enumerate(found) if isinstance(one, np.ndarray)], int)
    if len(tables) == len(found):
        return _of_tables(game, stacked([one for one in found if isinstance(one, np.ndarray)]), precision)
    machines = [one if isinstance(one, Machine) else machine_of(one) for one in found]
    value, cooperation = machine_pairs(game, machines, frozenset(tables.tolist()))
    if len(tables):
        both = np.ix_(np.arange(2), tables, tables)
        value[both], cooperation[both] = _of_tables(game, stacked([np.asarray(found[i]) for i in tables]), precision)
    return value, cooperation


def quantities(game: MatrixGame) -> np.ndarray:
    """Quantities that are summed over steps, [4, joint actions]: both rewards, and whether each player plays C."""
    payoffs = np.asarray(game.payoffs).reshape(2, 4)
    return np.concatenate([payoffs, [[1, 1, 0, 0], [1, 0, 1, 0]]])


def scales(game: MatrixGame) -> np.ndarray:
    """Factors [4] from discounted sums of `quantities` to values and to fractions of steps."""
    d, horizon = game.discount, game.horizon
    steps = 1 / (1 - d) if horizon is None else float(np.sum(d ** np.arange(horizon)))
    return np.array([float(value_scale(d, horizon))] * 2 + [1 / steps] * 2)


def _of_tables(game: MatrixGame, tables: np.ndarray, precision: str) -> tuple[np.ndarray, np.ndarray]:
    """value and cooperation, [seat, row, column] each."""
    n, memory = len(tables), memory_of(tables)
    noise = np.broadcast_to(np.asarray(game.noise), (2,))
    swapped = own_histories(memory) if game.state_view == "own" else np.arange(num_histories(memory))
    executed = [tables + eps * (1 - 2 * tables) for eps in noise]
    seats = [executed[0].T.astype(precision), executed[1].T[swapped].astype(precision)]
    per_step = jnp.asarray(quantities(game) * scales(game)[:, None], precision)
    discount = jnp.asarray(game.discount, precision)
    value, cooperation = np.empty((2, n, n), precision), np.empty((2, n, n), precision)
    for rows, columns in _blocks(n, memory):
        parts = zip(seats, (rows, columns), strict=True)
        sides = [jnp.asarray(_padded(side[:, part], width)) for side, (part, width) in parts]
        sums = _block(*sides, per_step, discount, memory=memory, horizon=game.horizon)
        i, j = rows[0], columns[0]
        first, second, cooperates, others = (np.asarray(x)[: _length(i), : _length(j)] for x in sums)
        value[0, i, j], value[1, j, i] = first, second.T
        cooperation[0, i, j], cooperation[1, j, i] = cooperates, others.T
    return value, cooperation


def _blocks(n: int, memory: int) -> Iterator[tuple[tuple[slice, int], tuple[slice, int]]]:
    """Slices of rows and of columns, each with the width that it is padded to; one program computes all of them."""
    size = max(1, _BLOCK // (1 if memory == 1 else 4 ** (2 * memory - 1)))
    width = min(n, _WIDTH, size)
    height = min(n, max(1, size // width))
    for i in range(0, n, height):
        for j in range(0, n, width):
            yield (slice(i, min(i + height, n)), height), (slice(j, min(j + width, n)), width)


def _length(part: slice) -> int:
    return part.stop - part.start


def _padded(side: np.ndarray, width: int) -> np.ndarray:
    return np.pad(side, ((0, 0), (0, width - side.shape[1])), mode="edge")


@partial(jax.jit, static_argnames=("memory", "horizon"))
def _block(
    rows: jax.Array, columns: jax.Array, per_step: jax.Array, discount: jax.Array, memory: int, horizon: int | None
) -> list[jax.Array]:
    """Discounted sums of each quantity, [rows, columns] each, from P(execute C) [histories, players] in seat 0's
    view."""
    if memory == 1 and horizon is None:
        shape = (rows.shape[1], columns.shape[1])
        row = [jnp.broadcast_to(state[:, None], shape) for state in rows]
        column = [jnp.broadcast_to(state[None, :], shape) for state in columns]
        return returns_scalars([row, column], [list(quantity) for quantity in per_step], discount)

    def pair(row: jax.Array, column: jax.Array) -> jax.Array:
        cooperation = jnp.stack([row, column])
        if memory == 1 and horizon is not None:
            return finite_returns(cooperation, per_step, discount, horizon)
        return returns_memory_k(cooperation, per_step, discount, memory, horizon)

    against_all = jax.vmap(pair, in_axes=(None, 1), out_axes=1)
    return list(jax.vmap(against_all, in_axes=(1, None), out_axes=1)(rows, columns))
