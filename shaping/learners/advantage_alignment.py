"""Advantage Alignment (Duque et al. 2025): PPO or A2C on advantages that reward what helps those who helped.

Each player's advantages get the alignment term of `advantage_products`. All players' advantages come from the
learner's own critics, which see everybody's rewards; it needs neither lookahead nor a model of the others' policies.
"""

from typing import Annotated, Any, Literal

import jax
from flax import struct

from shaping.learners.actor_critic import ActorCritic
from shaping.learners.advantage_learner import Seen, Shared, learner_of
from shaping.learners.advantage_products import FORMS, alignment_term, kernel_of, others_of
from shaping.learners.learner import Common, Learner
from shaping.learners.past_selves import PastSelves
from shaping.signatures import NonNegative, Positive, Probability, Range, checked


@struct.dataclass
class Alignment:
    """The settings of the alignment term, see `advantage_products.advantage_alignment`.

    Attributes:
      weight: beta.
      form: "paper" or "code".
    """

    weight: Any
    form: str = struct.field(pytree_node=False)


@checked
def advantage_aligner(
    weight: Annotated[float, Range()] = 0.2,
    form: Literal["paper", "code"] = "paper",
    base: Literal["a2c", "ppo"] = "a2c",
    clip: Positive | None = None,
    clipped: Literal["ratio", "released"] = "ratio",
    gae_lambda: Probability = 1.0,
    entropy: NonNegative = 0.01,
    epochs: Annotated[int, Range(1)] = 1,
    minibatches: Annotated[int, Range(1)] = 1,
    normalise: bool = False,
    centre: bool = True,
    value_scale: Positive = 1.0,
    warm_up: Annotated[int, Range(0)] = 0,
    past_groups: Annotated[int, Range(0)] = 0,
    past_of: Annotated[int, Range(1)] = 8,
    past_every: Annotated[int, Range(1)] = 10,
    past_capacity: Annotated[int, Range(1)] = 32,
    common: Common = Common(),  # noqa: B008 - frozen, and the default a reader expects to see
) -> Learner:
    """Advantage Alignment: PPO or A2C on advantages plus the products with which players shape each other.

    Args:
      weight: beta; 0 is the base alone.
      form: of the alignment term, "paper" or "code".
      base: what the shaped advantages are put into.
      clip, clipped, gae_lambda, entropy, epochs, minibatches, normalise: see `ActorCritic`; clip, clipped, epochs and
        minibatches are for ppo, whose clip is 0.2 if it is left out.
      centre, value_scale, warm_up: see `advantage_learner`.
      past_groups, past_of, past_every, past_capacity: see `PastSelves`.
      common: settings that every learner has.

    Raises:
      ValueError: for an unknown choice, or for settings of ppo with a2c.
    """
    for name, value, allowed in (("form", form, FORMS), ("base", base, ("a2c", "ppo"))):
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}; allowed: {' or '.join(allowed)}")
    if base == "a2c" and (clip is not None or (epochs, minibatches, clipped) != (1, 1, "ratio")):
        ours = {"clip": clip is not None, "epochs": epochs != 1, "minibatches": minibatches != 1, "clipped": True}
        raise ValueError(f"{next(name for name in ours if ours[name])} is given with base a2c; allowed: with base ppo")
    if base == "ppo" and clip is None:
        clip = 0.2
    actor = ActorCritic(gae_lambda, entropy, clip, normalise, epochs, minibatches, clipped=clipped)
    past = PastSelves(past_groups, past_of, past_every, past_capacity)
    shared = Shared(actor, value_scale, warm_up, centre, past)
    return learner_of(Alignment(weight, form), shared, common, _term)


def _term(own: Alignment, seen: Seen) -> jax.Array:
    kernel = kernel_of(own.form, own.weight, seen.discount)
    return alignment_term(kernel, seen.advantages[..., seen.player], others_of(seen.advantages, seen.player))


LEARNERS = {"advantage_alignment": advantage_aligner}
