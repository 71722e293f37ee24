"""What a learner is to the loop: a state, and a step from everybody's old states to its own new one."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from flax import struct

from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy


@struct.dataclass
class LearnerState:
    """What a learner carries from update to update.

    Attributes:
      theta: the parameters of its policy.
      memory: what else it needs: the optimiser's state, a critic, an opponent model.
    """

    theta: Any
    memory: Any


@struct.dataclass
class Learner:
    """A learner with its settings.

    Attributes:
      settings: any pytree of numbers; they may be mapped over a population. Static structure is not a pytree node.
      initialise: `(settings, key, common, policies, player, objective, dtype) -> LearnerState`.
      update: `(settings, key, states, player, objective) -> (LearnerState, info)`. `states` holds all seats' states
        from before this update; every learner steps from the same tuple. `info` is diagnostics, never carried.
      elementwise: whether an update treats a vector of parameters as it would its numbers one by one; then a population
        may take it apart, which is faster.
      prepares: whether `initialise` does more than draw numbers: it learns something about the game first.
      observes: whether it learns from how the match is played, `objective.observed` (a critic, an opponent model).
      diagnose: `(settings, key, states, player, objective) -> dict` of scalars to record beside values; None for none.
    """

    settings: Any
    initialise: Callable[..., LearnerState] = struct.field(pytree_node=False)
    update: Callable[..., tuple[LearnerState, Any]] = struct.field(pytree_node=False)
    elementwise: bool = struct.field(pytree_node=False, default=False)
    prepares: bool = struct.field(pytree_node=False, default=False)
    observes: bool = struct.field(pytree_node=False, default=False)
    diagnose: Callable[..., dict[str, jax.Array]] | None = struct.field(pytree_node=False, default=None)

    def init(
        self,
        key: jax.Array,
        common: jax.Array,
        policies: Sequence[Policy],
        player: int,
        objective: Objective,
        dtype: Any,
    ) -> LearnerState:
        """The state before the first update.

        Args:
          key: the learner's own.
          common: the key of what the learners of a match share.
          policies: everybody's.
          player: the learner's seat.
          objective: the game, for learners that learn something about it first.
          dtype: of the parameters.
        """
        return self.initialise(self.settings, key, common, policies, player, objective, dtype)

    def step(
        self, key: jax.Array, states: Sequence[LearnerState], player: int, objective: Objective
    ) -> tuple[LearnerState, Any]:
        """This learner's state after one update of everybody."""
        return self.update(self.settings, key, states, player, objective)
