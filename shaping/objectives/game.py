"""The protocol of a game: what the training loop, the planner, the record and the report ask of any game."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
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
    """What is needed to play and draw an episode.

    Attributes:
      env: the environment.
      params: its numbers, for one match.
      policies: one per seat.
      horizon: the number of steps after which the episode is cut.
      discount: per step, of the values of play.
    """

    env: Any
    params: Any
    policies: tuple[Policy, ...]
    horizon: int
    discount: Any = 1.0


@dataclass(frozen=True)
class StepByStep:
    """A game as it is played step by step, however its returns are computed.

    Attributes:
      env: the environment.
      params: its numbers, for one match.
      discount: per step, of the values of play.
      horizon: the number of steps; None for a game without end.
    """

    env: Any
    params: Any
    discount: Any
    horizon: int | None


class Game(Protocol):
    """The static part of a game, hashable: what is compiled, as opposed to the numbers it is given (`params`).

    To add a kind of game, implement this protocol; nothing else needs to change. An implementation need not inherit
    from it. Whatever a game does not have, it declares in one line, with a class attribute: `tabular = False`,
    `about = EMPTY`, `episode = nothing`.
    """

    @property
    def policies(self) -> tuple[Policy, ...]:
        """One policy per seat."""
        ...

    @property
    def unrolled(self) -> bool:
        """Whether small arrays are passed to it as nested tuples of scalars; see `population.memory_layout`."""
        ...

    @property
    def sampled(self) -> bool:
        """Whether returns are estimated from play; values are then measured only where they are recorded."""
        ...

    @property
    def tabular(self) -> bool:
        """Whether policies are tables of P(action 0 | state), as returned by `cooperation`."""
        ...

    @property
    def exchangeable(self) -> bool:
        """Whether the same parameters play the same way in every seat, so that learners may change seats: all policies
        are alike, and every player sees the game from its own point of view. Payoffs may differ between seats."""
        ...

    @property
    def variables(self) -> Mapping[str, Variable]:
        """What a record holds of it besides `variables.CORE`: what `evaluate` measures along updates and what
        `describe` returns at the end. It may redeclare a core variable with other dimensions."""
        ...

    @property
    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """Labels of the dimensions of its variables other than match, update, player and parameter."""
        ...

    @property
    def about(self) -> Mapping[str, Any]:
        """What the record says about the game: attributes of the Dataset."""
        ...

    def objective(self, params: Any, rewards: Sequence[Reward | None] | None = None) -> Objective:
        """The objective at one setting of the game's numbers. If `rewards` is given, one per player, players maximise
        those instead of the game's rewards (see `rewards`). Values are always the game's own."""
        ...

    def value_scale(self, params: Any) -> jax.Array:
        """The factor that turns a return into a reported value, see `value_scale`."""
        ...

    def evaluate(self, params: Any, thetas: Sequence[Any], key: jax.Array) -> dict[str, jax.Array]:
        """What a fresh batch of play shows, including `value` [players]; for a closed form only the value, without
        play."""
        ...

    def describe(self, params: Any, thetas: Sequence[Any], key: jax.Array | None = None) -> dict[str, jax.Array]:
        """What a record holds of one match besides values and parameters; `key` is for what has to be played."""
        ...

    def cooperation(self, thetas: Sequence[Any]) -> jax.Array | None:
        """P(action 0 | state) of all players, [players, states]; None unless `tabular`."""
        ...

    def cooperation_as_played(self, params: Any, thetas: Sequence[Any]) -> tuple[jax.Array, jax.Array] | None:
        """How often players take action 0 while they play, as executed and weighted as values are: each of them,
        [players], and all at once, []. None unless `tabular`."""
        ...

    def round_payoffs(self, params: Any) -> jax.Array | None:
        """What a round pays, [players, joint actions], player 0's action first. None unless `tabular`."""
        ...

    def working_bytes(self, itemsize: int, lookaheads: int) -> int:
        """Roughly how many bytes one update of a match needs in addition to its state.

        Args:
          itemsize: bytes of a number.
          lookaheads: the largest number of steps of others that a learner differentiates through.
        """
        ...

    def work(self, params: Any) -> int:
        """Roughly how much work one update is, in units of an update of a two-player game of tables that remember one
        round.

        Args:
          params: the numbers of any number of matches, leaves [matches, ...].
        """
        ...

    def episode(self, params: Any) -> Episode | None:
        """What is needed to draw an episode of one match; None if nothing is played."""
        ...


def value_scale(discount: Any, horizon: int | None) -> Any:
    """The factor that turns a return into a reported value. All games that are played in steps use this definition:
    1 - discount; at discount 1 the mean per step, 1 / horizon; and 1 if there is only one step.

    Args:
      discount: discount per step, any shape; numpy's precision is used unless it is a JAX array.
      horizon: number of steps; None for a game without end.
    """
    arrays = jnp if isinstance(discount, jax.Array) else np
    if horizon == 1:
        return arrays.ones_like(discount)
    if horizon is None:
        return 1 - discount
    return arrays.where(discount == 1, 1 / horizon, 1 - discount)


EMPTY: Mapping[str, Any] = MappingProxyType({})
"""The `variables`, `labels` or `about` of a game that has none."""


def step_by_step(game: Game, params: Any) -> StepByStep | None:
    """A game as it is played: its `episode`, or its method `step_by_step(params)`, which games in closed form may have;
    None for a game that is not played in steps, or does not say how."""
    episode = game.episode(params)
    if episode is not None:
        return StepByStep(episode.env, episode.params, episode.discount, episode.horizon)
    own = getattr(game, "step_by_step", None)
    return None if own is None else own(params)


def nothing(*args: Any, **kwargs: Any) -> None:
    """A method of a game that does not have what it would return: `episode = nothing` says that nothing is played."""
    del args, kwargs


def all_alike(policies: Sequence[Policy]) -> bool:
    """Whether every seat has the same policy, part of `Game.exchangeable`."""
    return len(set(policies)) == 1


def closed_form_values(
    game: Game, params: Any, thetas: Sequence[Any], key: jax.Array | None = None
) -> dict[str, jax.Array]:
    """`Game.evaluate` for games in closed form: value [players]."""
    del key
    returns = game.objective(params)(thetas)[0]
    return {"value": game.value_scale(params) * jnp.stack([returns[player] for player in range(len(thetas))])}


def closed_form_work(game: Game, params: Any) -> int:
    """`Game.work` for games in closed form: grows with the square of the largest array, as transition matrices do."""
    sizes = [math.prod(np.shape(leaf)[1:]) for leaf in jax.tree.leaves(params)]
    largest = max([1, *sizes, *(policy.num_parameters for policy in game.policies)])
    return max(1, (largest // 8) ** 2)
