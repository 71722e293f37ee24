"""Best-response shaping (Aghajohari et al. 2024b): a player that learns against one who responds best to it.

A detective D (`detective`) learns, by A2C against present and past selves of the player with noise on their parameters,
to respond best to whatever it is shown. The player then ascends

    mean (log pi(a_t) + log D(b_t | o_t, answers(theta))) A_t  +  w mean (sum over seats of log pi(a_t)) Abar_t  +  c H

the first part in games with D, whose response is differentiated to the player's own parameters; the second in games
with itself in every seat, where the reward is everybody's mean. A and Abar are the discounted rewards that follow,
minus the mean of the step over the batch. Whoever sits opposite in the match is not learned from: a leader commits to
what responses it can expect.

Every other seat has a copy of the detective. It keeps no critics, and its detective is dropped after training.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax

from shaping.envs.declarations import egocentric
from shaping.learners import replay_buffer
from shaping.learners.advantage_products import returns_of
from shaping.learners.ascent import ascend, check_seats
from shaping.learners.detective import answers, detective
from shaping.learners.initial_parameters import initial_parameters
from shaping.learners.learner import Common, Learner, LearnerState, check_without_model, seats_of
from shaping.learners.replay_buffer import Replay
from shaping.objectives.objective import Objective
from shaping.objectives.play_batches import Batch, Sampler
from shaping.policies.policy import Policy
from shaping.signatures import NonNegative, Range, checked
from shaping.variables import VARIABLES


@struct.dataclass
class Settings:
    """Settings.

    Attributes:
      self_play: w, at least 0.
      entropy: c, of the player and of the detective, at least 0.
      detective_rate: Adam's learning rate of the detective, at least 0.
      noise: standard deviation of the noise on parameters of selves that the detective meets, at least 0.
      common: those that every learner has.
      detective_hidden: widths of its layers.
      detective_steps: its steps per update.
      selves: how many selves it meets at each step; they share the batch, which they must divide.
      questions: streams of random play whose steps are the questions.
      past_every, past_capacity: updates between selves that are kept, and how many are.
      warm_up: updates at the start in which only the detective learns.
    """

    self_play: Any
    entropy: Any
    detective_rate: Any
    noise: Any
    common: Common
    detective_hidden: tuple[int, ...] = struct.field(pytree_node=False)
    detective_steps: int = struct.field(pytree_node=False)
    selves: int = struct.field(pytree_node=False)
    questions: int = struct.field(pytree_node=False)
    past_every: int = struct.field(pytree_node=False)
    past_capacity: int = struct.field(pytree_node=False)
    warm_up: int = struct.field(pytree_node=False)


@struct.dataclass
class Memory:
    """What it remembers besides its parameters: states of both optimisers, the detective phi, past selves, and how many
    updates there were."""

    optimizer: Any
    phi: Any
    detective_optimizer: Any
    selves: Replay
    updates: jax.Array


@checked
def brs(
    self_play: NonNegative = 1.0,
    entropy: NonNegative = 0.01,
    detective_rate: NonNegative = 0.01,
    noise: NonNegative = 1.0,
    detective_hidden: Sequence[Annotated[int, Range(1)]] = (32,),
    detective_steps: Annotated[int, Range(1)] = 4,
    selves: Annotated[int, Range(1)] = 16,
    questions: Annotated[int, Range(1)] = 2,
    past_every: Annotated[int, Range(1)] = 10,
    past_capacity: Annotated[int, Range(1)] = 32,
    warm_up: Annotated[int, Range(0)] = 0,
    common: Common = Common(),  # noqa: B008 - frozen, and the default a reader expects to see
) -> Learner:
    """Best-response shaping: a policy gradient through the response of a detective.

    Args:
      self_play, entropy, detective_rate, noise, detective_hidden, detective_steps, selves, questions, past_every,
        past_capacity, warm_up: see `Settings`.
      common: settings that every learner has.

    Raises:
      ValueError: if an opponent model is given, because it would not be used.
    """
    check_without_model(common, "the detective takes its place")
    numbers = (self_play, entropy, detective_rate, noise)
    structure = (tuple(detective_hidden), detective_steps, selves, questions, past_every, past_capacity, warm_up)
    return Learner(
        Settings(*numbers, common, *structure),
        _init,
        _step,
        prepares=common.initial.learned,
        needs_sampler=True,
        needs_discrete_actions=True,
        variables={"value_against_response": VARIABLES["value_against_response"]},
        gradients=2 + detective_steps,
        plays=2 + detective_steps,
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
    sampler: Sampler = objective.sampler
    if not egocentric(sampler.env):
        raise ValueError("rule is brs; allowed: in games that every player sees from its own point of view")
    if sampler.batch % settings.selves:
        raise ValueError(f"selves is {settings.selves}; allowed: a divisor of batch, {sampler.batch}")
    theta = initial_parameters(common.initial, key, policies, seat, objective, dtype)
    one = detective(sampler, seat, settings.detective_hidden, settings.questions)
    drawn, _ = one.init(jax.random.fold_in(key, 1), jnp.float32(1))
    phi = jax.tree.map(lambda leaf: leaf.astype(dtype), drawn)
    selves = replay_buffer.add(replay_buffer.init(theta, settings.past_capacity), theta)
    moments = common.optimizer.build(common.step_size).init(theta)
    memory = Memory(moments, phi, optax.adam(settings.detective_rate).init(phi), selves, jnp.int32(0))
    return LearnerState(theta, memory)


def _step(
    settings: Settings,
    key: jax.Array,
    states: Sequence[LearnerState],
    player: int | tuple[int, ...],
    objective: Objective,
) -> tuple[LearnerState, dict[str, Any]]:
    common, (seat,) = settings.common, seats_of(player)
    state = states[seat]
    memory: Memory = state.memory
    met = against_detective(settings, objective.sampler, seat)
    phi, of_detective = _fitted(settings, met, seat, memory, state.theta, jax.random.fold_in(key, 0))
    shown = answers(met, seat, state.theta, settings.questions)
    batch = met.play(_seated(met, seat, state.theta, (phi, shown)), jax.random.fold_in(key, 1))
    alike = dataclasses.replace(met, policies=(met.policies[seat],) * len(met.policies))
    own = alike.play([state.theta] * len(met.policies), jax.random.fold_in(key, 2))

    def direction(theta: Any, number: Any) -> Any:
        del number

        def surrogate(theta: Any) -> jax.Array:
            led = led_surrogate(settings, met, seat, theta, phi, batch)
            return led + settings.self_play * shared_surrogate(alike, theta, own)

        return jax.grad(surrogate)(theta)

    transform = common.optimizer.build(common.step_size)
    moved = ascend(transform, state.theta, memory.optimizer, direction)
    waits = memory.updates < settings.warm_up
    theta, moments = jax.tree.map(lambda a, b: jnp.where(waits, a, b), (state.theta, memory.optimizer), moved)
    updates = memory.updates + 1
    due = updates % settings.past_every == 0
    selves = jax.tree.map(lambda a, b: jnp.where(due, a, b), replay_buffer.add(memory.selves, theta), memory.selves)
    value = objective.scale * jnp.mean(returns_of(batch.rewards[..., seat], met.discount)[0])
    after = Memory(moments, phi, of_detective, selves, updates)
    return LearnerState(theta, after), {"value_against_response": value}


def against_detective(settings: Settings, sampler: Sampler, player: int) -> Sampler:
    """The sampler with the detective in every other seat."""
    other = detective(sampler, player, settings.detective_hidden, settings.questions)
    policies = tuple(own if seat == player else other for seat, own in enumerate(sampler.policies))
    return dataclasses.replace(sampler, policies=policies)


def _seated(sampler: Sampler, player: int, theta: Any, other: Any) -> list[Any]:
    return [theta if seat == player else other for seat in range(len(sampler.policies))]


def _fitted(
    settings: Settings, sampler: Sampler, player: int, memory: Memory, theta: Any, key: jax.Array
) -> tuple[Any, Any]:
    """(the detective, its optimiser's state) after its steps, each against selves drawn anew."""
    transform, few = optax.adam(settings.detective_rate), sampler.batch // settings.selves

    def step(carry: tuple[Any, Any], number: jax.Array) -> tuple[tuple[Any, Any], None]:
        phi, moments = carry
        own = jax.random.fold_in(key, number)
        selves = met_selves(settings, memory.selves, theta, jax.random.fold_in(own, 0))
        shown = jax.vmap(lambda theta: answers(sampler, player, theta, settings.questions))(selves)

        def played(theta: Any, shown: Any, number: jax.Array) -> Batch:
            thetas = _seated(sampler, player, theta, (phi, shown))
            return sampler.play(thetas, jax.random.fold_in(jax.random.fold_in(own, 1), number), few)

        batches = jax.vmap(played)(selves, shown, jnp.arange(settings.selves))

        def loss(phi: Any) -> jax.Array:
            each = jax.vmap(lambda shown, batch: responding_surrogate(settings, sampler, player, phi, shown, batch))
            return -jnp.mean(each(shown, batches))

        change, moments = transform.update(jax.grad(loss)(phi), moments, phi)
        return (optax.apply_updates(phi, change), moments), None

    begin = (memory.phi, memory.detective_optimizer)
    return lax.scan(step, begin, jnp.arange(settings.detective_steps))[0]


def met_selves(settings: Settings, selves: Replay, theta: Any, key: jax.Array) -> Any:
    """Parameters of the selves that a detective meets, leaves [selves, ...]: the first is the present one, the others
    are drawn from the past with noise on them."""
    drawn = replay_buffer.sample(selves, jax.random.fold_in(key, 0), settings.selves)
    leaves, structure = jax.tree.flatten(drawn)
    keys = [jax.random.fold_in(jax.random.fold_in(key, 1), place) for place in range(len(leaves))]
    noisy = [x + settings.noise * jax.random.normal(k, x.shape, x.dtype) for x, k in zip(leaves, keys, strict=True)]
    return jax.tree.map(lambda many, one: many.at[0].set(one), jax.tree.unflatten(structure, noisy), theta)


def responding_surrogate(
    settings: Settings, sampler: Sampler, player: int, phi: Any, shown: jax.Array, batch: Batch
) -> jax.Array:
    """What a detective ascends against one self, whose answers are `shown`: the mean over running steps, summed over
    its seats."""
    total = jnp.zeros(())
    for seat in range(len(sampler.policies)):
        if seat != player:
            chances, entropies = sampler.read(seat, (phi, shown), batch)
            gained = chances * advantages(batch, batch.rewards[..., seat], sampler.discount)
            total += batch.mean(gained + settings.entropy * entropies)
    return total


def led_surrogate(settings: Settings, sampler: Sampler, player: int, theta: Any, phi: Any, batch: Batch) -> jax.Array:
    """What the player ascends in games with the detective: its gradient at the parameters that played is that of the
    player's return, the response included."""
    gained = advantages(batch, batch.rewards[..., player], sampler.discount)
    chances, entropies = sampler.read(player, theta, batch)
    shown = answers(sampler, player, theta, settings.questions)
    for seat in range(len(sampler.policies)):
        if seat != player:
            chances += sampler.read(seat, (phi, shown), batch)[0]
    return batch.mean(chances * gained + settings.entropy * entropies)


def shared_surrogate(sampler: Sampler, theta: Any, batch: Batch) -> jax.Array:
    """What the player ascends in games with itself in every seat, where rewards are shared."""
    gained = advantages(batch, jnp.mean(batch.rewards, axis=-1), sampler.discount)
    chances = [sampler.read(seat, theta, batch)[0] for seat in range(len(sampler.policies))]
    return batch.mean(sum(chances) * gained)


def advantages(batch: Batch, rewards: jax.Array, discount: Any) -> jax.Array:
    """[time, streams]: discounted rewards that follow minus the mean of each step over running streams."""
    returns, running = returns_of(rewards, discount), batch.running.astype(rewards.dtype)
    mean = jnp.sum(running * returns, axis=1, keepdims=True) / jnp.maximum(jnp.sum(running, axis=1, keepdims=True), 1)
    return lax.stop_gradient(running * (returns - mean))


LEARNERS = {"brs": brs}
