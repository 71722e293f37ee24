"""The protocol of a game: what the loop, the planner, the record and the report ask of whatever is played."""

from collections.abc import Sequence
from typing import Any, Protocol

import jax

from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy


class Game(Protocol):
    """The static part of a game, hashable: what is compiled, as opposed to the numbers it is fed (`params`)."""

    @property
    def policies(self) -> tuple[Policy, ...]:
        """One policy per seat."""
        ...

    @property
    def unrolled(self) -> bool:
        """Whether it takes small arrays as nested tuples of scalars (see `population.layout`), for speed."""
        ...

    @property
    def sampled(self) -> bool:
        """Whether returns are estimated by play; values are then measured where they are recorded, and only there."""
        ...

    def objective(self, params: Any) -> Objective:
        """The objective at one setting of the game's numbers."""
        ...

    def value_scale(self, params: Any) -> jax.Array:
        """The factor that turns a return into a reported value."""
        ...

    def evaluate(self, params: Any, thetas: Sequence[Any], key: jax.Array) -> dict[str, jax.Array]:
        """What a fresh batch of play shows, `value` [players] among it. Asked of sampled games alone."""
        ...

    def describe(self, params: Any, thetas: Sequence[Any], key: jax.Array | None = None) -> dict[str, jax.Array]:
        """What a record tells of one match besides values and parameters; `key` is for what has to be played."""
        ...

    def cooperation(self, thetas: Sequence[Any]) -> jax.Array | None:
        """P(choose action 0 | state) of everybody, [players, states]; None where there is no such table."""
        ...
