"""A2C and PPO, the standard learners that treat all other players as part of the environment.

With generalised advantages A (Schulman et al. 2016) from the player's critic, and means over the steps of a batch that
the player itself collects,

    A2C   mean A log pi(a | s) + c H(pi(. | s))                                       (Mnih et al. 2016, section 4)
    PPO   mean min(q A, clip(q, 1 - epsilon, 1 + epsilon) A) + c H(pi(. | s)),        (Schulman et al. 2017, eq. 7)
          q = pi(a | s) / pi_old(a | s), for some epochs over one batch, cut into minibatches of streams

Rewards are discounted only within advantages, as in the authors' programs; the other rules weigh step t by gamma^t.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.learners import critic as critics
from shaping.learners.ascent import ascend, check_seats, check_value_head, seated, summed, with_value_head
from shaping.learners.initial_parameters import initial_parameters
from shaping.learners.learner import Common, Learner, LearnerState, check_without_model, seats_of
from shaping.objectives.estimators import gae
from shaping.objectives.objective import Objective, Thetas
from shaping.objectives.play_batches import Batch
from shaping.policies.policy import Policy
from shaping.signatures import NonNegative, Positive, Probability, Range, checked


@struct.dataclass
class ActorCritic:
    """Settings.

    Attributes:
      gae_lambda: lambda of advantages, in [0, 1].
      entropy: c, the weight of the entropy, at least 0.
      clip: epsilon, above 0; None for A2C.
      normalise: whether advantages are scaled to mean 0 and standard deviation 1 over the batch.
      epochs, minibatches: how many passes are made over a batch, and into how many parts it is cut.
      advantages: `(rewards, values, batch, sampler, gae_lambda) -> [time, batch]`; None for `estimators.gae`, stream
        by stream.
      critic: whether it has critics; without them values are 0.
      clipped: "ratio" for the formula above; "released" for min(log pi(a | s) A, clip(q, ...) A), as in the released
        program of Advantage Alignment, which has log pi where the ratio belongs.
    """

    gae_lambda: Any
    entropy: Any
    clip: Any = None
    normalise: bool = struct.field(pytree_node=False, default=False)
    epochs: int = struct.field(pytree_node=False, default=1)
    minibatches: int = struct.field(pytree_node=False, default=1)
    advantages: Callable[..., jax.Array] | None = struct.field(pytree_node=False, default=None)
    critic: bool = struct.field(pytree_node=False, default=True)
    clipped: str = struct.field(pytree_node=False, default="ratio")


@struct.dataclass
class Experience:
    """A batch, with the advantages and log-probabilities of its actions.

    Attributes:
      batch: a `play_batches.Batch`.
      advantages, log_probabilities: [time, batch].
      key: for shuffling minibatches.
    """

    batch: Any
    advantages: jax.Array
    log_probabilities: jax.Array
    key: jax.Array


@struct.dataclass
class Settings:
    """The settings of an actor-critic learner: its own, and those that every learner has."""

    own: ActorCritic
    common: Common


@struct.dataclass
class Memory:
    """What it remembers besides its parameters: the optimiser's state and its critics (None if it has none)."""

    optimizer: Any
    critic: Any


@checked
def a2c(
    gae_lambda: Probability = 1.0,
    entropy: NonNegative = 0.0,
    common: Common = Common(),  # noqa: B008 - frozen, and the default a reader expects to see
) -> Learner:
    """Advantage actor-critic: one step per batch.

    Args:
      gae_lambda, entropy: see `ActorCritic`.
      common: settings that every learner has.

    Raises:
      ValueError: if an opponent model is given, because it would not be used.
    """
    return learner_with(ActorCritic(gae_lambda, entropy), common)


@checked
def ppo(
    clip: Positive = 0.2,
    gae_lambda: Probability = 0.95,
    entropy: NonNegative = 0.01,
    epochs: Annotated[int, Range(1)] = 4,
    minibatches: Annotated[int, Range(1)] = 1,
    normalise: bool = True,
    common: Common = Common(),  # noqa: B008
) -> Learner:
    """Proximal policy optimisation with a clipped ratio.

    Args:
      clip, gae_lambda, entropy, epochs, minibatches, normalise: see `ActorCritic`; minibatches must divide the batch.
      common: settings that every learner has.

      Raises:
      ValueError: if there are no epochs or minibatches, or if an opponent model is given, because it would not be used.
    """
    return learner_with(ActorCritic(gae_lambda, entropy, clip, normalise, epochs, minibatches), common)


def learner_with(own: ActorCritic, common: Common) -> Learner:
    """An actor-critic learner with these settings."""
    check_without_model(common, "actor-critic learners treat others as part of the game")
    return Learner(
        Settings(own, common),
        _init,
        _step,
        prepares=common.initial.learned,
        observes=common.critic is not None,
        shareable=True,
        needs_sampler=True,
        needs_critic=own.critic,
        minibatches=own.minibatches,
    )


def _init(
    settings: Settings,
    key: jax.Array,
    common: jax.Array,
    policies: Sequence[Policy],
    player: int | tuple[int, ...],
    objective: Objective,
    dtype: Any,
) -> LearnerState:
    del common
    shared, seats = settings.common, seats_of(player)
    check_seats(policies, seats)
    check_value_head(shared.critic, policies[seats[0]])
    theta = initial_parameters(shared.initial, key, policies, seats[0], objective, dtype)
    critic = None
    if shared.critic is not None:
        critic = critics.start(shared.critic, jax.random.fold_in(key, 1), dtype, seats)
    return LearnerState(theta, Memory(shared.optimizer.build(shared.step_size).init(theta), critic))


def _step(
    settings: Settings,
    key: jax.Array,
    states: Sequence[LearnerState],
    player: int | tuple[int, ...],
    objective: Objective,
) -> tuple[LearnerState, dict[str, Any]]:
    own, common, seats = settings.own, settings.common, seats_of(player)
    state, thetas = states[seats[0]], [state.theta for state in states]
    memory: Memory = state.memory
    known = objective
    if common.critic is not None:
        known = objective.within(critics.by_seat(memory.critic, seats))
    data = {}
    for place, seat in enumerate(seats):
        seat_key = key if len(seats) == 1 else jax.random.fold_in(key, place)
        data[seat] = collect(known, thetas, seat, own, seat_key)

    def direction(theta: Any, number: Any) -> Any:
        now = seated(thetas, seats, theta)

        def of(seat: int, key: jax.Array) -> Any:
            del key  # It was used when the batch was collected.
            found = direction_of(known, now, seat, own, data[seat], number)
            return with_value_head(common.critic, known, now, seat, found)

        return summed(seats, key, of)

    transform = common.optimizer.build(common.step_size)
    theta, moments = ascend(transform, state.theta, memory.optimizer, direction, own.epochs * own.minibatches)
    critic = memory.critic
    if common.critic is not None:
        critic = critics.fitted(common.critic, critic, objective, seats, thetas)
    return LearnerState(theta, Memory(moments, critic)), {}


def collect(
    objective: Objective, thetas: Thetas, player: int, settings: ActorCritic, key: jax.Array | None = None
) -> Experience:
    """A batch of play under all players' policies.

    Raises:
      ValueError: if the objective does not sample or has no critics, if there is no key, or if minibatches do not
        divide the batch.
    """
    sampler = objective.sampler
    expected = objective.values if settings.critic else None
    if sampler is None or (settings.critic and expected is None):
        raise ValueError("a2c and ppo need an objective that samples, with critics")
    if key is None:
        raise ValueError("key is None; allowed: a key, as batches are sampled")
    if sampler.batch % settings.minibatches:
        raise ValueError(f"minibatches is {settings.minibatches}; allowed: a divisor of batch, {sampler.batch}")
    batch = sampler.play(thetas, jax.random.fold_in(key, 0))
    return collected(objective, thetas, player, settings, batch, jax.random.fold_in(key, 1))


def collected(
    objective: Objective, thetas: Thetas, player: int, settings: ActorCritic, batch: Batch, key: jax.Array
) -> Experience:
    """A batch that was played under all players' policies, with a player's advantages on it."""
    sampler = objective.sampler
    expected = objective.values if settings.critic else None
    rewards, decay = batch.rewards[:, :, player], settings.gae_lambda
    values = jnp.zeros_like(rewards) if expected is None else expected(player, thetas, batch)
    if settings.advantages is None:
        advantages = gae(rewards, values, sampler.discount, decay)
    else:
        advantages = settings.advantages(rewards, values, batch, sampler, decay)
    if settings.normalise:
        advantages = _normalised(advantages, batch.running)
    log_probabilities, _ = sampler.read(player, thetas[player], batch)
    return jax.lax.stop_gradient(Experience(batch, advantages, log_probabilities, key))


def direction_of(
    objective: Objective, thetas: Thetas, player: int, settings: ActorCritic, experience: Experience, step: Any
) -> Any:
    """The gradient of the formula above on the minibatch of a step within the update, shaped like `thetas[player]`."""
    part = _part(experience, settings.minibatches, step)
    sampler = objective.sampler

    def surrogate(theta: Any) -> jax.Array:
        log_probabilities, entropies = sampler.read(player, theta, part.batch)
        if settings.clip is None:
            gained = part.advantages * log_probabilities
        else:
            ratio = jnp.exp(log_probabilities - part.log_probabilities)
            near = jnp.clip(ratio, 1 - settings.clip, 1 + settings.clip)
            free = log_probabilities if settings.clipped == "released" else ratio
            gained = jnp.minimum(free * part.advantages, near * part.advantages)
        running = part.batch.running.astype(gained.dtype)
        return jnp.sum(running * (gained + settings.entropy * entropies)) / jnp.maximum(jnp.sum(running), 1)

    return jax.grad(surrogate)(thetas[player])


def _part(experience: Experience, minibatches: int, step: Any) -> Experience:
    """The minibatch of a step; streams are shuffled again in each epoch."""
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


LEARNERS = {"a2c": a2c, "ppo": ppo}
