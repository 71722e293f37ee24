"""Traits of a reciprocating player, after Axelrod (1984) and Boyd (1989): chances to cooperate after some histories.

    niceness        cooperates while nobody has defected: at the start, and after rounds of CC only
    provocability   1 - P(C | CD): defects after the other player alone defected
    forgiveness     P(C | the other player defected two rounds ago and cooperated in the last round)
    contrition      P(C | CC, then DC): cooperates after its own unprovoked defection, whatever that costs

Histories reach two rounds back. The player's own action comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.analysis.cooperation.histories import cooperation_by_history, wilson

TRAITS = ("niceness", "provocability", "forgiveness", "contrition")
_NICE = (0, 1, 5)  # start, CC, CC CC
_PROVOKED = (2, *(5 + 4 * before + 1 for before in range(4)))  # CD, after any round
_FORGIVES = tuple(5 + 4 * before + last for before in (1, 3) for last in (0, 2))  # ?D, then ?C
_CONTRITE = (5 + 2,)  # CC, then DC
_HISTORIES = (_NICE, _PROVOKED, _FORGIVES, _CONTRITE)


@dataclass(frozen=True)
class Traits:
    """The four traits, each from 0 to 1 and of any leading shape; NaN where play did not show the trait.

    Attributes:
      niceness, provocability, forgiveness, contrition: see the top of this module.
      ci95: [..., 4, 2], 95 % intervals of the four in this order (Wilson 1927); None where they are exact.
    """

    niceness: np.ndarray
    provocability: np.ndarray
    forgiveness: np.ndarray
    contrition: np.ndarray
    ci95: np.ndarray | None = None


def traits(policy: Any) -> Traits:
    """Traits of tables: for each trait, the unweighted mean over its histories.

    A player with a memory of one round cannot tell its own mistake from revenge, so its contrition is P(C | DC).

    Args:
      policy: [..., 5] or [..., 21], P(C) after the histories of one or two rounds, the start first and the player's own
        action first, as in the `policy` of a record of two players with their own views.

    Raises:
      ValueError: another number of histories.
    """
    p = np.asarray(policy, np.float64)
    if p.ndim == 0 or p.shape[-1] not in (5, 21):
        raise ValueError(
            f"policy has the shape {list(p.shape)}; allowed: [..., 5] or [..., 21] histories of two players"
        )
    if p.shape[-1] == 5:
        p = np.concatenate([p, np.tile(p[..., 1:], 4)], axis=-1)
    nice, endures, forgives, contrite = (p[..., list(histories)].mean(axis=-1) for histories in _HISTORIES)
    return Traits(nice, 1 - endures, forgives, contrite)


def traits_of_play(actions: Any) -> Traits:
    """Traits of what two players did, [players] each. Histories are weighted by how often they occurred.

    Args:
      actions: [time, batch, 2] of 0 (C) and 1 (D), beginning with the first step of a game.

    Raises:
      ValueError: another shape or other actions.
    """
    played = np.asarray(actions)
    if played.ndim == 3 and played.shape[2] != 2:
        raise ValueError(f"actions have the shape {list(played.shape)}; allowed: [time, batch, 2]")
    counted = cooperation_by_history(played, 2)
    nobody_yet = np.cumsum(played.sum(axis=2), axis=0) - played.sum(axis=2) == 0
    steps = [np.full(2, nobody_yet.sum())]
    cooperated = [np.sum(nobody_yet[..., None] & (played == 0), axis=(0, 1))]
    for histories in _HISTORIES[1:]:
        steps.append(counted.steps[:, list(histories)].sum(axis=1))
        cooperated.append(counted.cooperations[:, list(histories)].sum(axis=1))
    cooperated[1] = steps[1] - cooperated[1]
    trials, successes = np.stack(steps, axis=-1), np.stack(cooperated, axis=-1)
    with np.errstate(invalid="ignore"):
        ratio = successes / np.where(trials > 0, trials, np.nan)
    nice, provoked, forgives, contrite = np.moveaxis(ratio, -1, 0)
    return Traits(nice, provoked, forgives, contrite, wilson(successes, trials))
