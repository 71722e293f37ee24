"""Target networks: parameters that slowly follow those being learned, to give regressions a steady target."""

from typing import Any

import jax


def polyak(target: Any, online: Any, rate: Any) -> Any:
    """target + rate (online - target), leaf by leaf: rate 0 keeps the target, 1 copies what is learned."""
    return jax.tree.map(lambda old, new: old + rate * (new - old), target, online)
