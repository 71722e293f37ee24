"""Reciprocator in closed form (Zhou et al. 2024): a player that ascends its return plus its reciprocal rewards.

    theta_i <- theta_i + step_size * optimiser of  d / d theta_i (V_i + weight U_i)

in an infinitely repeated game of two actions and memory-one policies, with U the exact expectation of the rewards of
`reciprocity`. Influences are measured against baselines: the mean of all players' policies at the last `window`
refreshes, one every `every` updates, at first 1/2 everywhere. Derivatives do not pass through influences.

The authors' program for this case (`one_step`) reads its baselines one state too early and exchanges the players' roles
when it decodes states; here neither is repeated. It also leaves out the first two rounds, which count here.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from flax import struct

from shaping.learners.ascent import ascend, check_seats
from shaping.learners.initial_parameters import initial_parameters
from shaping.learners.learner import Common, Learner, LearnerState, check_without_model, seats_of
from shaping.learners.reciprocity import FORMS, exact_reciprocal_return
from shaping.objectives.objective import Chain, Objective
from shaping.policies.policy import Policy
from shaping.rules.gradients import replace
from shaping.signatures import NonNegative, Range, checked
from shaping.variables import VARIABLES


@struct.dataclass
class Settings:
    """Settings.

    Attributes:
      weight: of reciprocal rewards, at least 0.
      form: "balance", "credit" or "one_step", see `reciprocity`.
      window, every: how many refreshes a baseline is a mean over, and how many updates lie between two.
      common: those that every learner has.
    """

    weight: Any
    form: str = struct.field(pytree_node=False)
    window: int = struct.field(pytree_node=False)
    every: int = struct.field(pytree_node=False)
    common: Common


@struct.dataclass
class Memory:
    """What it remembers besides its parameters.

    Attributes:
      optimizer: the optimiser's state.
      past: [window, players, states], policies at the last refreshes.
      refreshed: [] int32, how many of them there were, the first included.
      updates: [] int32, updates so far.
    """

    optimizer: Any
    past: jax.Array
    refreshed: jax.Array
    updates: jax.Array


@checked
def reciprocator(
    weight: NonNegative = 5.0,
    form: Literal["balance", "credit", "one_step"] = "balance",
    window: Annotated[int, Range(1)] = 5,
    every: Annotated[int, Range(1)] = 10,
    common: Common = Common(),  # noqa: B008 - frozen, and the default a reader expects to see
) -> Learner:
    """Reciprocator: it is rewarded for treating others as they treated it, in closed form.

    Args:
      weight, form, window, every: see `Settings`.
      common: settings that every learner has.

    Raises:
      ValueError: for an unknown form, or for settings that would have no effect.
    """
    check_without_model(common, "baselines take its place")
    if form not in FORMS:
        raise ValueError(f"form is {form!r}; allowed: {', '.join(FORMS)}")
    return Learner(
        Settings(weight, form, window, every, common),
        _init,
        _step,
        prepares=common.initial.learned,
        needs_chain=True,
        variables={"reciprocal_value": VARIABLES["reciprocal_value"]},
        gradients=2,
    )


def _init(
    settings: Settings,
    key: jax.Array,
    common: jax.Array,
    policies: Sequence[Policy],
    player: int | tuple[int, ...],
    objective: Objective,
    dtype: Any,
) -> LearnerState:
    del common
    (seat,) = seats_of(player)
    check_seats(policies, (seat,))
    if objective.chain is None:
        raise ValueError("the game has no chain; allowed: repeated games of two actions in closed form")
    theta = initial_parameters(settings.common.initial, key, policies, seat, objective, dtype)
    moments = settings.common.optimizer.build(settings.common.step_size).init(theta)
    states = 1 + 2 ** len(policies)
    past = jnp.full((settings.window, len(policies), states), 0.5, dtype)
    return LearnerState(theta, Memory(moments, past, jnp.int32(1), jnp.int32(0)))


def _step(
    settings: Settings,
    key: jax.Array,
    states: Sequence[LearnerState],
    player: int | tuple[int, ...],
    objective: Objective,
) -> tuple[LearnerState, dict[str, Any]]:
    del key
    (seat,) = seats_of(player)
    state, thetas = states[seat], [state.theta for state in states]
    memory: Memory = state.memory
    assert objective.chain is not None
    chain_of = objective.chain
    weight = (jnp.arange(settings.window) < memory.refreshed).astype(memory.past.dtype)
    baselines = jnp.tensordot(weight, memory.past, axes=1) / jnp.sum(weight)

    def reciprocal(theta: Any) -> jax.Array:
        chain: Chain = chain_of(replace(thetas, seat, theta))
        return exact_reciprocal_return(chain.cooperation, baselines, chain.payoffs, chain.discount, seat, settings.form)

    def direction(theta: Any, number: Any) -> Any:
        del number
        own = jax.grad(lambda theta: objective.of(seat, replace(thetas, seat, theta)))(theta)
        returned = jax.grad(reciprocal)(theta)
        return jax.tree.map(lambda a, b: a + settings.weight * b, own, returned)

    transform = settings.common.optimizer.build(settings.common.step_size)
    theta, moments = ascend(transform, state.theta, memory.optimizer, direction)
    updates = memory.updates + 1
    due = updates % settings.every == 0
    now = chain_of(thetas)
    place = memory.refreshed % settings.window
    past = jnp.where(due, memory.past.at[place].set(now.cooperation), memory.past)
    refreshed = memory.refreshed + due.astype(jnp.int32)
    info = {"reciprocal_value": lambda: (1 - now.discount) * reciprocal(thetas[seat])}
    return LearnerState(theta, Memory(moments, past, refreshed, updates)), info


LEARNERS = {"reciprocator": reciprocator}
