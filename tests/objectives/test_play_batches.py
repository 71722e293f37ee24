"""What a sampler says of its batches before it plays any."""

import jax
import jax.numpy as jnp
import pytest

from shaping import envs
from shaping.objectives.play_batches import Sampler
from shaping.policies import default_kind
from shaping.policies.kinds import NETWORKS, OTHERS


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize(("name", "settings"), [("ipd", {}), ("coin_game", {}), ("cournot", {"horizon": 2})])
def test_shapes_and_types_of_a_batch_are_those_that_play_gives_it(name, settings, x64):
    with jax.enable_x64(x64):
        env = envs.make(name, **settings)
        kind = default_kind(env.observation_space, env.action_space)
        policies = [({**NETWORKS, **OTHERS}[kind])(env, seat) for seat in range(env.num_players)]
        sampler = Sampler(env, policies, env.default_params, 0.9, 3, 2)
        key = jax.random.key(0)
        thetas = [jax.eval_shape(lambda p=p: p.init(key, jnp.float32(1))) for p in policies]
        batch = jax.eval_shape(sampler.play, thetas, key)
        for what, like in sampler.seen.items():
            found = getattr(batch, what)
            assert (found.shape, found.dtype) == (like.shape, like.dtype), what
