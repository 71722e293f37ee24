"""MADDPG (Lowe et al. 2017): an actor and a centralised critic, which sees what everybody sees and does, off policy.

The player keeps the latest batches of play, draws streams from them, and makes some steps of

    phi <- phi - critic_rate * Adam of   mean 1/2 (Q_phi(x_t, a_t) - y_t)^2,   y_t = r_t + gamma Q_phi'(x_t+1, a'_t+1)
    theta <- theta + step_size * optimiser of   mean Q_phi(x_t, (pi_theta(o_t), a_-t)) - c mean logits^2

with x the observations of all players and how much of the stream is left, a' what all policies would do, and phi' and
the own policy behind a' following phi and theta slowly. Actions go into Q as vectors, see `relaxed_actions`: of
discrete actions they are Gumbel-softmax samples, of continuous ones the median. Continuous actions are explored by the
policy's own noise, whose standard deviation (before squashing) is drawn towards `noise` by - (log sd - log noise)^2 in
place of the term of the logits.

Deviations: streams are drawn instead of single steps, so that policies may have a memory; the policies of the others in
a' are those that they play now, without a slow copy; values are 0 after the last step, as everywhere in this package.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax

from shaping.envs.spaces import Box, vector_length
from shaping.learners import replay_buffer
from shaping.learners.advantage_products import returns_of
from shaping.learners.ascent import check_seats
from shaping.learners.critic import explained_variance
from shaping.learners.initial_parameters import initial_parameters
from shaping.learners.joint_inputs import joint_inputs, joint_space
from shaping.learners.learner import Common, Learner, LearnerState, check_without_model, seats_of
from shaping.learners.relaxed_actions import as_vectors, chosen
from shaping.learners.replay_buffer import Replay
from shaping.objectives.objective import Objective
from shaping.objectives.play_batches import Batch, Sampler
from shaping.policies.critics import Critic, network_critic
from shaping.policies.policy import Policy
from shaping.rules.gradients import replace
from shaping.rules.target_network import polyak
from shaping.signatures import NonNegative, Positive, Range, checked
from shaping.variables import VARIABLES


@struct.dataclass
class Settings:
    """Settings.

    Attributes:
      critic_rate: the critic's learning rate, at least 0.
      target_rate: how far the slow copies move at every step, in (0, 1].
      temperature: tau of the Gumbel-softmax, above 0.
      penalty: c, the weight of the squared logits, at least 0.
      noise: standard deviation towards which that of continuous actions is drawn, above 0.
      common: those that every learner has.
      straight_through: whether discrete actions enter the critic as one-hot vectors.
      hidden: widths of the critic's layers.
      steps: of critic and actor per update.
      streams: drawn at each step.
      capacity: how many batches are kept.
      warm_up: updates at the start in which the policy does not move.
    """

    critic_rate: Any
    target_rate: Any
    temperature: Any
    penalty: Any
    noise: Any
    common: Common
    straight_through: bool = struct.field(pytree_node=False)
    hidden: tuple[int, ...] = struct.field(pytree_node=False)
    steps: int = struct.field(pytree_node=False)
    streams: int = struct.field(pytree_node=False)
    capacity: int = struct.field(pytree_node=False)
    warm_up: int = struct.field(pytree_node=False)


@struct.dataclass
class Memory:
    """What it remembers besides its parameters.

    Attributes:
      optimizer, critic_optimizer: states of the optimisers.
      phi: the critic.
      slow_theta, slow_phi: the slow copies.
      batches: a replay of batches.
      updates: [] int32, how many there were.
    """

    optimizer: Any
    phi: Any
    critic_optimizer: Any
    slow_theta: Any
    slow_phi: Any
    batches: Replay
    updates: jax.Array


@checked
def maddpg(
    critic_rate: NonNegative = 0.01,
    target_rate: Annotated[float, Range(0, 1, open_low=True)] = 0.01,
    temperature: Positive = 1.0,
    penalty: NonNegative = 0.001,
    noise: Positive = 0.1,
    straight_through: bool = True,
    hidden: Sequence[Annotated[int, Range(1)]] = (64, 64),
    steps: Annotated[int, Range(1)] = 4,
    streams: Annotated[int, Range(1)] = 32,
    capacity: Annotated[int, Range(1)] = 20,
    warm_up: Annotated[int, Range(0)] = 0,
    common: Common = Common(),  # noqa: B008 - frozen, and the default a reader expects to see
) -> Learner:
    """MADDPG: a policy that ascends a centralised critic of everybody's observations and actions.

    Args:
      critic_rate, target_rate, temperature, penalty, noise, straight_through, hidden, steps, streams, capacity,
        warm_up: see `Settings`.
      common: settings that every learner has.

    Raises:
      ValueError: if an opponent model is given, because it would not be used.
    """
    check_without_model(common, "the critic sees what the others do")
    settings = Settings(
        critic_rate,
        target_rate,
        temperature,
        penalty,
        noise,
        common,
        straight_through,
        tuple(hidden),
        steps,
        streams,
        capacity,
        warm_up,
    )
    return Learner(
        settings,
        _init,
        _step,
        prepares=common.initial.learned,
        observes=True,
        needs_sampler=True,
        variables={"explained_variance": VARIABLES["explained_variance"]},
        gradients=2 * steps,
    )


def _init(
    settings: Settings,
    key: jax.Array,
    shared_key: jax.Array,
    policies: Sequence[Policy],
    player: int | tuple[int, ...],
    objective: Objective,
    dtype: Any,
) -> LearnerState:
    del shared_key
    common, (seat,) = settings.common, seats_of(player)
    check_seats(policies, (seat,))
    theta = initial_parameters(common.initial, key, policies, seat, objective, dtype)
    sampler: Sampler = objective.sampler
    drawn = _critic(settings, sampler).init(jax.random.fold_in(key, 1), jnp.float32(1))
    phi = jax.tree.map(lambda leaf: leaf.astype(dtype), drawn)
    moments = common.optimizer.build(common.step_size).init(theta)
    memory = Memory(
        moments,
        phi,
        optax.adam(settings.critic_rate).init(phi),
        theta,
        phi,
        replay_buffer.init(sampler.like(dtype), settings.capacity),
        jnp.int32(0),
    )
    return LearnerState(theta, memory)


def _step(
    settings: Settings,
    key: jax.Array,
    states: Sequence[LearnerState],
    player: int | tuple[int, ...],
    objective: Objective,
) -> tuple[LearnerState, dict[str, Any]]:
    (seat,) = seats_of(player)
    common, sampler, unit = settings.common, objective.sampler, objective.scale
    state, thetas = states[seat], [state.theta for state in states]
    memory: Memory = state.memory
    batches = replay_buffer.add(memory.batches, objective.observed)
    transform, of_critic = common.optimizer.build(common.step_size), optax.adam(settings.critic_rate)
    waits = memory.updates < settings.warm_up

    def step(carry: Any, number: jax.Array) -> tuple[Any, None]:
        theta, moments, phi, critic_moments, slow_theta, slow_phi = carry
        own = jax.random.fold_in(key, number)
        batch = drawn(batches, jax.random.fold_in(own, 0), settings.streams)
        then = replace(thetas, seat, slow_theta)
        wanted = targets(settings, sampler, slow_phi, then, seat, batch, unit, jax.random.fold_in(own, 1))
        slope = jax.grad(lambda phi: critic_loss(settings, sampler, phi, batch, wanted))(phi)
        change, critic_moments = of_critic.update(slope, critic_moments, phi)
        phi = optax.apply_updates(phi, change)
        noise = jax.random.fold_in(own, 2)
        slope = jax.grad(lambda theta: -worth(settings, sampler, phi, theta, seat, batch, noise))(theta)
        change, after = transform.update(slope, moments, theta)
        moved = (optax.apply_updates(theta, change), after)
        theta, moments = jax.tree.map(lambda old, new: jnp.where(waits, old, new), (theta, moments), moved)
        slow = polyak((slow_theta, slow_phi), (theta, phi), settings.target_rate)
        return (theta, moments, phi, critic_moments, *slow), None

    begin = (state.theta, memory.optimizer, memory.phi, memory.critic_optimizer, memory.slow_theta, memory.slow_phi)
    theta, moments, phi, critic_moments, slow_theta, slow_phi = lax.scan(step, begin, jnp.arange(settings.steps))[0]

    def explained() -> jax.Array:
        batch = objective.observed
        found = action_values(settings, sampler, memory.phi, batch, _done(sampler, batch, unit))
        return explained_variance(found, unit * returns_of(batch.rewards[..., seat], sampler.discount), batch.running)

    after = Memory(moments, phi, critic_moments, slow_theta, slow_phi, batches, memory.updates + 1)
    return LearnerState(theta, after), {"explained_variance": explained}


def drawn(batches: Replay, key: jax.Array, count: int) -> Batch:
    """Streams drawn with replacement from all that are kept, leaves [time, count, ...]."""
    held = jnp.clip(batches.seen, 1, batches.capacity)
    streams = batches.entries.running.shape[2]
    places = jax.random.randint(jax.random.fold_in(key, 0), (count,), 0, held)
    within = jax.random.randint(jax.random.fold_in(key, 1), (count,), 0, streams)
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf[places, :, within], 0, 1), batches.entries)


def action_values(settings: Settings, sampler: Sampler, phi: Any, batch: Batch, done: jax.Array) -> jax.Array:
    """Q(x_t, a_t), [time, batch], in normalised units.

    Args:
      settings, sampler, phi: the critic.
      batch: whose observations are x.
      done: [time, batch, players, width], a as vectors.
    """
    return _critic(settings, sampler).apply(phi, joint_inputs(sampler.env.observation_space, batch, done), None)[0]


def targets(
    settings: Settings,
    sampler: Sampler,
    phi: Any,
    thetas: Sequence[Any],
    player: int,
    batch: Batch,
    unit: Any,
    key: jax.Array,
) -> jax.Array:
    """y of the file's head, [time, batch], in normalised units: rewards times `unit`, values from the slow critic."""
    each = [
        _chosen(settings, sampler, seat, theta, batch, jax.random.fold_in(key, seat))[0]
        for seat, theta in enumerate(thetas)
    ]
    values = jnp.where(batch.running, action_values(settings, sampler, phi, batch, jnp.stack(each, axis=2)), 0)
    following = jnp.concatenate([values[1:], jnp.zeros_like(values[:1])])
    return lax.stop_gradient(unit * batch.rewards[..., player] + sampler.discount * following)


def critic_loss(settings: Settings, sampler: Sampler, phi: Any, batch: Batch, wanted: jax.Array) -> jax.Array:
    """Half the mean squared distance of the critic from its targets."""
    found = action_values(settings, sampler, phi, batch, _done(sampler, batch, wanted))
    return 0.5 * batch.mean((found - wanted) ** 2)


def worth(
    settings: Settings, sampler: Sampler, phi: Any, theta: Any, player: int, batch: Batch, key: jax.Array
) -> jax.Array:
    """What the actor ascends, a scalar."""
    own, numbers = _chosen(settings, sampler, player, theta, batch, key)
    done = _done(sampler, batch, own).at[:, :, player].set(own)
    found = batch.mean(action_values(settings, sampler, phi, batch, done))
    if isinstance(sampler.env.action_space, Box):
        return found - batch.mean(jnp.mean((numbers - jnp.log(settings.noise)) ** 2, axis=-1))
    return found - settings.penalty * batch.mean(jnp.mean(numbers**2, axis=-1))


def _chosen(
    settings: Settings, sampler: Sampler, player: int, theta: Any, batch: Batch, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    space, policy = sampler.env.action_space, sampler.policies[player]
    dtype = batch.rewards.dtype
    noise = jax.random.gumbel(key, (*batch.running.shape, vector_length(space)), dtype)
    seen = batch.observations[:, :, player]
    return chosen(policy, theta, seen, space, noise, settings.temperature, settings.straight_through)


def _done(sampler: Sampler, batch: Batch, like: Any) -> jax.Array:
    return as_vectors(sampler.env.action_space, batch.actions, jnp.result_type(batch.rewards, like))


def _critic(settings: Settings, sampler: Sampler) -> Critic:
    return network_critic(joint_space(sampler), "dense", settings.hidden)


LEARNERS = {"maddpg": maddpg}
