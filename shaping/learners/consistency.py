"""How far the learners of a match are from anticipating each other consistently."""

from collections.abc import Sequence
from typing import Any

import jax

from shaping.learners.learner import Learner, LearnerState
from shaping.objectives.objective import Objective
from shaping.rules.consistency import inconsistency


def consistency_loss(learners: Sequence[Learner], states: Sequence[LearnerState], objective: Objective) -> jax.Array:
    """The consistency loss of `rules.consistency` at the learners' parameters, a scalar.

    The learners are gradient learners whose rules have a lookahead rate.
    """

    def direction(current: Sequence[Any], player: int) -> Any:
        learned = states[player].memory.learned
        return learners[player].settings.rule.direction(objective, current, player, None, learned)

    rates = [learner.settings.rule.settings.lookahead_rate for learner in learners]
    return inconsistency(objective, [state.theta for state in states], direction, rates)
