"""The great fish war of Levhari and Mirman (1980): a common stock that regrows, and logarithmic utility of catches.

Players catch parts a_i of the stock s; what is left, s (1 - sum of a), grows to its power `growth`. The infinite
discounted game has closed forms for n players who catch constant parts of the stock.
"""

import flax.struct
import jax
import jax.numpy as jnp

DEFAULTS = {"initial": 0.5, "growth": 0.5, "discount": 0.9, "smallest_catch": 1e-4, "threshold": 1e-4}
"""Default numbers."""


@flax.struct.dataclass
class GreatFishWarParams:
    """The numbers of a great fish war. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        initial: [] float above 0, the stock at the start; 1 is the stock that remains if nobody fishes.
        growth: [] float in (0, 1), the power to which the remaining stock grows.
        discount: [] float in (0, 1), used by the closed forms and for the cost of depletion.
        smallest_catch: [] float in (0, 1); smaller catches have the utility of this one.
        threshold: [] float of 0 or more; a stock that is not larger than this is depleted.
        horizon: [] int32, steps of an episode.
    """

    initial: jax.Array
    growth: jax.Array
    discount: jax.Array
    smallest_catch: jax.Array
    threshold: jax.Array
    horizon: jax.Array


def play(
    stock: jax.Array, efforts: jax.Array, params: GreatFishWarParams
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """One step.

    Args:
        stock: [] float.
        efforts: [players] float in [0, 1], parts of the stock to catch; divided by their sum if that is above 1.
        params: the game's numbers.

        Returns:
        stock after growth, [] float, 0 if it is depleted; catches [players]; rewards [players], the logarithm of the
        catch and, if the stock is depleted, the discounted sum of catching smallest_catch for ever after, without which
        an end would be better than any negative utility; depleted [] bool.
    """
    catches = stock * efforts / jnp.maximum(jnp.sum(efforts), 1)
    left = stock - jnp.sum(catches)
    depleted = left <= params.threshold
    rewards = jnp.log(jnp.maximum(catches, params.smallest_catch))
    for_ever = params.discount / (1 - params.discount) * jnp.log(params.smallest_catch)
    # If it is depleted the power is not taken, which avoids its derivative at 0, infinity.
    grown = jnp.where(depleted, 1, left) ** params.growth
    return jnp.where(depleted, 0, grown), catches, rewards + jnp.where(depleted, for_ever, 0), depleted


def nash_parts(params: GreatFishWarParams, num_players: int) -> jax.Array:
    """The part of the stock that each player catches in the Markov perfect equilibrium, [players]:
    (1 - b) / (b + n (1 - b)) with b = growth x discount; (1 - b) / (2 - b) for the two players of Levhari and
    Mirman."""
    b = params.growth * params.discount
    return jnp.broadcast_to((1 - b) / (b + num_players * (1 - b)), (num_players,))


def cooperative_parts(params: GreatFishWarParams, num_players: int) -> jax.Array:
    """The part of the stock that each player catches if the sum of values is maximised, [players]: (1 - b) / n with
    b = growth x discount; together this is what a single owner catches."""
    return jnp.broadcast_to((1 - params.growth * params.discount) / num_players, (num_players,))


def best_responses(parts: jax.Array, params: GreatFishWarParams) -> jax.Array:
    """Each player's best response, among all strategies, to constant parts [players] of the others: the constant part
    (1 - b) (1 - sum of the others' parts), [players]."""
    return (1 - params.growth * params.discount) * (1 - (jnp.sum(parts) - parts))


def values(stock: jax.Array, parts: jax.Array, params: GreatFishWarParams) -> jax.Array:
    """The discounted utilities of all steps from a stock on, if everybody catches a constant part for ever.

    log(part) / (1 - d) + log(stock) / (1 - b) + b log(1 - sum of parts) / ((1 - d) (1 - b)) with the discount d and
    b = growth x d.

    Args:
        stock: [] float above 0.
        parts: [players] float above 0, their sum below 1.
        params: the game's numbers.

    Returns:
        [players] float.
    """
    d, b = params.discount, params.growth * params.discount
    left = jnp.log(1 - jnp.sum(parts))
    return jnp.log(parts) / (1 - d) + jnp.log(stock) / (1 - b) + b * left / ((1 - d) * (1 - b))


def steady_stock(parts: jax.Array, params: GreatFishWarParams) -> jax.Array:
    """The stock that constant parts lead to, [] float: (1 - sum of parts)^(growth / (1 - growth))."""
    return (1 - jnp.sum(parts)) ** (params.growth / (1 - params.growth))
