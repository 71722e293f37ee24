"""What players maximise: functions from the parameters of all players to the vector of their expected returns."""

from shaping.objectives.analytic import Analytic, analytic_game, from_losses, from_returns
from shaping.objectives.exact_matrix import ExactMatrixGame, exact
from shaping.objectives.objective import Objective, Thetas

__all__ = [
    "Analytic",
    "ExactMatrixGame",
    "Objective",
    "Thetas",
    "analytic_game",
    "exact",
    "from_losses",
    "from_returns",
]
