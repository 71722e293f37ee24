"""What was measured of play in each match, at its last update: where returns are sampled, and in Coin Games."""

from __future__ import annotations

from typing import Any

import numpy as np

MEASURED = (
    "reward_per_step",
    "entropy",
    "value_exact",
    "model_error",
    "model_trust",
    "shaping_norm",
    "shaping_sd",
)
"""Variables over updates and players. `own_fraction` is one as well: exact runs have it too, from pickups."""
LABELLED = {
    "reward_against": "opponent",
    "own_fraction_against": "opponent",
    "cooperation_by_history": "history",
}
"""Variables of the end, and the dimension whose labels they have beside match and player."""
OWN_COLOUR = 0.6
"""Share of own colour among pickups above which a match has found to pick its own."""


def play(data: dict[str, np.ndarray], finite: np.ndarray) -> dict[str, np.ndarray]:
    """The variables above that the record holds, [match, player] or [match, player, label]; NaN where diverged."""
    found = {name: data[name] for name in (*MEASURED, *LABELLED) if name in data}
    return {name: np.where(finite.reshape(-1, *[1] * (x.ndim - 1)), x, np.nan) for name, x in found.items()}


def own_fraction(data: dict[str, np.ndarray], like: np.ndarray) -> np.ndarray:
    """Share of a player's coins that are of its own colour, [match, player]: as measured along the run, else from
    `pickups`; NaN where a player takes no coin, and in other games."""
    share = data.get("own_fraction", np.full_like(like, np.nan))
    pickups = data.get("pickups")
    if pickups is None:
        return share
    total = pickups.sum(axis=2)
    own = np.einsum("mii->mi", pickups)
    of_pickups = np.divide(own, total, out=np.full_like(like, np.nan), where=total > 0)
    return np.where(np.isfinite(share), share, of_pickups)


def own_colour_found(data: dict[str, np.ndarray], share: np.ndarray) -> np.ndarray:
    """Whether a match has found to pick its own colour: the mean of `share` [match, player] over the players that take
    coins is above 0.6.

    Returns:
        [match] 0 or 1, 0 where nobody takes a coin; NaN in other games.
    """
    coins = np.isfinite(share).any(axis=1)
    if "pickups" in data:
        coins |= np.isfinite(data["pickups"]).all(axis=(1, 2))
    return np.where(coins, (mean_of_known(share) > OWN_COLOUR).astype(float), np.nan)


def mean_of_known(x: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is finite; NaN where nothing is."""
    known = np.isfinite(x)
    number = known.sum(axis=-1)
    total = np.where(known, x, 0.0).sum(axis=-1)
    return np.divide(total, number, out=np.full(number.shape, np.nan), where=number > 0)


def by_label(x: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    """x [player, label, ...] as a mapping from label to [player, ...]."""
    return {label: x[:, i] for i, label in enumerate(labels)}
