"""Encounters: learners of a population are gathered by their numbers, updated together, and put back.

The states of a population's learners are [population, learners, ...]. A pairing says who meets, [population,
encounters, seats]. The programs of matches take the gathered states, and what they return is put back. If nobody
changes partners there is nothing to gather: the states of a match are those of its learners.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def gather(states: Any, numbers: jax.Array) -> tuple[Any, ...]:
    """The states of those who meet, one pytree per seat with leaves [population, encounters, ...].

    Args:
      states: leaves [population, learners, ...].
      numbers: [population, encounters, seats] int, the learners' numbers within their population.
    """

    def of(places: jax.Array) -> Any:
        return jax.tree.map(lambda leaf: jax.vmap(lambda own, at: own[at])(leaf, places), states)

    return tuple(of(numbers[..., seat]) for seat in range(numbers.shape[-1]))


def scatter(states: Any, numbers: jax.Array, updated: Sequence[Any]) -> Any:
    """The states of a population after an encounter: those of learners who met are replaced, the others are unchanged.

    Args:
      states: leaves [population, learners, ...].
      numbers: [population, encounters, seats] int, as for `gather`; nobody may be in two encounters.
      updated: one pytree per seat with leaves [population, encounters, ...].
    """

    def put(leaf: jax.Array, *seats: jax.Array) -> jax.Array:
        new = jnp.stack(seats, axis=2)
        places = numbers.reshape(len(numbers), -1)
        flat = new.reshape(len(new), places.shape[1], *new.shape[3:])
        # Nobody meets twice, so no place is written twice and the order does not matter.
        return jax.vmap(lambda own, at, given: own.at[at].set(given, unique_indices=True))(leaf, places, flat)

    return jax.tree.map(put, states, *updated)


def check_pairing(numbers: np.ndarray, learners: int) -> None:
    """Refuses a pairing [population, encounters, seats] that names a learner who does not exist, or one learner twice.

    Raises:
      ValueError: names the first such number.
    """
    for own in np.asarray(numbers).reshape(len(numbers), -1):
        met: set[int] = set()
        for number in own.tolist():
            if not 0 <= number < learners:
                raise ValueError(f"a pairing has learner {number}; allowed: 0 to {learners - 1}")
            if number in met:
                raise ValueError(f"a pairing has learner {number} twice; allowed: once in a generation")
            met.add(number)
