"""States of CleanUp-lite and steps from them, for its tests."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from shaping import envs
from shaping.envs.clean_up.game import CleanUpState
from tests.compiling import quickly

UP, RIGHT, DOWN, LEFT, STAY, ZAP = range(6)
ENV = envs.make("clean_up")
STEP = quickly(ENV.step)
QUIET = ENV.default_params.replace(pollution=jnp.float32(0), zap_success=jnp.float32(1))
"""No new dirt; nothing grows either while three cells are dirty. What happens is then what players do."""


def state_of(places, dirt=(0, 1, 2), apples=(), frozen=None, rows=5):
    return CleanUpState(
        places=jnp.array(places, jnp.int32),
        frozen=jnp.array(frozen or [0] * len(places), jnp.int32),
        dirt=jnp.array(np.isin(np.arange(rows), list(dirt))),
        apples=jnp.array(np.isin(np.arange(rows), list(apples))),
        step=jnp.int32(0),
    )


def play(state, *joint_actions, params=QUIET):
    """The last step's (state, rewards, info)."""
    for number, actions in enumerate(joint_actions):
        _, state, rewards, _, _, info = STEP(jax.random.key(number), state, jnp.array(actions), params)
    return state, np.asarray(rewards).tolist(), info


@partial(quickly, static_argnums=(0, 4))
def repeat(env, state, actions, params, times):
    """What follows a state, many times over."""
    keys = jax.random.split(jax.random.key(5), times)
    return jax.vmap(lambda key: env.step(key, state, actions, params)[1])(keys)


def within(count, trials, probability):
    """Whether a count is within four standard errors of what a probability makes expect."""
    error = np.sqrt(np.maximum(probability * (1 - probability), 1e-12) / trials)
    return np.all(abs(np.asarray(count) / trials - probability) <= 4 * error)
