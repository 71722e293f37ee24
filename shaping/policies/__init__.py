"""Policies, which choose a player's actions, as pure functions of parameters, observation and memory."""

from shaping.policies import coin_game_players
from shaping.policies.automaton import Machine, automaton, explored, mealy_machine, moore_machine
from shaping.policies.coin_table import coin_table
from shaping.policies.coin_tit_for_tat import coin_tit_for_tat
from shaping.policies.critics import Critic, joint_critic, network_critic, tabular_critic
from shaping.policies.fixed import fixed
from shaping.policies.gaussian import gaussian
from shaping.policies.kinds import default_kind
from shaping.policies.memory_one import memory_one
from shaping.policies.mlp import mlp
from shaping.policies.networks import board_layout, network
from shaping.policies.policy import Policy
from shaping.policies.preconditioned import preconditioned
from shaping.policies.scripted import scripted, scripted_players
from shaping.policies.strategies import STRATEGIES, stack_automata, strategy
from shaping.policies.tabular import tabular

__all__ = [
    "STRATEGIES",
    "Critic",
    "Machine",
    "Policy",
    "automaton",
    "board_layout",
    "coin_table",
    "coin_tit_for_tat",
    "default_kind",
    "explored",
    "fixed",
    "gaussian",
    "coin_game_players",
    "joint_critic",
    "mealy_machine",
    "memory_one",
    "mlp",
    "moore_machine",
    "network",
    "network_critic",
    "preconditioned",
    "scripted",
    "scripted_players",
    "stack_automata",
    "strategy",
    "tabular",
    "tabular_critic",
]
