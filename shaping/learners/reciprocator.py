"""Reciprocator (Zhou et al. 2024): a player that is rewarded for treating others as they treated it.

In games that are played, it is PPO on rewards r_i + weight u_i (`sampled_reciprocator`). In closed form it ascends its
return plus its reciprocal rewards,

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

from shaping.learners import sampled_reciprocator
from shaping.learners.actor_critic import ActorCritic
from shaping.learners.ascent import ascend, check_seats
from shaping.learners.influence_models import ModelSettings
from shaping.learners.initial_parameters import initial_parameters
from shaping.learners.learner import Common, Learner, LearnerState, check_without_model, seats_of
from shaping.learners.reciprocity import FORMS, exact_reciprocal_return
from shaping.objectives.objective import Chain, Objective
from shaping.policies.policy import Policy
from shaping.rules.gradients import replace
from shaping.signatures import NonNegative, Positive, Probability, Range, checked
from shaping.variables import VARIABLES


@struct.dataclass
class Settings:
    """Settings.

    Attributes:
      weight: of reciprocal rewards, at least 0.
      form: "balance", "credit" or "one_step", see `reciprocity`.
      window, every: how many refreshes a baseline is a mean over, and how many updates lie between two.
      common: those that every learner has.
      played: those for games that are played.
    """

    weight: Any
    form: str = struct.field(pytree_node=False)
    window: int = struct.field(pytree_node=False)
    every: int = struct.field(pytree_node=False)
    common: Common
    played: sampled_reciprocator.Played


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
    future: NonNegative = 1.0,
    clip: Positive = 0.2,
    gae_lambda: Probability = 0.95,
    entropy: NonNegative = 0.01,
    epochs: Annotated[int, Range(1)] = 4,
    minibatches: Annotated[int, Range(1)] = 1,
    normalise: bool = True,
    warm_up: Annotated[int, Range(0)] = 2,
    model_rate: NonNegative = 0.01,
    model_steps: Annotated[int, Range(1)] = 20,
    model_hidden: Sequence[Annotated[int, Range(1)]] = (64,),
    common: Common = Common(),  # noqa: B008 - frozen, and the default a reader expects to see
) -> Learner:
    """Reciprocator: it is rewarded for treating others as they treated it. `weight` and `form` are for every game.

    Args:
      weight, form: see `Settings`.
      window, every: in closed form, see `Settings`; from play, see `influence_models.ModelSettings`.
      future, model_rate, model_steps, model_hidden: from play, see `influence_models.ModelSettings`.
      clip, gae_lambda, entropy, epochs, minibatches, normalise: from play, see `ActorCritic`.
      warm_up: from play, updates at the start in which models and critics learn but the policy does not move.
      common: settings that every learner has.

    Raises:
      ValueError: for an unknown form, or for settings that would have no effect.
    """
    check_without_model(common, "baselines take its place")
    if form not in FORMS:
        raise ValueError(f"form is {form!r}; allowed: {', '.join(FORMS)}")
    played = sampled_reciprocator.Played(
        ActorCritic(gae_lambda, entropy, clip, normalise, epochs, minibatches),
        ModelSettings(model_rate, future, tuple(model_hidden), model_steps, window, every),
        warm_up,
    )
    from_play = common.critic is not None
    names = ("reciprocal_value", *sampled_reciprocator.NAMES) if from_play else ("reciprocal_value",)
    return Learner(
        Settings(weight, form, window, every, common, played),
        _init,
        _step,
        prepares=common.initial.learned,
        observes=from_play,
        needs_critic=True,
        needs_chain=True,
        needs_discrete_actions=True,
        variables={name: VARIABLES[name] for name in names},
        minibatches=minibatches,
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
    if objective.sampler is not None:
        return sampled_reciprocator.start(settings.played, settings.common, key, policies, seat, objective, dtype)
    if objective.chain is None:
        raise ValueError("the game has no chain; allowed: repeated games of two actions in closed form, or play")
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
    (seat,) = seats_of(player)
    if objective.sampler is not None:
        own = sampled_reciprocator.Rewards(settings.weight, settings.form)
        return sampled_reciprocator.step(own, settings.played, settings.common, key, states, seat, objective)
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
