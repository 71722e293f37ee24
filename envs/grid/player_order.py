"""The order in which a player sees what concerns all players."""

import jax
import jax.numpy as jnp


def own_first(values: jax.Array) -> jax.Array:
    """What each player sees of one value per player: its own, then the others' by ascending seat.

    Args:
        values: [players, ...].

    Returns:
        [players, players, ...]; the first axis is the player who sees.
    """
    n = values.shape[0]
    return jnp.stack([jnp.concatenate([values[i : i + 1], values[:i], values[i + 1 :]]) for i in range(n)])


def others(num_players: int) -> tuple[tuple[int, ...], ...]:
    """others(n)[player] = the other seats, ascending."""
    return tuple(tuple(j for j in range(num_players) if j != i) for i in range(num_players))
