"""Batches of trials: an ordinary `Sampler`, whose streams are those of all trials side by side.

A batch of K trials with B streams each is a `Batch` [time, K B, players, ...], stream b of trial k at place k B + b and
time running over all inner updates of a trial. Whoever learns over trials acts in each stream by itself, and remembers
each by itself. Any learner that reads batches can therefore learn from trials, as if streams were independent; one that
knows better finds the streams of a trial by `split`.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax

from shaping.envs.spaces import Box, Discrete
from shaping.objectives.play_batches import Batch, Sampler
from shaping.objectives.rewards import Reward, maximised
from shaping.objectives.rollout import varying
from shaping.policies.policy import Policy
from shaping.population.meta_game import MetaGame

# Folded into a trial's key for its reset; steps are numbered below it.
_RESET = 0xFFFFFFFF

Remembering = Literal["carry", "reset", "average"]
"""What a shaper's memory does at an inner boundary: run on, begin anew, or become the mean over a trial's streams."""


@dataclass(frozen=True)
class Stream:
    """One stream of a meta-game as a player sees it: what policies have to fit."""

    meta: MetaGame

    @property
    def name(self) -> str:
        return self.meta.name

    @property
    def num_players(self) -> int:
        return self.meta.num_players

    @property
    def observation_space(self) -> Discrete | Box:
        return self.meta.stream_observations

    @property
    def action_space(self) -> Discrete | Box:
        return self.meta.stream_actions


def trial_sampler(
    meta: MetaGame,
    policies: Sequence[Policy],
    params: Any,
    discount: Any,
    trials: int,
    memory: Remembering = "carry",
    rewards: Sequence[Reward | None] | None = None,
) -> Sampler:
    """Plays trials.

    Args:
      meta: the meta-game.
      policies: one per seat, over one stream's spaces; those of learners within are not asked (`policies.placeholder`).
      params: the meta-game's numbers.
      discount: of the return over a trial, a scalar.
      trials: how many trials a batch has; it has `trials * meta.streams` streams.
      memory: what shapers remember over inner boundaries.
      rewards: what each player maximises; None for the game's rewards.
    """

    def playing(sampler: Sampler, thetas: Sequence[Any], key: jax.Array, streams: int) -> Batch:
        if streams % meta.streams:
            raise ValueError(f"streams is {streams}; allowed: a multiple of those of a trial, {meta.streams}")
        played = _played(meta, sampler.policies, thetas, params, key, streams // meta.streams, memory)
        if sampler.rewards is None:
            return played
        own = maximised(sampler.rewards, [played.rewards[..., seat] for seat in range(meta.num_players)])
        paid = jnp.where(played.running[..., None], jnp.stack(own, axis=-1), 0)
        return dataclasses.replace(played, rewards=paid)

    forgets = meta.rounds if memory == "reset" else None
    batch = trials * meta.streams
    return Sampler(Stream(meta), policies, params, discount, batch, meta.horizon, rewards, playing, forgets)


def split(leaf: jax.Array, meta: MetaGame) -> jax.Array:
    """[time, trials * streams, ...] as [updates, rounds, trials, streams, ...]."""
    return leaf.reshape(meta.updates, meta.rounds, -1, meta.streams, *leaf.shape[2:])


def _played(
    meta: MetaGame,
    policies: Sequence[Policy],
    thetas: Sequence[Any],
    params: Any,
    key: jax.Array,
    trials: int,
    memory: Remembering,
) -> Batch:
    """A batch of trials. Trial k draws from fold_in(key, k), whatever the number of trials."""
    from shaping.policies.distributions import numbers_of_sample, sampled_from

    # For each seat the shaper that acts there, itself or through a copy; None if there is none.
    copies = [params.copy(seat) for seat in range(meta.num_players)]
    shapers = [
        (None if copies[seat] is None else copies[seat].shaper) if inside else seat
        for seat, inside in enumerate(meta.within)
    ]

    def group(state: Any) -> Any:
        """Where copies sit in a trial, as a number."""
        found = [copied.astype(jnp.int32) for copied in state.copied if copied is not None]
        return sum(copied * 2**place for place, copied in enumerate(found)) if found else None

    def drawn(own: jax.Array, time: jax.Array) -> list[Any]:
        """What shapers and their copies draw for their actions in a step, [streams, ...] each."""
        now, space = jax.random.fold_in(own, time), meta.stream_observations

        def numbers(seat: int, who: int) -> jax.Array:
            keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(now, 1 + seat), jnp.arange(meta.streams))
            return jax.vmap(lambda key: numbers_of_sample(policies[who], thetas[who], space, key))(keys)

        return [None if who is None else numbers(seat, who) for seat, who in enumerate(shapers)]

    def act(
        numbers: Sequence[Any], seen: jax.Array, memories: Sequence[Any]
    ) -> tuple[list[jax.Array | None], list[Any]]:
        """Actions of shapers and of their copies, [streams, ...] each, and what they remember.

        `seen` is [players, streams, ...]."""
        actions, after = [], []
        for seat, who in enumerate(shapers):
            if who is None:
                actions.append(None)
                after.append(())
                continue

            def one(numbers: jax.Array, observation: jax.Array, memory: Any, who: int = who) -> Any:
                distribution, memory = policies[who].apply(thetas[who], observation, memory)
                return sampled_from(distribution, numbers), memory

            action, remembered = jax.vmap(one)(numbers[seat], seen[seat], memories[seat])
            actions.append(action)
            after.append(remembered)
        return actions, after

    def fresh() -> list[Any]:
        starts = [() if who is None else policies[who].start(()) for who in shapers]
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (meta.streams, *jnp.shape(x))), starts)

    def exact_step(own: jax.Array, carry: tuple[Any, Any], time: jax.Array) -> tuple[Any, Batch]:
        state, memories = carry
        seen, others = meta.shown(state), meta.thetas(state)
        actions, memories = act(drawn(own, time), seen[:, None], memories)
        flat = [meta.as_action(i, others[i]) if action is None else action[0] for i, action in enumerate(actions)]
        joint = jnp.stack([one.astype(jnp.float32) for one in flat])
        state, rewards = meta.play_policies(_of_step(own, time), state, joint, params)
        row = Batch(seen, joint, rewards, jnp.asarray(True), group(state))
        # One stream, and no rounds.
        return (state, memories), jax.tree.map(lambda leaf: leaf[None], row)

    def episode(own: jax.Array, carry: tuple[Any, Any], number: jax.Array) -> tuple[Any, Batch]:
        # What is random in all rounds is drawn before the first: one by one it takes most of the time.
        times = number * meta.rounds + jnp.arange(meta.rounds)
        chances = jax.vmap(lambda at: (drawn(own, at), meta.draw_round(_of_step(own, at), carry[0], params)))(times)

        def round_(carry: tuple[Any, Any], now: tuple[Any, Any]) -> tuple[Any, tuple[Batch, Batch]]:
            (state, memories), (numbers, chance) = carry, now
            seen, before = meta.shown(state), state.rounds
            actions, memories = act(numbers, seen, memories)
            none = jnp.zeros((meta.streams, *meta.stream_actions.shape), meta.stream_actions.dtype)
            joint = jnp.stack([none if action is None else action for action in actions])
            state, rewards, taken = meta.play_round(chance, state, joint, params)
            inner = Batch(before.observations, taken, rewards, before.running)
            met = group(state)
            met = None if met is None else jnp.broadcast_to(met, before.running.shape)
            return (state, memories), (Batch(jnp.moveaxis(seen, 0, 1), taken, rewards, before.running, met), inner)

        (state, memories), (rows, inner) = lax.scan(round_, carry, chances)
        last = _of_step(own, number * meta.rounds + meta.rounds - 1)
        state = meta.learn(last, state, inner, params)
        if memory == "reset":
            memories = fresh()
        elif memory == "average":
            memories = jax.tree.map(lambda x: jnp.broadcast_to(jnp.mean(x, axis=0), x.shape), memories)
        return (state, memories), rows

    def trial(number: jax.Array) -> Batch:
        own = jax.random.fold_in(key, number)
        start = varying((meta.begin(jax.random.fold_in(own, _RESET), params), fresh()), own)
        step = episode if meta.sampled else exact_step
        return lax.scan(lambda carry, at: step(own, carry, at), start, jnp.arange(meta.updates))[1]

    axes = 2 if meta.sampled else 1
    played = jax.vmap(trial, out_axes=axes)(jnp.arange(trials))
    # [updates, rounds, trials, streams, ...] or, if the game is exact, [updates, trials, 1, ...].
    return jax.tree.map(lambda leaf: leaf.reshape(meta.horizon, trials * meta.streams, *leaf.shape[axes + 2 :]), played)


def _of_step(own: jax.Array, time: jax.Array) -> jax.Array:
    """The key of what happens in a step that no shaper chooses."""
    return jax.random.fold_in(jax.random.fold_in(own, time), 0)
