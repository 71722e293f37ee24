"""Opponent shaping at population scale, in JAX.

import shaping

from shaping import envs

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
    "Policy": "policies",
    "Rule": "rules",
    "analytic_game": "objectives",
    "Critic": "policies",
    "Sampler": "objectives.sampler",
    "a2c": "learners",
    "automaton": "policies",
    "best_response": "objectives.best_response",
    "coin_table": "policies",
    "coin_tit_for_tat": "policies",
    "critic": "learners.critic",
    "dice": "objectives.estimators",
    "exact": "objectives",
    "exact_coin_game": "objectives.exact_coin",
    "exploitability": "objectives.best_response",
    "fan_in": "learners",
    "first_order": "rules",
    "fixed": "policies",
    "from_losses": "objectives",
    "from_returns": "objectives",
    "gradient_learner": "learners",
    "grid_players": "policies",
    "load": "results",
    "lola": "rules",
    "lookahead": "rules",
    "loaded_dice": "objectives.estimators",
    "m_maml": "learners.initial",
    "memory_one": "policies",
    "mlp": "policies",
    "moore_machine": "policies",
    "naive": "rules",
    "network": "policies",
    "network_critic": "policies",
    "normal": "learners",
    "opponent_model": "learners.opponent_model",
    "optimizer": "learners",
    "pola": "rules.pola",
    "ppo": "learners",
    "play": "objectives.play",
    "replay": "rerun",
    "report": "results",
    "resume": "experiment",
    "rollout": "objectives.rollout",
    "run": "experiment",
    "sampled": "objectives.sampled_game",
    "stack_automata": "policies",
    "strategy": "policies",
    "tabular": "policies",
    "tabular_critic": "policies",
    "train": "training",
    "uniform": "learners",
    "values": "learners",
    "zeros": "learners",
}

__all__ = ["__version__", *sorted(_EXPORTS)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "envs":
        return importlib.import_module("shaping.envs")
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"shaping.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'shaping' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
