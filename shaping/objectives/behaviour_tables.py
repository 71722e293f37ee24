"""The behaviour of players of a repeated two-player game as numbers: tables over histories, or machines.

A table holds P(choose C) after each history of up to k rounds as the player sees it, the start first: 5 entries for
k = 1 (start, CC, CD, DC, DD, its own action first), 21 for k = 2, in the order of `shaping.tabular`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from shaping.objectives.returns_memory_k import num_histories
from shaping.policies.automaton import Machine
from shaping.policies.policy import Policy
from shaping.policies.strategies import strategy

_LONGEST = 5


def behaviours(players: Any) -> np.ndarray | list[Machine]:
    """Players of any kind in one form, float64.

    Args:
      players: see `each_behaviour`.

    Returns:
      P(choose C) [players, histories] if all are tables, with the longest memory among them; otherwise machines, whose
      leaves are NumPy arrays.

    Raises:
      ValueError: as `each_behaviour`.
    """
    found = each_behaviour(players)
    if isinstance(found, np.ndarray):
        return found
    tables = [one for one in found if isinstance(one, np.ndarray)]
    if len(tables) == len(found):
        return stacked(tables)
    return [one if isinstance(one, Machine) else machine_of(one) for one in found]


def each_behaviour(players: Any) -> np.ndarray | list[np.ndarray | Machine]:
    """Each player as its table or its machine, float64.

    Args:
      players: an array [players, histories] of P(choose C), or a sequence of names (see `shaping.strategy`), pairs
        (policy, theta), tables and `Machine`s.

    Returns:
      The array, or a list of tables [histories] and machines.

    Raises:
      ValueError: no players, one that is neither table nor machine, or entries that are no probabilities; one line.
    """
    if isinstance(players, str):
        raise ValueError(f"players is {players!r}; allowed: a sequence of names and policies")
    if isinstance(players, np.ndarray | jax.Array) and players.ndim == 2:
        return _checked(np.asarray(players, np.float64), "players")
    # In this context the strategies' own numbers are float64, whatever the caller's default.
    with jax.enable_x64(True):
        found = [_one(player, f"player {number}") for number, player in enumerate(players)]
    if not found:
        raise ValueError("players is []; allowed: one player or more")
    return found


def stacked(tables: Sequence[np.ndarray]) -> np.ndarray:
    """Tables of the longest memory among them, [players, histories]."""
    memory = max(memory_of(table) for table in tables)
    return np.stack([lengthened(table, memory) for table in tables])


def memory_of(table: np.ndarray) -> int:
    """The number of rounds that a table [..., histories] looks back."""
    return [num_histories(k) for k in range(_LONGEST + 1)].index(table.shape[-1])


def lengthened(table: np.ndarray, memory: int) -> np.ndarray:
    """The table [..., histories] as one that looks back `memory` rounds, with the same behaviour."""
    own = memory_of(table)
    parts = [table]
    for length in range(own + 1, memory + 1):
        parts.append(table[..., num_histories(own - 1) + np.arange(4**length) % 4**own])
    return np.concatenate(parts, axis=-1)


def machine_of(table: np.ndarray) -> Machine:
    """A table [histories] as a machine whose states are the histories."""
    memory = memory_of(table)
    return Machine(next_histories(memory), table)  # pyright: ignore[reportArgumentType]


def next_histories(memory: int) -> np.ndarray:
    """int32 [histories, 5]: the next history after each observation (start, CC, CD, DC, DD)."""
    rows = []
    for length in range(memory + 1):
        first = num_histories(length - 1) if length else 0
        longer = min(length + 1, memory)
        for number in range(4**length):
            follow = [(4 * number + seen) % 4**longer + num_histories(longer - 1) for seen in range(4)]
            rows.append([0, *follow])
        assert len(rows) == first + 4**length
    return np.array(rows, np.int32)


def _one(player: Any, name: str) -> np.ndarray | Machine:
    if isinstance(player, str):
        player = strategy(player)
    if isinstance(player, Sequence) and len(player) == 2 and isinstance(player[0], Policy):
        policy, theta = player
        if policy.kind == "automaton":
            player = theta
        elif policy.kind == "memory_one":
            player = np.asarray(theta, np.float64)
        elif not policy.tabulated:
            raise ValueError(f"{name} is {policy.kind}; allowed: policies with a table, and automata")
        else:
            logits = policy.table(theta)
            stacked = np.asarray(logits if hasattr(logits, "shape") else [np.asarray(x) for x in logits], np.float64)
            with np.errstate(over="ignore"):
                player = 1 / (1 + np.exp(-stacked))
    if isinstance(player, Machine):
        transition, cooperation = np.asarray(player.transition), np.asarray(player.cooperation, np.float64)
        if transition.ndim != 2 or transition.shape != (len(cooperation), 5):
            raise ValueError(
                f"{name} is a machine with a transition of shape {list(transition.shape)}; allowed: "
                f"[{len(cooperation)}, 5], one machine of two players"
            )
        _probabilities(cooperation, name)
        return Machine(transition, cooperation)  # pyright: ignore[reportArgumentType]
    try:
        table = np.asarray(player, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} is {player!r}; allowed: a name, a pair (policy, theta), a table or a Machine"
        ) from error
    if table.ndim != 1:
        raise ValueError(f"{name} has the shape {list(table.shape)}; allowed: [histories], P(C) after each")
    return _checked(table, name)


def _checked(table: np.ndarray, name: str) -> np.ndarray:
    allowed = [num_histories(k) for k in range(1, _LONGEST + 1)]
    if table.size == 0 or table.shape[-1] not in allowed:
        raise ValueError(f"{name} has the shape {list(table.shape)}; allowed: {', '.join(map(str, allowed))} histories")
    _probabilities(table, name)
    return table


def _probabilities(p: np.ndarray, name: str) -> None:
    if not np.all((p >= 0) & (p <= 1)):
        wrong = p[~((p >= 0) & (p <= 1))][0]
        raise ValueError(f"{name} cooperates with probability {wrong:g}; allowed: 0 to 1")
