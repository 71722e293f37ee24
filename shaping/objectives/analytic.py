"""Differentiable games given as a function of the parameters: the user's own, and the analytic games of the
literature."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from shaping.objectives.objective import Objective, Thetas
from shaping.policies.policy import Policy
from shaping.policies.tabular import parameters


def from_returns(function: Callable[[Thetas], Any]) -> Objective:
    """An objective from `function(thetas) -> returns`, one expected return per player, to be maximised."""
    return Objective(lambda thetas, key, context: (function(thetas), None))


def from_losses(function: Callable[[Thetas], Any]) -> Objective:
    """An objective from `function(thetas) -> losses`, one loss per player, to be minimised: a return is a negative
    loss."""

    def negated(thetas: Thetas) -> Any:
        return jax.tree.map(lambda loss: -loss, function(thetas))

    return from_returns(negated)


@dataclass(frozen=True)
class Analytic:
    """A differentiable game of the user's own, to be trained like any other.

    Attributes:
      function: `(thetas, parameters) -> returns`, one expected return per player. Must be a module-level function (its
        identity decides what is compiled together).
      num_parameters: length of each player's parameter vector, one entry per seat.
    """

    function: Callable[[Thetas, Any], Any]
    num_parameters: tuple[int, ...]

    def objective(self, parameters: Any) -> Objective:
        """The objective at one setting of the game's numeric parameters (any pytree)."""
        return from_returns(lambda thetas: self.function(thetas, parameters))

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Parameter vectors: in an analytic game the parameters are the play."""
        return tuple(parameters(length) for length in self.num_parameters)

    @property
    def unrolled(self) -> bool:
        """Never: the user's function sees parameter vectors, and numbers, as arrays."""
        return False

    def value_scale(self, params: Any) -> jax.Array:
        """Values are returns."""
        del params
        return jnp.ones(())

    def describe(self, params: Any, thetas: Thetas) -> dict[str, jax.Array]:
        """The final parameters, [players, parameters], padded with NaN where lengths differ."""
        del params
        longest = max(self.num_parameters)
        rows = list(thetas)
        return {"theta_final": jnp.stack([jnp.pad(r, (0, longest - r.size), constant_values=jnp.nan) for r in rows])}
