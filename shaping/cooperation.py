"""Measures of cooperation: functions of trajectories, of tables as in a record, and of policies.

cooperation_by_history    P(C | history of any length), with intervals
traits, traits_of_play    niceness, provocability, forgiveness, contrition
zero_determinant_fit      extortion factor, generosity and residual of exact and measured policies
zero_determinant_line     the same from what a player and its opponents earned
relations                 partners, rivals and equalisers
welfare, gini, price_of_anarchy    how well all do, and how evenly
    schelling_diagram         what C and D pay by how many others cooperate
iqm, probability_of_improvement    runs summarised over seeds and tasks
boundary                  where a share of matches crosses a level along a swept axis
"""

from shaping.analysis.cooperation.aggregates import iqm, probability_of_improvement
from shaping.analysis.cooperation.bootstrap import Estimate
from shaping.analysis.cooperation.boundaries import Boundary, boundary
from shaping.analysis.cooperation.histories import Cooperation, cooperation_by_history
from shaping.analysis.cooperation.traits import Traits, traits, traits_of_play
from shaping.analysis.cooperation.welfare import gini, gini_interval, price_of_anarchy, schelling_diagram, welfare
from shaping.analysis.cooperation.zero_determinant import (
    ZeroDeterminant,
    zero_determinant_fit,
    zero_determinant_line,
)
from shaping.objectives.partners_and_rivals import Relations, relations

__all__ = [
    "Boundary",
    "Cooperation",
    "Estimate",
    "Relations",
    "Traits",
    "ZeroDeterminant",
    "boundary",
    "cooperation_by_history",
    "gini",
    "gini_interval",
    "iqm",
    "price_of_anarchy",
    "probability_of_improvement",
    "relations",
    "schelling_diagram",
    "traits",
    "traits_of_play",
    "welfare",
    "zero_determinant_fit",
    "zero_determinant_line",
]
