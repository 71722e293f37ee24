"""Sampled play agrees with the Markov chain of memory-one policies, solved densely in numpy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.envs import MatrixGame, make
from shaping.envs.matrix.game import own_view


def chain_returns(game: MatrixGame, cooperation: np.ndarray) -> np.ndarray:
    """[players] expected discounted returns from the start, unnormalised.

    cooperation: [players, states] P(choose C | state), each row in that player's own view.
    """
    n, states = game.num_players, game.num_states
    noise = np.broadcast_to(game.noise, (n,))
    executed = np.empty((n, states))  # P(execute C | shared state)
    for player, row in enumerate(own_view(n)):
        for own, shared in enumerate(row):
            p = cooperation[player, own if game.state_view == "own" else shared]
            executed[player, shared] = p * (1 - noise[player]) + (1 - p) * noise[player]
    joint = np.ones((states, 2**n))
    for index, actions in enumerate(np.ndindex(*(2,) * n)):
        for player, action in enumerate(actions):
            joint[:, index] *= executed[player] if action == 0 else 1 - executed[player]
    transition = np.hstack([np.zeros((states, 1)), joint])
    rewards = joint @ np.asarray(game.payoffs).reshape(n, 2**n).T
    if game.horizon is None:
        return np.linalg.solve(np.eye(states) - game.discount * transition, rewards)[0]
    powers = [np.linalg.matrix_power(game.discount * transition, t) for t in range(game.horizon)]
    return (sum(powers) @ rewards)[0]


@partial(jax.jit, static_argnames=("game", "count", "steps"))
def sampled_returns(game: MatrixGame, params, cooperation, count: int, steps: int) -> jax.Array:
    """[count, players] discounted returns of independent plays, cut at termination or after `steps`."""
    players = np.arange(game.num_players)

    def play(key):
        def body(carry, key):
            obs, state, total, weight = carry
            choice, noise = jax.random.split(key)
            actions = 1 - jax.random.bernoulli(choice, cooperation[players, obs]).astype(jnp.int32)
            obs, state, rewards, terminated, _, _ = game.step(noise, state, actions, params)
            total = total + weight * rewards
            return (obs, state, total, weight * params.discount * (1.0 - terminated)), None

        start = (*game.reset(key, params), jnp.zeros(game.num_players), jnp.ones(()))
        return jax.lax.scan(body, start, jax.random.split(key, steps))[0][2]

    return jax.vmap(play)(jax.random.split(jax.random.key(1), count))


def assert_agrees(returns: jax.Array, expected: np.ndarray):
    """The mean over axis 0 is within four standard errors of what is expected."""
    standard_error = np.std(returns, axis=0, ddof=1) / np.sqrt(len(returns))
    assert np.all(np.abs(np.mean(returns, axis=0) - expected) < 4 * standard_error)


def test_sampled_discounted_returns_of_many_games_at_once_agree_with_their_chains():
    rng = np.random.default_rng(3)
    games = [
        make("ipd", discount=0.9, noise=(0.05, 0.2)),
        make("matching_pennies", discount=0.8, noise=0.1),
        make("stag_hunt", discount=0.0),
        make("ipd", discount=0.5, noise=(1.0, 0.0)),
        make("matrix_game", payoffs=rng.normal(size=(2, 2, 2)), discount=0.9),
    ]
    cooperation = rng.uniform(0.05, 0.95, (len(games), 2, 5))
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[game.default_params for game in games])
    together = jax.vmap(partial(sampled_returns, games[0], count=4000, steps=150))  # 0.9**150 is 1e-7
    returns = together(params, jnp.asarray(cooperation, dtype=float))
    for i, game in enumerate(games):
        assert_agrees(returns[i], chain_returns(game, cooperation[i]))


@pytest.mark.parametrize(
    "game",
    [
        pytest.param(
            make("contribution", num_players=3, contribution_factor=1.8, discount=0.9, noise=(0.0, 0.1, 0.3)),
            id="three_players",
        ),
        pytest.param(make("ipd", discount=0.9, state_view="shared"), id="shared_view", marks=pytest.mark.slow),
        pytest.param(make("ipd", discount=0.9, horizon=3), id="finite_horizon", marks=pytest.mark.slow),
    ],
)
def test_sampled_discounted_return_agrees_with_the_chain(game):
    cooperation = np.random.default_rng(3).uniform(0.05, 0.95, (game.num_players, game.num_states))
    returns = sampled_returns(game, game.default_params, jnp.asarray(cooperation, dtype=float), 4000, 150)
    assert_agrees(returns, chain_returns(game, cooperation))


PURE = [  # P(C | start, CC, CD, DC, DD) of both players as letters, and their normalised values
    ("CCCCC", "CCCCC", (-1, -1)),
    ("DDDDD", "DDDDD", (-2, -2)),
    ("CCCCC", "DDDDD", (-3, 0)),
    ("CCDCD", "DDDDD", (-2.04, -1.92)),
    ("DCDCD", "CCDCD", (-1.469388, -1.530612)),
    ("CCDDC", "DDDDD", (-2.510204, -0.979592)),
]


def test_pure_strategies_play_to_their_known_normalised_values():
    game = make("ipd")
    cooperation = np.array([[[letter == "C" for letter in row] for row in rows] for *rows, _ in PURE], float)
    expected = np.array([values for *_, values in PURE])
    chains = [chain_returns(game, pair) for pair in cooperation]
    np.testing.assert_allclose(0.04 * np.array(chains), expected, atol=1e-6)
    play = jax.vmap(partial(sampled_returns, game, game.default_params, count=1, steps=600))
    np.testing.assert_allclose(0.04 * play(jnp.asarray(cooperation, dtype=float))[:, 0], expected, atol=1e-5)


def test_tit_for_tat_against_itself_with_noise_has_the_known_value():
    game = make("ipd", noise=0.05)
    tit_for_tat = np.array([[1.0, 1.0, 0.0, 1.0, 0.0]] * 2)
    expected = chain_returns(game, tit_for_tat)
    np.testing.assert_allclose(0.04 * expected, [-1.3676, -1.3676], atol=5e-5)
    returns = sampled_returns(game, game.default_params, jnp.asarray(tit_for_tat, dtype=float), 2000, 400)
    assert_agrees(returns, expected)
