"""Exact values of pairs of automata, by a Markov chain over the joint states that play can reach.

In joint state (s, t) the players cooperate with probabilities c(s) and c(t), and the joint action moves both machines.
In NumPy and float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shaping.envs import MatrixGame
from shaping.objectives.game import value_scale
from shaping.policies.automaton import Machine

# The joint actions CC, CD, DC, DD as numbered in seat 1's own view.
_SWAPPED = np.array([0, 2, 1, 3])
_MOST_STATES = 4096


def machine_pairs(
    game: MatrixGame, machines: Sequence[Machine], but: frozenset[int] = frozenset()
) -> tuple[np.ndarray, np.ndarray]:
    """Value and cooperation of everyone against everyone, [seat, row, column] each; see `league_values`.

    Args:
      game: of two players.
      machines: of all players.
      but: numbers of the players among whom no pair is computed; their entries are NaN.

    Raises:
      ValueError: two machines that reach more than 4,096 joint states.
    """
    n = len(machines)
    value, cooperation = np.full((2, n, n), np.nan), np.full((2, n, n), np.nan)
    payoffs = np.asarray(game.payoffs).reshape(2, 4)
    scale, shares = float(value_scale(game.discount, game.horizon)), np.array([[1, 1, 0, 0], [1, 0, 1, 0.0]])
    for i, row in enumerate(machines):
        for j, column in enumerate(machines):
            if i in but and j in but:
                continue
            visits = joint_visits(game, row, column)
            value[0, i, j], value[1, j, i] = payoffs @ visits * scale
            cooperation[0, i, j], cooperation[1, j, i] = shares @ visits / visits.sum()
    return value, cooperation


def joint_visits(game: MatrixGame, row: Machine, column: Machine) -> np.ndarray:
    """Discounted expected number of each joint action CC, CD, DC, DD, [4], of one pair."""
    joint, follows = _reached(game, row, column)
    now = np.zeros(len(joint))
    now[0] = 1.0
    if game.horizon is not None:
        visits = np.zeros(4)
        for step in range(game.horizon):
            flow = now[:, None] * joint
            visits += game.discount**step * flow.sum(axis=0)
            now = np.bincount(follows.ravel(), flow.ravel(), len(joint))
        return visits
    transition = np.zeros((len(joint), len(joint)))
    np.add.at(transition, (follows, np.arange(len(joint))[:, None]), joint)
    return np.linalg.solve(np.eye(len(joint)) - game.discount * transition, now) @ joint


def _reached(game: MatrixGame, row: Machine, column: Machine) -> tuple[np.ndarray, np.ndarray]:
    """P(joint action) and the next state after it, [states, 4] each, for the joint states that are reached. The first
    is the one in which play begins; actions of probability 0 lead there."""
    moves = np.asarray(row.transition), np.asarray(column.transition)
    noise = np.broadcast_to(np.asarray(game.noise), (2,))
    p, q = (
        (c := np.asarray(machine.cooperation, np.float64)) + eps * (1 - 2 * c)
        for machine, eps in zip((row, column), noise, strict=True)
    )
    seen = _SWAPPED if game.state_view == "own" else np.arange(4)
    numbers = {(int(moves[0][0, 0]), int(moves[1][0, 0])): 0}
    states, joint, follows = list(numbers), [], []
    for s, t in states:  # grows while states are found
        chances = np.array([p[s] * q[t], p[s] * (1 - q[t]), (1 - p[s]) * q[t], (1 - p[s]) * (1 - q[t])])
        nexts = [0] * 4
        for action in np.flatnonzero(chances > 0):
            reached = int(moves[0][s, 1 + action]), int(moves[1][t, 1 + seen[action]])
            if reached not in numbers:
                numbers[reached] = len(states)
                states.append(reached)
                if len(states) > _MOST_STATES:
                    raise ValueError(f"two machines reach over {_MOST_STATES} joint states; allowed: up to that many")
            nexts[action] = numbers[reached]
        joint.append(chances)
        follows.append(nexts)
    return np.array(joint), np.array(follows)
