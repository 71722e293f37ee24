"""Everything that a configuration can name, for `shaping list`."""

from collections.abc import Mapping
from typing import Any

from shaping.config.environments import environments
from shaping.config.players import rules
from shaping.config.policy import added_policies
from shaping.envs.matrix.analytic import ANALYTIC_GAMES
from shaping.envs.matrix.games import GAMES
from shaping.envs.sequential.games import SEQUENTIAL_GAMES
from shaping.learners import named_learners
from shaping.learners.schedule import SCHEDULES
from shaping.policies import STRATEGIES
from shaping.policies.kinds import NETWORKS, OF_STATES, OTHERS


def named() -> dict[str, Mapping[str, Any]]:
    """By heading: names, each with the factory whose docstring describes it (or with a sentence)."""
    learners = named_learners()
    own = {"(payoffs)": "Any payoffs that you write down: game: {payoffs: [...]}."}
    return {
        "games": {**GAMES, **own},
        "environments": environments(),
        "analytic games": ANALYTIC_GAMES,
        "games in turns": SEQUENTIAL_GAMES,
        "rules": {name: factory for name, factory in rules().items() if name not in learners},
        "learners": learners,
        "policies": {**OTHERS, **NETWORKS, **OF_STATES, **added_policies()},
        "strategies": STRATEGIES,
        "schedules": SCHEDULES,
    }
