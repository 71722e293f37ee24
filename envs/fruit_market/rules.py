"""The rules of the fruit market apart from barter: moves, weariness, and the harvest."""

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.fruit_market.maps import MarketMap
from shaping.envs.fruit_market.state import FruitMarketParams, FruitMarketState
from shaping.envs.grid.occupancy import enters, happens

FULL = 18
"""Stamina of a rested player."""
_TIRED = 6
"""Up to this stamina a move makes weary."""
_WEARY_STEPS, _EXHAUSTED_STEPS = 2, 6
"""Steps without moves after a move of a tired player, and after one with no stamina left."""
MOVES = ("stay", "up", "right", "down", "left")
_STEPS = np.array([[0, 0], [-1, 0], [0, 1], [1, 0], [0, -1]], np.int32)


def move(places: jax.Array, chosen: jax.Array, words: jax.Array, world: MarketMap) -> jax.Array:
    """Where players are after their moves, [players, 2] int32.

    Args:
        places: [players, 2] int32.
        chosen: [players] int32, indices of `MOVES`.
        words: [players] uint32, random, to decide who enters a cell.
        world: the map.
    """
    targets = places + jnp.asarray(_STEPS)[chosen]
    limits = np.array([world.rows, world.columns], np.int32)[None]
    inside = jnp.all((targets >= 0) & (targets < limits), axis=1)
    onto = jnp.clip(targets, 0, limits - 1)
    free = inside & ~jnp.asarray(world.walls)[onto[:, 0], onto[:, 1]]
    everybody = jnp.ones(places.shape[0], bool)
    entered = enters(places, targets, everybody, (chosen > 0) & free, words)
    return jnp.where(entered[:, None], targets, places)


def body(
    state: FruitMarketState,
    moved: jax.Array,
    ate: jax.Array,
    on_tree: jax.Array,
    on_water: jax.Array,
    params: FruitMarketParams,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Hunger, stamina, moves and weariness after a step; see `FruitMarketState`.

    Args:
        state: the state before.
        moved: [players] bool, who made a move, whether or not it got anywhere.
        ate: [players] bool.
        on_tree, on_water: [players] bool, where players stand after the step.
        params: the game's numbers.
    """
    weary = state.weary > 0
    hunger = jnp.where(ate, 0, state.hunger + 1)
    costs = moved & (state.moves == 1)
    rests = ~moved & ~weary & ~on_tree
    stamina = state.stamina - costs.astype(jnp.int32) + rests.astype(jnp.int32)
    stamina = jnp.clip(stamina, 0, FULL)
    stamina = stamina - jnp.where(hunger >= params.hunger_delay, 1, 0) - jnp.where(on_water, params.water_cost, 0)
    stamina = jnp.clip(stamina, 0, FULL)
    stops = jnp.where(stamina == 0, _EXHAUSTED_STEPS, jnp.where(stamina <= _TIRED, _WEARY_STEPS, 0))
    return (
        hunger,
        stamina,
        jnp.where(moved, 1 - state.moves, state.moves),
        jnp.where(moved, stops, jnp.maximum(state.weary - 1, 0)),
    )


def harvest(
    state: FruitMarketState, cells: jax.Array, kinds: np.ndarray, words: jax.Array, params: FruitMarketParams
) -> tuple[jax.Array, jax.Array]:
    """What players harvest, [players, fruit] int32, and `ripe_in` after the step.

    Args:
        state: the state before.
        cells: [players] int32, where they stand after their moves.
        kinds: [players] int, the fruit that each of them grows.
        words: [players] uint32, random.
        params: the game's numbers.
    """
    fruit = state.trees[cells] - 1
    ripe = (fruit >= 0) & (state.ripe_in[cells] == 0)
    chance = jnp.where(fruit == kinds, params.own_tree_chance, params.other_tree_chance)
    works = ripe & happens(words, chance)
    got = jnp.where(works[:, None] & (fruit[:, None] == np.arange(2, dtype=np.int32)[None]), params.harvest, 0)
    grown = jnp.maximum(state.ripe_in - 1, 0)
    # A cell holds one player; the others write past the end.
    last = state.ripe_in.shape[0]
    return got, grown.at[jnp.where(works, cells, last)].set(params.regrowth, mode="drop")
