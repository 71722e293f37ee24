"""Evolution strategies: climbing the mean return of a cloud of policies, without any derivative.

OpenES (Salimans et al. 2017, section 2.1), with antithetic pairs and centred ranks,

    theta <- theta + step_size * optimiser( 1 / (2 n sigma) sum over pairs k of (u(F_k+) - u(F_k-)) eps_k )
    F_k+- = fitness(theta +- sigma eps_k),   eps_k ~ N(0, I),   sigma <- max(sigma_decay * sigma, sigma_limit)

where 2 n is the size of the population and u replaces a fitness by its rank, spread evenly over [-1/2, 1/2]. Fitness is
the player's own return against the others as they are: whatever happens within an episode, the learning of others
included, is part of it. All members of a population meet the same chance (the same key), so that they differ by their
parameters alone.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree

from shaping.learners.ascent import ascend, check_seats, seated
from shaping.learners.initial_parameters import initial_parameters
from shaping.learners.learner import Common, Learner, LearnerState, check_without_model, seats_of
from shaping.objectives.estimators import discounts
from shaping.objectives.objective import Objective
from shaping.policies.noiseless import noiseless
from shaping.policies.policy import Policy
from shaping.rules.search import in_chunks, normals, slope
from shaping.signatures import NonNegative, Positive, Range, checked
from shaping.variables import declared

_NOISE, _PLAY = range(2)


@struct.dataclass
class Settings:
    """Settings.

    Attributes:
      sigma: standard deviation of the population at first, above 0.
      sigma_decay: factor of sigma after each update, in (0, 1].
      sigma_limit: below which sigma does not fall, at least 0.
      common: settings that every learner has.
      population: how many policies are tried in an update, an even number.
      chunk: how many of them are evaluated at once; None for all.
      fitness: "ranks", or "raw" for fitness as it is.
      exploration: whether continuous actions are drawn while policies are tried; otherwise they are the medians of
        their distributions, as in measurements: a search by parameters can do without noise in actions.
    """

    sigma: Any
    sigma_decay: Any
    sigma_limit: Any
    common: Common
    population: int = struct.field(pytree_node=False)
    chunk: int | None = struct.field(pytree_node=False)
    fitness: str = struct.field(pytree_node=False)
    exploration: bool = struct.field(pytree_node=False, default=True)


@struct.dataclass
class Memory:
    """What it remembers besides the mean of its population: the optimiser's state, and sigma, a scalar."""

    optimizer: Any
    sigma: jax.Array


@checked
def es(
    population: Annotated[int, Range(2)] = 64,
    sigma: Positive = 0.1,
    sigma_decay: Annotated[float, Range(0, 1, open_low=True)] = 1.0,
    sigma_limit: NonNegative = 0.01,
    fitness: Literal["ranks", "raw"] = "ranks",
    chunk: Annotated[int, Range(1)] | None = None,
    exploration: bool = True,
    common: Common = Common(),  # noqa: B008 - frozen, and the default a reader expects to see
) -> Learner:
    """An evolution strategy with antithetic sampling.

    Args:
      population, sigma, sigma_decay, sigma_limit, fitness, chunk, exploration: see `Settings`. Chunks save memory and
        change nothing else.
      common: settings that every learner has; its optimiser climbs the estimated gradient.

    Raises:
      ValueError: for an odd population, or a chunk that does not divide it.
    """
    if population % 2:
        raise ValueError(f"population is {population}; allowed: an even number, as policies are tried in pairs")
    check_search(population, chunk, common)
    settings = Settings(sigma, sigma_decay, sigma_limit, common, population, chunk, fitness, exploration)
    return Learner(
        settings,
        _init,
        _step,
        prepares=common.initial.learned,
        shareable=True,
        variables=declared("fitness", "fitness_best", "search_scale"),
        gradients=population,
        plays=chunk or population,
    )


def check_search(population: int, chunk: int | None, common: Common) -> None:
    """Refuses what a learner that searches by populations cannot use.

    Raises:
      ValueError: for a chunk that does not divide the population, or settings of other learners.
    """
    check_without_model(common, "others are part of what is played")
    if chunk is not None and population % chunk:
        raise ValueError(f"chunk is {chunk}; allowed: a divisor of population, {population}")


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
    shared, seats = settings.common, seats_of(player)
    check_seats(policies, seats)
    theta = initial_parameters(shared.initial, key, policies, seats[0], objective, dtype)
    moments = shared.optimizer.build(shared.step_size).init(theta)
    return LearnerState(theta, Memory(moments, jnp.asarray(settings.sigma, dtype)))


def _step(
    settings: Settings,
    key: jax.Array,
    states: Sequence[LearnerState],
    player: int | tuple[int, ...],
    objective: Objective,
) -> tuple[LearnerState, dict[str, Any]]:
    seats, common = seats_of(player), settings.common
    state, thetas = states[seats[0]], [state.theta for state in states]
    memory: Memory = state.memory
    flat, unflatten = ravel_pytree(state.theta)
    noise = normals(jax.random.fold_in(key, _NOISE), settings.population // 2, flat)
    play = jax.random.fold_in(key, _PLAY)
    known = objective if settings.exploration else _without_exploration(objective, seats)

    def of(number: jax.Array) -> jax.Array:
        sign = jnp.where(number % 2, -1, 1).astype(flat.dtype)
        tried = unflatten(flat + sign * memory.sigma * noise[number // 2])
        return fitness_of(known, seated(thetas, seats, tried), seats, play)

    found = in_chunks(of, settings.population, settings.chunk)
    estimate = unflatten(slope(noise, found, memory.sigma, settings.fitness))
    transform = common.optimizer.build(common.step_size)
    theta, moments = ascend(transform, state.theta, memory.optimizer, lambda theta, number: estimate)
    sigma = jnp.maximum(settings.sigma_decay * memory.sigma, jnp.minimum(settings.sigma_limit, memory.sigma))
    told = searched(objective, found, seats) | {"search_scale": memory.sigma}
    return LearnerState(theta, Memory(moments, sigma.astype(memory.sigma.dtype))), told


def fitness_of(objective: Objective, thetas: Sequence[Any], seats: Sequence[int], key: jax.Array) -> jax.Array:
    """The sum of the expected returns of some seats, a scalar; of a fresh batch where returns are sampled."""
    if objective.sampler is None:
        returns = objective(thetas, key)[0]
        return jnp.sum(jnp.stack([returns[seat] for seat in seats]))
    # The same number as the objective's, without the log-probabilities from which that takes its derivatives.
    rewards = objective.sampler.play(thetas, key).rewards
    weights = discounts(objective.sampler.discount, rewards)
    returns = jnp.sum(weights[:, None] * jnp.mean(rewards, axis=1), axis=0)
    return jnp.sum(returns[jnp.asarray(seats)])


def _without_exploration(objective: Objective, seats: Sequence[int]) -> Objective:
    """The objective, with medians in place of the continuous actions of some seats."""
    sampler = objective.sampler
    if sampler is None:
        return objective
    policies = [noiseless(policy) if seat in seats else policy for seat, policy in enumerate(sampler.policies)]
    return dataclasses.replace(objective, sampler=dataclasses.replace(sampler, policies=tuple(policies)))


def searched(objective: Objective, fitness: jax.Array, seats: Sequence[int]) -> dict[str, jax.Array]:
    """What a search records of the policies that it tried, normalised like values; the mean over the learner's
    seats."""
    scale = objective.scale / len(seats)
    return {"fitness": scale * jnp.mean(fitness), "fitness_best": scale * jnp.max(fitness)}


LEARNERS = {"es": es}
