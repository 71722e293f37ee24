"""An update rule: a direction of ascent for one seat."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.objectives.objective import Objective, Thetas


@struct.dataclass
class NoSettings:
    """The settings of a rule that has none to set."""


def _unchanged(settings: Any) -> Any:
    return settings


@struct.dataclass
class Rule:
    """An update rule with its settings; it keeps no state between updates.

    Attributes:
      settings: a `flax.struct.dataclass` of numbers (arrays that may be mapped over a population); static structure
        goes in fields that are not pytree nodes. In every rule that imagines a step of others, the length of that step
        is called `lookahead_rate`.
      function: `(objective, thetas, player, settings, key) -> direction`, an ascent direction shaped like
        `thetas[player]`. `objective` maps the parameters of all players to their returns; `key` seeds sampled
        objectives.
      prepare: None for most rules. Otherwise `(objective, policies, player, settings, key, dtype) -> learned`: what the
        rule has to learn about the game before the first update (COLA's networks, a meta-value). `function` then takes
        `learned` as an additional argument.
      shaping: None, or `(objective, thetas, player, settings, key) -> pytree`, the part of the direction that comes
        from shaping the opponents' steps.
      needs_distance: whether it uses the objective's divergence between policies.
      needs_information_sets: whether it uses what can be computed exactly of a small game in turns.
      needs_chain: whether it looks inside a repeated game of two actions in closed form (`Objective.chain`).
      needs_tables: whether it needs two players whose policies are tables of P(cooperate | state), and exact returns.
      differentiable: whether its direction can be differentiated with respect to the parameters.
      gradients, lookaheads: roughly how many gradients of returns one direction takes, and how many steps it
        differentiates through; used only for planning.
      untrained: `(settings) -> settings` with which `prepare` trains nothing and returns the same shapes, so that a
        plan need not look at the training.
    """

    settings: Any
    function: Callable[..., Any] = struct.field(pytree_node=False)
    prepare: Callable[..., Any] | None = struct.field(pytree_node=False, default=None)
    shaping: Callable[..., Any] | None = struct.field(pytree_node=False, default=None)
    needs_distance: bool = struct.field(pytree_node=False, default=False)
    needs_information_sets: bool = struct.field(pytree_node=False, default=False)
    needs_chain: bool = struct.field(pytree_node=False, default=False)
    needs_tables: bool = struct.field(pytree_node=False, default=False)
    differentiable: bool = struct.field(pytree_node=False, default=True)
    gradients: int = struct.field(pytree_node=False, default=1)
    lookaheads: int = struct.field(pytree_node=False, default=1)
    untrained: Callable[[Any], Any] = struct.field(pytree_node=False, default=_unchanged)

    @property
    def anticipates(self) -> bool:
        """Whether it imagines a step of the others, of length `settings.lookahead_rate`."""
        own = self.settings
        return dataclasses.is_dataclass(own) and any(f.name == "lookahead_rate" for f in dataclasses.fields(own))

    def slowed(self, factor: Any) -> "Rule":
        """The same rule with its lookahead rate multiplied; a rule that imagines no step is returned unchanged."""
        if not self.anticipates:
            return self
        rate = jnp.asarray(self.settings.lookahead_rate)
        slower = rate * jnp.asarray(factor).astype(rate.dtype)
        return dataclasses.replace(self, settings=dataclasses.replace(self.settings, lookahead_rate=slower))

    def direction(
        self, objective: Objective, thetas: Thetas, player: int, key: jax.Array | None = None, learned: Any = None
    ) -> Any:
        """The direction in which `player` ascends, a pytree shaped like `thetas[player]`.

        Args:
          objective: the returns of all players.
          thetas: their parameters.
          player: the seat.
          key: seeds sampled objectives.
          learned: what `prepare` returned, for a rule that has it.
        """
        if self.prepare is None:
            return self.function(objective, thetas, player, self.settings, key)
        return self.function(objective, thetas, player, self.settings, key, learned)
