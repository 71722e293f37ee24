"""Evolution on a payoff matrix: which strategies invade which, which are stable, which prevail in the long run.

payoffs[row, column] is the payoff of row against column throughout. Everything is computed with NumPy in float64;
nashpy and SciPy are loaded only where they are needed.
"""

from shaping.analysis.evolution.alpha_rank import alpha_rank
from shaping.analysis.evolution.basins import Basin, basins
from shaping.analysis.evolution.dynamics import boltzmann_q, fermi, logit, replicator, replicator_mutator
from shaping.analysis.evolution.elo import elo
from shaping.analysis.evolution.fixation import (
    fixation_from_advantages,
    fixation_probability,
    log_fixation_probabilities,
)
from shaping.analysis.evolution.invasion import evolutionarily_stable, invasion_graph, invasion_walk
from shaping.analysis.evolution.nash import nash_equilibria
from shaping.analysis.evolution.rare_mutations import stationary_distribution
from shaping.analysis.evolution.rest_points import RestPoint, rest_points
from shaping.analysis.evolution.state_reduction import log_stationary

__all__ = [
    "Basin",
    "RestPoint",
    "alpha_rank",
    "basins",
    "boltzmann_q",
    "elo",
    "evolutionarily_stable",
    "fermi",
    "fixation_from_advantages",
    "fixation_probability",
    "invasion_graph",
    "invasion_walk",
    "log_fixation_probabilities",
    "log_stationary",
    "logit",
    "nash_equilibria",
    "replicator",
    "replicator_mutator",
    "rest_points",
    "stationary_distribution",
]
