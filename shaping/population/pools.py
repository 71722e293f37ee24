"""Who may sit opposite a shaper: a pool of learners, from which one is drawn for each trial.

Learners of a pool may differ in numbers (rates, starts) and in structure (rules, optimisers). Those of one structure
are stacked into one `Candidate` with leaves [candidates, ...], a *kind*. A trial holds one learner of every kind and
updates all of them; the kind that was drawn plays. A pool of one kind costs no more than its learner.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from shaping.learners.learner import Learner, LearnerState
from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy
from shaping.population.random_keys import draw as drawn
from shaping.population.random_keys import use


@struct.dataclass
class Factor:
    """A random factor of a learner's step size, drawn for each trial.

    Attributes:
      bounds: (low, high), scalars.
      kind: "uniform" or "loguniform" between them.
    """

    bounds: tuple[Any, Any]
    kind: str = struct.field(pytree_node=False, default="loguniform")


@struct.dataclass
class Candidate:
    """A learner that a trial may draw.

    Attributes:
      learner: the learner with its settings.
      frequency: how often it is drawn, relative to the others; at least 0.
      discount: of the returns that it maximises; None for the game's.
      factor: what multiplies its step size; None for nothing.
    """

    learner: Learner
    frequency: Any = 1.0
    discount: Any = None
    factor: Factor | None = None


Pool = tuple[Candidate, ...]
"""One candidate for each kind, leaves [candidates of the kind, ...]."""


@struct.dataclass
class Opponent:
    """The learner that was drawn for a seat, as a trial carries it.

    Attributes:
      kind: [] int32, which kind it is.
      candidates: one of every kind, with the numbers that were drawn.
      states: their states. Only that of `kind` matters.
    """

    kind: jax.Array
    candidates: tuple[Candidate, ...]
    states: tuple[LearnerState, ...]

    @property
    def theta(self) -> Any:
        """The parameters of its policy."""
        return _chosen(self.kind, [state.theta for state in self.states])


def pool(candidates: Sequence[Candidate]) -> Pool:
    """Candidates stacked by structure, in order of their first appearance.

    Raises:
      ValueError: if there is none.
    """
    if not candidates:
        raise ValueError("the pool has no learners; allowed: 1 or more")
    kinds = by_structure(candidates)
    return tuple(jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(x) for x in leaves]), *kind) for kind in kinds)


def by_structure(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Candidates in groups of one structure, in order of their first appearance."""
    kinds: dict[Any, list[Candidate]] = {}
    for candidate in candidates:
        shapes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(candidate))
        kinds.setdefault((jax.tree.structure(candidate), shapes), []).append(candidate)
    return list(kinds.values())


ObjectiveOf = Callable[[Any], Objective]
"""From a learner's own discount (None for the game's) to what it maximises."""


def draw(
    pool: Pool, key: jax.Array, policies: Sequence[Policy], seat: int, objective_of: ObjectiveOf, dtype: Any
) -> Opponent:
    """The learner of a trial, before its first update.

    Args:
      pool: whom to draw from.
      key: the seat's key in this trial.
      policies: those of the game that is played within the trial.
      seat: where it sits.
      objective_of: what it maximises.
      dtype: of its parameters.
    """
    frequencies = jnp.concatenate([jnp.ravel(kind.frequency) for kind in pool])
    below = jnp.cumsum(frequencies) / jnp.sum(frequencies)
    place = jnp.sum(jax.random.uniform(use(key, "draw"), (), jnp.float32) >= below[:-1], dtype=jnp.int32)
    kind, first, found = jnp.int32(0), 0, []
    for number, stacked in enumerate(pool):
        count = jnp.shape(stacked.frequency)[0]
        kind = jnp.where(place >= first, number, kind)
        index = 0 if count == 1 else jnp.clip(place - first, 0, count - 1)
        candidate = jax.tree.map(lambda leaf, index=index: leaf[index], stacked)
        found.append(_scaled(candidate, use(key, "draw", 1 + number)))
        first += count
    states = tuple(
        one.learner.init(use(key, "init"), use(key, "prepare"), policies, seat, objective_of(one.discount), dtype)
        for one in found
    )
    return Opponent(kind.astype(jnp.int32), tuple(found), states)


def learned(
    opponent: Opponent, key: jax.Array, states: Sequence[LearnerState], seat: int, objective_of: ObjectiveOf
) -> Opponent:
    """The opponent after one update; `states` holds those of all seats before it."""
    after = []
    for candidate, state in zip(opponent.candidates, opponent.states, strict=True):
        seated = [*states[:seat], state, *states[seat + 1 :]]
        after.append(candidate.learner.step(key, seated, seat, objective_of(candidate.discount))[0])
    return dataclasses.replace(opponent, states=tuple(after))


def _scaled(candidate: Candidate, key: jax.Array) -> Candidate:
    """The candidate with its step size multiplied by a factor drawn for it."""
    if candidate.factor is None:
        return candidate
    common = candidate.learner.settings.common
    low, high = candidate.factor.bounds
    factor = drawn(candidate.factor.kind, (low, high), key, ())
    own = common.replace(step_size=common.step_size * factor.astype(jnp.result_type(common.step_size)))
    settings = candidate.learner.settings.replace(common=own)
    return dataclasses.replace(candidate, learner=dataclasses.replace(candidate.learner, settings=settings))


def _chosen(kind: jax.Array, each: Sequence[Any]) -> Any:
    """The tree with this number."""
    found = each[0]
    for number, other in enumerate(each[1:], 1):
        found = jax.tree.map(lambda a, b, number=number: jnp.where(kind == number, b, a), found, other)
    return found
