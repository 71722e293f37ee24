"""What learners that shape by products of advantages have in common: critics of everybody, one step, what is recorded.

An update collects a batch (as the match was played, or against past selves), estimates the advantages of all players
with the learner's own critics, adds the alignment term (`advantage_products`) to those of the learner, and steps like
A2C or PPO; then its critics are fitted to the same batch.

Three settings keep the term from being driven by critics that have not learned yet. With negative rewards and critics
that start at 0 all advantages are negative, the sum over the past is too, and players turn spiteful: `centre` subtracts
each step's mean over the batch from advantages, `value_scale` is the unit in which critics measure returns, and during
the first `warm_up` updates critics learn but the policy stays.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.learners import critic as critics
from shaping.learners import past_selves
from shaping.learners.actor_critic import ActorCritic, Experience, direction_of
from shaping.learners.advantage_products import returns_of
from shaping.learners.ascent import ascend, check_seats, check_value_head, seated, summed, with_value_head
from shaping.learners.initial_parameters import initial_parameters
from shaping.learners.learner import Common, Learner, LearnerState, check_without_model, seats_of
from shaping.learners.past_selves import Met, PastSelves, check_past_selves, joined
from shaping.learners.replay_buffer import Replay
from shaping.objectives.estimators import gae
from shaping.objectives.objective import Objective
from shaping.objectives.play_batches import Batch
from shaping.policies.policy import Policy
from shaping.rules.gradients import add, replace
from shaping.variables import VARIABLES


@struct.dataclass
class Shared:
    """Settings that these learners share.

    Attributes:
      actor: the actor-critic step that takes the shaped advantages.
      value_scale: the unit of the critics' values, above 0.
      warm_up: updates at the start in which the policy does not move, at least 0.
      centre: whether advantages lose each step's mean over the batch.
      past: past selves as opponents.
    """

    actor: ActorCritic
    value_scale: Any
    warm_up: int = struct.field(pytree_node=False)
    centre: bool = struct.field(pytree_node=False)
    past: PastSelves = struct.field(pytree_node=False)


@struct.dataclass
class Settings:
    """All settings of such a learner.

    Attributes:
      own: those of its rule, see `term`.
      shared, common: those of the family, and those that every learner has.
      term: `(own, seen) -> [time, batch]`, the alignment term of one player.
      leak: `(own, seen, experience) -> [time, batch]`, what multiplies the player's advantages in a loss that is also
        differentiated through them, that is through V(s) = sum_a pi(a | s) Q(s, a); None if they are held fixed.
    """

    own: Any
    shared: Shared
    common: Common
    term: Callable[..., jax.Array] = struct.field(pytree_node=False)
    leak: Callable[..., jax.Array] | None = struct.field(pytree_node=False, default=None)


@struct.dataclass
class Seen:
    """One player's batch with everybody's estimates; all arrays in the game's units.

    Attributes:
      batch: a `Batch`, [time, batch, ...].
      player: the player, a seat.
      advantages: [time, batch, players], generalised, centred or normalised as the settings say; 0 after the end.
      values: [time, batch, players].
      action_values: [time, batch, players - 1, actions], of the opponents by ascending seat; None if critics do not
        estimate Q.
      discount: gamma.
    """

    batch: Batch
    advantages: jax.Array
    values: jax.Array
    action_values: jax.Array | None
    discount: Any
    player: int = struct.field(pytree_node=False)


@struct.dataclass
class Memory:
    """What it remembers besides its parameters: the optimiser's state, its critics (None if its policy has a value
    head), how many updates there were, and past selves (None if it meets none)."""

    optimizer: Any
    critic: Any
    updates: jax.Array
    selves: Replay | None


NAMES = ("explained_variance", "others_explained_variance", "alignment_ratio")


def learner_of(
    own: Any,
    shared: Shared,
    common: Common,
    term: Callable[..., jax.Array],
    leak: Callable[..., jax.Array] | None = None,
    needs_action_values: bool = False,
) -> Learner:
    """The learner with these settings; see `Settings`.

    Raises:
      ValueError: for settings that would have no effect.
    """
    check_without_model(common, "opponents are known from their advantages")
    return Learner(
        Settings(own, shared, common, term, leak),
        _init,
        _step,
        prepares=common.initial.learned,
        observes=True,
        shareable=True,
        needs_sampler=True,
        needs_critic=True,
        needs_all_critics=True,
        needs_action_values=needs_action_values,
        variables={name: VARIABLES[name] for name in NAMES},
        minibatches=shared.actor.minibatches,
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
    general, seats = settings.common, seats_of(player)
    check_seats(policies, seats)
    check_value_head(general.critic, policies[seats[0]])
    check_past_selves(settings.shared.past, policies, objective)
    theta = initial_parameters(general.initial, key, policies, seats[0], objective, dtype)
    critic = None
    if general.critic is not None:
        critic = critics.start(general.critic, jax.random.fold_in(key, 1), dtype, seats)
    moments = general.optimizer.build(general.step_size).init(theta)
    return LearnerState(theta, Memory(moments, critic, jnp.int32(0), past_selves.start(settings.shared.past, theta)))


def _step(
    settings: Settings,
    key: jax.Array,
    states: Sequence[LearnerState],
    player: int | tuple[int, ...],
    objective: Objective,
) -> tuple[LearnerState, dict[str, Any]]:
    shared, common, seats = settings.shared, settings.common, seats_of(player)
    state, thetas = states[seats[0]], [state.theta for state in states]
    memory: Memory = state.memory
    known = objective
    if common.critic is not None:
        known = objective.within(critics.by_seat(memory.critic, seats))
    met = past_selves.meet(shared.past, memory.selves, objective, thetas, seats[0], jax.random.fold_in(key, 0))
    # Among past selves one seat is like another, and the other seats are not the learner's own.
    learning = seats[:1] if met.apart else seats
    critic, estimates = memory.critic, {}
    if common.critic is not None:
        critic, estimates = _fitted(settings, critic, objective, met, seats)
    seen = {seat: observe(settings, known, met, seat, estimates) for seat in learning}
    terms = {seat: settings.term(settings.own, seen[seat]) for seat in learning}
    data = {
        seat: experience(known, thetas, seen[seat], terms[seat], jax.random.fold_in(key, 1 + seat)) for seat in learning
    }

    def direction(theta: Any, number: Any) -> Any:
        now = seated(thetas, seats, theta)

        def of(seat: int, key: jax.Array) -> Any:
            del key  # It was used when the batch was collected.
            found = direction_of(known, now, seat, shared.actor, data[seat], number)
            if settings.leak is not None:
                weight = settings.leak(settings.own, seen[seat], data[seat])
                found = add(found, _leaking(settings, known, now, seen[seat], weight))
            with_critic = dataclasses.replace(known, observed=_scaled(data[seat].batch, shared.value_scale))
            return with_value_head(common.critic, with_critic, now, seat, found)

        return summed(learning, key, of)

    transform = common.optimizer.build(common.step_size)
    actor = shared.actor
    theta, moments = ascend(transform, state.theta, memory.optimizer, direction, actor.epochs * actor.minibatches)
    updates = memory.updates + 1
    if shared.warm_up:
        waits = updates <= shared.warm_up
        old = (state.theta, memory.optimizer)
        theta, moments = jax.tree.map(lambda a, b: jnp.where(waits, a, b), old, (theta, moments))
    selves = past_selves.kept(shared.past, memory.selves, theta, updates)
    found = _info(seen[seats[0]], terms[seats[0]])
    return LearnerState(theta, Memory(moments, critic, updates, selves)), found


def observe(settings: Settings, objective: Objective, met: Met, player: int, estimates: dict[int, jax.Array]) -> Seen:
    """A batch with what the learner's critics, which are the context of `objective`, estimate for all players.
    `estimates` holds, by seat, estimates that are known already, see `critics.fitted_with_estimates`."""
    shared, players = settings.shared, range(len(met.thetas))
    assert objective.values is not None
    values_of, batch = objective.values, met.whole
    critic, each = settings.common.critic, None
    if critic is not None and all(one is not None and one.num_actions is not None for one in critic.critics):
        assert objective.action_values is not None
        found = [objective.action_values(seat, batch) for seat in players if seat != player]
        each = shared.value_scale * jnp.stack(found, axis=2)
        # What they say is Q.
        estimates = {}

    def values(seat: int) -> jax.Array:
        if seat in estimates:
            return estimates[seat]
        return joined(met.each(lambda thetas, batch: values_of(seat, thetas, batch)))

    expected = shared.value_scale * jnp.stack([values(seat) for seat in players], axis=-1)
    discount = objective.sampler.discount
    advantages = _advantages(shared, discount, batch.rewards, expected, batch.running)
    return jax.lax.stop_gradient(Seen(batch, advantages, expected, each, discount, player))


def _advantages(shared: Shared, discount: Any, rewards: jax.Array, values: jax.Array, running: jax.Array) -> jax.Array:
    """[time, batch, players]."""
    found = gae(rewards, values, discount, shared.actor.gae_lambda)
    if shared.centre:
        found = without_mean(found, running, axis=1)
    if shared.actor.normalise:
        found = without_mean(found, running, axis=(0, 1))
        found = found / (critics.spread(found, running) + 1e-8)
    return found


def _leaking(settings: Settings, objective: Objective, thetas: Sequence[Any], seen: Seen, weight: jax.Array) -> Any:
    """The gradient of the mean of `weight` times the player's advantages with respect to its policy, which enters
    through V."""
    player, batch, shared = seen.player, seen.batch, settings.shared
    assert objective.values is not None
    values_of = objective.values

    def weighted(theta: Any) -> jax.Array:
        values = shared.value_scale * values_of(player, replace(list(thetas), player, theta), batch)
        own = batch.rewards[..., [player]]
        advantages = _advantages(shared, seen.discount, own, values[..., None], batch.running)[..., 0]
        return jnp.sum(weight * advantages) / jnp.maximum(jnp.sum(batch.running), 1)

    return jax.grad(weighted)(thetas[player])


def experience(objective: Objective, thetas: Sequence[Any], seen: Seen, term: jax.Array, key: jax.Array) -> Experience:
    """The batch as an actor-critic sees it, the alignment term added to the player's advantages."""
    player = seen.player
    log_probabilities, _ = objective.sampler.read(player, thetas[player], seen.batch)
    shaped = seen.advantages[..., player] + term
    return jax.lax.stop_gradient(Experience(seen.batch, shaped, log_probabilities, key))


def _fitted(
    settings: Settings, state: critics.CriticState, objective: Objective, met: Met, seats: Sequence[int]
) -> tuple[critics.CriticState, dict[int, jax.Array]]:
    """Critics after their steps on the batch, group by group, and what they said of it before."""
    unit = settings.shared.value_scale

    def loss(
        own: Any, at: Objective, thetas: Any, player: int, batch: Any, steady: Objective | None
    ) -> tuple[jax.Array, jax.Array]:
        def of(thetas: list[Any], batch: Batch) -> tuple[jax.Array, jax.Array]:
            return critics.judged(own, at, thetas, player, _scaled(batch, unit), steady)

        losses, said = met.each(of)
        return jnp.mean(losses), joined(said)

    assert settings.common.critic is not None
    return critics.fitted_with_estimates(settings.common.critic, state, objective, seats, met.thetas, loss)


def _scaled(batch: Batch, unit: Any) -> Batch:
    return dataclasses.replace(batch, rewards=batch.rewards / unit)


def _info(seen: Seen, term: jax.Array) -> dict[str, Any]:
    running, player = seen.batch.running, seen.player

    def explained(seat: int) -> jax.Array:
        returns = returns_of(seen.batch.rewards[..., seat], seen.discount)
        return critics.explained_variance(seen.values[..., seat], returns, running)

    own = seen.advantages[..., player]
    others = [seat for seat in range(seen.values.shape[-1]) if seat != player]
    return {
        "explained_variance": lambda: explained(player),
        "others_explained_variance": lambda: sum(explained(seat) for seat in others) / len(others),
        "alignment_ratio": lambda: critics.spread(term, running) / critics.spread(own, running),
    }


def without_mean(arrays: jax.Array, running: jax.Array, axis: Any) -> jax.Array:
    """[time, batch, players] minus their mean over some axes, of running steps only."""
    weight = running[..., None].astype(arrays.dtype)
    count = jnp.maximum(jnp.sum(weight, axis, keepdims=True), 1)
    return weight * (arrays - jnp.sum(weight * arrays, axis, keepdims=True) / count)
