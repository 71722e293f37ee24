"""The rules of the Coin Game as a plain program over (row, column) pairs, and hand-made states, for tests to compare
with. Written from the rules as the papers state them; shares nothing with `envs.coin_game.game`.
"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs import CoinGameState
from tests.compiling import quickly

GOES = {"right": (0, 1), "left": (0, -1), "down": (1, 0), "up": (-1, 0), "stay": (0, 0)}


def names(env):
    first = ["right", "left", "down", "up"] if env.moves == "right_left_down_up" else ["left", "right", "up", "down"]
    return first + ["stay"] * env.stay


def numbers(env, *moves):
    """Actions by name."""
    return jnp.array([names(env).index(move) for move in moves], jnp.int32)


def place(env, players, coins, colour=0, step=0):
    """A state by (row, column) of the players and of the coins (one, or one of each colour)."""

    def cells(at):
        return jnp.array([row * env.grid[1] + column for row, column in at], jnp.int32)

    return CoinGameState.of(cells(players), cells(coins), jnp.int32(colour), jnp.int32(step))


def pairs(env, cells):
    return [(int(cell) // env.grid[1], int(cell) % env.grid[1]) for cell in cells]


def play(env, state, *moves, key=0, params=None):
    """One step, not jitted, as plain Python: players and coins as pairs, rewards and pickups as lists."""
    params = env.default_params if params is None else params
    obs, after, rewards, terminated, truncated, info = env.step(
        jax.random.key(key), state, numbers(env, *moves), params
    )
    return SimpleNamespace(
        obs=np.asarray(obs),
        state=after,
        players=pairs(env, after.players),
        coins=pairs(env, after.coins),
        colour=int(after.colour),
        rewards=np.asarray(rewards).tolist(),
        pickups=np.asarray(info["pickups"]).tolist(),
        terminated=bool(terminated),
        truncated=bool(truncated),
    )


def moved(env, cell, move):
    return ((cell[0] + GOES[move][0]) % env.grid[0], (cell[1] + GOES[move][1]) % env.grid[1])


def transition(env, players, coins, colour, moves):
    """What follows from the rules alone: new players' cells, rewards, pickups [player][colour], the next colour, and
    which coins are drawn anew. `players`, `coins` are pairs, `moves` names; last steps are the caller's."""
    n = env.num_players
    players = [moved(env, cell, move) for cell, move in zip(players, moves, strict=True)]
    pickups, taken = [[0] * n for _ in range(n)], []
    for c, coin in enumerate(coins):
        takers = [i for i in range(n) if players[i] == coin]
        if env.tie == "lowest_seat":
            takers = takers[:1]
        taken.append(bool(takers))
        for i in takers:
            pickups[i][colour if env.coins == "alternating" else c] = 1
    rewards = []
    for i in range(n):
        thefts = sum(pickups[j][i] for j in range(n) if j != i)
        if env.penalty == "per_coin":
            thefts = min(thefts, 1)
        others = sum(pickups[i][c] for c in range(n) if c != i)
        rewards.append(env.own * pickups[i][i] + env.other * others + env.taken * thefts)
    if env.coins == "alternating" and taken[0]:
        colour = (colour + 1) % n
    return players, rewards, pickups, colour, taken


def near(env, player, coin):
    """Whether one of the four moves leads from the player's cell to the coin's."""
    return any(moved(env, player, move) == coin for move in ("right", "left", "down", "up"))


N_KEYS = 8000


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


def coin_game(**settings):
    return envs.make("coin_game", **settings)


def one_coin(**settings):
    return coin_game(dialect="pola", **settings)


def two_coins(**settings):
    return coin_game(**{"dialect": "pax", "egocentric": False, "last_step": "play"} | settings)


def step_many(env, state, moves, params, keys):
    """The same step under many keys."""
    return quickly(jax.vmap(lambda key: env.step(key, state, numbers(env, *moves), params)))(keys)


def assert_uniform(values, size):
    """Frequencies of 0 .. size - 1 along the first axis within 5 standard errors of 1 / size."""
    values = np.asarray(values).reshape(len(values), -1)
    error = 5 * np.sqrt((1 - 1 / size) / size / len(values))
    for column in values.T:
        frequencies = np.bincount(column, minlength=size) / len(column)
        assert frequencies.shape == (size,) and np.max(np.abs(frequencies - 1 / size)) < error
