"""Commons harvest: what players see, against a picture of the map that is turned and cut by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shaping import envs
from tests.compiling import quickly
from tests.envs.commons_harvest_states import (
    DOWN,
    LEFT,
    RIGHT,
    ROOM,
    state_of,
)


def picture(env, state):
    """Planes of the whole map, [rows, columns, 2 + 2 x players]: apples, walls, then places and facings by seat."""
    world, n = env.world, env.num_players
    planes = np.zeros((world.rows, world.columns, 2 + 2 * n), int)
    for ripe, cell in zip(np.asarray(state.apples), world.apples, strict=True):
        planes[(*cell, 0)] = ripe
    for cell in world.walls:
        planes[(*cell, 1)] = 1
    for seat in range(n):
        if state.away[seat] == 0:
            planes[(*state.places[seat].tolist(), 2 + seat)] = 1
            planes[(*state.places[seat].tolist(), 2 + n + seat)] = 1 + int(state.facing[seat])
    return planes


def expected_view(env, state, player, reach, turn):
    """The window of one player, out of the map by padding, turning and cutting; `reach` ahead, behind, to the sides."""
    n, pad = env.num_players, 12
    planes = np.pad(picture(env, state), ((pad, pad), (pad, pad), (0, 0)))
    inside = np.pad(np.ones((env.world.rows, env.world.columns), int), pad)
    planes[..., 1] |= 1 - inside
    marker = np.zeros(planes.shape[:2], int)
    row, column = state.places[player].tolist()
    marker[row + pad, column + pad] = 1
    quarters = int(state.facing[player]) if turn else 0
    planes, marker = np.rot90(planes, quarters), np.rot90(marker, quarters)  # to the left: what is ahead comes up
    (row,), (column,) = np.nonzero(marker)
    ahead, behind, sides = reach
    cut = planes[row - ahead : row + behind + 1, column - sides : column + sides + 1]
    order = [player, *(seat for seat in range(n) if seat != player)]
    facing = cut[..., 2 + n :].sum(-1)
    ways = [(facing > 0) & ((facing - 1 - quarters) % 4 == way) for way in range(4)]
    ready = np.full(cut.shape[:2], int(state.cooldown[player] == 0))
    view = np.stack([cut[..., 0], cut[..., 1], *(cut[..., 2 + s] for s in order), *ways, ready], -1)
    return view * int(state.away[player] == 0)


def random_state(env, seed):
    random = np.random.default_rng(seed)
    n, world = env.num_players, env.world
    free = [c for c in np.ndindex(world.rows, world.columns) if c not in world.walls]
    places = [free[i] for i in random.choice(len(free), n, replace=False)]
    return state_of(
        places,
        random.integers(0, 4, n).tolist(),
        np.flatnonzero(random.random(len(world.apples)) < 0.6).tolist(),
        (random.integers(2, 5, n) * (random.random(n) < 0.3)).tolist(),
        random.integers(0, 3, n).tolist(),
        env,
    )


@pytest.fixture(scope="module", params=["turning", "compass"])
def observed(request):
    """An environment, how its window reaches, and its step, which shows the state after it."""
    layout = ("AAWAA  A", "A    WAP", "AA  A WP", "  W   PP")
    env = envs.make("commons_harvest", layout=layout, num_players=3, movement=request.param, ahead=4, behind=1, sides=2)
    return env, (4, 1, 2) if request.param == "turning" else (2, 2, 2), quickly(env.step)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_window_is_the_map_turned_and_cut(observed, seed):
    env, reach, step = observed
    state = random_state(env, seed)
    obs, after, *_ = step(jax.random.key(seed), state, jnp.zeros(3, jnp.int32), env.default_params)
    for player in range(3):
        expected = expected_view(env, after, player, reach, env.movement == "turning")
        np.testing.assert_array_equal(obs[player], expected)


def test_the_full_view_is_the_whole_map_the_same_way_up_for_all():
    env = envs.make("commons_harvest", layout=ROOM, num_players=3, view="full")
    state = state_of([(0, 0), (2, 2), (4, 5)], [RIGHT, DOWN, LEFT], away=[0, 0, 3], cooldown=[0, 2, 0], env=env)
    obs, after, *_ = quickly(env.step)(jax.random.key(0), state, jnp.zeros(3, jnp.int32), env.default_params)
    expected = np.zeros((3, 5, 6, 10), np.uint8)
    expected[:, 4, 5, 0] = 1
    expected[:, 2, 3, 1] = 1
    for player, (own, other) in enumerate(((2, 3), (3, 2), (3, 4))):
        expected[player, 0, 0, own] = 1
        expected[player, 2, 2, other] = 1
    expected[:, 0, 0, 5 + RIGHT] = expected[:, 2, 2, 5 + DOWN] = 1
    expected[0, :, :, 9] = 1
    np.testing.assert_array_equal(obs, expected)
