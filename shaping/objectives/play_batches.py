"""Batches of play, and the policies' log-probabilities on them.

A batch is data: actions are drawn with every derivative stopped, and log-probabilities are computed from it afterwards,
for whatever parameters an objective is evaluated at. Derivatives therefore pass only through policies, never through
the environment, and a policy without memory processes all steps at once.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from shaping.envs.spaces import Discrete
from shaping.objectives.rewards import Reward, maximised
from shaping.objectives.rollout import PlayState, begin_stream, drawn_by, environment_step
from shaping.policies.along_trajectories import compare, logits_over_time, read
from shaping.policies.fits_environment import check_policies
from shaping.policies.policy import Policy

# Folded into a stream's key for the numbers with which its actions are drawn; steps are numbered below it.
_ACTIONS = 0xFFFFFFFE
# Up to this many different observations, a policy without memory is evaluated as a table over them.
_TABLE = 256


@struct.dataclass
class Batch:
    """Streams of play from a reset on, with time as the first axis; data without derivatives.

    Attributes:
      observations: [time, batch, players, ...] what each player saw before it acted.
      actions: [time, batch, players, ...], elements of the action space.
      rewards: [time, batch, players] as players maximise them, 0 after the end of a stream.
      running: [time, batch] False after the end of a stream.
      group: [time, batch] int32, which streams are of one kind, where they are of several; None otherwise.
    """

    observations: jax.Array
    actions: jax.Array
    rewards: jax.Array
    running: jax.Array
    group: jax.Array | None = None

    @property
    def streams(self) -> int:
        """How many streams of play."""
        return self.running.shape[1]

    def mean(self, each: jax.Array) -> jax.Array:
        """The mean of numbers [time, batch] over steps before the end of a stream; a scalar."""
        running = self.running.astype(each.dtype)
        return jnp.sum(jnp.where(self.running, each, 0)) / jnp.maximum(jnp.sum(running), 1)


@dataclass(frozen=True)
class Sampler:
    """An environment, its numbers and all players' policies, ready to be played.

    Attributes:
      env: an environment, see `envs.Environment`; a stream is one episode from a reset, cut at the horizon.
      policies: one per player.
      numbers: the environment's numbers.
      discount: gamma, a scalar.
      batch: streams, at least 1.
      horizon: steps, at least 1.
      rewards: what each player maximises, see `rewards`; None if everybody maximises the game's own.
      playing: `(sampler, thetas, key, streams) -> Batch` if batches are not streams of play one beside the other: those
        of a trial share opponents, and a batch that was played before is only shown again. None otherwise.
      forgets_every: after how many steps players forget what they remember; None if they never do.

    Raises:
      ValueError: for policies that do not fit the environment, see `policies.fits_environment`.
    """

    env: Any
    policies: Sequence[Policy]
    numbers: Any
    discount: Any
    batch: int
    horizon: int
    rewards: Sequence[Reward | None] | None = None
    playing: Callable[..., Batch] | None = None
    forgets_every: int | None = None

    def __post_init__(self):
        check_policies(self.env, self.policies)

    def play(self, thetas: Sequence[Any], key: jax.Array, streams: int | None = None) -> Batch:
        """Plays all players' policies; stream b draws from fold_in(key, b), whatever the number of streams.

        Args:
          thetas: parameters, one pytree per player; their derivatives are stopped.
          key: a PRNG key; the same key gives the same batch.
          streams: how many streams, if not `batch`.
        """
        if self.playing is not None:
            return lax.stop_gradient(self.playing(self, lax.stop_gradient(list(thetas)), key, streams or self.batch))
        still, seats = lax.stop_gradient(list(thetas)), range(len(thetas))
        few = [self._few(policy) for policy in self.policies]
        tables = [self._rows(policy, still[i]) if few[i] else None for i, policy in enumerate(self.policies)]

        def stream(number: jax.Array) -> Batch:
            own = jax.random.fold_in(key, number)
            # The numbers of a stream are drawn together, on one device: drawing each by itself costs twice as much and
            # gains nothing.
            with jax.threefry_partitionable(False):
                drawn = jax.random.uniform(jax.random.fold_in(own, _ACTIONS), (self.horizon, len(few)), jnp.float32)
            # What a player without memory would do at each step is computed for every observation before the first
            # step.
            plans = [
                None if t is None else sampled(categorical(t), own, drawn[:, i, None]) for i, t in enumerate(tables)
            ]

            # So is what the environment draws.
            times = jnp.arange(self.horizon)
            chance = jax.vmap(lambda time: drawn_by(self.env, self.numbers, own, time))(times)

            def step(before: PlayState, now: tuple[jax.Array, jax.Array, list[Any], Any]) -> tuple[PlayState, Batch]:
                time, uniforms, planned, chances = now
                actions, memories = [], []
                for seat in seats:
                    seen, memory = before.observations[seat], before.memories[seat]
                    if few[seat]:
                        action = planned[seat][seen]
                    else:
                        distribution, memory = self.policies[seat].apply(still[seat], seen, memory)
                        own_key = jax.random.fold_in(jax.random.fold_in(own, time), 1 + seat)
                        action = sampled(distribution, own_key, uniforms[seat])
                    actions.append(action)
                    memories.append(memory)
                joint = jnp.stack(actions)
                after, rewards, _ = environment_step(self.env, self.numbers, chances, before, joint, memories)
                return after, Batch(before.observations, joint, jnp.where(before.running, rewards, 0), before.running)

            start = begin_stream(self.env, self.policies, self.numbers, own)
            return lax.scan(step, start, (times, drawn, plans, chance))[1]

        from shaping.policies.distributions import categorical, sampled

        count = self.batch if streams is None else streams
        played = jax.vmap(stream, out_axes=1)(jnp.arange(count))
        if self.rewards is not None:
            own = maximised(self.rewards, [played.rewards[..., i] for i in seats])
            # Nothing is paid after the end, and nothing is made of it.
            played = dataclasses.replace(
                played, rewards=jnp.where(played.running[..., None], jnp.stack(own, axis=-1), 0)
            )
        return lax.stop_gradient(played)

    @property
    def seen(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of a batch's observations, actions and `running`; nothing is traced."""
        time, shows, does = (self.horizon, self.batch), self.env.observation_space, self.env.action_space
        players = len(self.policies)
        return {
            "observations": jax.ShapeDtypeStruct((*time, players, *shows.shape), shows.dtype),
            "actions": jax.ShapeDtypeStruct((*time, players, *does.shape), does.dtype),
            "running": jax.ShapeDtypeStruct(time, bool),
        }

    def like(self, dtype: Any) -> Batch:
        """Shapes and types of a whole batch, with rewards of this type."""
        rewards = jax.ShapeDtypeStruct((self.horizon, self.batch, len(self.policies)), dtype)
        shapes: Any = self.seen | {"rewards": rewards}
        return Batch(**shapes)

    def read(self, player: int, theta: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Log-probabilities of a player's actions, and entropies of the distributions they were drawn from, [time,
        batch] each, 0 after the end; differentiable with respect to theta."""
        policy, seen = self.policies[player], batch.observations[:, :, player]
        taken = batch.actions[:, :, player]
        if self._few(policy):
            chances = jax.nn.log_softmax(self._rows(policy, theta))
            place = seen * chances.shape[1] + taken
            log_probabilities = _looked_up(chances.reshape(-1), place)
            entropies = _looked_up(-jnp.sum(jnp.exp(chances) * chances, axis=1), seen)
        else:
            log_probabilities, entropies = read(policy, theta, seen, taken, self._ended(batch))
        return jnp.where(batch.running, log_probabilities, 0), jnp.where(batch.running, entropies, 0)

    def probabilities(self, player: int, theta: Any, batch: Batch) -> jax.Array:
        """The probabilities of all of a player's discrete actions, [time, batch, actions]."""
        policy, seen = self.policies[player], batch.observations[:, :, player]
        if self._few(policy):
            return jax.nn.softmax(self._rows(policy, theta))[seen]
        return jax.nn.softmax(logits_over_time(policy, theta, seen, self._ended(batch)))

    def log_probabilities(self, thetas: Sequence[Any], batch: Batch) -> jax.Array:
        """Log-probabilities of all players' actions, [time, batch, players]."""
        return jnp.stack([self.read(i, theta, batch)[0] for i, theta in enumerate(thetas)], axis=-1)

    def divergence(self, player: int, theta: Any, other: Any, batch: Batch) -> jax.Array:
        """KL(other || theta) between a player's action distributions, averaged over the steps of a batch; a scalar."""
        policy, seen = self.policies[player], batch.observations[:, :, player]
        if self._few(policy):
            new, old = (jax.nn.log_softmax(self._rows(policy, t)) for t in (theta, other))
            found = _looked_up(jnp.sum(jnp.exp(old) * (old - new), axis=1), seen)
        else:
            found = compare(policy, theta, other, seen, self._ended(batch))
        return batch.mean(found)

    def _ended(self, batch: Batch) -> jax.Array | None:
        """[time, batch], after which steps players forget; None if they never do."""
        if self.forgets_every is None:
            return None
        last = jnp.arange(1, len(batch.running) + 1) % self.forgets_every == 0
        return jnp.broadcast_to(last[:, None], batch.running.shape)

    def _few(self, policy: Policy) -> bool:
        """Whether a policy depends only on an observation that has few possible values."""
        space, actions = self.env.observation_space, self.env.action_space
        few = isinstance(space, Discrete) and space.num_values <= _TABLE and isinstance(actions, Discrete)
        return few and not jax.tree.leaves(jax.eval_shape(lambda: policy.start(())))

    def _rows(self, policy: Policy, theta: Any) -> jax.Array:
        """Logits [observations, actions], one row for each possible observation."""
        every = jnp.arange(self.env.observation_space.num_values, dtype=jnp.int32)
        return jax.vmap(lambda seen: policy.apply(theta, seen, policy.start(()))[0].logits)(every)


def _looked_up(table: jax.Array, places: jax.Array) -> jax.Array:
    """table[places]."""
    if jax.default_backend() == "cpu":
        return table[places]
    # A product with one-hot rows: on accelerators the transpose of a gather, a scatter into few places, is serial.
    chosen = jax.nn.one_hot(places, table.shape[0], dtype=table.dtype)
    return jnp.matmul(chosen, table, precision=lax.Precision.HIGHEST)
