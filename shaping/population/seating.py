"""Learners that change seats and keep something about each of them: critics, models of opponents.

What is kept by seat has a method `turned(order)`, which returns the same with entry k taken from place `order[k]`. A
population stores it with the learner's own entry first and then the others' by seat, whatever seat the learner had. It
is turned to the seats of the game when the learner plays, and back afterwards. Anything without such a method stays as
it is.

What is known about others has `about_others = True` besides, and starts anew with each new partner.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from shaping.learners.learner import Learner, LearnerState
from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy


def own_first(seat: int, seats: int) -> tuple[int, ...]:
    """The seats in the order of a learner that sits at one of them."""
    return (seat, *(other for other in range(seats) if other != seat))


def seated(tree: Any, seat: int, seats: int) -> Any:
    """What is stored with the own entry first, by seat."""
    order = own_first(seat, seats)
    return _turned(tree, tuple(order.index(place) for place in range(seats)))


def unseated(tree: Any, seat: int, seats: int) -> Any:
    """The inverse of `seated`."""
    return _turned(tree, own_first(seat, seats))


def keeps_by_seat(tree: Any) -> bool:
    """Whether anything in it, settings or memory, is kept by seat."""
    return any(_by_seat(node) for node in jax.tree.leaves(tree, is_leaf=_by_seat))


def knows_others(tree: Any) -> bool:
    """Whether anything in it is known about others."""
    return any(_about_others(node) for node in jax.tree.leaves(tree, is_leaf=_about_others))


def with_new_partners(states: LearnerState, fresh: LearnerState, new: jax.Array) -> LearnerState:
    """States in which what is known about others has been replaced by that of fresh learners.

    Args:
      states, fresh: leaves [learners, ...].
      new: [learners] bool, whose partners are new.
    """

    def of(node: Any, other: Any) -> Any:
        if not _about_others(node):
            return node
        return jax.tree.map(lambda a, b: jnp.where(new.reshape(-1, *[1] * (a.ndim - 1)), b, a), node, other)

    memory = jax.tree.map(of, states.memory, fresh.memory, is_leaf=_about_others)
    return dataclasses.replace(states, memory=memory)


def start(
    learner: Learner,
    key: jax.Array,
    common: jax.Array,
    policies: Sequence[Policy],
    number: jax.Array,
    objective: Objective,
    dtype: Any,
) -> LearnerState:
    """The initial state of a learner of a population, as it is stored: that of the same learner in a match, at the seat
    that it would have there.

    Args:
      learner: the learner, with settings as they are stored.
      key, common, policies, objective, dtype: see `Learner.init`.
      number: [] int32, its number.
    """
    seats = len(policies)

    def at(seat: int) -> LearnerState:
        own = dataclasses.replace(learner, settings=seated(learner.settings, seat, seats))
        state = own.init(key, common, policies, seat, objective, dtype)
        return dataclasses.replace(state, memory=unseated(state.memory, seat, seats))

    found = at(0)
    if keeps_by_seat(learner.settings):
        for seat in range(1, seats):
            found = jax.tree.map(lambda a, b, seat=seat: jnp.where(number % seats == seat, b, a), found, at(seat))
    return found


def anywhere(learner: Learner) -> Learner:
    """The learner, with settings and memory as they are stored, ready to play in any seat."""
    return dataclasses.replace(learner, update=_Update(learner.update))


@dataclass(frozen=True)
class _Update:
    """`Learner.update` of a learner that may sit anywhere; equal for equal learners, so that they share a compiled
    program."""

    inner: Callable[..., tuple[LearnerState, Mapping[str, Any]]]

    def __call__(
        self, settings: Any, key: jax.Array, states: Sequence[LearnerState], player: int, objective: Objective
    ) -> tuple[LearnerState, Mapping[str, Any]]:
        seats, seen = len(states), list(states)
        seen[player] = dataclasses.replace(seen[player], memory=seated(seen[player].memory, player, seats))
        after, info = self.inner(seated(settings, player, seats), key, seen, player, objective)
        return dataclasses.replace(after, memory=unseated(after.memory, player, seats)), info


def _turned(tree: Any, order: tuple[int, ...]) -> Any:
    return jax.tree.map(lambda node: node.turned(order) if _by_seat(node) else node, tree, is_leaf=_by_seat)


def _by_seat(node: Any) -> bool:
    return hasattr(node, "turned")


def _about_others(node: Any) -> bool:
    return getattr(node, "about_others", False)
