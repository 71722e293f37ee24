"""Extragradient (Korpelevich 1976): every player's naive gradient, taken after an imagined naive step of all players.

With xi of `joint_gradient`, in losses, the descent direction is xi(theta - eta xi(theta)), without differentiating
through the imagined step.
"""

from typing import Any

import jax
from flax import struct

from shaping.objectives.objective import Objective, Thetas
from shaping.rules.gradients import add, gradient, scale
from shaping.rules.joint_gradient import joint_gradient, minus
from shaping.rules.rule import Rule
from shaping.signatures import NonNegative, checked


@struct.dataclass
class Extragradient:
    """Settings.

    Attributes:
      lookahead_rate: eta, the length of the step that all players are imagined to take; at least 0.
    """

    lookahead_rate: Any


@checked
def extragradient(lookahead_rate: NonNegative = 1.0) -> Rule:
    """Extragradient; `lookahead_rate` is eta, the length of the imagined step, at least 0."""
    return Rule(Extragradient(lookahead_rate), direction)


def direction(
    objective: Objective, thetas: Thetas, player: int, settings: Extragradient, key: jax.Array | None = None
) -> Any:
    """The ascent direction -xi(theta - eta xi(theta)), this seat's block.

    A sampled objective draws a fresh batch after the imagined step.
    """

    def inner_key(step: int) -> jax.Array | None:
        return None if key is None else jax.random.fold_in(key, step)

    step = minus(scale(settings.lookahead_rate, joint_gradient(objective, thetas, inner_key(0))))
    return gradient(objective, add(list(thetas), step), player, player, inner_key(1))


RULES = {"extragradient": extragradient}
