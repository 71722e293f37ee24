"""Critics, which estimate the return a player can expect, as functions of parameters, observation and memory.

    V(o, m; phi)      the return from an observation on
    Q(o, m; phi)[a]   the return if the player's action there is a, for each of its actions

A critic sees what its player sees (`tabular_critic`, `network_critic`), or what everybody sees and, for Q, what the
others do at the same time (`joint_critic`), as in MADDPG (Lowe et al. 2017) and COMA (Foerster et al. 2018a).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.spaces import Box, Discrete
from shaping.policies.networks import body
from shaping.policies.pickling import remade, remakable


@dataclass(frozen=True)
class Critic:
    """A function V or Q of the file's head; two critics with the same `kind` and `structure` compile to the same
    program.

    Attributes:
      kind: its name in configurations.
      structure: hashable description of the shapes.
      init: `(key, scale) -> phi`: random parameters in float32; with scale 0 all of them are zero, and so are all
        values.
      start: `(batch_shape) -> memory`: its memory before the first observation.
      apply: `(phi, observation, memory) -> (value, memory)`, the discounted return in the game's units: [...] for V,
        [..., actions] for Q. If the critic is joint, `observation` is the pair of the observations of all players
        [..., players, *observation] and the actions of all others [..., players - 1], both in the order of the seats,
        beginning with the critic's player and returning to seat 0 after the last.
      num_actions: of a Q critic, the number of its player's actions; None for V.
      joint: whether it sees what everybody sees.
    """

    kind: str
    structure: tuple[Any, ...]
    init: Callable[[jax.Array, jax.Array], Any]
    start: Callable[[tuple[int, ...]], Any]
    apply: Callable[[Any, Any, Any], tuple[jax.Array, Any]]
    num_actions: int | None = None
    joint: bool = False

    @property
    def shapes(self) -> Any:
        """phi as `jax.ShapeDtypeStruct`s; computes nothing and touches no device."""
        return jax.eval_shape(lambda: self.init(jax.random.key(0), jnp.float32(0)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Critic) and self._program == other._program

    def __hash__(self) -> int:
        return hash(self._program)

    @property
    def _program(self) -> tuple[Any, ...]:
        return self.kind, self.structure, self.num_actions, self.joint

    def __reduce__(self) -> tuple[Any, ...]:
        return remade(self, f"critic {self.kind}")


@remakable
def tabular_critic(num_states: int, num_actions: int | None = None) -> Critic:
    """One value per state, phi [num_states], for observations that are states 0 .. num_states - 1; with `num_actions`
    one per state and action, phi [num_states, num_actions]. `init` is normal."""
    shape = (num_states,) if num_actions is None else (num_states, num_actions)

    def init(key: jax.Array, scale: jax.Array) -> jax.Array:
        return jnp.asarray(scale, jnp.float32) * jax.random.normal(key, shape, jnp.float32)

    def apply(phi: jax.Array, observation: jax.Array, memory: Any) -> tuple[jax.Array, Any]:
        # As a one-hot product, like in a tabular policy.
        chosen = jax.nn.one_hot(observation, num_states, dtype=phi.dtype)
        if num_actions is None:
            return jnp.sum(chosen * phi, axis=-1), memory
        return jnp.sum(chosen[..., None] * phi, axis=-2), memory

    return Critic("tabular", shape, init, lambda batch_shape: None, apply, num_actions)


@remakable
def network_critic(
    observation_space: Discrete | Box,
    encoder: str | None = None,
    hidden: Sequence[int] = (16,),
    channels: Sequence[int] | None = None,
    recurrent: str | None = None,
    units: int = 16,
    layout: str | None = None,
    num_actions: int | None = None,
) -> Critic:
    """A separate network with one linear output, or `num_actions` of them; the other arguments, initialisation and
    errors are those of `policies.network`."""
    heads = (("value", num_actions or 1),)
    structure, init, start, run = body(observation_space, heads, encoder, hidden, channels, recurrent, units, layout)

    def apply(phi: Any, observation: jax.Array, memory: Any) -> tuple[jax.Array, Any]:
        outputs, memory = run(phi, observation, memory)
        return outputs["value"][..., 0] if num_actions is None else outputs["value"], memory

    return Critic("network", structure, init, start, apply, num_actions)


@remakable
def joint_critic(
    observation_space: Discrete | Box,
    num_players: int,
    hidden: Sequence[int] = (32,),
    recurrent: str | None = None,
    units: int = 16,
    num_actions: int | None = None,
) -> Critic:
    """A network on what all players see, one after the other (integers one-hot, boxes flattened); with `num_actions`,
    Q, which also sees the actions of the others, one-hot.

    Args:
      observation_space: what each player may observe.
      num_players: how many there are.
      hidden, recurrent, units: see `policies.network`.
      num_actions: how many actions each player has; None for V.
    """
    discrete = isinstance(observation_space, Discrete)
    each = observation_space.num_values if discrete else math.prod(observation_space.shape)
    others = 0 if num_actions is None else (num_players - 1) * num_actions
    joint, heads = Box((num_players * each + others,)), (("value", num_actions or 1),)
    structure, init, start, run = body(joint, heads, "dense", hidden, (), recurrent, units, None)

    def apply(phi: Any, observation: Any, memory: Any) -> tuple[jax.Array, Any]:
        seen, actions = observation
        dtype = jnp.result_type(*jax.tree.leaves(phi))
        parts = [jax.nn.one_hot(seen, each, dtype=dtype) if discrete else jnp.asarray(seen).astype(dtype)]
        if num_actions is not None:
            parts.append(jax.nn.one_hot(actions, num_actions, dtype=dtype))
        leading = seen.ndim - 1 - len(observation_space.shape)
        flat = [part.reshape(*part.shape[:leading], -1) for part in parts]
        outputs, memory = run(phi, jnp.concatenate(flat, axis=-1), memory)
        return outputs["value"][..., 0] if num_actions is None else outputs["value"], memory

    return Critic("joint", (observation_space, structure), init, start, apply, num_actions, joint=True)
