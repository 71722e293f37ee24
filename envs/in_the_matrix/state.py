"""The numbers of an in-the-matrix game, and its state."""

import flax.struct
import jax


@flax.struct.dataclass
class InTheMatrixParams:
    """The numbers of a game. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        payoffs: [2, kinds, kinds] float, payoffs[role][strategy of role 0][strategy of role 1]; in a pair the player
            with the lower seat has role 0.
        freeze: [] int32, steps for which a pair stands still after an interaction.
        regrowth: [] float in [0, 1], the probability per step that a coin returns to its empty site; None for never,
            which saves drawing it.
        horizon: [] int32, steps of an episode.
    """

    payoffs: jax.Array
    freeze: jax.Array
    regrowth: jax.Array | None
    horizon: jax.Array


@flax.struct.dataclass
class InTheMatrixState:
    """Where everything is.

    Attributes:
        rows, columns: [players] int32, from 0 at the upper left.
        directions: [players] int32, 0 right, 1 down, 2 left, 3 up.
        inventories: [players, kinds] int32, coins held.
        frozen: [players] int32, steps still to stand still, 0 for players who may act.
        fired: [players] bool, whose beam is visible.
        sites: [kinds * num_coins] int32, the cells of the coins, row * grid_size + column; num_coins of kind 0 first.
        present: [kinds * num_coins] bool, which coins are there.
        step: [] int32, steps taken since the reset.
    """

    rows: jax.Array
    columns: jax.Array
    directions: jax.Array
    inventories: jax.Array
    frozen: jax.Array
    fired: jax.Array
    sites: jax.Array
    present: jax.Array
    step: jax.Array
