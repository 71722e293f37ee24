"""Reciprocator from play (Zhou et al. 2024): PPO on r_i + weight u_i, with u the reciprocal rewards of `reciprocity`.

Influences come from models of rewards and values (`influence_models`) that the player fits to what it has seen. Its
critic estimates the sum of both rewards. The models need nothing but observations, actions and rewards of everybody.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.learners import critic as critics
from shaping.learners import influence_models as models
from shaping.learners import replay_buffer
from shaping.learners.actor_critic import ActorCritic, collected, direction_of
from shaping.learners.advantage_products import returns_of
from shaping.learners.ascent import ascend, check_value_head, with_value_head
from shaping.learners.influence_models import Models, ModelSettings
from shaping.learners.initial_parameters import initial_parameters
from shaping.learners.learner import Common, LearnerState
from shaping.learners.reciprocity import reciprocal_reward
from shaping.objectives.objective import Objective
from shaping.objectives.play_batches import Batch
from shaping.policies.policy import Policy
from shaping.rules.gradients import replace

NAMES = ("explained_variance", "influence_explained_variance")


@struct.dataclass
class Rewards:
    """What is paid back: the weight of reciprocal rewards, and their form."""

    weight: Any
    form: str = struct.field(pytree_node=False)


@struct.dataclass
class Played:
    """Settings for games that are played.

    Attributes:
      actor: PPO's.
      models: those of the models of influence.
      warm_up: updates at the start in which the policy does not move, at least 0.
    """

    actor: ActorCritic
    models: ModelSettings
    warm_up: int = struct.field(pytree_node=False)


@struct.dataclass
class Memory:
    """What it remembers besides its parameters: the optimiser's state, its critic (None if its policy has a value
    head), its models of influence, and how many updates there were."""

    optimizer: Any
    critic: Any
    models: Models
    updates: jax.Array


def start(
    settings: Played,
    common: Common,
    key: jax.Array,
    policies: Sequence[Policy],
    player: int,
    objective: Objective,
    dtype: Any,
) -> LearnerState:
    """The state before the first update."""
    check_value_head(common.critic, policies[player])
    theta = initial_parameters(common.initial, key, policies, player, objective, dtype)
    assert common.critic is not None
    critic = critics.start(common.critic, jax.random.fold_in(key, 1), dtype, (player,))
    known = models.start(settings.models, objective.sampler, jax.random.fold_in(key, 2), dtype)
    moments = common.optimizer.build(common.step_size).init(theta)
    return LearnerState(theta, Memory(moments, critic, known, jnp.int32(0)))


def step(
    own: Rewards,
    settings: Played,
    common: Common,
    key: jax.Array,
    states: Sequence[LearnerState],
    player: int,
    objective: Objective,
) -> tuple[LearnerState, dict[str, Any]]:
    """The state after one update, and what is recorded of it."""
    state, thetas = states[player], [state.theta for state in states]
    memory: Memory = state.memory
    critic, actor, sampler = common.critic, settings.actor, objective.sampler
    assert critic is not None
    played: Batch = objective.observed
    given = reciprocal_rewards(own, settings.models, memory.models.copies, objective)[..., player]
    rewards = played.rewards.at[..., player].add(own.weight * given)
    batch = dataclasses.replace(played, rewards=rewards)
    known = dataclasses.replace(objective.within(critics.by_seat(memory.critic, (player,))), observed=batch)
    data = collected(known, thetas, player, actor, batch, key)

    def direction(theta: Any, number: Any) -> Any:
        now = replace(thetas, player, theta)
        found = direction_of(known, now, player, actor, data, number)
        return with_value_head(critic, known, now, player, found)

    transform = common.optimizer.build(common.step_size)
    theta, moments = ascend(transform, state.theta, memory.optimizer, direction, actor.epochs * actor.minibatches)
    updates = memory.updates + 1
    waits = updates <= settings.warm_up
    old = (state.theta, memory.optimizer)
    theta, moments = jax.tree.map(lambda a, b: jnp.where(waits, a, b), old, (theta, moments))
    shaped = dataclasses.replace(objective, observed=batch)
    fitted = critics.fitted(critic, memory.critic, shaped, (player,), thetas)
    seen = memory.models.replace(batches=replay_buffer.add(memory.models.batches, played))  # pyright: ignore
    learned = models.fitted(settings.models, seen, sampler, objective.scale, updates)

    def explained() -> jax.Array:
        assert known.values is not None
        returns = returns_of(batch.rewards[..., player], sampler.discount)
        return critics.explained_variance(known.values(player, thetas, batch), returns, batch.running)

    others = [seat for seat in range(len(thetas)) if seat != player]
    info = {
        "reciprocal_value": lambda: objective.scale * jnp.mean(returns_of(given, sampler.discount)[0]),
        "explained_variance": explained,
        "influence_explained_variance": lambda: models.explained(
            settings.models, memory.models, played, sampler, others
        ),
    }
    return LearnerState(theta, Memory(moments, fitted, learned, updates)), info


def reciprocal_rewards(own: Rewards, settings: ModelSettings, phi: Any, objective: Objective) -> jax.Array:
    """u of all players on the observed batch, [time, batch, players]."""
    found = models.influences(settings, phi, objective.observed, objective.sampler, objective.scale)
    return reciprocal_reward(found, objective.sampler.discount, own.form)  # pyright: ignore[reportArgumentType]
