"""Measures derived from declared variables: each exists if the variables it needs are recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from shaping.analysis.declarations import Variable

OWN_COLOUR = 0.6
"""A match counts as picking its own colour if the share of own coins among its pickups is above this."""


@dataclass(frozen=True)
class Found:
    """Whether a match has found something: 0 or 1 for each match, shown as a share of the matches.

    `needs` lists variables, at least one of which must be recorded; `of` takes them, [match, ...] at the last update.
    """

    label: str
    description: str
    needs: tuple[str, ...]
    of: Callable[[Mapping[str, np.ndarray]], np.ndarray]


def _own_colour_found(data: Mapping[str, np.ndarray]) -> np.ndarray:
    share, pickups = data["own_fraction"], data.get("pickups")
    coins = np.isfinite(share).any(axis=1)
    if pickups is not None:
        coins |= np.isfinite(pickups).all(axis=(1, 2))
    return np.where(coins, (mean_of_known(share) > OWN_COLOUR).astype(float), np.nan)


FOUND = {
    "own_colour_found": Found(
        "own colour found",
        "whether more than 0.6 of the coins that a player takes, averaged over players, are of its own colour",
        ("own_fraction", "pickups"),
        _own_colour_found,
    )
}
"""By name; NaN in matches of other games."""

_OWN_FRACTION = Variable(
    "own_fraction",
    ("match", "update", "player"),
    "of the coins that a player took, the share of its own colour",
    "own colour",
    0.0,
    1.0,
    source="environment",
    showcase=True,
)


def known_shares(variables: Iterable[str]) -> list[str]:
    """Names of the measures in FOUND for which these variables suffice."""
    recorded = set(variables)
    return [name for name, share in FOUND.items() if recorded & set(share.needs)]


def with_derived(variables: Mapping[str, Variable], recorded: Iterable[str]) -> dict[str, Variable]:
    """The declared variables, and those derived from the recorded ones."""
    follows = "pickups" in set(recorded) and "own_fraction" not in variables
    return {**variables, **({"own_fraction": _OWN_FRACTION} if follows else {})}


def completed(data: Mapping[str, np.ndarray], like: np.ndarray) -> dict[str, np.ndarray]:
    """The data, with the share of own colour computed from `pickups` [match, player, colour] where it was not recorded.

    It stays NaN if a player takes no coins. `like` [match, player] gives its shape if it is not recorded at all.
    """
    out = dict(data)
    pickups = data.get("pickups")
    if pickups is None:
        return out
    pickups = pickups[:, :, : pickups.shape[1]]
    total = pickups.sum(axis=2)
    own = np.einsum("mii->mi", pickups)
    share = np.divide(own, total, out=np.full_like(like, np.nan), where=total > 0)
    measured = data.get("own_fraction", np.full_like(like, np.nan))
    return out | {"own_fraction": np.where(np.isfinite(measured), measured, share)}


def mean_of_known(x: np.ndarray) -> np.ndarray:
    """Mean of the finite entries over the last axis; NaN if there are none."""
    known = np.isfinite(x)
    number = known.sum(axis=-1)
    total = np.where(known, x, 0.0).sum(axis=-1)
    return np.divide(total, number, out=np.full(number.shape, np.nan), where=number > 0)
