"""Differentiable games given as functions of the parameters: your own, and the analytic games of the literature."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.environment import check_integer
from shaping.envs.matrix.analytic import ANALYTIC_GAMES
from shaping.objectives.game import EMPTY, all_alike, closed_form_values, closed_form_work, nothing
from shaping.objectives.objective import Objective, Thetas
from shaping.objectives.rewards import Reward, maximised
from shaping.policies.policy import Policy
from shaping.policies.tabular import parameters
from shaping.signatures import fields


def from_returns(function: Callable[[Thetas], Any]) -> Objective:
    """An objective from `function(thetas) -> returns`, one expected return per player, to be maximised."""
    return Objective(lambda thetas, key, context: (function(thetas), None))


def from_losses(function: Callable[[Thetas], Any]) -> Objective:
    """An objective from `function(thetas) -> losses`, one loss per player, to be minimised; returns are negative
    losses."""

    def negated(thetas: Thetas) -> Any:
        return jax.tree.map(lambda loss: -loss, function(thetas))

    return from_returns(negated)


@dataclass(frozen=True)
class Analytic:
    """A differentiable game of your own, to be trained like any other.

    Attributes:
      function: `(thetas, parameters) -> returns`, one expected return per player. Must be a module-level function (its
        identity decides what is compiled together).
      num_parameters: length of each player's parameter vector, one entry per seat.
      default_parameters: the numbers used if none are given.
    """

    function: Callable[[Thetas, Any], Any]
    num_parameters: tuple[int, ...]
    default_parameters: Any = field(default=(), compare=False)

    # Returns are exact. Parameters are the actions, not probabilities of any; functions take them as arrays.
    sampled = tabular = unrolled = False
    variables = labels = about = EMPTY
    episode = cooperation = cooperation_as_played = round_payoffs = nothing
    evaluate, work = closed_form_values, closed_form_work

    def __post_init__(self):
        if isinstance(self.num_parameters, str) or not self.num_parameters:
            raise ValueError(f"num_parameters is {self.num_parameters!r}; allowed: an integer per player")
        for count in self.num_parameters:
            check_integer("num_parameters", count, 0)

    def objective(self, params: Any, rewards: Sequence[Reward | None] | None = None) -> Objective:
        """The objective at one setting of the game's numbers (any pytree); `rewards` are of returns, as there are no
        steps."""

        def returns(thetas: Thetas) -> Any:
            found, seats = self.function(thetas, params), len(self.num_parameters)
            count = jnp.shape(found)[:1] if hasattr(found, "shape") else (len(found),)
            if count != (seats,):
                given = count[0] if count else "a single number"
                raise ValueError(f"the game's function returns {given}; allowed: {seats} returns, one per player")
            return found if rewards is None else maximised(rewards, [found[seat] for seat in range(seats)])

        return from_returns(returns)

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Parameter vectors: in an analytic game the parameters are the actions."""
        return tuple(parameters(length) for length in self.num_parameters)

    @property
    def exchangeable(self) -> bool:
        """Whether all players have as many parameters."""
        return all_alike(self.policies)

    def value_scale(self, params: Any) -> jax.Array:
        """Values are returns."""
        del params
        return jnp.ones(())

    def describe(self, params: Any, thetas: Thetas, key: jax.Array | None = None) -> dict[str, jax.Array]:
        """Nothing: there is nothing to record besides parameters and values."""
        del params, thetas, key
        return {}

    def working_bytes(self, itemsize: int, lookaheads: int) -> int:
        """Nothing worth counting."""
        del itemsize, lookaheads
        return 0


def analytic_game(name: str, **settings: Any) -> Analytic:
    """A game of `envs.matrix.analytic` by name, to be trained like any other.

    Args:
      name: one of `ANALYTIC_GAMES`.
      **settings: its numbers, and `num_players` if it has that setting; those left out have their defaults.

    Raises:
      ValueError: for an unknown name or setting; the message says what is allowed.
    """
    if name not in ANALYTIC_GAMES:
        raise ValueError(f"analytic game {name!r} is not known; allowed: {', '.join(ANALYTIC_GAMES)}")
    known = fields(ANALYTIC_GAMES[name])
    for key in settings:
        if key not in known:
            raise ValueError(f"setting {key!r} is not one of {name!r}; allowed: {', '.join(known) or 'none'}")
    given = {key: settings.get(key, found.default) for key, found in known.items()}
    players = given.pop("num_players", 2)
    if isinstance(players, bool) or not isinstance(players, int) or players < 2:
        raise ValueError(f"num_players is {players!r}; allowed: an integer of 2 or more")
    return Analytic(_by_name(name), (1,) * players, given)


@cache
def _by_name(name: str) -> Callable[[Thetas, Mapping[str, Any]], Any]:
    """One function object per name: its identity decides what is compiled together."""

    def returns(thetas: Thetas, numbers: Mapping[str, Any]) -> Any:
        return ANALYTIC_GAMES[name](thetas, **numbers)

    return returns
