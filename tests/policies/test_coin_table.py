"""A table for the Coin Game: the row that an observation leads to is the state as the chain numbers it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.envs.coin_game.chain import board_number, board_of, coin_chain, memory_number, num_boards, remember
from tests.compiling import quickly


def game(dialect="pola", **settings):
    return envs.make("coin_game", dialect=dialect, **settings)


def rows(policy, seen, memory):
    """Which row of the table each observation is answered from, by logits that count rows."""
    states, actions = policy.shapes.shape
    theta = jnp.zeros((states, actions)).at[:, 0].set(jnp.arange(states, dtype=float))
    distribution, memory = policy.apply(theta, seen, memory)
    return jnp.round(distribution.logits[..., 0] - distribution.logits[..., 1]).astype(jnp.int32), memory


def folds_of(env, player, folded):
    """For every unfolded board the state that the player sees, by the chain."""
    whole = board_of(env, np.arange(num_boards(env, False)), False)
    seen = coin_chain(env, folded=folded).own_states(player)
    return whole, seen[board_number(env, whole, folded)]


@pytest.mark.parametrize(
    ("settings", "folded"),
    [
        pytest.param({"dialect": "pola"}, True, marks=pytest.mark.slow),
        pytest.param({"dialect": "pola"}, False, marks=pytest.mark.slow),
        pytest.param({"dialect": "loqa"}, True, marks=pytest.mark.slow),
        ({"dialect": "mfos", "grid": (2, 3)}, False),
        pytest.param({"dialect": "pax", "grid": (2, 3)}, True, marks=pytest.mark.slow),
        pytest.param({"dialect": "jaxmarl", "grid": (2, 3)}, True, marks=pytest.mark.slow),
        ({"dialect": "reciprocator", "grid": (2, 3)}, True),
        pytest.param({"dialect": "loqa", "num_players": 3, "grid": 2}, True, marks=pytest.mark.slow),
        pytest.param(
            {"dialect": "jaxmarl", "num_players": 3, "grid": (1, 2), "stay": False}, False, marks=pytest.mark.slow
        ),
    ],
)
def test_every_observation_leads_to_the_row_of_its_state(settings, folded):
    env = game(**settings)
    for player in range(env.num_players):
        boards, expected = folds_of(env, player, folded)
        assert len(np.unique(expected)) == num_boards(env, folded)
        policy = shaping.coin_table(env, player, folded=folded)
        assert policy.start((len(expected),)) is None

        @quickly
        def answer(boards, policy=policy, player=player):
            return rows(policy, jax.vmap(env.observe, in_axes=(0, None))(boards, None)[:, player], None)[0]

        np.testing.assert_array_equal(answer(boards), expected)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"dialect": "pola"}, marks=pytest.mark.slow),
        pytest.param({"dialect": "lola2018"}, marks=pytest.mark.slow),
        pytest.param({"dialect": "reciprocator"}, marks=pytest.mark.slow),
        pytest.param({"dialect": "jaxmarl", "last_step": "play"}, marks=pytest.mark.slow),
        {"num_players": 3, "grid": 2, "view": "cyclic"},
    ],
)
def test_the_memory_that_a_policy_keeps_is_that_of_the_chain(settings):
    """Random play, step by step: the row of each player is that of the board and of who took what, from `info`."""
    env = game(**settings, horizon=40)
    n, steps, batch = env.num_players, 40, 20
    chain = coin_chain(env)

    def episode(key):
        obs, state = env.reset(key, env.default_params)

        def step(carry, key):
            state, takers = carry
            actions = jax.random.randint(key, (n,), 0, env.action_space.num_values)
            seen, after, *_, info = env.step(key, state, actions, env.default_params)
            takers = remember(takers, info["pickups"] > 0, range(n))
            return (after, takers), (seen, after, takers)

        first = (obs, state, jnp.full((n,), n, jnp.int32))
        _, later = jax.lax.scan(step, first[1:], jax.random.split(key, steps))
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, later)

    seen, states, takers = quickly(jax.vmap(episode))(jax.random.split(jax.random.key(0), batch))
    boards = np.asarray(board_number(env, states, True))
    assert len(np.unique(np.asarray(takers).reshape(-1, n), axis=0)) > 5
    for player in range(n):
        order = [player, *(seat for seat in range(n) if seat != player)]
        renamed = np.append(np.argsort(order), n)[np.asarray(takers)][..., order]
        expected = memory_number(renamed, n) * chain.num_boards + chain.own_states(player)[boards]
        policy = shaping.coin_table(env, player, last_takers=True)
        memory = policy.start((batch,))
        answer = quickly(lambda seen, memory, policy=policy: rows(policy, seen, memory))
        for time in range(steps + 1):
            found, memory = answer(seen[:, time, player], memory)
            np.testing.assert_array_equal(found, expected[:, time])


@pytest.mark.parametrize(
    ("settings", "arguments", "reason"),
    [
        ({}, {"player": 2}, "player is 2; allowed: 0 to 1"),
        ({"dialect": "pax"}, {"last_takers": True}, "last_takers is True; allowed: with egocentric false"),
        ({"dialect": "pax"}, {"folded": False}, "folded is False; allowed: with egocentric false"),
    ],
)
def test_a_table_that_cannot_tell_its_states_is_refused(settings, arguments, reason):
    with pytest.raises(ValueError, match=reason):
        shaping.coin_table(game(**settings), **arguments)
