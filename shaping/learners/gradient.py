"""The learner of the exact literature: an update rule's direction, carried out by an optax optimiser."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from shaping.learners.initial import Initial, initial_parameters, normal
from shaping.learners.learner import Learner, LearnerState
from shaping.learners.optimizer import Optimizer, optimizer
from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy
from shaping.rules.rule import Rule


@struct.dataclass
class GradientSettings:
    """Settings of a gradient learner; see `gradient_learner`."""

    rule: Rule
    step_size: Any
    optimizer: Optimizer
    initial: Initial


def gradient_learner(
    rule: Rule,
    step_size: Any = 1.0,
    optimizer: Optimizer = optimizer("sgd"),  # noqa: B008 - frozen, and the default a reader expects to see
    initial: Initial = normal(1.0),  # noqa: B008
) -> Learner:
    """theta <- theta + step_size * optimizer(direction of the rule).

    Args:
      rule: the update rule.
      step_size: the optimiser's learning rate, at least 0; 0 freezes the player.
      optimizer: the optax optimiser.
      initial: the distribution of the first parameters.
    """
    return Learner(GradientSettings(rule, step_size, optimizer, initial), _init, _step, optimizer.elementwise)


def _init(settings: GradientSettings, key: jax.Array, policy: Policy, dtype: Any) -> LearnerState:
    theta = initial_parameters(settings.initial, key, policy, dtype)
    return LearnerState(theta, settings.optimizer.build(settings.step_size).init(theta))


def _step(
    settings: GradientSettings,
    key: jax.Array,
    states: Sequence[LearnerState],
    player: int,
    objective: Objective,
) -> tuple[LearnerState, dict[str, jax.Array]]:
    own = states[player]
    direction = settings.rule.direction(objective, [state.theta for state in states], player, key)
    # optax descends: the direction of ascent enters with its sign turned.
    descent = jax.tree.map(jnp.negative, direction)
    transform = settings.optimizer.build(settings.step_size)
    change, memory = transform.update(descent, own.memory, own.theta)
    return LearnerState(optax.apply_updates(own.theta, change), memory), {}
