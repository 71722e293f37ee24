"""Scripted players of the grid worlds that walk to what they want: one observation in, an action or logits out.

They see only what the environment shows them, and remember nothing. Those that see a window walk at random while it
shows nothing that they are looking for.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.clean_up.game import CleanUp
from shaping.envs.commons_harvest.game import CommonsHarvest
from shaping.envs.fruit_market.game import EAT_OTHER, EAT_OWN, OFFERS, FruitMarket
from shaping.envs.fruit_market.view import PLANES
from shaping.envs.in_the_matrix.game import ACTIONS, InTheMatrix

_NEVER = -1e4
# Chance of a random move: without it a player that runs into an obstacle would do so for ever.
_ASTRAY = 0.1
Move = Callable[[Any, jax.Array], jax.Array]


def nearest(wanted: jax.Array, row: jax.Array, column: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Where the nearest wanted cell is, counted in steps; of equally near ones the first in reading order.

    Args:
      wanted: [rows, columns] bool.
      row, column: [] int32, the starting cell.

    Returns:
      (whether there is one, rows down to it, columns to the right to it).
    """
    rows, columns = wanted.shape
    down, right = jnp.arange(rows)[:, None] - row, jnp.arange(columns)[None] - column
    steps = jnp.where(wanted, jnp.abs(down) + jnp.abs(right), rows + columns)
    place = jnp.argmin(steps)
    return jnp.any(wanted), place // columns - row, place % columns - column


def direction(down: jax.Array, right: jax.Array) -> jax.Array:
    """0 up, 1 right, 2 down, 3 left, along the longer distance first; 4 if there is nowhere to go."""
    along_rows = jnp.abs(down) >= jnp.abs(right)
    vertical, horizontal = jnp.where(down < 0, 0, 2), jnp.where(right > 0, 1, 3)
    return jnp.where((down == 0) & (right == 0), 4, jnp.where(along_rows, vertical, horizontal))


def _mixed(action: jax.Array, others: tuple[int, ...], chance: Any, actions: int) -> jax.Array:
    """Logits [actions]: `action`, or with this chance one of `others`, equally likely."""
    numbers = jnp.arange(actions)
    astray = jnp.isin(numbers, jnp.array(others)) * chance / len(others)
    probabilities = (numbers == action) * (1 - chance) + astray
    return jnp.where(probabilities > 0, jnp.log(jnp.where(probabilities > 0, probabilities, 1)), _NEVER)


def _clean_up(env: CleanUp, observation: jax.Array, cleans_from: float) -> jax.Array:
    """To the nearest dirt if at least so many cells are dirty, otherwise to the nearest apple; if there is none it
    waits in the river or the orchard."""
    rows, columns = env.rows, env.columns
    if env.observation == "planes":
        dirt, apples = observation[:, -1, 0] > 0, observation[:, 0, 1] > 0
        place = jnp.argmax(observation[:, :, 2])
        row, column = place // columns, place % columns
    else:
        dirt, apples = observation[:rows] > 0, observation[rows : 2 * rows] > 0
        own = observation[2 * rows : 3 * rows + columns]
        row, column = jnp.argmax(own[:rows]), jnp.argmax(own[rows:])
    cleans = jnp.sum(dirt) >= cleans_from
    home = jnp.where(cleans, columns - 1, 0)
    wanted = jnp.zeros((rows, columns), bool).at[:, home].set(jnp.where(cleans, dirt, apples))
    found, down, right = nearest(wanted, row, column)
    way = direction(jnp.where(found, down, 0), jnp.where(found, right, home - column))
    # Somebody may stand in the way, so now and then it steps aside.
    return _mixed(way, (0, 1, 2, 3), jnp.where(way == 4, 0, _ASTRAY), env.action_space.num_values)


def cleaners(env: CleanUp) -> Mapping[str, Move]:
    """Players of CleanUp-lite by name."""
    del env
    return {
        "CLEANS": lambda env, observation: _clean_up(env, observation, 0),
        "EATS": lambda env, observation: _clean_up(env, observation, jnp.inf),
        "BOTH": lambda env, observation: _clean_up(env, observation, 2),
    }


def _harvest(env: CommonsHarvest, observation: jax.Array, keeps: int) -> jax.Array:
    """To the nearest apple with at least `keeps` others within a distance of 2. It waits if all apples it sees have
    fewer, and walks around if it sees none."""
    apples, own = observation[:, :, 0] > 0, observation[:, :, 2] > 0
    walls, place = observation[:, :, 1] > 0, jnp.argmax(own)
    rows, columns = apples.shape
    row, column = place // columns, place % columns
    apples = apples & ~own  # an apple on one's own cell is eaten by any action
    found, down, right = nearest(apples & (_near(apples) >= keeps), row, column)
    waits = ~found & jnp.any(apples)
    # Which way each player faces: up, right, down, left of the picture; in a rotated window everybody sees itself face
    # up.
    first = 2 + env.num_players
    facing = jnp.argmax(observation[row, column, first : first + 4])
    step = direction(down, right)
    if env.movement == "compass":
        wanted, moves = step + 1, (1, 2, 3, 4)
        astray = jnp.where(found, _ASTRAY, jnp.where(waits, 0, 1))
        return _mixed(jnp.where(found, wanted, 0), moves, astray, len(env.actions))
    forward, backward, left, right_hand, turn_left, turn_right = range(1, 7)
    moves = jnp.array([forward, right_hand, backward, left, 0])
    relative = jnp.where(step == 4, 4, (step - facing) % 4)
    ahead_row = row + jnp.where(facing == 2, 1, 0) - jnp.where(facing == 0, 1, 0)
    ahead_column = column + jnp.where(facing == 1, 1, 0) - jnp.where(facing == 3, 1, 0)
    off = (ahead_row < 0) | (ahead_row >= rows) | (ahead_column < 0) | (ahead_column >= columns)
    blocked = off | walls[jnp.clip(ahead_row, 0, rows - 1), jnp.clip(ahead_column, 0, columns - 1)]
    roam = jnp.where(blocked, turn_right, forward)
    chosen = jnp.where(found, moves[relative], jnp.where(waits, 0, roam))
    astray = jnp.where(waits, 0, _ASTRAY)
    return _mixed(chosen, (forward, left, right_hand, turn_left, turn_right), astray, len(env.actions))


def _near(apples: jax.Array) -> jax.Array:
    """How many other apples are within a (Euclidean) distance of 2 of each cell, [rows, columns] int32."""
    rows, columns = apples.shape
    padded = jnp.pad(apples.astype(jnp.int32), 2)
    reach = [(i, j) for i in range(-2, 3) for j in range(-2, 3) if 0 < i * i + j * j <= 4]
    return sum(
        (padded[2 + i : 2 + i + rows, 2 + j : 2 + j + columns] for i, j in reach), jnp.zeros(apples.shape, jnp.int32)
    )


def harvesters(env: CommonsHarvest) -> Mapping[str, Move]:
    """Players of commons harvest by name. The sustainable one leaves apples with fewer than three others nearby; with
    three or more, apples grow back fastest."""
    del env
    return {
        "GREEDY": lambda env, observation: _harvest(env, observation, 0),
        "SUSTAINABLE": lambda env, observation: _harvest(env, observation, 3),
    }


def _gather(env: InTheMatrix, observation: jax.Array, kind: int) -> jax.Array:
    """Takes coins of one kind, never another kind on purpose, and plays once it holds two and somebody is in reach."""
    size, n, kinds = env.view_size, env.num_players, env.num_kinds
    cells = size * size * env.num_planes
    if env.observation == "planes":
        planes, numbers = observation[:, :, : env.num_planes], observation[0, 0, env.num_planes :]
    else:
        planes, numbers = observation[:cells].reshape(size, size, env.num_planes), observation[cells:]
    # The window is [sideways, ahead], with the player itself in the middle of its first column.
    half = size // 2
    others = jnp.any(planes[:, :, 1:n] > 0, axis=-1)
    coins = planes[:, :, n : n + kinds] > 0
    wrong = jnp.any(coins, axis=-1) & ~coins[:, :, kind]
    wall = planes[:, :, n + kinds] > 0
    held = numbers[kind] >= 2
    beam = [(half, 1), (half + 1, 1), (half - 1, 1), *([(half, 2)] if size > 2 else [])]
    in_reach = jnp.any(jnp.stack([others[cell] for cell in beam]))
    wanted = jnp.where(held & jnp.any(others), others, coins[:, :, kind])
    found, aside, ahead = nearest(wanted, jnp.int32(half), jnp.int32(0))
    turn_left, turn_right, forward, interact = (
        ACTIONS.index(name) for name in ("turn_left", "turn_right", "forward", "interact")
    )
    turn = jnp.where(aside > 0, turn_right, turn_left)
    goes = found & (ahead > 0) & ((ahead >= jnp.abs(aside)) | (jnp.abs(aside) == 0))
    chosen = jnp.where(found & ~goes, turn, forward)
    chosen = jnp.where((chosen == forward) & (wall[half, 1] | wrong[half, 1]), turn, chosen)
    plays = held & in_reach
    return _mixed(
        jnp.where(plays, interact, chosen),
        (turn_left, turn_right),
        jnp.where(plays, 0, _ASTRAY),
        len(ACTIONS),
    )


def gatherers(env: InTheMatrix) -> Mapping[str, Move]:
    """Players of an in-the-matrix game by name: one for each kind of coins, which plays only that kind."""
    names = ("ALLC", "ALLD") if env.num_kinds == 2 else tuple(f"ALL_{kind}" for kind in range(env.num_kinds))
    return {
        name: (lambda env, observation, kind=kind: _gather(env, observation, kind)) for kind, name in enumerate(names)
    }


def _farm(env: FruitMarket, observation: jax.Array, trades: bool) -> jax.Array:
    """Walks to the nearest ripe tree of its own fruit, around if it sees none, and eats its own fruit; or offers it one
    for one, keeps the offer while it stands, and eats what it gets for it."""
    side = 2 * env.sides + 1
    window, numbers = (
        observation[: side * side * PLANES].reshape(side, side, PLANES),
        observation[side * side * PLANES :],
    )
    found, down, right = nearest(window[:, :, 0] > 0, jnp.int32(env.sides), jnp.int32(env.sides))
    way = direction(down, right)
    step = jnp.where(way == 4, 0, way + 1)
    walks = _mixed(jnp.where(found, step, 0), (1, 2, 3, 4), jnp.where(found, _ASTRAY, 1), env.action_space.num_values)
    own, other = numbers[0] > 0, numbers[1] > 0
    if not trades:
        return jnp.where(own, _certainly(EAT_OWN, env), walks)
    offers = numbers[2] < 0
    # The first offer is one for one.
    walks = jnp.where(own & ~offers, _certainly(OFFERS, env), walks)
    return jnp.where(other, _certainly(EAT_OTHER, env), walks)


def _certainly(action: int, env: FruitMarket) -> jax.Array:
    """Logits [actions] of a certain action."""
    return jnp.where(jnp.arange(env.action_space.num_values) == action, 0, jnp.asarray(_NEVER, float))


def farmers(env: FruitMarket) -> Mapping[str, Move]:
    """Players of the fruit market by name."""
    del env
    return {
        "TRADES": lambda env, observation: _farm(env, observation, True),
        "SELF_SUFFICIENT": lambda env, observation: _farm(env, observation, False),
    }
