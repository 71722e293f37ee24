"""Critics, which estimate the return a player can expect, as functions of parameters, observation and memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.spaces import Box, Discrete
from shaping.policies.networks import body
from shaping.policies.remaking import remade, remakable


@dataclass(frozen=True)
class Critic:
    """A state-value function V(o, m; phi); two critics with the same `kind` and `structure` compile to the same
    program.

    Attributes:
      kind: its name in configurations.
      structure: hashable description of the shapes.
      init: `(key, scale) -> phi`: random parameters in float32; with scale 0 all of them are zero, and so are all
        values.
      start: `(batch_shape) -> memory`: its memory before the first observation.
      apply: `(phi, observation, memory) -> (value [...], memory)`, the discounted return in the game's units.
    """

    kind: str
    structure: tuple[Any, ...]
    init: Callable[[jax.Array, jax.Array], Any]
    start: Callable[[tuple[int, ...]], Any]
    apply: Callable[[Any, jax.Array, Any], tuple[jax.Array, Any]]

    @property
    def shapes(self) -> Any:
        """phi as `jax.ShapeDtypeStruct`s; computes nothing and touches no device."""
        return jax.eval_shape(lambda: self.init(jax.random.key(0), jnp.float32(0)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Critic) and (self.kind, self.structure) == (other.kind, other.structure)

    def __hash__(self) -> int:
        return hash((self.kind, self.structure))

    def __reduce__(self) -> tuple[Any, ...]:
        return remade(self, f"critic {self.kind}")


@remakable
def tabular_critic(num_states: int) -> Critic:
    """One value per state, phi [num_states], for observations that are states 0 .. num_states - 1; `init` is normal."""

    def init(key: jax.Array, scale: jax.Array) -> jax.Array:
        return jnp.asarray(scale, jnp.float32) * jax.random.normal(key, (num_states,), jnp.float32)

    def apply(phi: jax.Array, observation: jax.Array, memory: Any) -> tuple[jax.Array, Any]:
        # As a one-hot product, like in a tabular policy.
        return jnp.sum(jax.nn.one_hot(observation, num_states, dtype=phi.dtype) * phi, axis=-1), memory

    return Critic("tabular", (num_states,), init, lambda batch_shape: None, apply)


@remakable
def network_critic(
    observation_space: Discrete | Box,
    encoder: str | None = None,
    hidden: Sequence[int] = (16,),
    channels: Sequence[int] | None = None,
    recurrent: str | None = None,
    units: int = 16,
    layout: str | None = None,
) -> Critic:
    """A separate network with one linear output; arguments, initialisation and errors are those of
    `policies.network`."""
    heads = (("value", 1),)
    structure, init, start, run = body(observation_space, heads, encoder, hidden, channels, recurrent, units, layout)

    def apply(phi: Any, observation: jax.Array, memory: Any) -> tuple[jax.Array, Any]:
        outputs, memory = run(phi, observation, memory)
        return outputs["value"][..., 0], memory

    return Critic("network", structure, init, start, apply)
