"""What commons harvest measures, computed from its counts: the four measures of Perolat et al. (2017) for each player,
and what is left."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.declarations import Measure
from shaping.envs.measures import equality, fraction, per_player

MEASURES = {
    "apples": Measure("Apples that a player eats in an episode.", "apples per episode", low=0.0, per_episode=True),
    "sustainability": Measure(
        "The step in which a player eats its apples, mean over apples: late if the patches last.",
        "step of an apple",
        low=1.0,
    ),
    "equality": Measure(
        "1 minus Gini's index of the apples that the players ate: 1 if all ate equally many; the same for all players.",
        "equality",
        low=0.0,
        high=1.0,
    ),
    "zaps": Measure(
        "How often a player zaps in an episode, whether or not it hits.", "zaps per episode", low=0.0, per_episode=True
    ),
    "peace": Measure(
        "The fraction of steps in which a player is on the map and may act.", "steps on the map", low=0.0, high=1.0
    ),
    "depletion": Measure(
        "The fraction of episodes that end without any apple left; the same for all players.",
        "depleted episodes",
        low=0.0,
        high=1.0,
        per_episode=True,
    ),
}


def metrics(counts: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The values of `MEASURES`, [..., players]."""
    eaten = jnp.asarray(counts["apples_eaten"], dtype=float)
    steps = jnp.asarray(counts["steps"], dtype=float)
    n = eaten.shape[-1]
    return {
        "apples": eaten,
        "sustainability": fraction(counts["eaten_at"], eaten),
        "equality": per_player(equality(eaten), n),
        "zaps": jnp.asarray(counts["zaps"], dtype=float),
        "peace": 1 - fraction(counts["away"], steps[..., None]),
        "depletion": per_player(counts["empty_ends"], n),
    }
