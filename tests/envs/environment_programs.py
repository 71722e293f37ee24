"""The programs by which the properties of environments are tested.

To compile them is most of what these tests cost, so each is compiled once per environment, whichever tests use it.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from shaping import envs
from shaping.envs import declarations
from tests.compiling import quickly

STEPS = 200
# Those take long to compile.
LARGE = ("in_the_matrix", "commons_harvest", "clean_up", "fruit_market")


def actions_of(env, key, shape=()):
    return env.action_space.sample(key, (*shape, env.num_players))


@cache
def reset_and_observe_of(env):
    def reset(key, params):
        obs, state = env.reset(key, params)
        return (obs, state), env.observe(state, params)

    return quickly(reset if hasattr(env, "observe") else lambda key, params: (env.reset(key, params), None))


@cache
def step_and_observe_of(env):
    def step(key, state, actions, params):
        returned = env.step(key, state, actions, params)
        return returned, env.observe(returned[1], params)

    return quickly(step if hasattr(env, "observe") else lambda *given: (env.step(*given), None))


def reset_of(env):
    return lambda *given: reset_and_observe_of(env)(*given)[0]


def step_of(env):
    return lambda *given: step_and_observe_of(env)(*given)[0]


@cache
def metrics_of(env):
    """`metrics` of counts, and of these beside those of nothing: mapped over both, and given both at once. Then the
    names in the order in which the environment returns them, which a compiled function does not keep."""
    metrics, names = partial(declarations.metrics, env), []

    def of(counts):
        both = jax.tree.map(lambda *leaves: jnp.stack(leaves), counts, declarations.start_counts(env))
        found = metrics(counts)
        names[:] = found
        return found, jax.vmap(metrics)(both), metrics(both)

    return quickly(of), names


@cache
def player(env):
    """`STEPS` steps of uniformly random actions, reset where an episode ends, in trials of two episodes: what each
    returned, stacked, and what was counted."""
    wrapped = envs.AutoReset(env, episodes=2)

    def play(key, params):
        def step(carry, time):
            state, counts = carry
            now = jax.random.fold_in(key, time)
            actions = actions_of(env, jax.random.fold_in(now, 7))
            _, after, rewards, *_, info = returned = wrapped.step(now, state, actions, params)
            counts = declarations.count(wrapped, counts, state, actions, rewards, info["episode_ended"], info)
            return (after, counts), returned

        start = (wrapped.reset(key, params)[1], declarations.start_counts(env))
        (_, counts), returned = jax.lax.scan(step, start, jnp.arange(STEPS))
        return returned, counts

    return play


@cache
def two_players_of(env):
    """Over keys and over the numbers."""
    return quickly(jax.vmap(player(env)))


@cache
def player_of(env):
    """One of two at once, except where that takes long to compile: then one program does for all tests."""
    if env.name in LARGE:
        return quickly(player(env))

    def play(key, params):
        twice = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), (key, params))
        return jax.tree.map(lambda leaf: leaf[0], two_players_of(env)(*twice))

    return play


def play_of(env):
    return lambda key, params: player_of(env)(key, params)[0]


def follow(env, key, params, played, steps):
    """Checks the first steps of what `player` returned against one step at a time from the same states."""
    played = jax.tree.map(np.asarray, played)
    _, before = reset_of(env)(key, params)
    ended_episodes = 0
    for time in range(steps):
        now = jax.random.fold_in(key, time)
        actions = actions_of(env, jax.random.fold_in(now, 7))
        obs, after, rewards, terminated, truncated, info = jax.tree.map(lambda leaf, time=time: leaf[time], played)
        plain_obs, plain, plain_rewards, *ends, _ = step_of(env)(now, before, actions, params)
        assert_close((info["terminal_observation"], rewards), (plain_obs, plain_rewards))
        assert_equal([terminated, truncated], ends)
        ended = bool(terminated | truncated)
        assert bool(info["episode_ended"]) == ended
        ended_episodes += ended
        assert bool(info["trial_ended"]) == (ended and ended_episodes % 2 == 0)
        assert int(after.episode) == ended_episodes % 2
        if not ended:
            assert_close((obs, after.env), (plain_obs, plain))
        before = after.env


def counted_of(env):
    """The counts of `STEPS` steps of random play, and how many episodes ended in it."""

    def counted(key, params):
        returned, counts = player_of(env)(key, params)
        return counts, np.sum(returned[-1]["episode_ended"])

    return counted


def assert_equal(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def assert_close(left, right):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), left, right)
