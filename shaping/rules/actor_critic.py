"""A2C and PPO, the learners of the literature that take everybody else for a part of the environment.

With advantages A (generalised, Schulman et al. 2016) under the player's critic, and means over the steps of a batch of
the player's own,

    A2C   mean A log pi(a | s) + c H(pi(. | s))                                       (Mnih et al. 2016, section 4)
    PPO   mean min(q A, clip(q, 1 - epsilon, 1 + epsilon) A) + c H(pi(. | s)),        (Schulman et al. 2017, eq. 7)
          q = pi(a | s) / pi_old(a | s), climbed for some epochs over one batch, cut into minibatches of streams

Rewards are discounted within advantages alone, as their programs do, where the other rules weigh step t with gamma^t.
"""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.objectives.estimators import gae
from shaping.objectives.objective import Objective, Thetas
from shaping.rules.rule import Rule
from shaping.schema import NonNegative, Positive, Probability, Range


@struct.dataclass
class ActorCritic:
    """Settings.

    Attributes:
      gae_lambda: lambda of advantages, in [0, 1].
      entropy: c, the weight of the entropy, at least 0.
      clip: epsilon, above 0; None for A2C.
      normalise: whether advantages are brought to mean 0 and standard deviation 1 over the batch.
      epochs, minibatches: how often a batch is gone through, and in how many parts.
    """

    gae_lambda: Any
    entropy: Any
    clip: Any = None
    normalise: bool = struct.field(pytree_node=False, default=False)
    epochs: int = struct.field(pytree_node=False, default=1)
    minibatches: int = struct.field(pytree_node=False, default=1)


@struct.dataclass
class Experience:
    """A batch, what its actions were worth, and how likely they were.

    Attributes:
      batch: a `sampler.Batch`.
      advantages, log_probabilities: [time, batch].
      key: for the order of minibatches.
    """

    batch: Any
    advantages: jax.Array
    log_probabilities: jax.Array
    key: jax.Array


def a2c(gae_lambda: Probability = 1.0, entropy: NonNegative = 0.0) -> Rule:
    """Advantage actor-critic: one step a batch."""
    settings = ActorCritic(gae_lambda, entropy)
    return Rule(settings, direction, differentiable=False, collect=collect, needs_sampler=True, needs_critic=True)


def ppo(
    clip: Positive = 0.2,
    gae_lambda: Probability = 0.95,
    entropy: NonNegative = 0.01,
    epochs: Annotated[int, Range(1)] = 4,
    minibatches: Annotated[int, Range(1)] = 1,
    normalise: bool = True,
) -> Rule:
    """Proximal policy optimisation with a clipped ratio.

    Args:
      clip, gae_lambda, entropy, epochs, minibatches, normalise: see `ActorCritic`; minibatches divide the batch.

    Raises:
      ValueError: if there are no epochs or minibatches.
    """
    for name, count in (("epochs", epochs), ("minibatches", minibatches)):
        if count < 1:
            raise ValueError(f"{name} is {count}: must be at least 1")
    settings = ActorCritic(gae_lambda, entropy, clip, normalise, epochs, minibatches)
    return Rule(
        settings,
        direction,
        differentiable=False,
        collect=collect,
        steps=epochs * minibatches,
        needs_sampler=True,
        needs_critic=True,
    )


def collect(
    objective: Objective, thetas: Thetas, player: int, settings: ActorCritic, key: jax.Array | None = None
) -> Experience:
    """A batch of play under everybody's policies.

    Raises:
      ValueError: an objective that does not sample, or has no critics; no key; minibatches that do not divide a batch.
    """
    sampler = objective.sampler
    if sampler is None or objective.values is None:
        raise ValueError("a2c and ppo need an objective that samples, with critics")
    if key is None:
        raise ValueError("key is None; allowed: a key, as batches are sampled")
    if sampler.batch % settings.minibatches:
        raise ValueError(f"minibatches is {settings.minibatches}; allowed: a divisor of batch, {sampler.batch}")
    batch = sampler.play(thetas, jax.random.fold_in(key, 0))
    values = objective.values(player, thetas, batch)
    advantages = gae(batch.rewards[:, :, player], values, sampler.discount, settings.gae_lambda)
    if settings.normalise:
        advantages = _normalised(advantages, batch.running)
    log_probabilities, _ = sampler.read(player, thetas[player], batch)
    return jax.lax.stop_gradient(Experience(batch, advantages, log_probabilities, jax.random.fold_in(key, 1)))


def direction(
    objective: Objective,
    thetas: Thetas,
    player: int,
    settings: ActorCritic,
    key: jax.Array | None,
    data: tuple[Experience, Any],
) -> Any:
    """The gradient of the formula above on one minibatch.

    Args:
      data: the experience, and the number of the step within the update.
    """
    experience, step = data
    part = _part(experience, settings.minibatches, step)
    sampler = objective.sampler

    def climbed(theta: Any) -> jax.Array:
        log_probabilities, entropies = sampler.read(player, theta, part.batch)
        if settings.clip is None:
            gained = part.advantages * log_probabilities
        else:
            ratio = jnp.exp(log_probabilities - part.log_probabilities)
            near = jnp.clip(ratio, 1 - settings.clip, 1 + settings.clip)
            gained = jnp.minimum(ratio * part.advantages, near * part.advantages)
        running = part.batch.running.astype(gained.dtype)
        return jnp.sum(running * (gained + settings.entropy * entropies)) / jnp.maximum(jnp.sum(running), 1)

    return jax.grad(climbed)(thetas[player])


def _part(experience: Experience, minibatches: int, step: Any) -> Experience:
    """The minibatch of a step: streams are shuffled anew in each epoch."""
    if minibatches == 1:
        return experience
    epoch, place = step // minibatches, step % minibatches
    streams = experience.advantages.shape[1]
    size = streams // minibatches
    order = jax.random.permutation(jax.random.fold_in(experience.key, epoch), streams)
    chosen = jax.lax.dynamic_slice(order, (place * size,), (size,))
    data = (experience.batch, experience.advantages, experience.log_probabilities)
    batch, advantages, log_probabilities = jax.tree.map(lambda leaf: jnp.take(leaf, chosen, axis=1), data)
    return Experience(batch, advantages, log_probabilities, experience.key)


def _normalised(advantages: jax.Array, running: jax.Array) -> jax.Array:
    weight = running.astype(advantages.dtype)
    count = jnp.maximum(jnp.sum(weight), 1)
    mean = jnp.sum(weight * advantages) / count
    spread = jnp.sqrt(jnp.sum(weight * (advantages - mean) ** 2) / count)
    return weight * (advantages - mean) / (spread + 1e-8)


RULES = {"a2c": a2c, "ppo": ppo}
