"""Rewards that players maximise in place of their own: functions of everybody's rewards in one step.

    weights              u_i = w_0 r_i + sum over the others j, by ascending seat, of w_k r_j
    inequity_aversion    u_i = r_i - alpha / (n - 1) sum_j max(r_j - r_i, 0) - beta / (n - 1) sum_j max(r_i - r_j, 0)
    svo                  u_i = r_i - w |angle - theta|,   tan theta = (mean of the others' rewards) / r_i

Weights of (1, 1) are the prosocial learner of Peysakhovich and Lerer (2018). Inequity aversion is Fehr and Schmidt's
(1999), as used for learners by Hughes et al. (2018, eq. 3), except that it compares the rewards of the step itself
instead of temporally smoothed ones. SVO is the social value orientation of McKee et al. (2020), in degrees.

A step is a step of play. In an exact matrix game it is a round: the payoffs of every joint action are replaced, so
returns stay exact. In an analytic game, which has no steps, returns take the place of rewards.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.signatures import Field, NonNegative, Range, check_value, checked


@struct.dataclass
class Reward:
    """What a player maximises.

    Attributes:
      numbers: those of its kind; they may have a population axis.
      kind: one of `REWARDS`.
    """

    numbers: Any
    kind: str = struct.field(pytree_node=False)


def weights(*numbers: float) -> Reward:
    """A weighted sum of everybody's rewards: the player's own weight first, then the others' by ascending seat.

    Raises:
      ValueError: fewer than two, or one that is not finite.
    """
    for number in numbers:
        check_value("weights", number, Field("weights", "number", None))
    if len(numbers) < 2:
        raise ValueError(f"weights is {list(numbers)!r}; allowed: one number per player, its own first")
    return Reward(tuple(numbers), "weights")


@checked
def inequity_aversion(alpha: NonNegative = 5.0, beta: NonNegative = 0.05) -> Reward:
    """The player's own reward minus `alpha` times how much more others get and `beta` times how much less they get,
    each a mean over the others. Both are at least 0."""
    return Reward((alpha, beta), "inequity_aversion")


@checked
def svo(angle: Annotated[float, Range(-90, 90)] = 45.0, weight: NonNegative = 0.2) -> Reward:
    """The player's own reward minus `weight` per degree between the angle of everybody's rewards and `angle`.

    Rewards of (1, 0) have the angle 0, those of (1, 1) have 45 and those of (0, 1) have 90. As in the paper, the angle
    is that of a quotient, from -90 to 90, so (-1, -1) has 45 too. A step in which all rewards are 0 has no penalty.

    Args:
      angle: in degrees, -90 to 90; 0 is selfish, 45 prosocial, 90 altruistic.
      weight: per degree, at least 0.
    """
    return Reward((angle, weight), "svo")


REWARDS = {"weights": weights, "inequity_aversion": inequity_aversion, "svo": svo}


def maximised(rewards: Sequence[Reward | None], given: Sequence[Any]) -> list[Any]:
    """What each player maximises.

    Args:
      rewards: one per player; None for a player that maximises its own reward.
      given: each player's own rewards, as pytrees of one structure and shape.

    Raises:
      ValueError: not one entry per player, or weights for another number of players.
    """
    if len(rewards) != len(given):
        raise ValueError(f"rewards has the length {len(rewards)}; allowed: {len(given)}, one per player")
    return [_of(reward, given, player) for player, reward in enumerate(rewards)]


def _of(reward: Reward | None, given: Sequence[Any], player: int) -> Any:
    if reward is None:
        return given[player]
    kind, numbers, others = reward.kind, reward.numbers, len(given) - 1
    if kind == "weights" and len(numbers) != len(given):
        raise ValueError(f"weights has the length {len(numbers)}; allowed: {len(given)}, one per player")

    def one(*each: Any) -> Any:
        own, rest = each[player], [*each[:player], *each[player + 1 :]]
        if kind == "weights":
            return _sum([weight * r for weight, r in zip(numbers, [own, *rest], strict=True)])
        if kind == "inequity_aversion":
            envy = _sum([jnp.maximum(r - own, 0) for r in rest])
            guilt = _sum([jnp.maximum(own - r, 0) for r in rest])
            return own - numbers[0] / others * envy - numbers[1] / others * guilt
        return own - numbers[1] * jnp.abs(numbers[0] - _angle(own, _sum(rest) / others, numbers[0]))

    return jax.tree.map(one, *given)


def _angle(own: Any, others: Any, where_nobody: Any) -> Any:
    """atan(others / own) in degrees: +-90 where own is 0, `where_nobody` where both are."""
    nothing = (own == 0) & (others == 0)
    # The angle of a quotient: it is turned by half a circle where the player's own reward is negative.
    sign = jnp.where(own < 0, -1.0, 1.0)
    return jnp.where(nothing, where_nobody, jnp.degrees(jnp.arctan2(sign * others, jnp.where(nothing, 1, sign * own))))


def _sum(parts: Sequence[Any]) -> Any:
    return sum(parts[1:], start=parts[0])
