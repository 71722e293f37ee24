"""Play against past selves: the batch of a learner that meets others as they are, or itself as it was.

A batch is cut into `groups` of streams, each with opponents of its own. In some of the groups these are drawn from a
replay of the learner's past parameters, one for each group, which then plays all other seats; in the remaining groups
they are the players of the match. Only a game in which the same parameters mean the same in every seat allows it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.envs.declarations import egocentric
from shaping.learners import replay_buffer
from shaping.learners.replay_buffer import Replay
from shaping.objectives.game import all_alike
from shaping.objectives.objective import Objective
from shaping.objectives.play_batches import Batch
from shaping.policies.policy import Policy


@dataclasses.dataclass(frozen=True)
class PastSelves:
    """Settings; all of them are structure.

    Attributes:
      groups: how many groups of streams meet past selves; with 0 none are kept.
      of: into how many groups a batch is cut, at least 1 and at least `groups`; it must divide the batch.
      every: updates from one self that is kept to the next.
      capacity: how many are kept.
    """

    groups: int = 0
    of: int = 8
    every: int = 10
    capacity: int = 32

    def __post_init__(self):
        if self.groups > self.of:
            raise ValueError(f"past_groups is {self.groups}; allowed: at most past_of, {self.of}")


@struct.dataclass
class Met:
    """A batch in groups, and who played it.

    Attributes:
      batch: a `Batch`, leaves [groups, time, streams, ...].
      thetas: parameters by seat; those of other seats are [groups, ...] where `apart`, otherwise shared by all groups.
      player: the seat of the learner.
      apart: whether groups have opponents of their own.
    """

    batch: Batch
    thetas: list[Any]
    player: int = struct.field(pytree_node=False)
    apart: bool = struct.field(pytree_node=False)

    def each(self, function: Callable[[list[Any], Batch], Any]) -> Any:
        """`function(thetas, batch)` of every group, [groups, ...]."""
        if not self.apart and len(self.batch.running) == 1:
            # One group as it is: with an axis of its own every product would be computed as one of many.
            found = function(self.thetas, jax.tree.map(lambda leaf: leaf[0], self.batch))
            return jax.tree.map(lambda leaf: leaf[None], found)
        seats = range(len(self.thetas))
        axes = [0 if self.apart and seat != self.player else None for seat in seats]
        return jax.vmap(function, in_axes=(axes, 0))(self.thetas, self.batch)

    @property
    def whole(self) -> Batch:
        """All groups as one batch, [time, batch, ...]."""
        return joined(self.batch)


def joined(tree: Any) -> Any:
    """[groups, time, streams, ...] to [time, groups * streams, ...], leaf by leaf."""

    def one(leaf: jax.Array) -> jax.Array:
        groups, time, streams = leaf.shape[:3]
        return jnp.moveaxis(leaf, 0, 1).reshape(time, groups * streams, *leaf.shape[3:])

    return jax.tree.map(one, tree)


def check_past_selves(settings: PastSelves, policies: Sequence[Policy], objective: Objective) -> None:
    """Refuses past selves where a player cannot take another seat, or where groups do not divide the batch.

    Raises:
      ValueError: one line with what is not allowed.
    """
    if not settings.groups:
        return
    if not (all_alike(policies) and egocentric(objective.sampler.env)):
        raise ValueError(
            f"past_groups is {settings.groups}; allowed: 0 in a game whose seats differ in policy or point of view"
        )
    if objective.sampler.batch % settings.of:
        raise ValueError(f"past_of is {settings.of}; allowed: a divisor of batch, {objective.sampler.batch}")


def start(settings: PastSelves, theta: Any) -> Replay | None:
    """The selves that are kept, at first the initial one alone; None if none are."""
    if not settings.groups:
        return None
    return replay_buffer.add(replay_buffer.init(theta, settings.capacity), theta)


def kept(settings: PastSelves, selves: Replay | None, theta: Any, updates: jax.Array) -> Replay | None:
    """The selves that are kept after `updates` updates, with `theta` among them if it is its turn."""
    if selves is None:
        return None
    due = updates % settings.every == 0
    return jax.tree.map(lambda new, old: jnp.where(due, new, old), replay_buffer.add(selves, theta), selves)


def meet(
    settings: PastSelves,
    selves: Replay | None,
    objective: Objective,
    thetas: Sequence[Any],
    player: int,
    key: jax.Array,
) -> Met:
    """What a learner learns from in one update: the match as it was played, in one group, if it keeps no past selves;
    otherwise a batch that it plays with `key`."""
    thetas = list(thetas)
    if selves is None:
        return Met(jax.tree.map(lambda leaf: leaf[None], objective.observed), thetas, player, apart=False)
    groups, sampler = settings.of, objective.sampler
    drawn = replay_buffer.sample(selves, jax.random.fold_in(key, 0), settings.groups)

    def against(theta: Any) -> Any:
        present = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], groups - settings.groups, axis=0), theta)
        return jax.tree.map(lambda old, now: jnp.concatenate([old, now]), drawn, present)

    others = [theta if seat == player else against(theta) for seat, theta in enumerate(thetas)]
    few = dataclasses.replace(sampler, batch=sampler.batch // groups)
    keys = jax.vmap(lambda group: jax.random.fold_in(jax.random.fold_in(key, 1), group))(jnp.arange(groups))
    axes = [None if seat == player else 0 for seat in range(len(thetas))]
    played = jax.vmap(few.play, in_axes=(axes, 0))(others, keys)
    return Met(jax.lax.stop_gradient(played), others, player, apart=True)
