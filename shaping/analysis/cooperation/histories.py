"""P(C | history): how often players cooperated after each history, counted from their actions."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.analysis.statistics import Z95


@dataclass(frozen=True)
class Cooperation:
    """Cooperation after each history of up to a number of rounds, as each player sees it: its own action first.

    Attributes:
      labels: of the histories: start, CC, CD, DC, DD, "CC CC", ..., with the earliest round first; in the order of
        `shaping.tabular`.
      steps: [players, histories], how often each history occurred.
      cooperations: [players, histories], how often the player cooperated after it.
      probability: [players, histories], the ratio of the two; NaN where the history did not occur.
      ci95: [players, histories, 2], 95 % intervals (Wilson 1927), which treat a player's choices after one history as
        independent; 0 to 1 where the history did not occur.
    """

    labels: tuple[str, ...]
    steps: np.ndarray
    cooperations: np.ndarray
    probability: np.ndarray
    ci95: np.ndarray


def cooperation_by_history(actions: Any, rounds: int = 1) -> Cooperation:
    """Counts what players did after each history of the last rounds; at the start, histories are shorter.

    Args:
      actions: [time, batch, players] of 0 (C) and 1 (D), as executed, beginning with the first step of a game.
      rounds: length of the histories, at least 0. If players look further back, the result averages over what came
        before.

    Raises:
      ValueError: another shape, other actions, or more than 5,000,000 histories.
    """
    played = np.asarray(actions)
    if played.ndim != 3 or played.shape[2] < 1 or played.size == 0:
        raise ValueError(f"actions have the shape {list(played.shape)}; allowed: [time, batch, players], not empty")
    if not np.all((played == 0) | (played == 1)):
        raise ValueError("actions are not all 0 (C) or 1 (D); allowed: games with two actions")
    if isinstance(rounds, bool) or not isinstance(rounds, int | np.integer) or rounds < 0:
        raise ValueError(f"rounds is {rounds!r}; allowed: an integer of at least 0")
    time, _, players = played.shape
    base = 2**players
    firsts = np.concatenate([[0], np.cumsum([base**length for length in range(rounds + 1)])])
    if firsts[-1] > 5_000_000:
        raise ValueError(f"rounds is {rounds}, which makes {firsts[-1]} histories; allowed: up to 5000000")
    steps = np.empty((players, firsts[-1]), np.int64)
    cooperations = np.empty_like(steps)
    for player in range(players):
        own_first = [player, *(other for other in range(players) if other != player)]
        joint = played[:, :, own_first].astype(np.int64) @ (1 << np.arange(players)[::-1])
        seen = np.repeat(firsts[np.minimum(np.arange(time), rounds)][:, None], joint.shape[1], axis=1)
        for back in range(1, min(rounds, time - 1) + 1):
            seen[back:] += joint[:-back] * base ** (back - 1)
        steps[player] = np.bincount(seen.ravel(), minlength=firsts[-1])
        cooperations[player] = np.bincount(seen[played[:, :, player] == 0], minlength=firsts[-1])
    with np.errstate(invalid="ignore"):
        probability = cooperations / np.where(steps > 0, steps, np.nan)
    return Cooperation(_labels(players, rounds), steps, cooperations, probability, wilson(cooperations, steps))


def wilson(successes: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """95 % intervals [..., 2] of probabilities (Wilson 1927); 0 to 1 without trials."""
    n = np.maximum(trials, 1)
    fraction, z2 = successes / n, Z95**2
    centre = (fraction + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * np.sqrt(fraction * (1 - fraction) / n + z2 / (4 * n**2))
    low = np.where((successes <= 0) | (trials == 0), 0, np.maximum(centre - half, 0))
    high = np.where((successes >= trials) | (trials == 0), 1, np.minimum(centre + half, 1))
    return np.stack([low, high], axis=-1)


def _labels(players: int, rounds: int) -> tuple[str, ...]:
    joint = ["".join(letters) for letters in itertools.product("CD", repeat=players)]
    later = [" ".join(each) for k in range(1, rounds + 1) for each in itertools.product(joint, repeat=k)]
    return ("start", *later)
