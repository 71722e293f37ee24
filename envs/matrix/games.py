"""Matrix games by name: functions from a game's numbers to its payoffs.

Every float argument may also be an array; the arguments broadcast against each other and their axes lead the
result, [..., players, 2, ..., 2], so that a sweep over a payoff is one call. The result is a jax array if an
argument is one (traced arguments work), otherwise a float64 numpy array. Entry [player][a_0]...[a_{n-1}];
action 0 cooperates. The tables below give player 0's reward, or both as "player 0, player 1"; rows are player 0's
actions, columns player 1's.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

MAX_PLAYERS = 6


# Annotations here are types, not text, because `make` and configuration readers inspect them.
def ipd(
    reward: float = -1.0, sucker: float = -3.0, temptation: float = 0.0, punishment: float = -2.0
) -> np.ndarray | jax.Array:
    """Iterated prisoner's dilemma; symmetric.

              C            D
        C  reward      sucker         -1  -3
        D  temptation  punishment      0  -2

    A dilemma if temptation > reward > punishment > sucker. Source: the numbers of LOLA (Foerster et al., AAMAS 2018),
    which SOS, COLA and M-FOS share.
    """
    return _symmetric(reward, sucker, temptation, punishment)


def matching_pennies(win: float = 1.0) -> np.ndarray | jax.Array:
    """Matching pennies; zero-sum. Player 0 wins if the actions match, player 1 if they differ.

              C (heads)    D (tails)
        C     win, -win    -win, win
        D    -win, win      win, -win

    Source: LOLA (Foerster et al., AAMAS 2018) with win = 1; M-FOS (Lu et al., ICML 2022) plays the opposite
    orientation, win = -1. The only equilibrium is (1/2, 1/2).
    """
    (win,) = _arrays(win)
    return _two_players((win, -win, -win, win), (-win, win, win, -win))


def chicken(
    reward: float = 0.0, sucker: float = -1.0, temptation: float = 1.0, punishment: float = -100.0
) -> np.ndarray | jax.Array:
    """Chicken; symmetric. Cooperating means swerving.

              C            D
        C  reward      sucker          0    -1
        D  temptation  punishment      1  -100

    Source: M-FOS (Lu et al., ICML 2022), where it is one-shot (horizon 1) and values are not scaled.
    """
    return _symmetric(reward, sucker, temptation, punishment)


def stag_hunt(
    reward: float = 4.0, sucker: float = 1.0, temptation: float = 3.0, punishment: float = 2.0
) -> np.ndarray | jax.Array:
    """Stag hunt; symmetric. Cooperating means hunting the stag; both CC and DD are equilibria.

              C            D
        C  reward      sucker          4   1
        D  temptation  punishment      3   2

    Source: the payoffs Pax uses for it (github.com/ucl-dark/pax, test/envs/test_iterated_matrix_game.py).
    """
    return _symmetric(reward, sucker, temptation, punishment)


def battle_of_the_sexes(favourite: float = 3.0, other: float = 2.0, miss: float = 0.0) -> np.ndarray | jax.Array:
    """Battle of the sexes: both want to meet, player 0 preferably at C, player 1 preferably at D.

              C                    D
        C  favourite, other     miss, miss               3, 2    0, 0
        D  miss, miss           other, favourite         0, 0    2, 3

    Here D is player 1's favourite, not a defection. Source: the payoffs Pax uses for it
    (github.com/ucl-dark/pax, test/envs/test_iterated_matrix_game.py).
    """
    favourite, other, miss = _arrays(favourite, other, miss)
    return _two_players((favourite, miss, miss, other), (other, miss, miss, favourite))


def contribution(num_players: int = 2, contribution_factor: float = 1.33) -> np.ndarray | jax.Array:
    """Contribution (public goods) game of 2 to 6 players: action 0 contributes 1, action 1 keeps it.

        reward_i = contribution_factor * (number of contributors) / num_players - (1 if i contributes else 0)

    For two players at 1.33:

              C            D
        C    0.33       -0.335
        D    0.665       0

    A dilemma if 1 < contribution_factor < num_players. Source: POLA (Zhao et al., NeurIPS 2022), whose
    `LOLA_exact.py` uses 0.6 num_players for more than two players.

    Raises:
        ValueError: if num_players is not an integer from 2 to 6.
    """
    integer = isinstance(num_players, int | np.integer) and not isinstance(num_players, bool)
    if not integer or not 2 <= num_players <= MAX_PLAYERS:
        raise ValueError(f"num_players is {num_players!r}; allowed: an integer from 2 to {MAX_PLAYERS}")
    contributes = 1.0 - np.array(list(product((0, 1), repeat=num_players))).T  # [players, joint actions]
    share = contributes.sum(axis=0) / num_players
    (factor,) = _arrays(contribution_factor)
    payoffs = factor[..., None, None] * share.astype(factor.dtype) - contributes.astype(factor.dtype)
    return payoffs.reshape(factor.shape + (num_players,) + (2,) * num_players)


GAMES: dict[str, Callable[..., np.ndarray | jax.Array]] = {
    "ipd": ipd,
    "matching_pennies": matching_pennies,
    "chicken": chicken,
    "stag_hunt": stag_hunt,
    "battle_of_the_sexes": battle_of_the_sexes,
    "contribution": contribution,
}


def _symmetric(reward: Any, sucker: Any, temptation: Any, punishment: Any) -> np.ndarray | jax.Array:
    reward, sucker, temptation, punishment = _arrays(reward, sucker, temptation, punishment)
    return _two_players((reward, sucker, temptation, punishment), (reward, temptation, sucker, punishment))


def _two_players(player_0: tuple, player_1: tuple) -> np.ndarray | jax.Array:
    """Payoffs [..., 2, 2, 2] from each player's rewards at CC, CD, DC, DD."""
    entries = player_0 + player_1
    stack = jnp.stack if isinstance(entries[0], jax.Array) else np.stack
    return stack(entries, axis=-1).reshape(entries[0].shape + (2, 2, 2))


def _arrays(*values: Any) -> list[Any]:
    """The values as float arrays, broadcast: jax arrays if one of them is, otherwise numpy arrays."""
    if any(isinstance(value, jax.Array) for value in values):
        # A Python or numpy number gets the type of the jax arrays, as everywhere in jax.
        dtype = jnp.result_type(float, *(value.dtype for value in values if isinstance(value, jax.Array)))
        return jnp.broadcast_arrays(*(jnp.asarray(value, dtype=dtype) for value in values))
    return list(np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in values)))
