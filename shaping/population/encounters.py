"""Encounters: learners of a population gathered by their numbers, updated together, put back.

States of a population's learners lie [population, learners, ...], one after the other. A pairing names who meets,
[population, encounters, seats]; what is gathered is what the programs of matches take, what they return is put back.
Where nobody changes partner there is nothing to gather: a match's states are its learners' own.
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
      numbers: [population, encounters, seats] int, learners' numbers within their population.
    """

    def of(places: jax.Array) -> Any:
        return jax.tree.map(lambda leaf: jax.vmap(lambda own, at: own[at])(leaf, places), states)

    return tuple(of(numbers[..., seat]) for seat in range(numbers.shape[-1]))


def scatter(states: Any, numbers: jax.Array, updated: Sequence[Any]) -> Any:
    """The states of a population with those of everybody who met replaced; whoever met nobody keeps theirs.

    Args:
      states: leaves [population, learners, ...].
      numbers: [population, encounters, seats] int, as they were gathered; nobody may be in two encounters.
      updated: one pytree per seat with leaves [population, encounters, ...].
    """

    def put(leaf: jax.Array, *seats: jax.Array) -> jax.Array:
        new = jnp.stack(seats, axis=2)
        places = numbers.reshape(len(numbers), -1)
        flat = new.reshape(len(new), places.shape[1], *new.shape[3:])
        # Nobody meets twice, so that no place is written twice and the order does not matter.
        return jax.vmap(lambda own, at, given: own.at[at].set(given, unique_indices=True))(leaf, places, flat)

    return jax.tree.map(put, states, *updated)


def check_pairing(numbers: np.ndarray, learners: int) -> None:
    """Refuses a pairing [population, encounters, seats] in which somebody is not there, or in two encounters at once.

    Raises:
      ValueError: the first such number.
    """
    for own in np.asarray(numbers).reshape(len(numbers), -1):
        met: set[int] = set()
        for number in own.tolist():
            if not 0 <= number < learners:
                raise ValueError(f"a pairing has learner {number}; allowed: 0 to {learners - 1}")
            if number in met:
                raise ValueError(f"a pairing has learner {number} twice; allowed: once in a generation")
            met.add(number)
