"""Sums of many numbers that do not lose contributions too small to change the running total."""

import jax


def add_compensated(total: jax.Array, excess: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(total, excess) after adding one more number; the sum is total - excess (Kahan 1965).

    A plain running sum in float32 stops growing when what is added falls below its last digit. Here the lost part is
    carried along, so the error does not grow with the number of terms.
    """
    lacking = value - excess
    after = total + lacking
    return after, (after - total) - lacking
