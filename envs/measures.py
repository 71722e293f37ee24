"""Numbers derived from what environments count: fractions of whatever came up, NaN where nothing did.

All take counts with any leading axes. Where a fraction over several streams of play is wanted, add the counts up first:
a mean of fractions weighs a stream with one pickup like one with a thousand.
"""

from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.coin_game.counts import CoinCounts


def own_fraction(counts: CoinCounts) -> jax.Array:
    """Of the coins a player took, those of its own colour, [..., players]."""
    pickups = _floats(counts.pickups)
    return fraction(jnp.diagonal(pickups, axis1=-2, axis2=-1), pickups.sum(-1))


def missed_fraction(counts: CoinCounts) -> jax.Array:
    """Of the steps that began one move from a coin of the own colour, those that did not take it, [..., players]."""
    return fraction(counts.own_missed, counts.own_near)


def spared_fraction(counts: CoinCounts) -> jax.Array:
    """Of the steps that began one move from a coin of another's colour, those that took none, [..., players]."""
    return fraction(counts.other_spared, counts.other_near)


def cooperation_by_history(counts: CoinCounts) -> jax.Array:
    """Of the pickups after each of the nine `envs.coin_game.counts.HISTORIES`, those of the own colour,
    [..., players, 9]."""
    own, other = _floats(counts.own_after), _floats(counts.other_after)
    return fraction(own, own + other)


def cooperation_by_state(counts: dict[str, Any]) -> jax.Array:
    """Of the steps in which a player of a matrix game was in each of its states, those in which it cooperated, as
    executed, [..., players, states]."""
    return fraction(counts["cooperations"], counts["steps"])


def fraction(part: Any, whole: Any) -> jax.Array:
    """part / whole in floats, NaN where the whole is 0."""
    above, below = _floats(part), _floats(whole)
    return jnp.where(below == 0, jnp.nan, above / jnp.where(below == 0, 1, below))


def _floats(counts: Any) -> jax.Array:
    return jnp.asarray(counts, dtype=float)
