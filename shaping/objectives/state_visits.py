"""How often each state of a chain is visited over many rounds, without losing digits."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

_FEW = 1024
_Carry = tuple[jax.Array, jax.Array, jax.Array]
"""The distribution now, its weight, and the visits so far."""


def visits_over_rounds(
    moved: Callable[[jax.Array], jax.Array], start: jax.Array, discount: jax.Array, rounds: int
) -> jax.Array:
    """sum over t < rounds of discount^t moved^t(start).

    In float32 a plain sum over a million rounds would be wrong in its second digit, and so would the total probability,
    to which every round adds its rounding error. Beyond 1,024 rounds the sum is one of sums over blocks of rounds, and
    the total probability is set right between two blocks.

    Args:
      moved: a linear map of distributions over states; it keeps their total.
      start: the distribution in the first round.
      discount: scalar, at most 1.
      rounds: at least 1.
    """
    if rounds <= _FEW:

        def step(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], None]:
            now, total = carry
            now = discount * moved(now)
            return (now, total + now), None

        return lax.scan(step, (start, start), None, length=rounds - 1)[0][1]

    mass = jnp.sum(start)

    def weighed(carry: _Carry, _: None) -> tuple[_Carry, None]:
        now, weight, total = carry
        return (moved(now), discount * weight, total + weight * now), None

    def block(carry: _Carry, length: int) -> _Carry:
        now, weight, total = carry
        (now, weight, part), _ = lax.scan(weighed, (now, weight, jnp.zeros_like(now)), None, length=length)
        found = jnp.sum(now)
        right = jnp.where(found > 0, mass / jnp.where(found > 0, found, 1), 1)
        return now * right, weight, total + part

    carry = (start, jnp.ones_like(mass), jnp.zeros_like(start))
    size = math.isqrt(rounds)
    carry, _ = lax.scan(lambda carry, _: (block(carry, size), None), carry, None, length=rounds // size)
    return block(carry, rounds % size)[2]
