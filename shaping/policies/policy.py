"""The protocol of a policy."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import jax
import jax.numpy as jnp

from shaping.envs.spaces import Box, Discrete
from shaping.policies.pickling import remade


def no_params(params: Any) -> tuple[()]:
    """The `for_params` of a policy whose parameters do not depend on an environment's numbers."""
    del params
    return ()


def no_table(theta: Any) -> NoReturn:
    """The `table` of a policy that has no table.

    Raises:
      TypeError: always.
    """
    raise TypeError(
        "this policy has no table of logits; allowed: policies that depend only on a state, such as tabular"
    )


@dataclass(frozen=True)
class Policy:
    """A player's policy as pure functions; two policies with the same `kind` and `structure` compile to the same
    program.

    Attributes:
      kind: its name in configurations.
      structure: hashable description of the shapes (for example the number of states).
      init: `(key, scale) -> theta`: random parameters in float32, normally distributed with standard deviation `scale`
        unless the policy says otherwise.
      start: `(batch_shape) -> memory`: the policy's memory before its first observation.
      apply: `(theta, observation, memory) -> (distribution, memory)`, the distribution over actions: a distrax
        categorical, or a `distributions.SquashedNormal` if they are continuous.
      table: `theta -> logits of P(cooperate | state)`, one per state, for policies that depend only on the state of a
        matrix game (an array [states] or a sequence of scalars, whichever theta is); with more than two actions
        [states, actions]. Raises TypeError if `tabulated` is
        False.
      scalars: whether `table` also accepts theta as a sequence of scalars, the fastest layout of a population.
      rounds: how many rounds back the states of `table` reach.
      tabulated: whether there is a `table`; networks on boards, for example, have none.
      evaluate: `(theta, observation, memory) -> (distribution, value, memory)` for a policy whose critic shares its
        trunk; theta then includes the value's layer. None for other policies.
      observation_space, action_space: its observations and actions, to be checked against those of an environment; None
        if it accepts anything, or if only a call can tell.
      for_params: `params -> theta` for a scripted player that depends on its environment's numbers; () for others. As
        theta, () always means the environment's default numbers.
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
        return _shapes(self)

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


@lru_cache(maxsize=512)
def _shapes(policy: Policy) -> Any:
    """Policies that are equal have parameters of the same shapes; a plan asks for those of a few again and again."""
    return jax.eval_shape(lambda: policy.init(jax.random.key(0), jnp.float32(0)))
