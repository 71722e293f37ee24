"""LOQA, learning with opponent Q-learning awareness (Aghajohari et al. 2024).

A player imagines that its opponents play softmax(Q_j / tau), where Q_j is what its own critic expects them to get. How
much they get depends on what the player does, so it can shape them: it ascends

    mean_t log pi(a_t) A_t + rho sum_j log pi~_j(b_t | s_t) A_t + c H,   A_t = r_t + gamma V(s_t+1) - V(s_t)

and differentiates log pi~_j through the return that follows b_t (`advantage_products.loqa_loss`). If advantages are
held fixed, this is A2C with an alignment term (`advantage_products.loqa_term`), which is how it is computed.

The authors' program does not hold A_t fixed. V(s) = sum_a pi(a | s) Q(s, a) then passes gradients to the policy, as in
`stopped: false`. (In the program these also reach the critic, which shares the optimiser of the actor; here critics
learn from their own loss alone. Its epsilon-greedy play in the prisoner's dilemma is not here either.)
"""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.learners.actor_critic import ActorCritic, Experience
from shaping.learners.advantage_learner import Seen, Shared, learner_of, without_mean
from shaping.learners.advantage_products import (
    imagined_log_probabilities,
    loqa_kernel,
    loqa_term,
    others_of,
    returns_of,
)
from shaping.learners.learner import Common, Learner
from shaping.learners.past_selves import PastSelves
from shaping.signatures import NonNegative, Positive, Probability, Range, checked


@struct.dataclass
class Loqa:
    """The settings of the alignment term.

    Attributes:
      weight: rho.
      decay: lambda of Loaded DiCE.
      temperature: tau.
      centre: whether returns of the opponents lose each step's mean distance from their values over the batch.
    """

    weight: Any
    decay: Any
    temperature: Any
    centre: bool = struct.field(pytree_node=False)


@checked
def loqa(
    weight: Annotated[float, Range()] = 1.0,
    decay: Probability = 0.9,
    temperature: Positive = 1.0,
    stopped: bool = True,
    gae_lambda: Probability = 0.0,
    entropy: NonNegative = 0.03,
    centre: bool = True,
    value_scale: Positive = 1.0,
    warm_up: Annotated[int, Range(0)] = 0,
    past_groups: Annotated[int, Range(0)] = 0,
    past_of: Annotated[int, Range(1)] = 8,
    past_every: Annotated[int, Range(1)] = 10,
    past_capacity: Annotated[int, Range(1)] = 32,
    common: Common = Common(),  # noqa: B008 - frozen, and the default a reader expects to see
) -> Learner:
    """LOQA: a policy gradient that shapes opponents who are imagined to follow their action values.

    Args:
      weight: rho; 0 is A2C.
      decay: lambda, how far back the past counts, in [0, 1].
      temperature: tau, of the imagined opponents, above 0.
      stopped: whether advantages are held fixed; the authors' program differentiates them too.
      gae_lambda: of the player's own advantages; 0 is one step, as in the paper.
      entropy: c, the weight of the entropy, at least 0.
      centre, value_scale, warm_up: see `advantage_learner`.
      past_groups, past_of, past_every, past_capacity: see `PastSelves`.
      common: settings that every learner has. Its critics must estimate Q.
    """
    shared = Shared(
        ActorCritic(gae_lambda, entropy),
        value_scale,
        warm_up,
        centre,
        PastSelves(past_groups, past_of, past_every, past_capacity),
    )
    own = Loqa(weight, decay, temperature, centre)
    return learner_of(own, shared, common, _term, None if stopped else _leak, needs_action_values=True)


def _term(own: Loqa, seen: Seen) -> jax.Array:
    kernel = loqa_kernel(own.weight, seen.discount, own.decay, own.temperature)
    rewards, returns, values, each, actions = _of_opponents(own, seen)
    advantages = seen.advantages[..., seen.player]
    return loqa_term(kernel, advantages, rewards, returns, values, each, actions, seen.discount, own.temperature)


def _leak(own: Loqa, seen: Seen, experience: Experience) -> jax.Array:
    rewards, returns, _, each, actions = _of_opponents(own, seen)
    imagined = imagined_log_probabilities(returns, rewards, each, actions, seen.discount, own.temperature)
    running = seen.batch.running
    return experience.log_probabilities + own.weight * jnp.where(running, jnp.sum(imagined, axis=-1), 0)


def _of_opponents(own: Loqa, seen: Seen) -> tuple[jax.Array, ...]:
    """Rewards, returns, values, action values and actions of the opponents, [time, batch, opponents, ...].

    Raises:
      ValueError: if critics do not estimate Q.
    """
    if seen.action_values is None:
        raise ValueError("critics estimate V; allowed: critics of Q for loqa, as it asks what each action is worth")
    rewards, values = (others_of(x, seen.player) for x in (seen.batch.rewards, seen.values))
    returns = returns_of(rewards, seen.discount)
    if own.centre:
        returns = values + without_mean(returns - values, seen.batch.running, axis=1)
    return rewards, returns, values, seen.action_values, others_of(seen.batch.actions, seen.player)


LEARNERS = {"loqa": loqa}
