"""Learners, as pure functions of their state: a policy with an update rule and an optimiser, or another kind.

The `LEARNERS` of each file maps configuration names to factories.
"""

from shaping.learners.actor_critic import a2c, ppo
from shaping.learners.coala import coala
from shaping.learners.es import es
from shaping.learners.frozen import frozen
from shaping.learners.genetic import genetic
from shaping.learners.gradient import gradient_learner
from shaping.learners.hill_climbing import fmtl, selfish
from shaping.learners.initial_parameters import (
    Initial,
    arcsine,
    fan_in,
    logistic,
    m_maml,
    normal,
    uniform,
    values,
    zeros,
)
from shaping.learners.learner import Common, Learner, LearnerState
from shaping.learners.learners_by_name import named_learner, named_learners, named_players
from shaping.learners.optimizer import Optimizer, optimizer
from shaping.learners.schedule import Schedule, schedule

__all__ = [
    "Common",
    "Initial",
    "Learner",
    "LearnerState",
    "Optimizer",
    "Schedule",
    "a2c",
    "arcsine",
    "coala",
    "es",
    "fan_in",
    "fmtl",
    "frozen",
    "genetic",
    "gradient_learner",
    "logistic",
    "m_maml",
    "named_learner",
    "named_learners",
    "named_players",
    "normal",
    "optimizer",
    "ppo",
    "schedule",
    "selfish",
    "uniform",
    "values",
    "zeros",
]
