"""Regularised Nash dynamics, R-NaD (Perolat et al. 2021, sections 4 and 5), with exact values.

Besides the game's rewards, every player is paid for staying close to a reference policy, and for every step of the
others away from theirs: on the way to a leaf,

    u_i - eta sum over own moves of log(pi_i / ref_i) + eta sum over the others' moves of log(pi_j / ref_j)

With q_i the counterfactual values of that game, logits follow the neural replicator dynamics (Hennes et al. 2020),

    logit_i(I, a)  <-  logit_i(I, a) + step_size ( q_i(I, a) - sum over a' of pi_i(a' | I) q_i(I, a') )

which converge to the game's only equilibrium. After `period` updates the reference becomes the current policy, and the
equilibria of the games thus made approach one of the original game. Naive learners cycle around it instead.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from shaping.learners.ascent import ascend
from shaping.learners.initial_parameters import initial_parameters
from shaping.learners.learner import Common, Learner, LearnerState, check_common
from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy
from shaping.signatures import Positive, Range, checked


@struct.dataclass
class Settings:
    """Settings.

    Attributes:
      regularisation: eta, the price of a unit of log-probability, above 0.
      common: settings that every learner has.
      period: updates between changes of the reference policy.
    """

    regularisation: Any
    common: Common
    period: int = struct.field(pytree_node=False, default=100)


@struct.dataclass
class Memory:
    """What it remembers besides its parameters.

    Attributes:
      optimizer: the state of its optimiser.
      reference: the parameters of its reference policy.
      updates: [] int32, how many there were.
    """

    optimizer: Any
    reference: Any
    updates: jax.Array


@checked
def rnad(
    regularisation: Positive = 0.2,
    period: Annotated[int, Range(1, 10**6)] = 100,
    common: Common = Common(),  # noqa: B008 - frozen, and the default a reader expects to see
) -> Learner:
    """Regularised Nash dynamics; for games in turns (`kuhn_poker`).

    Args:
      regularisation, period: see `Settings`.
      common: settings that every learner has.
    """
    check_common(common)
    settings = Settings(regularisation, common, period)
    return Learner(settings, _init, _step, prepares=common.initial.learned, needs_information_sets=True, gradients=2)


def _init(
    settings: Settings,
    key: jax.Array,
    shared_key: jax.Array,
    policies: Sequence[Policy],
    player: int,
    objective: Objective,
    dtype: Any,
) -> LearnerState:
    del shared_key
    common = settings.common
    theta = initial_parameters(common.initial, key, policies, player, objective, dtype)
    return LearnerState(theta, Memory(common.optimizer.build(common.step_size).init(theta), theta, jnp.int32(0)))


def _step(
    settings: Settings, key: jax.Array, states: Sequence[LearnerState], player: int, objective: Objective
) -> tuple[LearnerState, Mapping[str, Any]]:
    del key
    logits, own = objective.logits, states[player]
    if objective.information_sets is None or logits is None:
        raise ValueError("rule is rnad; allowed: in a game in turns, as kuhn_poker")
    memory: Any = own.memory
    transform = settings.common.optimizer.build(settings.common.step_size)

    def direction(theta: Any, number: Any) -> Any:
        del number
        advantages = regularised_advantages(settings, states, player, objective)
        return jax.grad(lambda theta: jnp.sum(logits(player, theta) * advantages))(theta)

    theta, moments = ascend(transform, own.theta, memory.optimizer, direction)
    updates = memory.updates + 1
    renewed = updates % settings.period == 0
    reference = jax.tree.map(lambda new, old: jnp.where(renewed, new, old), theta, memory.reference)
    return LearnerState(theta, Memory(moments, reference, updates)), {}


def regularised_advantages(
    settings: Settings, states: Sequence[LearnerState], player: int, objective: Objective
) -> jax.Array:
    """q_i - sum over a of pi_i q_i of the formulas above, [information sets, actions]; held fixed. Players who do not
    learn by it have no reference policy, and pay nothing."""
    sets, logits = objective.information_sets, objective.logits
    assert logits is not None
    paid = sets.rewards[:, player]
    played: list[jax.Array] = []
    for seat, state in enumerate(states):
        now = jax.nn.log_softmax(logits(seat, state.theta))
        if isinstance(state.memory, Memory):
            apart = now - jax.nn.log_softmax(logits(seat, state.memory.reference))
            sign = -1 if seat == player else 1
            paid = paid + sign * settings.regularisation * sets.along_paths(seat, apart)
        played.append(jnp.exp(now))
    values = sets.counterfactual_values(player, played, paid)
    return lax.stop_gradient(values - jnp.sum(played[player] * values, axis=-1, keepdims=True))


LEARNERS = {"rnad": rnad}
