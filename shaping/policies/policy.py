"""The protocol of a policy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import jax
import jax.numpy as jnp

from shaping.envs.spaces import Box, Discrete
from shaping.policies.remaking import remade


def no_params(params: Any) -> tuple[()]:
    """The `for_params` of a policy whose parameters do not depend on an environment's numbers."""
    del params
    return ()


def no_table(theta: Any) -> NoReturn:
    """The `table` of a policy that has none.

    Raises:
      TypeError: always.
    """
    raise TypeError("this policy has no table of logits; allowed: policies of a state alone, such as tabular")


@dataclass(frozen=True)
class Policy:
    """A player's policy as pure functions; two policies with the same `kind` and `structure` compile to the same
    program.

    Attributes:
      kind: the configuration's name for it.
      structure: hashable description of the shapes (for example the number of states).
      init: `(key, scale) -> theta`: random parameters in float32, normally distributed with standard deviation `scale`
        unless the policy says otherwise.
      start: `(batch_shape) -> memory`: what the policy remembers before its first observation.
      apply: `(theta, observation, memory) -> (distribution, memory)`, the distribution over actions: a distrax
        categorical, or a `distributions.SquashedNormal` where they are continuous.
      table: `theta -> logits of P(cooperate | state)`, one per state, for policies that only look at a state of a
        matrix game (an array [states] or a sequence of scalars, as theta is); of more than two actions [states,
        actions]. Raises TypeError where `tabulated` is
        False.
      scalars: whether `table` takes theta as a sequence of scalars too, the fastest layout of a population.
      rounds: how many rounds back a state of `table` reaches.
      tabulated: whether there is a `table`; a network on boards has none, nor has a policy made without.
      evaluate: `(theta, observation, memory) -> (distribution, value, memory)` for a policy whose critic shares its
        trunk, theta holding the value's layer too; None where there is none.
      observation_space, action_space: what it reads and what it does, so that it can be checked where it meets an
        environment; None where it reads anything, or where only calling it tells.
      for_params: `params -> theta` of a scripted player that depends on the numbers of its environment; () for others,
        and () always stands for the environment's default numbers.
    """

    kind: str
    structure: tuple[Any, ...]
    init: Callable[[jax.Array, jax.Array], Any]
    start: Callable[[tuple[int, ...]], Any]
    apply: Callable[[Any, jax.Array, Any], tuple[Any, Any]]
    table: Callable[[Any], Any] = no_table
    scalars: bool = True
    rounds: int = 1
    tabulated: bool = True
    evaluate: Callable[[Any, jax.Array, Any], tuple[Any, jax.Array, Any]] | None = None
    observation_space: Discrete | Box | None = None
    action_space: Discrete | Box | None = None
    for_params: Callable[[Any], Any] = no_params

    def __post_init__(self):
        if self.table is no_table:
            object.__setattr__(self, "tabulated", False)

    @property
    def shapes(self) -> Any:
        """theta as `jax.ShapeDtypeStruct`s; computes nothing and touches no device."""
        return jax.eval_shape(lambda: self.init(jax.random.key(0), jnp.float32(0)))

    @property
    def num_parameters(self) -> int:
        """How many numbers theta has."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.shapes))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and (self.kind, self.structure) == (other.kind, other.structure)

    def __hash__(self) -> int:
        return hash((self.kind, self.structure))

    def __reduce__(self) -> tuple[Any, ...]:
        return remade(self, f"policy {self.kind}")
