"""A learner that never changes: its policy keeps its initial parameters."""

from collections.abc import Sequence
from typing import Any

import jax

from shaping.learners.ascent import check_seats
from shaping.learners.initial_parameters import initial_parameters
from shaping.learners.learner import Common, Learner, LearnerState, check_common, seats_of
from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy


def frozen(common: Common = Common()) -> Learner:  # noqa: B008 - frozen, and the default a reader expects to see
    """A player that does not learn, for a scripted strategy (whose parameters are ()) or for given parameters.

    Args:
      common: settings that every learner has; only `initial`, where it starts, matters here.
    """
    check_common(common)
    return Learner(common.initial, _init, _step, elementwise=True, prepares=common.initial.learned, shareable=True)


def _init(
    settings: Any,
    key: jax.Array,
    common: jax.Array,
    policies: Sequence[Policy],
    player: int | tuple[int, ...],
    objective: Objective,
    dtype: Any,
) -> LearnerState:
    del common
    seats = seats_of(player)
    check_seats(policies, seats)
    return LearnerState(initial_parameters(settings, key, policies, seats[0], objective, dtype), ())


def _step(
    settings: Any,
    key: jax.Array,
    states: Sequence[LearnerState],
    player: int | tuple[int, ...],
    objective: Objective,
) -> tuple[LearnerState, dict[str, Any]]:
    del settings, key, objective
    return states[seats_of(player)[0]], {}


LEARNERS = {"frozen": frozen}
