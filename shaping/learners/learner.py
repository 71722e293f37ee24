"""What a learner is to the loop: a state, and a step from everybody's old states to its own new one."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from flax import struct
from flax.core import FrozenDict

from shaping.learners.critic import CriticSettings
from shaping.learners.initial import Initial, normal
from shaping.learners.opponent_model import ModelSettings
from shaping.learners.optimizer import Optimizer, optimizer
from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy
from shaping.schema import Field, Range, check_value
from shaping.variables import Variable


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
class Common:
    """What every learner is given, whatever it is, beside settings of its own.

    Attributes:
      step_size: the optimiser's learning rate, at least 0, or a `schedule`; 0 freezes the player.
      optimizer: the optax optimiser.
      initial: the distribution of the first parameters.
      critic: what critics it keeps; None for none.
      model: what models of its opponents it keeps; None to know their parameters.
      shaping_samples: how often the shaping term is estimated where its mean and spread are recorded; 0 where they are
        not, else at least 2.
    """

    step_size: Any = 1.0
    optimizer: Optimizer = optimizer("sgd")  # noqa: RUF009 - frozen, and the default a reader expects to see
    initial: Initial = normal(1.0)  # noqa: RUF009
    critic: CriticSettings | None = None
    model: ModelSettings | None = None
    shaping_samples: int = struct.field(pytree_node=False, default=0)


_STEP_SIZE = Field("step_size", "number", 1.0, Range(0))


def check_common(common: Common) -> None:
    """Refuses what is no step size, optimiser or distribution, when it is given.

    Raises:
      ValueError: one line with the name, the value and what is allowed.
    """
    check_value("step_size", common.step_size, _STEP_SIZE)
    for name, allowed in (
        ("optimizer", 'what shaping.optimizer("adam") returns'),
        ("initial", "what shaping.normal, uniform, fan_in, zeros or values returns"),
    ):
        if isinstance(given := getattr(common, name), str | int | float | None):
            raise ValueError(f"{name} is {given!r}; allowed: {allowed}")


@struct.dataclass
class Learner:
    """A learner with its settings.

    `player` is its seat, a number; where one learner plays several seats (which only a `shareable` one may) it is the
    tuple of them, and its state stands at each of them in `states`.

    Attributes:
      settings: any pytree of numbers; they may be mapped over a population. Static structure is not a pytree node.
      initialise: `(settings, key, common, policies, player, objective, dtype) -> LearnerState`.
      update: `(settings, key, states, player, objective) -> (LearnerState, info)`. `states` holds all seats' states
        from before this update; every learner steps from the same tuple. `info` maps every name of `variables` to a
        scalar, or to a function without arguments that returns one and is called only where the update is recorded. It
        is of this update: recorded beside the values from before it, never carried to the next.
      elementwise: whether an update treats a vector of parameters as it would its numbers one by one; then a population
        may take it apart, which is faster.
      prepares: whether `initialise` does more than draw numbers: it learns something about the game first.
      observes: whether it learns from how the match is played, `objective.observed` (a critic, an opponent model).
      shareable: whether one such learner may play several seats.
      needs_sampler: whether it plays the game itself, and so needs an objective that samples.
      needs_critic: whether it asks what critics expect.
      needs_distance: whether it asks the objective how far policies are from each other.
      variables: what it records besides values, by name, over match, update and player; without a label the name is
        one, and `source` is always "learner".
      minibatches: what a batch of play must be a multiple of.
      gradients, lookaheads: about how many gradients of returns an update takes, in units of a few, and how many steps
        it differentiates through; for planning alone.
    """

    settings: Any
    initialise: Callable[..., LearnerState] = struct.field(pytree_node=False)
    update: Callable[..., tuple[LearnerState, Mapping[str, Any]]] = struct.field(pytree_node=False)
    elementwise: bool = struct.field(pytree_node=False, default=False)
    prepares: bool = struct.field(pytree_node=False, default=False)
    observes: bool = struct.field(pytree_node=False, default=False)
    shareable: bool = struct.field(pytree_node=False, default=False)
    needs_sampler: bool = struct.field(pytree_node=False, default=False)
    needs_critic: bool = struct.field(pytree_node=False, default=False)
    needs_distance: bool = struct.field(pytree_node=False, default=False)
    variables: Mapping[str, Variable] = struct.field(pytree_node=False, default=FrozenDict())
    minibatches: int = struct.field(pytree_node=False, default=1)
    gradients: int = struct.field(pytree_node=False, default=1)
    lookaheads: int = struct.field(pytree_node=False, default=1)

    def __post_init__(self):
        # Static structure is compared and hashed where programs are looked up.
        object.__setattr__(self, "variables", FrozenDict(_of_learner(self.variables)))

    def init(
        self,
        key: jax.Array,
        common: jax.Array,
        policies: Sequence[Policy],
        player: int | tuple[int, ...],
        objective: Objective,
        dtype: Any,
    ) -> LearnerState:
        """The state before the first update.

        Args:
          key: the learner's own.
          common: the key of what the learners of a match share.
          policies: everybody's.
          player: the learner's seat, or its seats.
          objective: the game, for learners that learn something about it first.
          dtype: of the parameters.
        """
        return self.initialise(self.settings, key, common, policies, player, objective, dtype)

    def step(
        self, key: jax.Array, states: Sequence[LearnerState], player: int | tuple[int, ...], objective: Objective
    ) -> tuple[LearnerState, Mapping[str, Any]]:
        """This learner's state after one update of everybody, and what is recorded of the update besides."""
        return self.update(self.settings, key, states, player, objective)


def _of_learner(variables: Mapping[str, Variable]) -> dict[str, Variable]:
    """Variables as a learner declares them; see `Learner.variables`.

    Raises:
      ValueError: one over other dimensions.
    """
    wanted, found = ("match", "update", "player"), {}
    for name, one in variables.items():
        if one.dims != wanted:
            raise ValueError(f"variables.{name} is over {', '.join(one.dims)}; allowed: {', '.join(wanted)}")
        found[name] = dataclasses.replace(one, source="learner", label=one.label or name.replace("_", " "))
    return found


def seats_of(player: int | tuple[int, ...]) -> tuple[int, ...]:
    """The seats of a learner that may play one or several."""
    return (player,) if isinstance(player, int) else player
