"""What CleanUp measures for each player, computed from its counts."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.declarations import Measure
from shaping.envs.measures import equality, fraction, per_player

MEASURES = {
    "apples": Measure("Apples that a player eats in an episode.", "apples per episode", low=0.0, per_episode=True),
    "cleaned": Measure(
        "Dirty cells that a player cleans in an episode.", "cells cleaned per episode", low=0.0, per_episode=True
    ),
    "zaps": Measure(
        "How often a player zaps in an episode, whether or not it hits.", "zaps per episode", low=0.0, per_episode=True
    ),
    "frozen": Measure("The fraction of steps that a player loses to zaps.", "frozen", low=0.0, high=1.0),
    "dirt": Measure("Dirty cells of the river, mean over steps; the same for all players.", "dirty cells", low=0.0),
    "equality": Measure(
        "1 minus Gini's index of the apples that the players ate: 1 if all ate equally many; the same for all players.",
        "equality",
        low=0.0,
        high=1.0,
    ),
}


def metrics(counts: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The values of `MEASURES`, [..., players]."""
    eaten = jnp.asarray(counts["apples_eaten"], dtype=float)
    steps = jnp.asarray(counts["steps"], dtype=float)
    n = eaten.shape[-1]
    return {
        "apples": eaten,
        "cleaned": jnp.asarray(counts["dirt_cleaned"], dtype=float),
        "zaps": jnp.asarray(counts["zaps"], dtype=float),
        "frozen": fraction(counts["frozen"], steps[..., None]),
        "dirt": per_player(fraction(counts["dirt"], steps), n),
        "equality": per_player(equality(eaten), n),
    }
