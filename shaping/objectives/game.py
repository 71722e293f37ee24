"""The protocol of a game: what the loop, the planner, the record and the report ask of whatever is played."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from shaping.objectives.objective import Objective
from shaping.objectives.rewards import Reward
from shaping.policies.policy import Policy
from shaping.variables import Variable


@dataclass(frozen=True)
class Episode:
    """What an episode is played with, to be drawn.

    Attributes:
      env: the environment.
      params: its numbers, of one match.
      policies: one a seat.
      horizon: steps, cut there.
    """

    env: Any
    params: Any
    policies: tuple[Policy, ...]
    horizon: int


class Game(Protocol):
    """The static part of a game, hashable: what is compiled, as opposed to the numbers it is fed (`params`).

    Whoever adds a kind of game implements this and touches nothing else; an implementation need not name the protocol.
    """

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

    @property
    def tabular(self) -> bool:
        """Whether policies are tables of P(action 0 | state), as `cooperation` gives them."""
        ...

    @property
    def variables(self) -> Mapping[str, Variable]:
        """What a record holds of it besides `variables.CORE`: what `evaluate` measures along updates, what `describe`
        tells at the end. It may declare one of the core anew, in dimensions of its own."""
        ...

    @property
    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """Labels of the dimensions of its variables, beside match, update, player and parameter."""
        ...

    @property
    def about(self) -> Mapping[str, Any]:
        """What the record as a whole says of it: attributes of the Dataset."""
        ...

    def objective(self, params: Any, rewards: Sequence[Reward | None] | None = None) -> Objective:
        """The objective at one setting of the game's numbers; where `rewards` says so, one a player, players climb
        something else than the game's rewards (see `rewards`). Values are always the game's own."""
        ...

    def value_scale(self, params: Any) -> jax.Array:
        """The factor that turns a return into a reported value, see `value_scale`."""
        ...

    def evaluate(self, params: Any, thetas: Sequence[Any], key: jax.Array) -> dict[str, jax.Array]:
        """What a fresh batch of play shows, `value` [players] among it; of a closed form the value, without play."""
        ...

    def describe(self, params: Any, thetas: Sequence[Any], key: jax.Array | None = None) -> dict[str, jax.Array]:
        """What a record tells of one match besides values and parameters; `key` is for what has to be played."""
        ...

    def cooperation(self, thetas: Sequence[Any]) -> jax.Array | None:
        """P(action 0 | state) of everybody, [players, states]; None unless `tabular`."""
        ...

    def working_bytes(self, itemsize: int, lookaheads: int) -> int:
        """About how many bytes one update of a match needs beside its state.

        Args:
          itemsize: of a number.
          lookaheads: how many steps of others a learner differentiates through, at most.
        """
        ...

    def work(self, params: Any) -> int:
        """About how much work one update is, in those of a two-player game of tables with a memory of one round.

        Args:
          params: the numbers of any matches, leaves [matches, ...].
        """
        ...

    def episode(self, params: Any) -> Episode | None:
        """What an episode of one match is drawn with; None where nothing is played."""
        ...


def value_scale(discount: Any, horizon: int | None) -> Any:
    """The factor that turns a return into a reported value, one definition for every game that is played in steps:
    1 - discount, and the mean per step (1 / horizon) at discount 1; 1, a value unscaled, where there is one step.

    Args:
      discount: of a step, any shape; in numpy's precision where it is none of jax's arrays.
      horizon: steps; None without end.
    """
    arrays = jnp if isinstance(discount, jax.Array) else np
    if horizon == 1:
        return arrays.ones_like(discount)
    if horizon is None:
        return 1 - discount
    return arrays.where(discount == 1, 1 / horizon, 1 - discount)


def closed_form_values(game: Game, params: Any, thetas: Sequence[Any]) -> dict[str, jax.Array]:
    """`Game.evaluate` of a closed form: value [players]."""
    returns = game.objective(params)(thetas)[0]
    return {"value": game.value_scale(params) * jnp.stack([returns[player] for player in range(len(thetas))])}


def closed_form_work(params: Any, policies: Sequence[Policy]) -> int:
    """`Game.work` of a closed form: grows with the square of its largest array, as transition matrices do."""
    sizes = [math.prod(np.shape(leaf)[1:]) for leaf in jax.tree.leaves(params)]
    largest = max([1, *sizes, *(policy.num_parameters for policy in policies)])
    return max(1, (largest // 8) ** 2)
