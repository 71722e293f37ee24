"""What one player's action was worth to another, estimated from play by networks (Zhou et al. 2024, section 4).

The value of i's influence on j at step t is what j can expect after everybody's actions, compared with what it can
expect if i's action is not known:

    I_ij,t = q_j(s_t, a_t) - q_j^(-i)(s_t, a_-i,t),   q = reward + gamma future * following

Every q is a network that predicts the rewards of all players in this step, `reward`, and their discounted rewards from
the next step on, `following`. The first network sees all actions; one more for each player i does not see i's, and so
learns the mean over what i does in that situation. They are fitted to the latest batches of play. Influences are taken
from copies, which are renewed now and then, so that a player is compared with what it did a while ago.

Networks see the observations of all players, their actions, and how much of the stream is left. Following rewards are
predicted in normalised units. As in the authors' general program, a network predicts the value of the next step itself;
their program for the Coin Game predicts the next board, and then its value.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax

from shaping.envs.spaces import Discrete
from shaping.learners import replay_buffer
from shaping.learners.advantage_products import returns_of
from shaping.learners.critic import explained_variance
from shaping.learners.joint_inputs import joint_inputs, joint_space
from shaping.learners.replay_buffer import Replay
from shaping.objectives.play_batches import Batch, Sampler
from shaping.policies.critics import Critic, network_critic
from shaping.rules.target_network import followed


@struct.dataclass
class ModelSettings:
    """Settings.

    Attributes:
      rate: Adam's learning rate, at least 0.
      future: how much the rewards after this step count in influences, at least 0.
      hidden: widths of the networks' layers.
      steps: optimiser steps per update.
      window: how many of the latest batches the networks are fitted to.
      every: updates after which the copies are renewed.
    """

    rate: Any
    future: Any
    hidden: tuple[int, ...] = struct.field(pytree_node=False)
    steps: int = struct.field(pytree_node=False)
    window: int = struct.field(pytree_node=False)
    every: int = struct.field(pytree_node=False)


@struct.dataclass
class Models:
    """The state of the networks.

    Attributes:
      phi: parameters, leaves [1 + players, ...]: the network that sees all actions, then those that miss one player's.
      copies: likewise, those from which influences are taken.
      optimizer: Adam's state.
      batches: a replay of the latest batches.
    """

    phi: Any
    copies: Any
    optimizer: Any
    batches: Replay


def start(settings: ModelSettings, sampler: Sampler, key: jax.Array, dtype: Any) -> Models:
    """Networks before the first update.

    Raises:
      ValueError: if actions are not discrete.
    """
    actions = sampler.env.action_space
    if not isinstance(actions, Discrete):
        raise ValueError(f"actions are {actions!r}; allowed: discrete ones where influences are estimated from play")
    network = _network(settings, sampler)
    keys = jax.random.split(key, 1 + len(sampler.policies))
    phi = jax.tree.map(lambda leaf: leaf.astype(dtype), jax.vmap(lambda key: network.init(key, jnp.float32(1)))(keys))
    latest = replay_buffer.init(sampler.like(dtype), settings.window)
    return Models(phi, phi, optax.adam(settings.rate).init(phi), latest)


def fitted(settings: ModelSettings, models: Models, sampler: Sampler, unit: Any, updates: jax.Array) -> Models:
    """The networks after their steps on the latest batches, `updates` updates having been made, this one included.

    Args:
      settings, models: with the batch of this update already among those of the replay.
      sampler: how batches were played.
      unit: the factor that turns a return into a normalised value.
      updates: [] int32.
    """
    transform = optax.adam(settings.rate)

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
        phi, moments = carry
        slope = jax.grad(lambda phi: loss(settings, phi, models.batches.entries, sampler, unit))(phi)
        change, moments = transform.update(slope, moments, phi)
        return (optax.apply_updates(phi, change), moments), None

    phi, moments = lax.scan(step, (models.phi, models.optimizer), None, length=settings.steps)[0]
    copies = followed(models.copies, phi, updates, 1.0, settings.every)
    return models.replace(phi=phi, copies=copies, optimizer=moments)  # pyright: ignore[reportAttributeAccessIssue]


def loss(settings: ModelSettings, phi: Any, batches: Batch, sampler: Sampler, unit: Any) -> jax.Array:
    """Half the squared errors of all networks, summed over networks and players, a mean over running steps.

    Args:
      settings: see `ModelSettings`.
      phi: the networks' parameters.
      batches: leaves [batches, time, streams, ...].
      sampler, unit: see `fitted`.
    """

    def of(batch: Batch) -> tuple[jax.Array, jax.Array]:
        rewards, following = predictions(settings, phi, batch, sampler)
        wanted = following_returns(batch.rewards, sampler.discount) * unit
        errors = jnp.sum((rewards - batch.rewards) ** 2 + (following - wanted) ** 2, axis=(0, -1))
        return jnp.sum(jnp.where(batch.running, errors, 0)), jnp.sum(batch.running)

    squares, steps = jax.vmap(of)(batches)
    return 0.5 * jnp.sum(squares) / jnp.maximum(jnp.sum(steps), 1)


def predictions(settings: ModelSettings, phi: Any, batch: Batch, sampler: Sampler) -> tuple[jax.Array, jax.Array]:
    """(rewards, following), [networks, time, streams, players] each, the latter in normalised units."""
    network, players = _network(settings, sampler), len(sampler.policies)
    dtype, env = jnp.result_type(*jax.tree.leaves(phi)), sampler.env
    done = jax.nn.one_hot(batch.actions, env.action_space.num_values, dtype=dtype)

    def of(phi: Any, known: jax.Array) -> jax.Array:
        return network.apply(phi, joint_inputs(env.observation_space, batch, done * known[:, None]), None)[0]

    known = jnp.concatenate([jnp.ones((1, players), dtype), 1 - jnp.eye(players, dtype=dtype)])
    found = jax.vmap(of)(phi, known)
    return found[..., :players], found[..., players:]


def influences(settings: ModelSettings, phi: Any, batch: Batch, sampler: Sampler, unit: Any) -> jax.Array:
    """I of the file's head, [time, streams, players, players], entry (i, j) that of i on j; 0 after the end."""
    rewards, following = predictions(settings, phi, batch, sampler)
    values = rewards + sampler.discount * settings.future * following / unit
    found = jnp.moveaxis(values[0] - values[1:], 0, -2)
    return jnp.where(batch.running[..., None, None], found, 0)


def following_returns(rewards: jax.Array, discount: Any) -> jax.Array:
    """The discounted rewards from the step after each on, [time, ...]; 0 at the last."""
    returns = returns_of(rewards, discount)
    return jnp.concatenate([returns[1:], jnp.zeros_like(returns[:1])])


def _network(settings: ModelSettings, sampler: Sampler) -> Critic:
    return network_critic(joint_space(sampler), "dense", settings.hidden, num_actions=2 * len(sampler.policies))


def explained(
    settings: ModelSettings, models: Models, batch: Batch, sampler: Sampler, others: Sequence[int]
) -> jax.Array:
    """The share of the variance of the others' rewards that the network which sees all actions explains, a mean over
    them."""
    rewards = predictions(settings, models.phi, batch, sampler)[0][0]
    each = [explained_variance(rewards[..., j], batch.rewards[..., j], batch.running) for j in others]
    return jnp.mean(jnp.stack(each))
