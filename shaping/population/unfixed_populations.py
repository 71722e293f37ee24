"""Selection where it can change something: populations in which all learners are alike are left out.

A mutant dies out or takes over at very different times. A population of one type that can no longer change costs
nothing here, so the time that many populations take depends on their average, not on the slowest.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from shaping.population.selection import Outcome, Selection

# Populations whose events are computed side by side.
_BLOCK = 128


def can_stand_still(selection: Selection, still: bool) -> bool:
    """Whether a population of one type stays as it is: its learners never learn, and nobody mutates.

    Args:
      selection: of the population.
      still: whether no type learns.
    """
    return still and selection.mutates == "none" and selection.events > 0


def selected_where_mixed(select: Callable[[Any], Outcome], given: Any, types: jax.Array) -> Outcome:
    """`jax.vmap(select)(given)` for populations that are not of one type; the others are unchanged.

    Args:
      select: selection in one population.
      given: its argument, leaves [populations, ...].
      types: [populations, size] int32.
    """
    populations, size = types.shape
    block = min(_BLOCK, populations)
    mixed = jnp.any(types != types[:, :1], axis=1)
    count = jnp.sum(mixed, dtype=jnp.int32)
    # Those that are mixed first; numbers beyond the last population fill the last block.
    room = -(-populations // block) * block
    order = jnp.full(room, populations, jnp.int32).at[:populations].set(jnp.argsort(~mixed, stable=True))
    # Populations of one type are left out of the last block too: their outcome must not depend on how many are mixed.
    order = jnp.where(jnp.arange(room) < count, order, populations)
    everybody = jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), types.shape)
    none = jnp.zeros(populations, jnp.int32)
    start = Outcome(everybody, types, jnp.zeros(types.shape, bool), none, none)

    def one_block(number: jax.Array, outcome: Outcome) -> Outcome:
        own = lax.dynamic_slice_in_dim(order, number * block, block)
        found = jax.vmap(select)(jax.tree.map(lambda leaf: leaf.at[own].get(mode="clip"), given))
        return jax.tree.map(lambda leaf, new: leaf.at[own].set(new, mode="drop"), outcome, found)

    return lax.fori_loop(0, -(-count // block), one_block, start)
