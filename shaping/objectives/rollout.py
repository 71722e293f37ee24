"""Playing policies in an environment: one compiled scan, a batch of independent episodes side by side."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from shaping.policies.policy import Policy


@struct.dataclass
class Trajectory:
    """What happened, time first.

    Attributes:
      observations: [time, batch, players, ...] what each player saw before it acted.
      actions: [time, batch, players] what it chose.
      log_probabilities: [time, batch, players] of the chosen actions, differentiable in the parameters.
      rewards: [time, batch, players].
      running: [time, batch] False for steps after an episode has ended.
    """

    observations: jax.Array
    actions: jax.Array
    log_probabilities: jax.Array
    rewards: jax.Array
    running: jax.Array


def rollout(
    env: Any,
    policies: Sequence[Policy],
    thetas: Sequence[Any],
    key: jax.Array,
    steps: int,
    batch: int,
    params: Any = None,
) -> Trajectory:
    """Plays `batch` independent episodes of `steps` steps from the start.

    Args:
      env: an environment with `reset` and `step` as in `envs`.
      policies: one per player.
      thetas: their parameters.
      key: consumed; episode b draws from fold_in(key, b), so it does not depend on how many others are played.
      steps: length of the scan, at least 1.
      batch: number of episodes, at least 1.
      params: the environment's numbers; its own defaults if None.
    """
    numbers = env.default_params if params is None else params

    def episode(key: jax.Array) -> Trajectory:
        first, state = env.reset(jax.random.fold_in(key, steps), numbers)
        memories = [policy.start(()) for policy in policies]

        def step(carry: Any, time: jax.Array) -> tuple[Any, Trajectory]:
            seen, state, memories, running = carry
            now = jax.random.fold_in(key, time)
            actions, log_probabilities, later = [], [], []
            for seat, (policy, theta) in enumerate(zip(policies, thetas, strict=True)):
                distribution, memory = policy.apply(theta, seen[seat], memories[seat])
                action = lax.stop_gradient(distribution.sample(seed=jax.random.fold_in(now, 1 + seat)))
                actions.append(action)
                log_probabilities.append(distribution.log_prob(action))
                later.append(memory)
            chosen = jnp.stack(actions)
            after, state, rewards, terminated, truncated, _ = env.step(
                jax.random.fold_in(now, 0), state, chosen, numbers
            )
            kept = jnp.where(running, rewards, 0)
            row = Trajectory(seen, chosen, jnp.stack(log_probabilities), kept, running)
            return (after, state, later, running & ~(terminated | truncated)), row

        _, rows = lax.scan(step, (first, state, memories, jnp.asarray(True)), jnp.arange(steps))
        return rows

    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.arange(batch))
    return jax.vmap(episode, out_axes=1)(keys)
