"""Opponent shaping at population scale, in JAX.

import shaping

from shaping import envs

game = envs.make("ipd", discount=0.96)
population = shaping.train(game, shaping.lola(variant="exact"), matches=1000, updates=100)
print(population.value.isel(update=-1).mean("match").values)
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from shaping import cooperation as cooperation
    from shaping import envs as envs
    from shaping import representations as representations
    from shaping.analysis import evolution as evolution
    from shaping.atlases.policy_atlas import atlas as atlas
    from shaping.comparison import compare as compare
    from shaping.experiment import resume as resume
    from shaping.experiment import run as run
    from shaping.leagues.exploit_run import exploit as exploit
    from shaping.leagues.frozen_leagues import league as league
    from shaping.learners import Common as Common
    from shaping.learners import Learner as Learner
    from shaping.learners import a2c as a2c
    from shaping.learners import arcsine as arcsine
    from shaping.learners import coala as coala
    from shaping.learners import es as es
    from shaping.learners import fan_in as fan_in
    from shaping.learners import fmtl as fmtl
    from shaping.learners import frozen as frozen
    from shaping.learners import genetic as genetic
    from shaping.learners import gradient_learner as gradient_learner
    from shaping.learners import logistic as logistic
    from shaping.learners import normal as normal
    from shaping.learners import optimizer as optimizer
    from shaping.learners import ppo as ppo
    from shaping.learners import selfish as selfish
    from shaping.learners import uniform as uniform
    from shaping.learners import values as values
    from shaping.learners import zeros as zeros
    from shaping.learners.advantage_alignment import advantage_aligner as advantage_aligner
    from shaping.learners.advantage_products import advantage_alignment as advantage_alignment
    from shaping.learners.advantage_products import loqa_loss as loqa_loss
    from shaping.learners.armac import armac as armac
    from shaping.learners.brs import brs as brs
    from shaping.learners.critic import critic as critic
    from shaping.learners.initial_parameters import m_maml as m_maml
    from shaping.learners.loqa import loqa as loqa
    from shaping.learners.maddpg import maddpg as maddpg
    from shaping.learners.opponent_model import opponent_model as opponent_model
    from shaping.learners.reciprocator import reciprocator as reciprocator
    from shaping.learners.reciprocity import reciprocal_reward as reciprocal_reward
    from shaping.learners.regularised_nash import rnad as rnad
    from shaping.learners.schedule import schedule as schedule
    from shaping.learning_leagues import learning_league as learning_league
    from shaping.objectives import Analytic as Analytic
    from shaping.objectives import Objective as Objective
    from shaping.objectives import analytic_game as analytic_game
    from shaping.objectives import exact as exact
    from shaping.objectives import from_losses as from_losses
    from shaping.objectives import from_returns as from_returns
    from shaping.objectives.best_responses import best_responses as best_responses
    from shaping.objectives.best_responses import exploitabilities as exploitabilities
    from shaping.objectives.coin_best_response import best_response as best_response
    from shaping.objectives.coin_best_response import exploitability as exploitability
    from shaping.objectives.estimators import dice as dice
    from shaping.objectives.estimators import loaded_dice as loaded_dice
    from shaping.objectives.exact_coin import exact_coin_game as exact_coin_game
    from shaping.objectives.league_values import league_values as league_values
    from shaping.objectives.make_sampled import sampled as sampled
    from shaping.objectives.play_batches import Sampler as Sampler
    from shaping.objectives.play_statistics import play as play
    from shaping.objectives.rewards import inequity_aversion as inequity_aversion
    from shaping.objectives.rewards import svo as svo
    from shaping.objectives.rewards import weights as weights
    from shaping.objectives.rollout import rollout as rollout
    from shaping.policies import Critic as Critic
    from shaping.policies import Policy as Policy
    from shaping.policies import automaton as automaton
    from shaping.policies import coin_game_players as coin_game_players
    from shaping.policies import coin_table as coin_table
    from shaping.policies import coin_tit_for_tat as coin_tit_for_tat
    from shaping.policies import fixed as fixed
    from shaping.policies import joint_critic as joint_critic
    from shaping.policies import memory_one as memory_one
    from shaping.policies import mlp as mlp
    from shaping.policies import moore_machine as moore_machine
    from shaping.policies import network as network
    from shaping.policies import network_critic as network_critic
    from shaping.policies import scripted_players as scripted_players
    from shaping.policies import stack_automata as stack_automata
    from shaping.policies import strategy as strategy
    from shaping.policies import tabular as tabular
    from shaping.policies import tabular_critic as tabular_critic
    from shaping.population.meta_game import MetaGame as MetaGame
    from shaping.population.meta_game import meta_game as meta_game
    from shaping.population.mfos import mfos as mfos
    from shaping.population.pairing import pairing as pairing
    from shaping.population.pools import Candidate as Candidate
    from shaping.population.selection import selection as selection
    from shaping.populations import evolve as evolve
    from shaping.replayed_matches import replay as replay
    from shaping.results import load as load
    from shaping.results import report as report
    from shaping.rules import Rule as Rule
    from shaping.rules import first_order as first_order
    from shaping.rules import lola as lola
    from shaping.rules import lookahead as lookahead
    from shaping.rules import naive as naive
    from shaping.rules.cgd import cgd as cgd
    from shaping.rules.cola import cola as cola
    from shaping.rules.consensus import consensus as consensus
    from shaping.rules.evolved_loss import evolved_loss as evolved_loss
    from shaping.rules.exploitability_descent import exploitability_descent as exploitability_descent
    from shaping.rules.extragradient import extragradient as extragradient
    from shaping.rules.hola import hola as hola
    from shaping.rules.lss import lss as lss
    from shaping.rules.meva import meva as meva
    from shaping.rules.pola import pola as pola
    from shaping.rules.sga import sga as sga
    from shaping.rules.sos import sos as sos
    from shaping.run_analysis import analyze as analyze
    from shaping.training import train as train

# All rules and learners, and whatever else a program starts from; environments are in `shaping.envs`. The same names
# as above, loaded on first use, so that `import shaping` and `shaping --help` stay fast.
_MODULES = {
    "envs": "shaping.envs",
    "evolution": "shaping.analysis.evolution",
    "cooperation": "shaping.cooperation",
    "representations": "shaping.representations",
}
_EXPORTS = {
    "Analytic": "objectives",
    "Common": "learners",
    "Critic": "policies",
    "Candidate": "population.pools",
    "Learner": "learners",
    "MetaGame": "population.meta_game",
    "Objective": "objectives",
    "Policy": "policies",
    "Rule": "rules",
    "Sampler": "objectives.play_batches",
    "a2c": "learners",
    "advantage_aligner": "learners.advantage_alignment",
    "advantage_alignment": "learners.advantage_products",
    "arcsine": "learners",
    "armac": "learners.armac",
    "brs": "learners.brs",
    "logistic": "learners",
    "analytic_game": "objectives",
    "analyze": "run_analysis",
    "atlas": "atlases.policy_atlas",
    "automaton": "policies",
    "best_response": "objectives.coin_best_response",
    "best_responses": "objectives.best_responses",
    "maddpg": "learners.maddpg",
    "cgd": "rules.cgd",
    "coin_game_players": "policies",
    "coin_table": "policies",
    "coin_tit_for_tat": "policies",
    "cola": "rules.cola",
    "compare": "comparison",
    "consensus": "rules.consensus",
    "critic": "learners.critic",
    "dice": "objectives.estimators",
    "evolve": "populations",
    "evolved_loss": "rules.evolved_loss",
    "exact": "objectives",
    "exact_coin_game": "objectives.exact_coin",
    "exploit": "leagues.exploit_run",
    "exploitabilities": "objectives.best_responses",
    "exploitability": "objectives.coin_best_response",
    "exploitability_descent": "rules.exploitability_descent",
    "extragradient": "rules.extragradient",
    "fan_in": "learners",
    "first_order": "rules",
    "fixed": "policies",
    "coala": "learners",
    "es": "learners",
    "fmtl": "learners",
    "genetic": "learners",
    "from_losses": "objectives",
    "from_returns": "objectives",
    "frozen": "learners",
    "gradient_learner": "learners",
    "hola": "rules.hola",
    "inequity_aversion": "objectives.rewards",
    "joint_critic": "policies",
    "league": "leagues.frozen_leagues",
    "league_values": "objectives.league_values",
    "learning_league": "learning_leagues",
    "load": "results",
    "loaded_dice": "objectives.estimators",
    "lola": "rules",
    "lookahead": "rules",
    "loqa": "learners.loqa",
    "loqa_loss": "learners.advantage_products",
    "lss": "rules.lss",
    "m_maml": "learners.initial_parameters",
    "memory_one": "policies",
    "meta_game": "population.meta_game",
    "meva": "rules.meva",
    "mfos": "population.mfos",
    "mlp": "policies",
    "moore_machine": "policies",
    "naive": "rules",
    "network": "policies",
    "network_critic": "policies",
    "normal": "learners",
    "opponent_model": "learners.opponent_model",
    "optimizer": "learners",
    "pairing": "population.pairing",
    "play": "objectives.play_statistics",
    "pola": "rules.pola",
    "ppo": "learners",
    "reciprocal_reward": "learners.reciprocity",
    "reciprocator": "learners.reciprocator",
    "replay": "replayed_matches",
    "report": "results",
    "resume": "experiment",
    "rnad": "learners.regularised_nash",
    "rollout": "objectives.rollout",
    "run": "experiment",
    "sampled": "objectives.make_sampled",
    "schedule": "learners.schedule",
    "scripted_players": "policies",
    "selection": "population.selection",
    "selfish": "learners",
    "sga": "rules.sga",
    "sos": "rules.sos",
    "stack_automata": "policies",
    "strategy": "policies",
    "svo": "objectives.rewards",
    "tabular": "policies",
    "tabular_critic": "policies",
    "train": "training",
    "uniform": "learners",
    "values": "learners",
    "weights": "objectives.rewards",
    "zeros": "learners",
}

__all__ = ["__version__", *sorted({**_EXPORTS, **_MODULES})]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"shaping.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'shaping' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
