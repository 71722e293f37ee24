"""A genetic hill climb: the best of many mutants replaces its parent if it beats it on fresh play.

In each update (a (1, n) search; the baseline "GA" of Lu et al. 2022, appendix)

    theta' = the best of  theta + sigma eps_k,  k = 1..n,  on one batch of play;   eps_k ~ N(0, I)
    theta <- theta'  if its fitness on a second batch is above that of theta

The second batch keeps a mutant that was only lucky from replacing its parent; for exact returns it is the first one.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree

from shaping.learners.ascent import check_seats, seated
from shaping.learners.es import check_search, fitness_of, in_chunks, normals, searched
from shaping.learners.initial_parameters import initial_parameters
from shaping.learners.learner import Common, Learner, LearnerState, seats_of
from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy
from shaping.signatures import Positive, Range, checked
from shaping.variables import declared

_NOISE, _PLAY, _TEST = range(3)


@struct.dataclass
class Settings:
    """Settings.

    Attributes:
      sigma: standard deviation of a mutation, above 0.
      common: settings that every learner has; only `initial` is used.
      population: how many mutants are tried in an update.
      chunk: how many of them are evaluated at once; None for all.
    """

    sigma: Any
    common: Common
    population: int = struct.field(pytree_node=False)
    chunk: int | None = struct.field(pytree_node=False)


@checked
def genetic(
    population: Annotated[int, Range(1)] = 64,
    sigma: Positive = 1.0,
    chunk: Annotated[int, Range(1)] | None = None,
    common: Common = Common(),  # noqa: B008 - frozen, and the default a reader expects to see
) -> Learner:
    """A hill climb by mutation and selection.

    Args:
      population, sigma, chunk: see `Settings`.
      common: settings that every learner has; only `initial` is used.

    Raises:
      ValueError: for a chunk that does not divide the population.
    """
    check_search(population, chunk, common)
    settings = Settings(sigma, common, population, chunk)
    return Learner(
        settings,
        _init,
        _step,
        prepares=common.initial.learned,
        shareable=True,
        variables=declared("fitness", "fitness_best"),
        gradients=population,
        plays=chunk or population,
    )


def _init(
    settings: Settings,
    key: jax.Array,
    common: jax.Array,
    policies: Sequence[Policy],
    player: int | tuple[int, ...],
    objective: Objective,
    dtype: Any,
) -> LearnerState:
    del common
    seats = seats_of(player)
    check_seats(policies, seats)
    return LearnerState(initial_parameters(settings.common.initial, key, policies, seats[0], objective, dtype), ())


def _step(
    settings: Settings,
    key: jax.Array,
    states: Sequence[LearnerState],
    player: int | tuple[int, ...],
    objective: Objective,
) -> tuple[LearnerState, dict[str, Any]]:
    seats = seats_of(player)
    state, thetas = states[seats[0]], [state.theta for state in states]
    flat, unflatten = ravel_pytree(state.theta)
    noise = normals(jax.random.fold_in(key, _NOISE), settings.population, flat)

    def of(theta: jax.Array, purpose: int) -> jax.Array:
        now = seated(thetas, seats, unflatten(theta))
        return fitness_of(objective, now, seats, jax.random.fold_in(key, purpose))

    found = in_chunks(lambda k: of(flat + settings.sigma * noise[k], _PLAY), settings.population, settings.chunk)
    best = flat + settings.sigma * noise[jnp.argmax(jnp.where(jnp.isfinite(found), found, -jnp.inf))]
    test = _PLAY if objective.sampler is None else _TEST
    better = of(best, test) > of(flat, test)
    return LearnerState(unflatten(jnp.where(better, best, flat)), ()), searched(objective, found, seats)


LEARNERS = {"genetic": genetic}
