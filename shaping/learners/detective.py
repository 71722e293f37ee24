"""The detective of best-response shaping: a policy that sees how another one answers, and so responds to any of them.

    D(a | o, answers(theta); phi)

The answers of a policy theta are its action probabilities in a number of situations, the questions: all observations
if it has no memory and they are few, otherwise the steps of some streams of random play, which are the same for every
learner. Answers can be differentiated, so a response does not only depend on what theta did, but has a gradient with
respect to it. (The paper asks how random actions would be rewarded against theta, by playing on from the present state;
probabilities ask the same of any game, and need no simulator that starts anywhere.)
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.spaces import Box, Discrete, vector_length
from shaping.objectives.play_batches import Sampler
from shaping.policies.along_trajectories import logits_over_time
from shaping.policies.networks import network
from shaping.policies.policy import Policy
from shaping.policies.random_player import random_player

_QUESTIONS = 2404
_FEW = 64


def answers(sampler: Sampler, player: int, theta: Any, streams: int) -> jax.Array:
    """Action probabilities of a player's policy in the questions, one vector [answers]; differentiable in theta.

    Args:
      sampler: plays the game.
      player, theta: whose policy answers.
      streams: of random play, where observations are not few.
    """
    policy = sampler.policies[player]
    if _listed(sampler, policy):
        every = jnp.arange(sampler.env.observation_space.num_values, dtype=jnp.int32)
        logits = jax.vmap(lambda seen: policy.apply(theta, seen, policy.start(()))[0].logits)(every)
    else:
        anybody = random_player(sampler.env.observation_space, sampler.env.action_space)
        random = dataclasses.replace(sampler, policies=(anybody,) * len(sampler.policies))
        batch = random.play([()] * len(sampler.policies), jax.random.key(_QUESTIONS), streams)
        logits = logits_over_time(policy, theta, batch.observations[:, :, player])
    return jax.nn.softmax(logits).reshape(-1)


def detective(sampler: Sampler, player: int, hidden: tuple[int, ...], streams: int) -> Policy:
    """The policy D, whose parameters are the pair (phi, answers); `init` draws phi, with answers of 0.

    Args:
      sampler: plays the game.
      player: whose policy it responds to.
      hidden: widths of its layers.
      streams: see `answers`.
    """
    space = sampler.env.observation_space
    seen = vector_length(space)
    asked = _count(sampler, player, streams)
    inner = network(Box((seen + asked,)), sampler.env.action_space, "dense", hidden)

    def apply(theta: Any, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        phi, answered = theta
        if isinstance(space, Discrete):
            flat = jax.nn.one_hot(observation, seen, dtype=answered.dtype)
        else:
            flat = jnp.asarray(observation).reshape(-1).astype(answered.dtype)
        # Probabilities around 0, as the network has no layers that would centre them.
        return inner.apply(phi, jnp.concatenate([flat, 2 * answered - 1]), memory)

    def init(key: jax.Array, scale: jax.Array) -> tuple[Any, jax.Array]:
        return inner.init(key, scale), jnp.zeros(asked, jnp.float32)

    return Policy("detective", (space, asked, inner), init, inner.start, apply, scalars=False)


def _count(sampler: Sampler, player: int, streams: int) -> int:
    actions = sampler.env.action_space.num_values
    if _listed(sampler, sampler.policies[player]):
        return sampler.env.observation_space.num_values * actions
    return sampler.horizon * streams * actions


def _listed(sampler: Sampler, policy: Policy) -> bool:
    space = sampler.env.observation_space
    few = isinstance(space, Discrete) and space.num_values <= _FEW
    return few and not jax.tree.leaves(jax.eval_shape(lambda: policy.start(())))
