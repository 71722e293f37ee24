"""Everything that a configuration can name, for `shaping list`."""

from collections.abc import Mapping
from typing import Any

from shaping import policies
from shaping.config.environments import environments
from shaping.config.players import rules
from shaping.config.policy import added_policies
from shaping.envs.matrix.analytic import ANALYTIC_GAMES
from shaping.envs.matrix.games import GAMES
from shaping.learners import named_learners
from shaping.learners.schedule import SCHEDULES
from shaping.policies import STRATEGIES

_POLICIES = {
    "tabular": policies.tabular,
    "preconditioned": policies.preconditioned,
    "coin_table": policies.coin_table,
    "gaussian": policies.gaussian,
    "mlp": "Dense layers, of what the environment shows or of the states of a matrix game.",
    "conv": "Convolutions on a board, then dense layers.",
    "gru": "A network with a gated recurrent unit.",
    "lstm": "A network with long short-term memory.",
}


def named() -> dict[str, Mapping[str, Any]]:
    """By heading: names, and factories whose docstring says what each is (or a sentence)."""
    learners = named_learners()
    own = {"(payoffs)": "Any payoffs you write down: game: {payoffs: [...]}."}
    return {
        "games": {**GAMES, **own},
        "environments": environments(),
        "analytic games": ANALYTIC_GAMES,
        "rules": {name: factory for name, factory in rules().items() if name not in learners},
        "learners": learners,
        "policies": {**_POLICIES, **added_policies()},
        "strategies": STRATEGIES,
        "schedules": SCHEDULES,
    }
