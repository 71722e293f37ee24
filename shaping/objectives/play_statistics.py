"""Plays only for statistics: nothing that grows with the number of steps is stored."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from shaping.envs import declarations
from shaping.envs.environment import check_number
from shaping.envs.measures import fraction
from shaping.envs.spaces import Discrete
from shaping.objectives.rollout import PlayState, Step, begin_stream, play_step, streams, varying
from shaping.policies.policy import Policy


@struct.dataclass
class Statistics:
    """Sums over the steps of each stream of play, and quantities derived from them.

    Streams are independent, so standard errors come from their spread; `pooled` adds them up. A quotient with nothing
    to divide by is NaN.

    Attributes:
      steps: [batch] int32, steps played; those after the end of a single episode do not count.
      episodes: [batch] int32, episodes begun.
      ended: [batch] int32, episodes that ended. The last episode of a stream may not have; it counts as far as it went.
      rewards: [batch, players] their sum.
      discounted: [batch, players] likewise, each reward discounted from the start of its own episode.
      entropies: [batch, players] sum of the entropies of the distributions that actions were drawn from, in nats.
      actions: [batch, players, actions] int32, how often each was chosen; None if actions are not discrete.
      counts: what the environment counts (`count` of `envs.Environment`), batch first; its `metrics` reads it.
    """

    steps: jax.Array
    episodes: jax.Array
    ended: jax.Array
    rewards: jax.Array
    discounted: jax.Array
    entropies: jax.Array
    actions: jax.Array | None
    counts: Any

    def pooled(self, axis: int = 0) -> "Statistics":
        """The sum over streams, or over another leading axis (matches: 0, their streams: 1), in floats, which cannot
        overflow."""
        return jax.tree.map(lambda leaf: jnp.sum(jnp.asarray(leaf, dtype=float), axis), self)

    @property
    def rewards_per_step(self) -> jax.Array:
        """[..., players]."""
        return fraction(self.rewards, self.steps[..., None])

    @property
    def returns(self) -> jax.Array:
        """Mean over episodes of the sum of rewards, [..., players]."""
        return fraction(self.rewards, self.episodes[..., None])

    @property
    def discounted_returns(self) -> jax.Array:
        """Mean over episodes of sum_t discount^t r_t, t from 0 at the start of each, [..., players]."""
        return fraction(self.discounted, self.episodes[..., None])

    @property
    def policy_entropy(self) -> jax.Array:
        """Mean over steps of the entropy of a player's distribution over actions, in nats, [..., players]."""
        return fraction(self.entropies, self.steps[..., None])

    @property
    def action_frequencies(self) -> jax.Array:
        """How often each action is chosen, [..., players, actions]; sums to 1.

        Raises:
          ValueError: if actions are not discrete.
        """
        if self.actions is None:
            raise ValueError("action_frequencies of continuous actions; allowed: with discrete ones")
        return fraction(self.actions, self.steps[..., None, None])

    @property
    def action_entropy(self) -> jax.Array:
        """Entropy of `action_frequencies`, in nats, [..., players].

        For pooled statistics it is that of the marginal over batch and time (Aghajohari et al. 2024, LOQA): 0 for a
        player that always does the same, and log(actions) for one that does everything equally often, whether by plan
        or by chance.
        """
        found = self.action_frequencies
        return -jnp.sum(jnp.where(found == 0, 0, found * jnp.log(jnp.where(found == 0, 1, found))), axis=-1)


def play(
    env: Any,
    policies: Sequence[Policy],
    thetas: Sequence[Any],
    key: jax.Array,
    steps: int,
    batch: int,
    params: Any = None,
    discount: float | jax.Array | None = None,
) -> Statistics:
    """Plays exactly what `shaping.rollout` plays with the same key, but keeps only statistics, in constant memory.

    Choose `steps` as a multiple of the episode length, or play one episode that ends by itself: an episode that `steps`
    cuts short counts as a whole one. To play a population of matches use `vmap`, as for `rollout`; leaves then have the
    match in front.

    Args:
      env, policies, thetas, key, steps, batch, params: see `rollout`.
      discount: for `Statistics.discounted`; None for the game's own, `params.discount`, or 1 if it has none.

    Raises:
      ValueError: see `rollout`.
    """
    numbers = env.default_params if params is None else params
    if discount is None:
        discount = getattr(numbers, "discount", 1.0)
    elif isinstance(discount, int | float):
        check_number("discount", discount, 0, 1)
    gamma = jnp.asarray(discount, dtype=float)

    def stream(key: jax.Array) -> Statistics:
        def step(
            carry: tuple[jax.Array, PlayState, _Tally], _: None
        ) -> tuple[tuple[jax.Array, PlayState, _Tally], None]:
            time, before, tally = carry
            after, played = play_step(env, policies, thetas, numbers, key, before, time)
            told = _counterfactual(env, policies, thetas, before, played)
            counted = _counted(env, tally, before, played._replace(info=played.info | told), gamma)
            if not played.begins:
                counted = jax.tree.map(lambda new, old: jnp.where(before.running, new, old), counted, tally)
            return (time + 1, after, counted), None

        carry = (jnp.int32(0), begin_stream(env, policies, numbers, key), varying(_start(env), key))
        *_, tally = lax.scan(step, carry, length=steps)[0]
        rewards, discounted, entropies = tally.sums
        return Statistics(
            tally.steps, tally.episodes, tally.ended, rewards, discounted, entropies, tally.actions, tally.counts
        )

    return streams(stream, env, policies, thetas, key, steps, batch)


@struct.dataclass
class _Tally:
    """What a stream has counted so far.

    Attributes:
      steps, episodes, ended, actions, counts: see `Statistics`.
      sums, lost: [3, players] sums of rewards, discounted rewards and entropies, and their accumulated rounding errors.
      weight: [] discount^t, with t = 0 at the start of the episode.
      first: [] bool, whether the next step is the first of an episode.
    """

    steps: jax.Array
    episodes: jax.Array
    ended: jax.Array
    sums: jax.Array
    lost: jax.Array
    actions: jax.Array | None
    counts: Any
    weight: jax.Array
    first: jax.Array


def _start(env: Any) -> _Tally:
    n, space = env.num_players, env.action_space
    actions = jnp.zeros((n, space.num_values), jnp.int32) if isinstance(space, Discrete) else None
    return _Tally(
        steps=jnp.int32(0),
        episodes=jnp.int32(0),
        ended=jnp.int32(0),
        sums=jnp.zeros((3, n), float),
        lost=jnp.zeros((3, n), float),
        actions=actions,
        counts=declarations.start_counts(env),
        weight=jnp.ones((), float),
        first=jnp.asarray(True),
    )


def _counterfactual(
    env: Any, policies: Sequence[Policy], thetas: Sequence[Any], before: PlayState, played: Step
) -> dict[str, jax.Array]:
    """What players would have done had they seen something else, see `declarations.counterfactuals`; {} in most
    environments."""
    others = declarations.counterfactuals(env, before.observations)
    if others is None:
        return {}

    def probabilities(observations: jax.Array) -> jax.Array:
        seats = zip(policies, thetas, before.memories, strict=True)
        found = [policy.apply(theta, observations[i], memory)[0] for i, (policy, theta, memory) in enumerate(seats)]
        return jnp.stack([distribution.probs for distribution in found])

    return {
        "probabilities": jnp.stack([distribution.probs for distribution in played.distributions]),
        "counterfactual_probabilities": jax.vmap(probabilities)(others),
    }


def _counted(env: Any, tally: _Tally, before: PlayState, played: Step, discount: jax.Array) -> _Tally:
    """The tally after one more step."""
    rewards = played.rewards.astype(tally.sums.dtype)
    entropies = jnp.stack([distribution.entropy() for distribution in played.distributions])
    # Compensated (Kahan) summation: after a million steps the plain float32 sum is wrong in its second digit.
    new = jnp.stack([rewards, tally.weight * rewards, entropies.astype(rewards.dtype)]) - tally.lost
    sums = tally.sums + new
    actions = tally.actions
    if actions is not None:
        chosen = played.actions[:, None] == jnp.arange(actions.shape[-1], dtype=played.actions.dtype)[None]
        actions = actions + chosen.astype(jnp.int32)
    return _Tally(
        steps=tally.steps + 1,
        episodes=tally.episodes + tally.first.astype(jnp.int32),
        ended=tally.ended + played.ended.astype(jnp.int32),
        sums=sums,
        lost=(sums - tally.sums) - new,
        actions=actions,
        counts=declarations.count(
            env, tally.counts, before.state, played.actions, played.rewards, played.ended, played.info
        ),
        weight=jnp.where(played.ended, 1, tally.weight * discount),
        first=played.ended,
    )
