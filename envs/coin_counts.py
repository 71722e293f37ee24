"""Statistics of play in the Coin Game, gathered step by step in 32-bit integers.

Misses and passes are defined as by Aghajohari et al. (2024, LOQA, `coin_game.py:episode_stats` of its program);
conventions, what a player did at its last pickup, as by Pax and JaxMARL (`coin_game.py`, the nine histories).
"""

from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp

HISTORIES = tuple(f"{own}{other}" for own in "SCD" for other in "SCD")
"""A player's own last pickup, then the last of any other player: S none yet, C of its own colour, D of another's."""


@flax.struct.dataclass
class CoinCounts:
    """Counts since they were started; `last` is of the episode that goes on.

    Attributes:
        steps: [] int32.
        pickups: [players, colours] int32, how many coins of a colour each player took.
        own_near, own_missed: [players] int32, steps at whose start a coin of the own colour was one move away, and
            those of them that did not take it.
        other_near, other_spared: [players] int32, likewise of coins of other colours.
        own_after, other_after: [players, 9] int32, pickups of own and other coins by history (see `HISTORIES`).
        last: [players, 2] int32, the own last pickup of this episode and the last of any other player; 0 none, 1 own
            colour, 2 another's.
    """

    steps: jax.Array
    pickups: jax.Array
    own_near: jax.Array
    own_missed: jax.Array
    other_near: jax.Array
    other_spared: jax.Array
    own_after: jax.Array
    other_after: jax.Array
    last: jax.Array


def start(num_players: int) -> CoinCounts:
    """Zeros."""
    n = num_players

    def zeros(*shape: int) -> jax.Array:
        return jnp.zeros(shape, jnp.int32)

    return CoinCounts(
        zeros(), zeros(n, n), zeros(n), zeros(n), zeros(n), zeros(n), zeros(n, 9), zeros(n, 9), zeros(n, 2)
    )


def count(counts: CoinCounts, near: Sequence[Sequence[jax.Array]], pickups: jax.Array, ended: jax.Array) -> CoinCounts:
    """One step further.

    Args:
        counts: so far.
        near: near[player][colour], bool: whether a coin of the colour was one move away before the step.
        pickups: [players, colours] int32, who took what.
        ended: [] bool, whether the step ended the episode; the next starts without a history.
    """
    n = len(near)
    took = [[pickups[i, c] > 0 for c in range(n)] for i in range(n)]
    own = jnp.stack([took[i][i] for i in range(n)])
    other = jnp.stack([_any([took[i][c] for c in range(n) if c != i]) for i in range(n)])
    own_near = jnp.stack([near[i][i] for i in range(n)])
    other_near = jnp.stack([_any([near[i][c] for c in range(n) if c != i]) for i in range(n)])
    history = counts.last[:, 0] * 3 + counts.last[:, 1]
    here = history[:, None] == jnp.arange(9, dtype=jnp.int32)[None]
    # Of two coins at once, the other's counts as what was done.
    did = jnp.where(other, 2, jnp.where(own, 1, 0)).astype(jnp.int32)
    done_by_others = [jnp.max(jnp.stack([did[j] for j in range(n) if j != i])) for i in range(n)]
    new = jnp.stack([did, jnp.stack(done_by_others)], axis=1)
    last = jnp.where(ended, 0, jnp.where(new > 0, new, counts.last))

    def add(total: jax.Array, flags: jax.Array) -> jax.Array:
        return total + flags.astype(jnp.int32)

    return CoinCounts(
        steps=counts.steps + 1,
        pickups=counts.pickups + pickups,
        own_near=add(counts.own_near, own_near),
        own_missed=add(counts.own_missed, own_near & ~own),
        other_near=add(counts.other_near, other_near),
        other_spared=add(counts.other_spared, other_near & ~other),
        own_after=add(counts.own_after, here & own[:, None]),
        other_after=add(counts.other_after, here & other[:, None]),
        last=last,
    )


def _any(flags: Sequence[jax.Array]) -> jax.Array:
    found = flags[0]
    for flag in flags[1:]:
        found = found | flag
    return found
