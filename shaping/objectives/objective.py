"""The protocol that update rules see.

An objective maps the parameters of all players to the vector of their expected returns and can be differentiated to any
order in the parameters. Rules know an objective and a seat and nothing else, so the same rule runs on a closed form,
on a sampled return and on a function of the user's own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax

Thetas = Sequence[Any]
"""One pytree of parameters per player, in the order of the seats."""


@dataclass(frozen=True)
class Objective:
    """Expected returns as a differentiable function of everybody's parameters.

    Attributes:
      returns: `(thetas, key, context) -> (returns, batch)`. `returns` can be indexed by player and holds the
        unnormalised expected return of each, to be maximised. `key` seeds the sampling (the same key gives the same
        batch; ignored by exact objectives), `context` is read and not differentiated (critics, opponent models).
        `batch` is what was sampled, or None where the objective is exact.
      distance: `(player, theta, theta_old, batch) -> scalar`, the mean KL divergence of the old policy from the new one
        over visited states (over all states where exact); None where the objective knows no policy.
      values: `(player, thetas, batch, context) -> [time, batch]`, what a player's critic expects from each step of a
        batch on; None where there are no critics.
      sampler: what plays batches and reads policies off them (`sampler.Sampler`); None where exact.
      rematerialise: whether a step that is differentiated through is computed anew on the way back instead of kept.
      observed: a batch of the match as it was played, which learners may learn from; None where nobody does.
    """

    returns: Callable[[Thetas, jax.Array | None, Any], tuple[Any, Any]]
    distance: Callable[[int, Any, Any, Any], jax.Array] | None = None
    values: Callable[..., jax.Array] | None = None
    sampler: Any = None
    rematerialise: bool = False
    observed: Any = None

    def __call__(self, thetas: Thetas, key: jax.Array | None = None, context: Any = None) -> tuple[Any, Any]:
        return self.returns(thetas, key, context)

    def within(self, context: Any) -> "Objective":
        """The same objective with its context given: what is read and not differentiated."""
        values = self.values
        bound = None if values is None else lambda player, thetas, batch, _=None: values(player, thetas, batch, context)
        return replace(self, returns=lambda thetas, key, _: self.returns(thetas, key, context), values=bound)

    def of(self, player: int, thetas: Thetas, key: jax.Array | None = None, context: Any = None) -> jax.Array:
        """The expected return of one player, a scalar."""
        return self.returns(thetas, key, context)[0][player]
