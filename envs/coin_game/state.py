"""The numbers of a Coin Game, and its state."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.declarations import leading_rank, placed

REWARDS = ("own", "other", "taken")
"""The settings that are columns of `CoinGameParams.rewards`."""


@flax.struct.dataclass
class CoinGameParams:
    """The numbers of a Coin Game. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        rewards: [players, 3] float: for taking a coin of one's own colour, for taking a coin of another colour, and for
            having a coin of one's own colour taken by another player.
        horizon: [] int32, steps of an episode.
        noise: [players] float in [0, 1], the probability that a uniformly random action replaces the chosen one; None
            for never, which saves drawing it.
    """

    rewards: jax.Array
    horizon: jax.Array
    noise: jax.Array | None = None


@flax.struct.dataclass
class CoinGameDrawn:
    """The random words of a step, uint32.

    Attributes:
        words: for the new cells of taken coins, then for noise.
        restart: for a new start, if the last step leads to one; otherwise None.
    """

    words: jax.Array
    restart: jax.Array | None


@flax.struct.dataclass
class CoinGameState:
    """Where everything is. Cells are numbered row by row, row x columns + column.

    Each cell is a separate scalar: over a batch it becomes a plain vector, which makes a step twice as fast as with
    rows of two or four.

    Attributes:
        player_cells: one [] int32 per player.
        coin_cells: one [] int32 for the single coin, or for the coin of each colour in seat order.
        colour: [] int32, the colour of the single coin; 0 if each colour has its own.
        step: [] int32, steps taken since the reset.
    """

    player_cells: tuple[jax.Array, ...]
    coin_cells: tuple[jax.Array, ...]
    colour: jax.Array
    step: jax.Array

    @classmethod
    def of(cls, players: Any, coins: Any, colour: Any, step: Any) -> "CoinGameState":
        """A state or a batch of them, from arrays players [..., players], coins [..., coins], colour, step [...]."""
        apart = [tuple(cells[..., i] for i in range(cells.shape[-1])) for cells in (players, coins)]
        return cls(player_cells=apart[0], coin_cells=apart[1], colour=colour, step=step)

    @property
    def players(self) -> jax.Array:
        """Cells of the players as one array, [..., players]."""
        return together(self.player_cells)

    @property
    def coins(self) -> jax.Array:
        """Cells of the coins as one array, [..., coins]."""
        return together(self.coin_cells)


def with_numbers(params: CoinGameParams, numbers: Mapping[str, Any], defaults: CoinGameParams) -> CoinGameParams:
    """See `envs.declarations.with_numbers`; each of `REWARDS`, and noise, may be given per player."""
    lead, players = leading_rank(params, defaults), len(defaults.rewards)
    columns = [params.rewards[..., k] for k in range(len(REWARDS))]
    for k, name in enumerate(REWARDS):
        if name in numbers:
            columns[k] = placed(name, numbers[name], columns[k], np.zeros(players), lead)
    noise = params.noise
    if "noise" in numbers:
        noise = placed("noise", numbers["noise"], noise, np.zeros(players), lead)
    return dataclasses.replace(params, rewards=together(tuple(columns)), noise=noise)


def together(cells: tuple[Any, ...]) -> Any:
    """Arrays of numpy or of jax, stacked along a new last axis."""
    return (np if isinstance(cells[0], np.ndarray) else jnp).stack(cells, axis=-1)
