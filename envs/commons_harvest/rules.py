"""The rules of commons harvest: moves, the beam, and how apples grow back."""

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.commons_harvest.maps import HarvestMap
from shaping.envs.commons_harvest.state import CommonsHarvestParams, CommonsHarvestState
from shaping.envs.commons_harvest.view import one_ahead, seen_from
from shaping.envs.grid.occupancy import draw_below, enters

TURNING = ("stay", "forward", "backward", "step left", "step right", "turn left", "turn right", "zap")
COMPASS = ("stay", "up", "right", "down", "left", "zap")

Cells = tuple[tuple[int, int], ...]
"""Rows and columns."""


def move(
    state: CommonsHarvestState,
    actions: jax.Array,
    words: jax.Array,
    back_words: jax.Array,
    world: HarvestMap,
    turning: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Where players are, where they face and how long they are away, after their moves.

    Args:
        state: the state before.
        actions: [players] int32, 0 for players off the map.
        words, back_words: [players] uint32 each, random: to decide who enters a cell, and where players return.
        world: the map.
        turning: whether actions are `TURNING`, otherwise they are `COMPASS`.
    """
    moving = (actions >= 1) & (actions <= 4)
    if turning:

        def is_to(action: str) -> jax.Array:
            return (actions == TURNING.index(action)).astype(jnp.int32)

        facing = (state.facing + is_to("turn right") - is_to("turn left")) % 4
        # Quarter turns to the right from the direction in which the player faces.
        heading = (facing + is_to("step right") + 2 * is_to("backward") + 3 * is_to("step left")) % 4
    else:
        facing = heading = jnp.where(moving, actions - 1, state.facing)
    down, right = one_ahead(heading)
    targets = state.places + jnp.stack([down, right], axis=1)

    back = state.away == 1
    starts = jnp.asarray(world.starts, jnp.int32)[draw_below(back_words, len(world.starts))]
    targets = jnp.where(back[:, None], starts, targets)
    inside = (targets >= 0) & (targets < np.array([world.rows, world.columns], np.int32)[None])
    allowed = jnp.all(inside, axis=1)
    if world.walls:
        at_wall = jnp.all(targets[:, None] == np.array(world.walls, np.int32)[None], axis=2)
        allowed &= ~jnp.any(at_wall, axis=1)
    entered = enters(state.places, targets, state.away == 0, (moving | back) & allowed, words)
    places = jnp.where(entered[:, None], targets, state.places)
    facing = jnp.where(back & entered, any_facing(back_words), facing)
    away = jnp.maximum(state.away - 1, (back & ~entered).astype(jnp.int32))
    return places, facing, jnp.maximum(away, 0)


def in_beam(places: jax.Array, facing: jax.Array, walls: Cells, params: CommonsHarvestParams) -> jax.Array:
    """[players, players] bool, whether the beam of the first would reach the second, if both are on the map."""
    ahead, aside = seen_from(places, facing, places)
    reached = (ahead >= 1) & (ahead <= params.beam_length) & (jnp.abs(aside) <= params.beam_radius)
    if not walls:
        return reached
    wall_ahead, wall_aside = seen_from(places, facing, jnp.asarray(walls, jnp.int32))
    # A wall blocks its lane of the beam from there on; next to the player it also blocks all lanes further out.
    in_lane = (wall_aside[:, None] == aside[:, :, None]) & (wall_ahead[:, None] < ahead[:, :, None])
    in_lane &= wall_ahead[:, None] >= 0
    beside = (wall_ahead[:, None] == 0) & (wall_aside[:, None] * jnp.sign(aside)[:, :, None] > 0)
    beside &= jnp.abs(wall_aside)[:, None] <= jnp.abs(aside)[:, :, None]
    return reached & ~jnp.any(in_lane | beside, axis=2)


def regrowth(apples: jax.Array, bearing: Cells, rates: jax.Array) -> jax.Array:
    """[apple cells] float, the probability that an apple grows on each cell, given the present apples [apple cells]
    bool, the cells, and the rates by number of nearby apples (`CommonsHarvestParams.regrowth`)."""
    cells = np.array(bearing)
    distance = np.sum((cells[:, None] - cells[None]) ** 2, axis=2)
    near = (distance <= 4) & (distance > 0)
    # Counts of at most 12 are exact in a product of any precision.
    counts = apples.astype(jnp.float32) @ near.astype(np.float32)
    found = jnp.broadcast_to(rates[0], counts.shape)
    for number in range(1, len(rates)):
        found = jnp.where(counts >= number, rates[number], found)
    return found


def any_facing(words: jax.Array) -> jax.Array:
    """Directions drawn uniformly from the lowest bits of words, which `draw_below` does not use."""
    return (words & np.uint32(3)).astype(jnp.int32)
