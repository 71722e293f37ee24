"""Observations of the fruit market: a window of planes, and numbers, as one vector."""

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.fruit_market import trading
from shaping.envs.fruit_market.maps import MarketMap
from shaping.envs.fruit_market.rules import FULL
from shaping.envs.fruit_market.state import FruitMarketParams, FruitMarketState
from shaping.envs.grid.player_order import others

PLANES = 8
"""Ripe trees of the own and the other fruit, unripe ones, farmers of the own and the other fruit, water, walls."""
# Bits of a cell, by fruit where there are two.
_RIPE, _UNRIPE, _FARMER, _WATER, _WALL = 0, 2, 4, 6, 7
_SOME = 5.0
"""Fruit at which a number of fruit is shown as 1/2."""


def size(players: int, sides: int) -> int:
    """How many numbers a player sees."""
    return PLANES * (2 * sides + 1) ** 2 + 7 + 4 * (players - 1)


def seen(
    state: FruitMarketState, params: FruitMarketParams, world: MarketMap, kinds: np.ndarray, sides: int, largest: int
) -> jax.Array:
    """What all players see, [players, size] float32; `FruitMarket.observation_space` describes it."""
    n = len(kinds)
    windows = _windows(state, world, kinds, sides)
    # The own fruit first, then the other.
    order = np.stack([kinds, 1 - kinds], axis=1)
    held = jnp.take_along_axis(state.held, order, axis=1).astype(jnp.float32)
    public = jnp.where(trading.standing(state.offers, state.held)[:, None], state.offers, 0)
    offers = jnp.take_along_axis(public, order, axis=1).astype(jnp.float32) / largest
    hunger = state.hunger.astype(jnp.float32) / params.hunger_delay.astype(jnp.float32)
    body = jnp.stack([jnp.minimum(hunger, 1), state.stamina.astype(jnp.float32) / FULL], axis=1)
    own = jnp.concatenate([held / (held + _SOME), offers, body, (state.weary > 0).astype(jnp.float32)[:, None]], axis=1)

    near = close(state.places, params)
    seats = np.array(others(n), np.int32).reshape(n, n - 1)
    same = (kinds[seats] == kinds[:, None]).astype(np.float32)
    within = jnp.take_along_axis(near, seats, axis=1)
    theirs = jnp.stack([public[seats, order[:, :1]], public[seats, order[:, 1:]]], axis=2).astype(jnp.float32) / largest
    theirs = jnp.where(within[:, :, None], theirs, 0)
    about = jnp.concatenate([jnp.asarray(same)[:, :, None], within.astype(jnp.float32)[:, :, None], theirs], axis=2)
    return jnp.concatenate([windows.reshape(n, -1), own, about.reshape(n, -1)], axis=1)


def close(places: jax.Array, params: FruitMarketParams) -> jax.Array:
    """Who is within the trade radius of whom, [players, players] bool."""
    apart = places[:, None] - places[None]
    return jnp.sum(apart * apart, axis=2) <= params.radius * params.radius


def _windows(state: FruitMarketState, world: MarketMap, kinds: np.ndarray, sides: int) -> jax.Array:
    """[players, height, width, planes] float32."""
    ripe = state.ripe_in == 0
    fruit = jnp.maximum(state.trees - 1, 0)
    bit = jnp.where(ripe, _RIPE, _UNRIPE) + fruit
    base = (world.water.astype(np.int32) << _WATER) | (world.walls.astype(np.int32) << _WALL)
    cells = jnp.where(state.trees > 0, jnp.left_shift(1, bit), 0).reshape(world.rows, world.columns) | base
    # One player a cell, so that adding its bit sets it.
    farmers = jnp.asarray(1 << (_FARMER + kinds), jnp.int32)
    cells = cells.at[state.places[:, 0], state.places[:, 1]].add(farmers)
    padded = jnp.pad(cells, sides, constant_values=1 << _WALL)
    reach = np.arange(2 * sides + 1, dtype=np.int32)
    rows, columns = state.places[:, :1] + reach[None], state.places[:, 1:] + reach[None]
    around = padded[rows[:, :, None], columns[:, None, :]]
    own, other = kinds, 1 - kinds
    planes = [_RIPE + own, _RIPE + other, _UNRIPE + own, _UNRIPE + other, _FARMER + own, _FARMER + other]
    planes += [np.full_like(kinds, _WATER), np.full_like(kinds, _WALL)]
    shift = np.stack(planes, axis=1).astype(np.int32)[:, None, None]
    return ((around[..., None] >> shift) & 1).astype(jnp.float32)
