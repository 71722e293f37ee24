"""What the training loop knows of a learner: a state, and a step from all players' old states to its own new one."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from flax import struct
from flax.core import FrozenDict

from shaping.learners.critic import CriticSettings
from shaping.learners.initial_parameters import Initial, normal
from shaping.learners.opponent_model import ModelSettings
from shaping.learners.optimizer import Optimizer, optimizer
from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy
from shaping.signatures import Field, Range, check_value
from shaping.variables import Variable


@struct.dataclass
class LearnerState:
    """What a learner carries from update to update.

    Attributes:
      theta: the parameters of its policy.
      memory: everything else it needs: the optimiser's state, a critic, an opponent model.
    """

    theta: Any
    memory: Any


@struct.dataclass
class Common:
    """Settings that every learner has, in addition to its own.

    Attributes:
      step_size: the optimiser's learning rate, at least 0, or a `schedule`; 0 freezes the player.
      optimizer: the optax optimiser.
      initial: the distribution of the initial parameters.
      critic: which critics it keeps; None for none.
      model: which models of its opponents it keeps; None if it knows their parameters.
      shaping_samples: how many estimates of the shaping term are made to record its mean and spread; 0 to record
        neither, otherwise at least 2.
    """

    step_size: Any = 1.0
    optimizer: Optimizer = optimizer("sgd")  # noqa: RUF009 - frozen, and the default a reader expects to see
    initial: Initial = normal(1.0)  # noqa: RUF009
    critic: CriticSettings | None = None
    model: ModelSettings | None = None
    shaping_samples: int = struct.field(pytree_node=False, default=0)


_STEP_SIZE = Field("step_size", "number", 1.0, Range(0))


def check_common(common: Common) -> None:
    """Refuses a step size, optimiser or distribution that is not one.

    Raises:
      ValueError: one line with the name, the value and what is allowed.
    """
    if not isinstance(common, Common):
        raise ValueError(f"common is {common!r}; allowed: what shaping.Common(...) returns")
    check_value("step_size", common.step_size, _STEP_SIZE)
    for name, plain, allowed in (
        ("optimizer", str | int | float | None | tuple, 'what shaping.optimizer("adam") returns'),
        ("initial", str | int | float | None, "what shaping.normal, uniform, fan_in, zeros or values returns"),
    ):
        # An optimiser of optax is a tuple.
        if isinstance(given := getattr(common, name), plain):
            raise ValueError(f"{name} is {given!r}; allowed: {allowed}")


def check_without_model(common: Common, because: str) -> None:
    """`check_common`, for a learner that keeps no opponent model and has no shaping term to estimate.

    Args:
      common: the settings.
      because: why a model would not be used, as a clause.

    Raises:
      ValueError: one line with the name, the value and what is allowed.
    """
    check_common(common)
    if common.model is not None:
        raise ValueError(f"opponent_model is given; allowed: none, as {because}")
    if common.shaping_samples:
        raise ValueError("shaping_samples is given; allowed: for rules with a shaping term (lola, first_order)")


@struct.dataclass
class Learner:
    """A learner with its settings.

    `player` is its seat, a number. If one learner plays several seats (which only a `shareable` one may do), `player`
    is the tuple of them, and its state appears at each of them in `states`.

    Attributes:
      settings: any pytree of numbers, which may be mapped over a population. Static structure is not a pytree node.
      initialise: `(settings, key, common, policies, player, objective, dtype) -> LearnerState`.
      update: `(settings, key, states, player, objective) -> (LearnerState, info)`. `states` holds all seats' states
        from before this update; every learner steps from the same tuple. `info` maps every name of `variables` to a
        scalar, or to a function without arguments that returns one and is called only if the update is recorded. It
        belongs to this update: it is recorded with the values from before it and not carried to the next.
      elementwise: whether an update treats a vector of parameters as it would treat its numbers one by one; a
        population may then take the vector apart, which is faster.
      prepares: whether `initialise` does more than draw numbers, that is, learns something about the game first.
      observes: whether it learns from how the match is played, `objective.observed` (a critic, an opponent model).
      shareable: whether one such learner may play several seats.
      needs_sampler: whether it plays the game itself, and so needs an objective that samples.
      needs_critic: whether it uses critics.
      needs_all_critics: whether it uses critics of all players, not of its own seat alone.
      needs_action_values: whether these critics have to estimate Q.
      needs_chain: whether, if returns are exact, it looks inside a repeated game of two actions (`Objective.chain`).
      needs_tables: whether it needs two players whose policies are tables of P(cooperate | state), and exact returns.
      needs_trials: whether it learns over trials of a game that is played, in which others learn.
      needs_discrete_actions: whether it plays only games of finitely many actions.
      needs_distance: whether it uses the objective's divergence between policies.
      needs_information_sets: whether it uses what can be computed exactly of a small game in turns.
      variables: what it records besides values, by name, over match, update and player; without a label the name is the
        label, and `source` is always "learner".
      minibatches: a number that must divide the batch of play.
      gradients, lookaheads: roughly how many gradients of returns an update takes, and how many steps it differentiates
        through; used only for planning.
      plays: how many policies are played or evaluated at once in an update; used only for planning.
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
    needs_all_critics: bool = struct.field(pytree_node=False, default=False)
    needs_action_values: bool = struct.field(pytree_node=False, default=False)
    needs_chain: bool = struct.field(pytree_node=False, default=False)
    needs_tables: bool = struct.field(pytree_node=False, default=False)
    needs_trials: bool = struct.field(pytree_node=False, default=False)
    needs_discrete_actions: bool = struct.field(pytree_node=False, default=False)
    needs_distance: bool = struct.field(pytree_node=False, default=False)
    needs_information_sets: bool = struct.field(pytree_node=False, default=False)
    variables: Mapping[str, Variable] = struct.field(pytree_node=False, default=FrozenDict())
    minibatches: int = struct.field(pytree_node=False, default=1)
    gradients: int = struct.field(pytree_node=False, default=1)
    lookaheads: int = struct.field(pytree_node=False, default=1)
    plays: int = struct.field(pytree_node=False, default=1)

    def __post_init__(self):
        # Static structure is compared and hashed when programs are looked up.
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
          key: the learner's own key.
          common: the key that the learners of a match share.
          policies: all players' policies.
          player: the learner's seat, or its seats.
          objective: the game, for learners that learn something about it first.
          dtype: of the parameters.
        """
        return self.initialise(self.settings, key, common, policies, player, objective, dtype)

    def step(
        self, key: jax.Array, states: Sequence[LearnerState], player: int | tuple[int, ...], objective: Objective
    ) -> tuple[LearnerState, Mapping[str, Any]]:
        """This learner's state after one update of all learners, and what else is recorded of the update."""
        return self.update(self.settings, key, states, player, objective)


def _of_learner(variables: Mapping[str, Variable]) -> dict[str, Variable]:
    """Variables as a learner declares them; see `Learner.variables`.

    Raises:
      ValueError: if one is over other dimensions.
    """
    wanted, found = ("match", "update", "player"), {}
    for name, one in variables.items():
        if one.dims != wanted:
            raise ValueError(f"variables.{name} is over {', '.join(one.dims)}; allowed: {', '.join(wanted)}")
        found[name] = dataclasses.replace(one, source="learner", label=one.label or name.replace("_", " "))
    return found


def seats_of(player: int | tuple[int, ...]) -> tuple[int, ...]:
    """The seats of a learner, which may be one or several."""
    return (player,) if isinstance(player, int) else player
