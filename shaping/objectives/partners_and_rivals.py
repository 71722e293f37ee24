"""Partners, rivals and equalisers: what a player allows its opponents to earn, whatever they do.

R is the value of mutual cooperation. Each holds against every opponent:

    partner          cooperates with itself, and an opponent that earns R or more leaves it with R
                     (Hilbe, Traulsen and Sigmund 2015, GEB 92; Akin's "good" strategies 2016)
    rival            never earns less than its opponent ("competitive", ibid.)
    friendly rival   a rival that cooperates with itself (Murase and Baek 2020, Scientific Reports 10)
    equaliser        the opponent earns the same whatever it does (Boerlijst, Nowak and Sigmund 1997)

"Whatever it does" is exact: each is the optimum of a Markov decision problem (`best_responses`), of what the opponent
earns, of its lead, and of the least it can earn.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.envs import MatrixGame
from shaping.objectives.automaton_pairs import joint_visits
from shaping.objectives.behaviour_tables import behaviours
from shaping.objectives.best_responses import best_responses, pair_values
from shaping.objectives.game import value_scale

# The weight of the player's loss, for choosing among actions that are equally good for the opponent.
_SPITE = 1e-6


@dataclass(frozen=True)
class Relations:
    """Relations of many players, each [players].

    Attributes:
      partner, rival, friendly_rival, equaliser: bool, see the top of this module.
      own: normalised value against itself.
      most: the most an opponent can earn.
      least: the least an opponent can earn.
      lead: the largest lead an opponent can have.
    """

    partner: np.ndarray
    rival: np.ndarray
    friendly_rival: np.ndarray
    equaliser: np.ndarray
    own: np.ndarray
    most: np.ndarray
    least: np.ndarray
    lead: np.ndarray


def relations(game: MatrixGame, players: Any, tolerance: float = 1e-6) -> Relations:
    """Classifies players of a symmetric repeated game.

    Values are those of the game. Where it has a discount, the first rounds count, and tit-for-tat, for example, is
    behind by (1 - discount) (temptation - sucker). For values per step without a discount, choose one close to 1, such
    as 1 - 1e-6.

    Args:
      game: symmetric, of two players.
      players: see `shaping.league_values`.
      tolerance: for comparing values, as a fraction of the range of payoffs.

    Raises:
      ValueError: a game that is not symmetric, or players as in `shaping.league_values`.
    """
    payoffs = np.asarray(game.payoffs)
    noise = np.broadcast_to(np.asarray(game.noise), (2,))
    if game.num_players != 2 or not np.array_equal(payoffs[1], payoffs[0].T) or noise[0] != noise[1]:
        raise ValueError(
            f"the game {game.name} is not a symmetric game of two players; allowed: payoffs and noise alike"
        )
    found = behaviours(players)

    def most(aim: np.ndarray) -> np.ndarray:
        """The highest value, for such payoffs [2, 2], that an opponent in seat 0 can reach."""
        return best_responses(dataclasses.replace(game, payoffs=np.stack([aim, aim])), found).value

    his, its = payoffs
    highest, lowest, lead = most(his), -most(-his), most(his - its)
    spiteful = most(his - _SPITE * its)
    scale = float(value_scale(game.discount, game.horizon))
    if isinstance(found, np.ndarray):
        own = pair_values(game, found, found)[:, 0]
    else:
        own = np.array([payoffs[0].reshape(4) @ joint_visits(game, one, one) * scale for one in found])
    steps = 1 / (1 - game.discount) if game.horizon is None else float(np.sum(game.discount ** np.arange(game.horizon)))
    cooperation = float(payoffs[0, 0, 0]) * steps * scale
    slack = tolerance * max(float(np.ptp(payoffs)), np.finfo(float).tiny)
    kind = own >= cooperation - slack
    rival = lead <= slack
    partner = kind & (highest <= cooperation + slack) & (spiteful <= (1 - _SPITE) * cooperation + _SPITE * 1e3 * slack)
    return Relations(partner, rival, kind & rival, highest - lowest <= slack, own, highest, lowest, lead)
