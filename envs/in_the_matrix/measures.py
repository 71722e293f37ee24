"""What in-the-matrix games measure for each player, computed from their counts."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.declarations import Measure
from shaping.envs.measures import fraction


def measures(num_kinds: int) -> dict[str, Measure]:
    """The measures whose values `metrics` returns, for this number of kinds of coins."""
    kinds = tuple(map(str, range(num_kinds)))
    return {
        "interactions": Measure(
            "Interactions in which a player takes part, per episode.",
            "interactions per episode",
            low=0.0,
            per_episode=True,
        ),
        "cooperation": Measure(
            "The share of kind 0, which cooperates in the usual payoffs, in the inventories that a player plays, mean "
            "over its interactions.",
            "cooperation",
            low=0.0,
            high=1.0,
        ),
        "inventory": Measure(
            "The share of each kind of coin in the inventories that a player plays, mean over its interactions.",
            "share of inventory",
            low=0.0,
            high=1.0,
            axis="kind",
            labels=kinds,
        ),
        "collected": Measure(
            "Coins of each kind that a player collects in an episode.",
            "coins per episode",
            low=0.0,
            axis="kind",
            labels=kinds,
            per_episode=True,
        ),
    }


def metrics(counts: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The values of `measures`, [..., players] or [..., players, kinds]."""
    interactions = jnp.asarray(counts["interactions"], dtype=float)
    inventory = fraction(counts["strategies"], interactions[..., None])
    return {
        "interactions": interactions,
        "cooperation": inventory[..., 0],
        "inventory": inventory,
        "collected": jnp.asarray(counts["collected"], dtype=float),
    }
