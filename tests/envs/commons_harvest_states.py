"""Boards of commons harvest drawn as text, states on them, and steps from them, for its tests."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from shaping import envs
from shaping.envs.commons_harvest.game import CommonsHarvestState
from tests.compiling import quickly

STAY, FORWARD, BACKWARD, STEP_LEFT, STEP_RIGHT, TURN_LEFT, TURN_RIGHT, ZAP = range(8)
UP, RIGHT, DOWN, LEFT = range(4)

PATCH = ("  A  ", " AAA ", "AAAAA", " AAA ", "  A  ", "PPPPP")
ENV = envs.make("commons_harvest", layout=PATCH, regrowth=(0.0, 0.0, 0.0, 0.0))
PARAMS = ENV.default_params
STEP = quickly(ENV.step)
CELLS = ENV.world.apples
MIDDLE = CELLS.index((2, 2))

ROOM = ("WWWWWWWW", "WPPPPPPW", "WPPPPPPW", "WPPPWPPW", "WPPPPPPW", "WPPPPPAW", "WWWWWWWW")
"""Six columns and five rows within the wall, a pillar at row 2 and column 3, an apple at row 4 and column 5."""
HALL = envs.make("commons_harvest", layout=ROOM, regrowth=(0.0,), num_players=3, ahead=3, behind=2, sides=2)
HALL_STEP = quickly(HALL.step)


def state_of(places, facing=None, apples=None, away=None, cooldown=None, env=ENV):
    n = len(places)
    ripe = range(len(env.world.apples)) if apples is None else apples
    return CommonsHarvestState(
        places=jnp.array(places, jnp.int32),
        facing=jnp.array(facing or [UP] * n, jnp.int32),
        away=jnp.array(away or [0] * n, jnp.int32),
        cooldown=jnp.array(cooldown or [0] * n, jnp.int32),
        apples=jnp.array(np.isin(np.arange(len(env.world.apples)), list(ripe))),
        step=jnp.int32(0),
    )


def play(state, *joint_actions, params=PARAMS, step=STEP):
    """The last step's (state, rewards, info)."""
    for number, actions in enumerate(joint_actions):
        _, state, rewards, _, _, info = step(jax.random.key(number), state, jnp.array(actions), params)
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


def near(cell, others):
    return [o for o in others if o != cell and (o[0] - cell[0]) ** 2 + (o[1] - cell[1]) ** 2 <= 4]
