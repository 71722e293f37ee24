"""The fishery of Gordon (1954) and Schaefer (1957): logistic growth, catches proportional to effort and stock, a price,
and costs of effort. In discrete time as in Perman et al., Natural Resource and Environmental Economics (2003), chapter
17, which Pax's `Fishery` follows.

Constant efforts lead to a steady stock, whose profits are those of a Cournot oligopoly in which efforts are the
quantities: `steady_state_game`, whose closed forms are those of `envs.cournot`.
"""

import flax.struct
import jax
import jax.numpy as jnp

from shaping.envs.cournot import CournotParams

DEFAULTS = {
    "initial": 1.0,
    "growth": 0.8,
    "capacity": 1.0,
    "efficiency": 0.5,
    "price": 1.0,
    "costs": 0.1,
    "threshold": 1e-4,
}
"""Default numbers: in equilibrium two owners fish at 0.43 each; for the largest joint profit, at 0.32 together."""


@flax.struct.dataclass
class GordonSchaeferParams:
    """The numbers of a fishery. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        initial: [] float above 0, the stock at the start.
        growth: [] float above 0, the rate at which a small stock grows.
        capacity: [] float above 0, the stock at which growth ends.
        efficiency: [] float, what part of the stock a unit of effort catches.
        price: [] float, of a unit of fish.
        costs: [players] float, of a unit of effort.
        threshold: [] float of 0 or more; a stock no larger than this is depleted.
        horizon: [] int32, steps of an episode.
    """

    initial: jax.Array
    growth: jax.Array
    capacity: jax.Array
    efficiency: jax.Array
    price: jax.Array
    costs: jax.Array
    threshold: jax.Array
    horizon: jax.Array


def play(
    stock: jax.Array, efforts: jax.Array, params: GordonSchaeferParams
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """One step: the stock grows by growth x stock x (1 - stock / capacity), and efficiency x effort x stock (of the
    stock before growth) is caught. Catches are limited to what there is, in proportion to efforts.

    Args:
        stock: [] float.
        efforts: [players] float in [0, 1].
        params: the fishery's numbers.

    Returns:
        stock after, [] float, 0 if it is depleted; catches [players]; rewards [players], price x catch - cost x effort;
        depleted [] bool.
    """
    grown = jnp.maximum(stock + params.growth * stock * (1 - stock / params.capacity), 0)
    wanted = params.efficiency * efforts * stock
    together = jnp.sum(wanted)
    rationed = jnp.where(together > grown, grown / jnp.where(together > 0, together, 1), 1)
    catches = wanted * rationed
    left = grown - jnp.sum(catches)
    depleted = left <= params.threshold
    return jnp.where(depleted, 0, left), catches, params.price * catches - params.costs * efforts, depleted


def steady_stock(efforts: jax.Array, params: GordonSchaeferParams) -> jax.Array:
    """The stock that constant efforts [players] lead to, [] float:
    capacity x max(0, 1 - efficiency x (sum of efforts) / growth). It is approached if growth is below 2."""
    return params.capacity * jnp.maximum(0, 1 - params.efficiency * jnp.sum(efforts) / params.growth)


def steady_state_game(params: GordonSchaeferParams) -> CournotParams:
    """Profits per step in the steady state of constant efforts, as a Cournot oligopoly: the intercept is
    price x efficiency x capacity, the slope price x efficiency^2 x capacity / growth.

    `envs.cournot.nash_equilibrium` then gives the efforts of the equilibrium, `collusive_outcome` those of a single
    owner and `best_responses` the best responses, as long as the stock lasts and efforts stay within their bounds.
    """
    intercept = params.price * params.efficiency * params.capacity
    slope = intercept * params.efficiency / params.growth
    return CournotParams(intercept, slope, params.costs, params.horizon)


def open_access_effort(params: GordonSchaeferParams) -> jax.Array:
    """The sum of efforts at which nobody makes a profit, if everybody may enter at the lowest cost, [] float (Gordon
    1954): growth / efficiency x max(0, 1 - cost / (price x efficiency x capacity))."""
    relative = jnp.min(params.costs) / (params.price * params.efficiency * params.capacity)
    return params.growth / params.efficiency * jnp.maximum(0, 1 - relative)
