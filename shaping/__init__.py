"""Opponent shaping at population scale, in JAX.

import envs, shaping

game = envs.make("ipd", discount=0.96)
population = shaping.train(game, shaping.lola(variant="exact"), matches=1000, updates=100)
print(population.value.isel(update=-1).mean("match").values)
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# Names and where they live; loaded on first use, so that `import shaping` and `shaping --help` stay light.
_EXPORTS = {
    "Analytic": "objectives",
    "Learner": "learners",
    "Objective": "objectives",
    "Rule": "rules",
    "analytic_game": "objectives",
    "automaton": "policies",
    "best_response": "objectives.best_response",
    "coin_table": "policies",
    "exact": "objectives",
    "exact_coin_game": "objectives.exact_coin",
    "exploitability": "objectives.best_response",
    "fan_in": "learners",
    "first_order": "rules",
    "from_losses": "objectives",
    "from_returns": "objectives",
    "gradient_learner": "learners",
    "grid_players": "policies",
    "load": "experiment",
    "lola": "rules",
    "lookahead": "rules",
    "m_maml": "learners.initial",
    "memory_one": "policies",
    "mlp": "policies",
    "moore_machine": "policies",
    "naive": "rules",
    "normal": "learners",
    "optimizer": "learners",
    "play": "objectives.play",
    "report": "experiment",
    "rollout": "objectives.rollout",
    "run": "experiment",
    "stack_automata": "policies",
    "strategy": "policies",
    "tabular": "policies",
    "train": "experiment",
    "uniform": "learners",
    "values": "learners",
    "zeros": "learners",
}

__all__ = ["__version__", *sorted(_EXPORTS)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"shaping.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'shaping' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
