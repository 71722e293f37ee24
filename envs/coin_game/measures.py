"""What the Coin Game measures for each player, computed from its counts: fractions of events, NaN if there were none.

All functions take counts with any leading axes. For a fraction over several streams of play, add up the counts first: a
mean of fractions would give a stream with one pickup the same weight as one with a thousand.
"""

import jax
import jax.numpy as jnp

from shaping.envs.coin_game.counts import HISTORIES, CoinCounts
from shaping.envs.declarations import Measure
from shaping.envs.measures import fraction


def measures(num_players: int) -> dict[str, Measure]:
    """The measures whose values `metrics` returns."""
    return {
        "own_fraction": Measure(
            "Of the coins that a player took, the fraction of its own colour.", "own coins", low=0.0, high=1.0
        ),
        "pickups": Measure(
            "Coins of each colour that a player takes in an episode.",
            "coins per episode",
            low=0.0,
            axis="colour",
            labels=tuple(map(str, range(num_players))),
            per_episode=True,
        ),
        "cooperation_by_history": Measure(
            "Of the coins that a player took after each history of pickups, the fraction of its own colour. "
            "A history is the player's own last pickup and then any other player's last one: S none yet, C of its own "
            "colour, D of another's.",
            "own coins by history",
            low=0.0,
            high=1.0,
            axis="history",
            labels=HISTORIES,
        ),
    }


def metrics(counts: CoinCounts) -> dict[str, jax.Array]:
    """The values of `measures`."""
    return {
        "own_fraction": own_fraction(counts),
        "pickups": jnp.asarray(counts.pickups, dtype=float),
        "cooperation_by_history": cooperation_by_history(counts),
    }


def own_fraction(counts: CoinCounts) -> jax.Array:
    """The fraction of a player's pickups that were of its own colour, [..., players]."""
    pickups = jnp.asarray(counts.pickups, dtype=float)
    return fraction(jnp.diagonal(pickups, axis1=-2, axis2=-1), pickups.sum(-1))


def missed_fraction(counts: CoinCounts) -> jax.Array:
    """The fraction of steps starting one move from a coin of the own colour in which it was not taken, [...,
    players]."""
    return fraction(counts.own_missed, counts.own_near)


def spared_fraction(counts: CoinCounts) -> jax.Array:
    """The fraction of steps starting one move from a coin of another colour in which none was taken, [..., players]."""
    return fraction(counts.other_spared, counts.other_near)


def cooperation_by_history(counts: CoinCounts) -> jax.Array:
    """After each of the nine `envs.coin_game.counts.HISTORIES`, the fraction of pickups that were of the own colour,
    [..., players, 9]."""
    own, other = jnp.asarray(counts.own_after, dtype=float), jnp.asarray(counts.other_after, dtype=float)
    return fraction(own, own + other)
