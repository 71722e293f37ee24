"""The parameters before the first update."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from shaping.policies.policy import Policy


@struct.dataclass
class Initial:
    """A distribution of initial parameters.

    Attributes:
      numbers: the standard deviation (normal), nothing (zeros), or the parameters themselves (values).
      kind: which of the three.
    """

    numbers: Any
    kind: str = struct.field(pytree_node=False)


def normal(scale: Any = 1.0) -> Initial:
    """Independent normal parameters with mean 0 and standard deviation `scale`, at least 0."""
    return Initial(scale, "normal")


def zeros() -> Initial:
    """All parameters zero: every action equally likely."""
    return Initial((), "zeros")


def values(theta: Any) -> Initial:
    """The given parameters, [states] logits for a tabular policy (a list will do)."""
    return Initial(np.asarray(theta, float) if isinstance(theta, list | tuple) else theta, "values")


def initial_parameters(initial: Initial, key: jax.Array, policy: Policy, dtype: Any) -> Any:
    """Parameters of `policy`, drawn in float32 whatever the precision of the run, then cast to `dtype`."""
    if initial.kind == "values":
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), initial.numbers)
    scale = jnp.float32(0) if initial.kind == "zeros" else jnp.asarray(initial.numbers, jnp.float32)
    return jax.tree.map(lambda leaf: leaf.astype(dtype), policy.init(key, scale))
