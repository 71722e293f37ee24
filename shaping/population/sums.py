"""Sums of many numbers that do not lose what each is too small to change."""

import jax


def add_compensated(total: jax.Array, excess: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(total, excess) with one more number counted in; the sum is total - excess (Kahan 1965).

    A running sum in float32 stops growing once what is added falls below its last digit; here what was lost is carried
    along, so that the error does not grow with how many numbers there are.
    """
    lacking = value - excess
    after = total + lacking
    return after, (after - total) - lacking
