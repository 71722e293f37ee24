"""Consensus optimisation (Mescheder et al. 2017, section 4): naive learning plus descent on |xi|^2 / 2, which pulls
all players towards points where all gradients vanish.

With xi and H of `joint_gradient`, in losses, the descent direction is xi + gamma H^T xi.
"""

from typing import Any

import jax
from flax import struct

from shaping.objectives.objective import Objective, Thetas
from shaping.rules.gradients import add, scale
from shaping.rules.joint_gradient import joint, minus
from shaping.rules.rule import Rule
from shaping.signatures import NonNegative, checked


@struct.dataclass
class Consensus:
    """Settings.

    Attributes:
      gamma: weight of the consensus term, at least 0; 0 is naive learning.
    """

    gamma: Any


@checked
def consensus(gamma: NonNegative = 1.0) -> Rule:
    """Consensus optimisation with the weight `gamma`, at least 0, of the consensus term; 0 is naive learning."""
    return Rule(Consensus(gamma), direction)


def direction(
    objective: Objective, thetas: Thetas, player: int, settings: Consensus, key: jax.Array | None = None
) -> Any:
    """The ascent direction -(xi + gamma H^T xi), this seat's block."""
    at = joint(objective, thetas, key)
    return minus(add(at.xi[player], scale(settings.gamma, at.transposed_times(at.xi)[player])))


RULES = {"consensus": consensus}
