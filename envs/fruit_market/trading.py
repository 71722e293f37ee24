"""Barter: which offers stand, which fit together, which are dominated, and who trades with whom.

An offer is what a player asks for (above 0) and what it gives for it (below 0), [fruit] int32.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

MAX_PLAYERS = 32
"""As many as a word has bits."""


def standing(offers: jax.Array, held: jax.Array) -> jax.Array:
    """Which offers can be accepted, [players] bool: they ask for something, give something, and their players hold what
    they give. Others see no other offers."""
    asks, gives = jnp.any(offers > 0, axis=1), jnp.any(offers < 0, axis=1)
    return asks & gives & jnp.all(held + offers >= 0, axis=1)


def fit(offers: jax.Array, near: jax.Array) -> jax.Array:
    """Whether each of two players gives at least what the other asks for, [players, players] bool.

    Args:
        offers: [players, fruit], 0 for players without an offer that can be accepted.
        near: [players, players] bool, who is close enough to trade.
    """
    mine, theirs = offers[:, None], offers[None]
    gets = jnp.any(mine > 0, axis=2) & jnp.all((mine <= 0) | (mine + theirs <= 0), axis=2)
    return gets & gets.T & near


def better(offers: jax.Array) -> jax.Array:
    """Whether the first of two players' offers dominates the second's, [players, players] bool: it asks for at most as
    much and gives at least as much of everything, and is not the same."""
    mine, theirs = offers[:, None], offers[None]
    return jnp.all(mine <= theirs, axis=2) & jnp.any(mine < theirs, axis=2)


def partners(fits: jax.Array, dominates: jax.Array, ranks: jax.Array) -> jax.Array:
    """With whom each player trades in this step, [players] int32; -1 for nobody.

    In the order of their ranks all players get one turn, in which they trade with the first player, in the same order,
    that fits. Each of the two drops offers that are dominated by another one that fits its own; they trade only if
    neither drops the other. Whoever has traded has no offer any more.

    Args:
        fits: [players, players] bool, see `fit`.
        dominates: [players, players] bool, see `better`.
        ranks: [players] int32, a permutation.
    """
    n = fits.shape[0]
    places = np.arange(n, dtype=np.int32)
    # Sets of players are words in which the bit of a player is its rank.
    bits = jnp.left_shift(jnp.uint32(1), ranks.astype(jnp.uint32))
    fitting = jnp.sum(jnp.where(fits, bits[None], 0), axis=1, dtype=jnp.uint32)
    dominating = jnp.sum(jnp.where(dominates, bits[:, None], 0), axis=0, dtype=jnp.uint32)
    at_rank = ranks[None] == places[:, None]
    fitting, dominating = (
        jnp.sum(jnp.where(at_rank, words[None], 0), axis=1, dtype=jnp.uint32) for words in (fitting, dominating)
    )

    def turn(place: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        waiting, found = carry
        mine = jnp.where((waiting >> place.astype(jnp.uint32)) & 1 == 1, fitting[place] & waiting, 0)
        offered = (mine >> places.astype(np.uint32)) & 1 == 1
        dropped = (mine & dominating) != 0
        drops = (fitting & waiting & dominating[place]) != 0
        possible = offered & ~dropped & ~drops
        partner, any_one = jnp.argmax(possible).astype(jnp.int32), jnp.any(possible)
        both = (places == place) | (places == partner)
        other = jnp.where(places == place, partner, place)
        gone = jnp.sum(jnp.where(both, jnp.left_shift(jnp.uint32(1), places.astype(np.uint32)), 0), dtype=jnp.uint32)
        return jnp.where(any_one, waiting & ~gone, waiting), jnp.where(both & any_one, other, found)

    everybody = jnp.uint32(2**n - 1)
    start = (everybody, jnp.full((n,), -1, jnp.int32))
    _, by_rank = lax.fori_loop(0, n, lambda place, carry: turn(jnp.int32(place), carry), start)
    # From ranks back to players.
    player_at = jnp.sum(jnp.where(at_rank, places[None], 0), axis=1, dtype=jnp.int32)
    partner = by_rank[ranks]
    return jnp.where(partner < 0, -1, player_at[jnp.maximum(partner, 0)])


def exchanged(offers: jax.Array, partner: jax.Array) -> jax.Array:
    """What each player gets (above 0) and gives (below 0) by the trades of a step, [players, fruit] int32. The smallest
    quantities that satisfy both change hands: what the two have asked for."""
    theirs = jnp.where((partner >= 0)[:, None], offers[jnp.maximum(partner, 0)], 0)
    mine = jnp.where((partner >= 0)[:, None], offers, 0)
    return jnp.maximum(mine, 0) - jnp.maximum(theirs, 0)
