"""Learners of different rules, or optimisers, in one program.

What each learner needs besides its parameters is stored for every kind. An update is computed by the rule of every
kind, and a learner takes the result of its own. A population of k kinds therefore costs as much as k populations; kinds
that differ only in numbers count as one.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.learners.learner import Learner, LearnerState
from shaping.population.fixed_strategies import without_start


@struct.dataclass
class MixedSettings:
    """Settings of a learner of one kind among several.

    Attributes:
      kind: [] int32, the kind of the learner.
      settings: for every kind; those of other kinds than its own are not used.
    """

    kind: Any
    settings: tuple[Any, ...]


def structure(learner: Learner) -> Any:
    """What determines a learner's kind: everything except its numbers and its initial parameters."""
    bare = without_start(learner)
    return jax.tree.structure(bare), tuple(jnp.shape(leaf) for leaf in jax.tree.leaves(bare))


def side_by_side(learners: Sequence[Learner]) -> list[Learner]:
    """The same learners, all of one structure; unchanged if they already are."""
    structures = [structure(learner) for learner in learners]
    kinds = [place for place, own in enumerate(structures) if own not in structures[:place]]
    if len(kinds) == 1:
        return list(learners)
    firsts = [learners[place] for place in kinds]
    found = []
    for learner, own in zip(learners, structures, strict=True):
        kind = [structures[place] for place in kinds].index(own)
        settings = [learner.settings if place == kind else one.settings for place, one in enumerate(firsts)]
        found.append(
            dataclasses.replace(
                learner,
                settings=MixedSettings(jnp.int32(kind), tuple(settings)),
                initialise=_Initialise(tuple(one.initialise for one in firsts)),
                update=_Update(tuple(one.update for one in firsts)),
                elementwise=all(one.elementwise for one in firsts),
                prepares=any(one.prepares for one in firsts),
                shareable=False,
                needs_sampler=any(one.needs_sampler for one in firsts),
                needs_distance=any(one.needs_distance for one in firsts),
                needs_tables=any(one.needs_tables for one in firsts),
                needs_information_sets=any(one.needs_information_sets for one in firsts),
                gradients=sum(one.gradients for one in firsts),
                lookaheads=max(one.lookaheads for one in firsts),
                plays=max(one.plays for one in firsts),
            )
        )
    return found


@dataclass(frozen=True)
class _Initialise:
    """`Learner.initialise` for one kind among several; equal if the kinds are equal."""

    each: tuple[Any, ...]

    def __call__(self, settings: MixedSettings, *args: Any) -> LearnerState:
        states = [initialise(own, *args) for initialise, own in zip(self.each, settings.settings, strict=True)]
        theta = _chosen(settings.kind, [state.theta for state in states])
        return LearnerState(theta, tuple(state.memory for state in states))


@dataclass(frozen=True)
class _Update:
    """`Learner.update` for one kind among several; equal if the kinds are equal."""

    each: tuple[Any, ...]

    def __call__(
        self, settings: MixedSettings, key: jax.Array, states: Sequence[LearnerState], player: int, objective: Any
    ) -> tuple[LearnerState, Mapping[str, Any]]:
        after = []
        for place, (update, own) in enumerate(zip(self.each, settings.settings, strict=True)):
            seen = [LearnerState(state.theta, state.memory[place]) for state in states]
            after.append(update(own, key, seen, player, objective)[0])
        theta = _chosen(settings.kind, [state.theta for state in after])
        # The results of other kinds are discarded: their memory stays unchanged.
        kept = [
            jax.tree.map(lambda old, new, place=place: jnp.where(settings.kind == place, new, old), old, state.memory)
            for place, (old, state) in enumerate(zip(states[player].memory, after, strict=True))
        ]
        return LearnerState(theta, tuple(kept)), {}


def _chosen(kind: Any, thetas: Sequence[Any]) -> Any:
    found = thetas[0]
    for place, other in enumerate(thetas[1:], start=1):
        found = jax.tree.map(lambda a, b, place=place: jnp.where(kind == place, b, a), found, other)
    return found
