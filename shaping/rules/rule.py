"""What an update rule is: a direction of ascent for one seat."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.objectives.objective import Objective, Thetas


@struct.dataclass
class Rule:
    """An update rule with its settings.

    Attributes:
      settings: any pytree of numbers (arrays that may be mapped over a population); static structure goes in fields
        that are not pytree nodes.
      function: `(objective, thetas, player, settings, key) -> direction`, an ascent direction shaped as
        `thetas[player]`. `objective` maps the parameters of all players to their returns, `key` seeds sampled
        objectives.
      prepare: None for most rules. Else `(objective, policies, player, settings, key, dtype) -> learned`, what the rule
        has to learn about the game before the first update (COLA's networks, a meta-value); `function` then takes
        `learned` as one more argument.
      needs_distance: whether it asks the objective how far policies are from each other.
      differentiable: whether its direction can be differentiated in the parameters.
      collect: None for most rules. Else `(objective, thetas, player, settings, key) -> data`, drawn once an update;
        `function` then takes `data` as its last argument and is called for each of the `steps` (PPO's epochs).
      steps: steps of the optimiser in an update.
      needs_sampler: whether it plays the game itself, and so needs an objective that samples.
      needs_critic: whether it asks what critics expect.
      gradients: about how many gradients of returns one direction takes, in units of a few; for planning alone.
      shaping: None, or `(objective, thetas, player, settings, key) -> pytree`, the part of the direction that comes
        from shaping the opponents' steps.
    """

    settings: Any
    function: Callable[..., Any] = struct.field(pytree_node=False)
    prepare: Callable[..., Any] | None = struct.field(pytree_node=False, default=None)
    needs_distance: bool = struct.field(pytree_node=False, default=False)
    differentiable: bool = struct.field(pytree_node=False, default=True)
    collect: Callable[..., Any] | None = struct.field(pytree_node=False, default=None)
    steps: int = struct.field(pytree_node=False, default=1)
    needs_sampler: bool = struct.field(pytree_node=False, default=False)
    needs_critic: bool = struct.field(pytree_node=False, default=False)
    gradients: int = struct.field(pytree_node=False, default=1)
    shaping: Callable[..., Any] | None = struct.field(pytree_node=False, default=None)

    def direction(
        self,
        objective: Objective,
        thetas: Thetas,
        player: int,
        key: jax.Array | None = None,
        learned: Any = None,
        data: Any = None,
    ) -> Any:
        """The direction in which `player` ascends, a pytree shaped as `thetas[player]`.

        Args:
          objective: returns of all players.
          thetas: their parameters.
          player: the seat.
          key: seeds objectives that sample.
          learned: what `prepare` returned, for a rule that has it.
          data: what `collect` returned and the number of the step within the update, for a rule that has it; collected
            anew where None.
        """
        if self.collect is not None:
            if data is None:
                data = (self.collect(objective, thetas, player, self.settings, key), jnp.int32(0))
            return self.function(objective, thetas, player, self.settings, key, data)
        if self.prepare is None:
            return self.function(objective, thetas, player, self.settings, key)
        return self.function(objective, thetas, player, self.settings, key, learned)
