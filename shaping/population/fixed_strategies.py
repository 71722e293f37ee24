"""Learners that stand still together with learners that move, in one program: scripted strategies as tables.

Which learners of an encounter are scripted is data, one flag per seat. The flag keeps the parameters of a scripted
learner unchanged, and hides from all others that they could change: a learner that differentiates through the step of a
scripted opponent sees no step.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from shaping.learners import Learner
from shaping.learners.initial_parameters import Initial, zeros
from shaping.learners.learner import LearnerState
from shaping.objectives.game import Game
from shaping.objectives.objective import Objective
from shaping.variables import Variable


@struct.dataclass
class StillParams:
    """The numbers of a game, and which players stand still.

    Attributes:
      params: the numbers of the game.
      still: [seats] bool.
    """

    params: Any
    still: Any


@dataclass(frozen=True)
class StillGame:
    """A game in which some players' parameters have no derivative. It has what learning needs from a game
    (`objectives.game.Game`), but not what recording needs."""

    game: Game

    @property
    def policies(self) -> Any:
        return self.game.policies

    @property
    def unrolled(self) -> bool:
        return self.game.unrolled

    @property
    def sampled(self) -> bool:
        return self.game.sampled

    @property
    def variables(self) -> Mapping[str, Variable]:
        """None: nothing is recorded of it."""
        return {}

    def objective(self, params: StillParams) -> Objective:
        inner = self.game.objective(params.params)

        def returns(thetas: Sequence[Any], key: jax.Array | None, context: Any) -> tuple[Any, Any]:
            seen = [_without_derivative(params.still[seat], theta) for seat, theta in enumerate(thetas)]
            return inner.returns(seen, key, context)

        return dataclasses.replace(inner, returns=returns)

    def value_scale(self, params: StillParams) -> jax.Array:
        return self.game.value_scale(params.params)


@struct.dataclass
class StillSettings:
    """Settings of a learner that may stand still: whether it does, [] bool, and its own settings."""

    still: Any
    settings: Any


def stilled(learner: Learner, still: bool) -> Learner:
    """The learner, with the flag that keeps it unchanged."""
    return dataclasses.replace(
        learner,
        settings=StillSettings(still, learner.settings),
        initialise=_Initialise(learner.initialise),
        update=_Update(learner.update),
    )


@dataclass(frozen=True)
class _Initialise:
    """`Learner.initialise` of a stilled learner; equal for equal learners, so that they share a compiled program."""

    inner: Any

    def __call__(self, settings: StillSettings, *args: Any) -> LearnerState:
        return self.inner(settings.settings, *args)


@dataclass(frozen=True)
class _Update:
    """`Learner.update` of a stilled learner."""

    inner: Any

    def __call__(
        self, settings: StillSettings, key: jax.Array, states: Sequence[LearnerState], player: int, objective: Objective
    ) -> tuple[LearnerState, Mapping[str, Any]]:
        after, info = self.inner(settings.settings, key, states, player, objective)
        kept = jax.tree.map(lambda old, new: jnp.where(settings.still, old, new), states[player], after)
        return kept, info


def _without_derivative(still: jax.Array, theta: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.where(still, lax.stop_gradient(leaf), leaf), theta)


def started_at(learner: Learner, initial: Initial) -> Learner:
    """The learner with another distribution of initial parameters."""

    def replaced(leaf: Any) -> Any:
        return initial if isinstance(leaf, Initial) else leaf

    settings = jax.tree.map(replaced, learner.settings, is_leaf=lambda leaf: isinstance(leaf, Initial))
    return dataclasses.replace(learner, settings=settings)


def without_start(learner: Learner) -> Learner:
    """The learner without that distribution, so that learners that differ only in it have the same structure."""
    return started_at(learner, zeros())
