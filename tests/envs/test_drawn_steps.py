"""What is random in a step, drawn beforehand, plays the same step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.declarations import draw, step_drawn
from tests.compiling import quickly

GAMES = {
    "a coin reappears": {"name": "coin_game", "dialect": "loqa"},
    "a last step restarts, with noise": {"name": "coin_game", "dialect": "mfos", "noise": 0.5, "horizon": 2},
    "mistakes between two actions": {"name": "ipd", "noise": 0.5},
    "mistakes among three": {
        "name": "matrix_game",
        "payoffs": [[[0, 1, -1], [-1, 0, 1], [1, -1, 0]], [[0, -1, 1], [1, 0, -1], [-1, 1, 0]]],
        "noise": 0.7,
    },
    "nothing declared": {"name": "fishery"},
}


# Where noise and the last step draw, coins reappear too.
@pytest.mark.parametrize(
    "game", [pytest.param(game, marks=[pytest.mark.slow] * (game == "a coin reappears")) for game in GAMES]
)
def test_a_step_is_the_one_with_what_its_key_draws(game):
    env = envs.make(**GAMES[game])
    params = env.default_params
    keys = jax.random.split(jax.random.key(1), 64)

    @quickly
    def both(keys):
        def one(key):
            state = env.reset(jax.random.key(0), params)[1]
            actions = env.action_space.sample(jax.random.fold_in(key, 7), (env.num_players,))
            first = env.step(key, state, actions, params)
            then = jax.random.fold_in(key, 1)
            whole = env.step(then, first[1], actions, params)
            apart = step_drawn(env, draw(env, then, params), first[1], actions, params)
            return whole, apart

        return jax.vmap(one)(keys)

    whole, apart = both(keys)
    jax.tree.map(np.testing.assert_array_equal, whole, apart)
    if hasattr(env, "draw"):
        # What is drawn differs from key to key.
        drawn = jax.vmap(lambda key: draw(env, key, params))(keys)
        assert all(len(jnp.unique(leaf, axis=0)) > 1 for leaf in jax.tree.leaves(drawn))
