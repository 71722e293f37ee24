"""The protocol through which update rules see a game.

An objective maps the parameters of all players to the vector of their expected returns and can be differentiated with
respect to the parameters, to any order. A rule knows only an objective and a seat, so the same rule works on a closed
form, on returns estimated from play and on a function of your own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax

Thetas = Sequence[Any]
"""One pytree of parameters per player, in the order of the seats."""


@dataclass(frozen=True)
class Chain:
    """The Markov chain of joint actions of an infinitely repeated game with two actions and memory-one policies.

    Attributes:
      cooperation: [players, states], P(execute cooperate) in every joint state, the start first; differentiable.
      payoffs: [players, joint actions] in binary counting, 0 = cooperate, seat 0 most significant.
      discount: gamma, a scalar.
    """

    cooperation: jax.Array
    payoffs: jax.Array
    discount: Any


@dataclass(frozen=True)
class Objective:
    """Expected returns as a differentiable function of all players' parameters.

    Attributes:
      returns: `(thetas, key, context) -> (returns, batch)`. `returns` can be indexed by player and holds the
        unnormalised expected return of each, to be maximised. `key` seeds the sampling (the same key gives the same
        batch; exact objectives ignore it). `context` is data that is not differentiated (critics, opponent models).
        `batch` is what was sampled, or None if the objective is exact.
      distance: `(player, theta, theta_old, batch) -> scalar`, the mean KL divergence of the old policy from the new one
        over visited states (over all states if exact); None if the objective has no policies.
      values: `(player, thetas, batch, context) -> [time, batch]`, the return that a player's critic expects from each
        step of a batch on, for a Q critic the mean over what its policy does there; None if there are no critics.
      action_values: `(player, batch, context) -> [time, batch, actions]`, what a Q critic expects of each action; None
        if there are no critics.
      sampler: plays batches and evaluates policies on them (`play_batches.Sampler`); None if exact.
      rematerialise: whether a step that is differentiated through is recomputed in the backward pass instead of stored.
      observed: a batch of the match as it was played, from which learners may learn; None if nobody does.
      chain: `thetas -> Chain`, for learners that look inside an exact game; None for other games.
      scale: the factor that turns a return into a reported value, where that is known; 1 otherwise.
      information_sets: what can be computed exactly of a small game in turns (`information_sets.InformationSets`); None
        for other games.
      logits: `(player, theta) -> [information sets, actions]`, a player's logits there.
    """

    returns: Callable[[Thetas, jax.Array | None, Any], tuple[Any, Any]]
    distance: Callable[[int, Any, Any, Any], jax.Array] | None = None
    values: Callable[..., jax.Array] | None = None
    action_values: Callable[..., jax.Array] | None = None
    sampler: Any = None
    rematerialise: bool = False
    observed: Any = None
    scale: Any = 1.0
    information_sets: Any = None
    logits: Callable[[int, Any], jax.Array] | None = None
    chain: Callable[[Thetas], Chain] | None = None

    def __call__(self, thetas: Thetas, key: jax.Array | None = None, context: Any = None) -> tuple[Any, Any]:
        return self.returns(thetas, key, context)

    def within(self, context: Any) -> "Objective":
        """The same objective with its context fixed."""
        values, each = self.values, self.action_values
        bound = None if values is None else lambda player, thetas, batch, _=None: values(player, thetas, batch, context)
        return replace(
            self,
            returns=lambda thetas, key, _: self.returns(thetas, key, context),
            values=bound,
            action_values=None if each is None else lambda player, batch, _=None: each(player, batch, context),
        )

    def of(self, player: int, thetas: Thetas, key: jax.Array | None = None, context: Any = None) -> jax.Array:
        """The expected return of one player, a scalar."""
        return self.returns(thetas, key, context)[0][player]
