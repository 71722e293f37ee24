"""Plays policies in an environment: one compiled scan over a batch of independent streams of play."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

from shaping.envs import declarations
from shaping.envs.environment import check_integer
from shaping.policies.fits_environment import check_policies
from shaping.policies.policy import Policy

# Folded into a key for the first reset; steps are numbered below it.
_RESET = 0xFFFFFFFF


@struct.dataclass
class Trajectory:
    """What happened, with time as the first axis.

    Attributes:
      observations: [time, batch, players, ...] what each player saw before it acted.
      actions: [time, batch, players, ...] what each player chose.
      log_probabilities: [time, batch, players] of the chosen actions, differentiable with respect to the parameters.
      rewards: [time, batch, players].
      running: [time, batch] False for steps after the end of an episode; always True if another episode begins.
      ended: [time, batch] whether the step was the last one of an episode.
    """

    observations: jax.Array
    actions: jax.Array
    log_probabilities: jax.Array
    rewards: jax.Array
    running: jax.Array
    ended: jax.Array


@struct.dataclass
class PlayState:
    """The state of one stream of play before a step.

    Attributes:
      observations: [players, ...] what each player sees.
      state: the state of the environment.
      memories: one per player.
      running: [] bool, False once an episode has ended and no other follows.
    """

    observations: jax.Array
    state: Any
    memories: list[Any]
    running: jax.Array


class Step(NamedTuple):
    """What happens in one step. It holds distributions, so it must not leave a scan as a whole.

    Attributes:
      distributions: one per player, over its actions.
      actions: [players, ...] the chosen actions, without derivatives.
      rewards: [players] as the environment returned them.
      ended: [] bool, whether an episode ended.
      begins: whether another episode begins when one ends; known when the program is compiled.
      info: as the environment returned it.
    """

    distributions: list[Any]
    actions: jax.Array
    rewards: jax.Array
    ended: jax.Array
    begins: bool
    info: dict[str, Any]


def rollout(
    env: Any,
    policies: Sequence[Policy],
    thetas: Sequence[Any],
    key: jax.Array,
    steps: int,
    batch: int,
    params: Any = None,
) -> Trajectory:
    """Plays `batch` independent streams of `steps` steps from a reset, and keeps everything.

    In an `envs.AutoReset` one episode follows another, and policies forget at the end of each, unless it `remembers`;
    in any other environment a stream is one episode, and what comes after its end is masked. `shaping.play` keeps only
    statistics.

    This plays one match. To play a population of matches in one program, each with its own parameters, numbers and key,
    use `vmap`:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(matches))
        jax.vmap(lambda thetas, key, params: rollout(env, policies, thetas, key, steps, batch, params))(
            thetas, keys, params
        )

    with `matches` in front of every leaf of `thetas` and `params`. Match m and stream b draw from
    fold_in(fold_in(key, m), b), so what happens in them does not depend on how many others are played, and a longer
    play begins exactly like a shorter one.

    Args:
      env: an environment, see `envs.Environment`.
      policies: one per player.
      thetas: their parameters.
      key: a PRNG key, consumed.
      steps: length of the scan, at least 1.
      batch: number of streams, at least 1.
      params: the environment's numbers; None for its defaults.

    Raises:
      ValueError: for more or fewer policies or parameters than players, for policies that do not fit the environment,
        or for fewer than 1 step or stream.
    """
    numbers = env.default_params if params is None else params

    def stream(key: jax.Array) -> Trajectory:
        def step(before: PlayState, time: jax.Array) -> tuple[PlayState, Trajectory]:
            after, played = play_step(env, policies, thetas, numbers, key, before, time)
            chosen = zip(played.distributions, played.actions, strict=True)
            return after, Trajectory(
                observations=before.observations,
                actions=played.actions,
                log_probabilities=jnp.stack([distribution.log_prob(action) for distribution, action in chosen]),
                rewards=jnp.where(before.running, played.rewards, 0),
                running=before.running,
                ended=played.ended & before.running,
            )

        return lax.scan(step, begin_stream(env, policies, numbers, key), jnp.arange(steps))[1]

    return streams(stream, env, policies, thetas, key, steps, batch, time_axes=1)


def streams(
    stream: Callable[[jax.Array], Any],
    env: Any,
    policies: Sequence[Policy],
    thetas: Sequence[Any],
    key: jax.Array,
    steps: int,
    batch: int,
    time_axes: int = 0,
) -> Any:
    """`stream(key)` for `batch` numbered keys; in what it returns the batch follows `time_axes` axes.

    Raises:
      ValueError: see `rollout`.
    """
    check_integer("steps", steps, 1, 2**31 - 1)
    check_integer("batch", batch, 1)
    kind = getattr(key, "dtype", np.dtype(object))
    if not (jnp.issubdtype(kind, jax.dtypes.prng_key) or kind == jnp.uint32):
        raise ValueError(f"key is {key!r}; allowed: a random key, such as jax.random.key(0)")
    if len(thetas) != env.num_players:
        raise ValueError(f"thetas has the length {len(thetas)}; allowed: {env.num_players}, one per player")
    check_policies(env, policies, thetas)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch))
    return jax.vmap(stream, out_axes=time_axes)(keys)


def begin_stream(env: Any, policies: Sequence[Policy], numbers: Any, key: jax.Array) -> PlayState:
    """The start of a stream whose key is `key`."""
    observations, state = env.reset(jax.random.fold_in(key, _RESET), numbers)
    memories, running = [policy.start(()) for policy in policies], jnp.asarray(True)
    return varying(PlayState(observations, state, memories, running), key)


def varying(tree: Any, key: jax.Array) -> Any:
    """The same numbers, but as far as `vmap` can tell they depend on `key`, the key of a stream.

    Let a scan over steps start from such numbers. If it starts from constants, every `vmap` around it traces the scan
    twice: only after tracing a step does it see that the carry differs between streams.
    """
    nothing = jax.random.key_data(key).ravel()[0] & 0

    def differing(leaf: jax.Array) -> jax.Array:
        if leaf.dtype == bool:
            return leaf | (nothing != 0)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf
        return leaf + nothing.astype(leaf.dtype)

    return jax.tree.map(lambda leaf: differing(jnp.asarray(leaf)), tree)


def play_step(
    env: Any,
    policies: Sequence[Policy],
    thetas: Sequence[Any],
    numbers: Any,
    key: jax.Array,
    before: PlayState,
    time: jax.Array,
) -> tuple[PlayState, Step]:
    """Plays one step; this is the body of every scan over play.

    Args:
      env, policies, thetas, numbers: see `rollout`.
      key: the stream's key; `time` is folded in.
      before: the state of the stream before the step.
      time: [] int32, the number of the step in the stream.
    """
    now = jax.random.fold_in(key, time)
    distributions, actions, memories = [], [], []
    for seat, (policy, theta) in enumerate(zip(policies, thetas, strict=True)):
        distribution, memory = policy.apply(theta, before.observations[seat], before.memories[seat])
        distributions.append(distribution)
        actions.append(lax.stop_gradient(distribution.sample(seed=jax.random.fold_in(now, 1 + seat))))
        memories.append(memory)
    chosen = jnp.stack(actions)
    drawn = drawn_by(env, numbers, key, time)
    after, rewards, outcome = environment_step(env, numbers, drawn, before, chosen, memories, policies)
    ended, info = outcome
    return after, Step(distributions, chosen, rewards, ended, "episode_ended" in info, info)


def drawn_by(env: Any, numbers: Any, key: jax.Array, time: jax.Array) -> Any:
    """What the environment draws in a step, see `declarations.draw`; `key` is the stream's."""
    return declarations.draw(env, jax.random.fold_in(jax.random.fold_in(key, time), 0), numbers)


def environment_step(
    env: Any,
    numbers: Any,
    drawn: Any,
    before: PlayState,
    actions: jax.Array,
    memories: list[Any],
    policies: Sequence[Policy] = (),
) -> tuple[PlayState, jax.Array, tuple[jax.Array, dict[str, Any]]]:
    """Plays a joint action in the environment.

    Args:
      env, numbers, before: see `play_step`.
      drawn: what the environment draws in this step, see `drawn_by`.
      actions: [players, ...].
      memories: one per player, after it has chosen.
      policies: one per player, if another episode follows and they have to forget; otherwise not used.

    Returns:
      The state of the stream after the step, rewards [players], and (whether an episode ended, info).
    """
    after = declarations.step_drawn(env, drawn, before.state, actions, numbers)
    observations, state, rewards, terminated, truncated, info = after
    ended, running = terminated | truncated, before.running
    if "episode_ended" in info:
        fresh = [policy.start(()) for policy in policies]
        forgotten = info.get("forgotten", ended)
        memories = jax.tree.map(lambda new, old: jnp.where(forgotten, new, old), fresh, memories)
    else:
        running = running & ~ended
    return PlayState(observations, state, memories, running), rewards, (ended, info)
