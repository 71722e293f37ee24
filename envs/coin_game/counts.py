"""Statistics of play in the Coin Game, collected step by step in 32-bit integers.

Misses and passes are defined as in the program of Aghajohari et al. (2024, LOQA, `coin_game.py:episode_stats`);
conventions, what a player did at its last pickup, as in Pax and JaxMARL (`coin_game.py`, the nine histories).
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

HISTORIES = tuple(f"{own}{other}" for own in "SCD" for other in "SCD")
"""A player's own last pickup, then any other player's last one: S none yet, C of its own colour, D of another's."""


@flax.struct.dataclass
class PlayerCounts:
    """Counts for one player. They are scalars instead of an array over players: over a batch they become plain vectors,
    which makes counting twice as fast.

    Attributes:
        pickups: one [] int32 per colour, how many coins of it were taken.
        own_near, own_missed: [] int32, steps at whose start a coin of the own colour was one move away, and those of
            them in which it was not taken.
        other_near, other_spared: [] int32, likewise for coins of other colours.
        own_after, other_after: [9] int32, pickups of own and other coins by history (see `HISTORIES`).
        own_last, others_last: [] int32, the player's own last pickup of this episode and any other player's last one; 0
            none, 1 own colour, 2 another's.
    """

    pickups: tuple[jax.Array, ...]
    own_near: jax.Array
    own_missed: jax.Array
    other_near: jax.Array
    other_spared: jax.Array
    own_after: jax.Array
    other_after: jax.Array
    own_last: jax.Array
    others_last: jax.Array


@flax.struct.dataclass
class CoinCounts:
    """Counts since they were started, with any leading axes; the properties return them as arrays over players.

    Attributes:
        steps: [] int32.
        players: the counts for each player.
    """

    steps: jax.Array
    players: tuple[PlayerCounts, ...]

    @property
    def pickups(self) -> jax.Array:
        """How many coins of each colour each player took, [..., players, colours]."""
        return _stack([_stack(player.pickups, -1) for player in self.players], -2)

    @property
    def own_near(self) -> jax.Array:
        """See `PlayerCounts`, [..., players]; likewise for the following ones."""
        return _stack([player.own_near for player in self.players], -1)

    @property
    def own_missed(self) -> jax.Array:
        return _stack([player.own_missed for player in self.players], -1)

    @property
    def other_near(self) -> jax.Array:
        return _stack([player.other_near for player in self.players], -1)

    @property
    def other_spared(self) -> jax.Array:
        return _stack([player.other_spared for player in self.players], -1)

    @property
    def own_after(self) -> jax.Array:
        """[..., players, 9]."""
        return _stack([player.own_after for player in self.players], -2)

    @property
    def other_after(self) -> jax.Array:
        """[..., players, 9]."""
        return _stack([player.other_after for player in self.players], -2)

    @property
    def last(self) -> jax.Array:
        """The player's own last pickup, and any other player's last one, [..., players, 2]."""
        return _stack([_stack([player.own_last, player.others_last], -1) for player in self.players], -2)


def start(num_players: int) -> CoinCounts:
    """Zeros."""
    zero, nine = jnp.int32(0), jnp.zeros(9, jnp.int32)
    player = PlayerCounts((zero,) * num_players, zero, zero, zero, zero, nine, nine, zero, zero)
    return CoinCounts(zero, (player,) * num_players)


def count(counts: CoinCounts, near: Sequence[Sequence[jax.Array]], pickups: jax.Array, ended: jax.Array) -> CoinCounts:
    """The counts after one more step.

    Args:
        counts: the counts so far.
        near: near[player][colour], bool: whether a coin of the colour was one move away before the step.
        pickups: [players, colours] int32, who took what.
        ended: [] bool, whether the step ended the episode; the next one starts without a history.
    """
    n = len(near)
    took = [[pickups[i, c] > 0 for c in range(n)] for i in range(n)]
    own = [took[i][i] for i in range(n)]
    other = [any_of([took[i][c] for c in range(n) if c != i]) for i in range(n)]
    # If a player takes two coins at once, the other player's coin counts as what it did.
    did = [
        jnp.where(theirs, 2, jnp.where(mine, 1, 0)).astype(jnp.int32) for mine, theirs in zip(own, other, strict=True)
    ]
    after = []
    for i, before in enumerate(counts.players):
        done = functools.reduce(jnp.maximum, [did[j] for j in range(n) if j != i])
        own_near, other_near = near[i][i], any_of([near[i][c] for c in range(n) if c != i])
        history = 3 * before.own_last + before.others_last
        after.append(
            PlayerCounts(
                pickups=tuple(
                    total + now.astype(jnp.int32) for total, now in zip(before.pickups, took[i], strict=True)
                ),
                own_near=before.own_near + own_near.astype(jnp.int32),
                own_missed=before.own_missed + (own_near & ~own[i]).astype(jnp.int32),
                other_near=before.other_near + other_near.astype(jnp.int32),
                other_spared=before.other_spared + (other_near & ~other[i]).astype(jnp.int32),
                own_after=_counted(before.own_after, history, own[i]),
                other_after=_counted(before.other_after, history, other[i]),
                own_last=_latest(before.own_last, did[i], ended),
                others_last=_latest(before.others_last, done, ended),
            )
        )
    return CoinCounts(counts.steps + 1, tuple(after))


def _counted(totals: jax.Array, place: jax.Array, happened: jax.Array) -> jax.Array:
    places = np.arange(len(HISTORIES), dtype=np.int32)
    return totals + (places == jnp.where(happened, place, -1)).astype(jnp.int32)


def _latest(last: jax.Array, now: jax.Array, ended: jax.Array) -> jax.Array:
    return jnp.where(ended, 0, jnp.where(now > 0, now, last))


def _stack(parts: Sequence[Any], axis: int) -> Any:
    return (np if isinstance(parts[0], np.ndarray) else jnp).stack(parts, axis=axis)


def any_of(flags: Sequence[jax.Array]) -> jax.Array:
    """Whether any of these bool scalars is true, [] bool."""
    found = flags[0]
    for flag in flags[1:]:
        found = found | flag
    return found
