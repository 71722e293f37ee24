"""Learners: a policy with an update rule and an optimiser, as pure functions of their state."""

from shaping.learners.gradient import gradient_learner
from shaping.learners.initial import Initial, normal, values, zeros
from shaping.learners.learner import Learner
from shaping.learners.optimizer import Optimizer, optimizer

__all__ = ["Initial", "Learner", "Optimizer", "gradient_learner", "normal", "optimizer", "values", "zeros"]
