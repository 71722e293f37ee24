"""What one player may observe or do, as data: specifications from which policies are built."""

import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Discrete:
    """The integers 0 .. num_values - 1; as an observation or action of one player, an int32 scalar.

    An environment's observations and actions have a leading player axis, which the specification leaves out: it is the
    same for every player. Hashable, so that it can be a static argument.

    Raises:
        ValueError: if num_values is below 1.
    """

    num_values: int

    def __post_init__(self):
        if self.num_values < 1:
            raise ValueError(f"num_values is {self.num_values!r}; allowed: an integer of 1 or more")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one player's element: ()."""
        return ()

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.int32)

    def sample(self, key: jax.Array, shape: tuple[int, ...] = ()) -> jax.Array:
        """Uniform draws, int32 of the given shape."""
        return jax.random.randint(key, shape, 0, self.num_values, dtype=jnp.int32)


@dataclass(frozen=True)
class Box:
    """Arrays of one shape with entries from `low` to `high`, both included; as an observation or action of one player.

    Attributes:
        shape: shape of one player's element, without the player axis.
        low, high: bounds of every entry; finite if it is to be sampled from.
        dtype: "float32", or an integer dtype for one-hot planes.
        torus: whether it is a board whose opposite edges are next to each other. Boxes that differ in this alone are
            equal.

    Raises:
        ValueError: if low is above high.
    """

    shape: tuple[int, ...]
    low: float = 0.0
    high: float = 1.0
    dtype: str = "float32"
    torus: bool = field(default=False, compare=False)

    def __post_init__(self):
        if not self.low <= self.high:
            raise ValueError(f"low is {self.low!r}; allowed: a number of at most high, {self.high!r}")

    def sample(self, key: jax.Array, shape: tuple[int, ...] = ()) -> jax.Array:
        """Uniform draws, [*shape, *self.shape]."""
        full = (*shape, *self.shape)
        if jnp.issubdtype(self.dtype, jnp.integer):
            return jax.random.randint(key, full, int(self.low), int(self.high) + 1, jnp.dtype(self.dtype))
        return jax.random.uniform(key, full, jnp.dtype(self.dtype), self.low, self.high)


def vector_length(space: Discrete | Box) -> int:
    """How many numbers an element is as a vector, which is one-hot where it is discrete."""
    return space.num_values if isinstance(space, Discrete) else math.prod(space.shape)
