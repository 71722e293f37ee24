"""Naive learning: each player ascends its own return as if the others stood still."""

from typing import Any

import jax

from shaping.objectives.objective import Objective, Thetas
from shaping.rules.gradients import gradient
from shaping.rules.rule import NoSettings, Rule


def naive() -> Rule:
    """Gradient ascent on one's own return, nabla_i V_i (NL in Foerster et al. 2018, section 3)."""
    return Rule(NoSettings(), _direction)


def _direction(
    objective: Objective, thetas: Thetas, player: int, settings: NoSettings, key: jax.Array | None = None
) -> Any:
    del settings
    return gradient(objective, thetas, player, player, key)


RULES = {"naive": naive}
