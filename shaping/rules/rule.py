"""What an update rule is: a direction of ascent for one seat."""

from collections.abc import Callable
from typing import Any

import jax
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
    """

    settings: Any
    function: Callable[..., Any] = struct.field(pytree_node=False)

    def direction(self, objective: Objective, thetas: Thetas, player: int, key: jax.Array | None = None) -> Any:
        """The direction in which `player` ascends, a pytree shaped as `thetas[player]`."""
        return self.function(objective, thetas, player, self.settings, key)
