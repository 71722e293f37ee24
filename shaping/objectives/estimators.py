"""Returns estimated from play that can be differentiated to any order: DiCE, baselines, Loaded DiCE, the surrogate.

With box(x) = exp(x - stop(x)), whose value is 1 and whose derivatives are those of a likelihood ratio, and w_t the sum
of all players' log-probabilities up to step t,

    DiCE         J_i = mean over streams  sum_t gamma^t r_i,t box(w_t)                  (Foerster et al. 2018b, eq. 8)
    baseline     J_i + sum_t gamma^t (1 - box(l_t)) b_i(s_t),  l_t all log-probabilities of step t           (eq. 12)
    Loaded DiCE  J_i = sum_t gamma^t (box(w_t) - box(w_t - l_t)) A_i,t                  (Farquhar et al. 2019, eq. 10)
                 with w_t = lambda w_{t-1} + l_t and advantages A; its value is 0, only its derivatives are used
    surrogate    J_i = sum_t gamma^t r_i,t w_t: only its first derivatives are right; it is for comparison

Arrays are [time, batch, ...], players last. Steps after the end of a stream have no reward and no log-probability.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

BASELINES = ("leave_one_out", "batch_mean", "critic", "none")
KINDS = ("dice", "loaded_dice", "surrogate")


def magic_box(exponent: jax.Array) -> jax.Array:
    """exp(x - stop(x)) (Foerster et al. 2018b, eq. 7): 1, with derivatives dx, d2x + dx dx, ..."""
    return jnp.exp(exponent - lax.stop_gradient(exponent))


def dice(
    log_probabilities: jax.Array, rewards: jax.Array, discount: Any, baseline: jax.Array | None = None
) -> jax.Array:
    """DiCE returns, [players].

    Args:
      log_probabilities: [time, batch, players] of the actions taken, differentiable, 0 after the end.
      rewards: [time, batch, players], 0 after the end; as they are or centred (`centred`).
      discount: gamma, a scalar in [0, 1].
      baseline: [time, batch, players], the return expected from each step on; None for no baseline.
    """
    joint = _joint(log_probabilities)
    weight = discounts(discount, rewards)[:, None]
    boxes = weight * magic_box(accumulated(joint))
    if baseline is None:
        return _each(rewards, lambda own: jnp.sum(boxes * own))
    kept = weight * (1 - magic_box(joint))
    held = lax.stop_gradient(baseline)
    return _each(rewards, lambda own: jnp.sum(boxes * own)) + _each(held, lambda own: jnp.sum(kept * own))


def loaded_dice(
    log_probabilities: jax.Array, advantages: jax.Array, discount: Any, decay: Any | None = None
) -> jax.Array:
    """Loaded DiCE, [players]: its value is 0, its derivatives are those of the returns.

    Args:
      log_probabilities: [time, batch, players], see `dice`.
      advantages: [time, batch, players], see `gae`; 0 after the end.
      discount: gamma.
      decay: lambda, how much of what came before step t counts at t; 1 (None) is unbiased, with less the second-order
        derivatives forget the past.
    """
    joint = _joint(log_probabilities)
    past = accumulated(joint, decay)
    boxes = discounts(discount, advantages)[:, None] * (magic_box(past) - magic_box(past - joint))
    return _each(lax.stop_gradient(advantages), lambda own: jnp.sum(boxes * own))


def surrogate(log_probabilities: jax.Array, rewards: jax.Array, discount: Any) -> jax.Array:
    """The likelihood-ratio surrogate without the magic box, [players]; its second derivatives are wrong (Foerster et
    al. 2018b, section 2)."""
    sums = discounts(discount, rewards)[:, None] * accumulated(_joint(log_probabilities))
    return _each(rewards, lambda own: jnp.sum(sums * own))


def _joint(log_probabilities: jax.Array) -> jax.Array:
    """All players' together, [time, batch]; summed player by player, because summing over a last axis of two is
    slow."""
    return sum((log_probabilities[..., i] for i in range(1, log_probabilities.shape[-1])), log_probabilities[..., 0])


def _each(arrays: jax.Array, total: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """`total` of every player's own array [time, batch], divided by the number of streams, [players]."""
    streams, players = arrays.shape[1:]
    return jnp.stack([total(arrays[..., i]) / streams for i in range(players)])


def discounts(discount: Any, like: jax.Array) -> jax.Array:
    """gamma^t for t = 0, 1, ..., [time]; also for gamma = 0."""
    steps = like.shape[0]
    powers = jnp.cumprod(jnp.full((max(steps - 1, 0),), discount, like.dtype))
    return jnp.concatenate([jnp.ones((min(steps, 1),), like.dtype), powers])


def accumulated(terms: jax.Array, decay: Any = None) -> jax.Array:
    """sum over s <= t of decay^(t - s) terms_s, [time, batch]; a decay of None means 1."""
    rate = 1 if decay is None else decay
    if jax.default_backend() == "cpu":

        def step(total: jax.Array, term: jax.Array) -> tuple[jax.Array, jax.Array]:
            now = rate * total + term
            return now, now

        return lax.scan(step, jnp.zeros_like(terms[0]), terms)[1]
    # A product with a triangle of powers: on accelerators a scan waits at every step, in every derivative.
    steps = terms.shape[0]
    lag = np.arange(steps)[:, None] - np.arange(steps)[None, :]
    powers = jnp.ones((steps,), terms.dtype) if decay is None else discounts(decay, terms)
    triangle = jnp.where(lag >= 0, powers[np.maximum(lag, 0)], 0)
    return jnp.matmul(triangle, terms, precision=lax.Precision.HIGHEST)


def centred(rewards: jax.Array, baseline: str) -> jax.Array:
    """Rewards minus their mean over streams, step by step, [time, batch, players].

    `batch_mean` subtracts the mean of all streams including the own one, which shrinks the derivatives by 1 - 1/batch;
    `leave_one_out` subtracts the mean of the other streams, which keeps them unbiased. Other baselines change nothing.
    """
    batch = rewards.shape[1]
    if baseline == "batch_mean":
        return rewards - jnp.mean(rewards, axis=1, keepdims=True)
    if baseline == "leave_one_out":
        return (rewards - jnp.mean(rewards, axis=1, keepdims=True)) * (batch / (batch - 1))
    return rewards


def gae(rewards: jax.Array, values: jax.Array, discount: Any, decay: Any) -> jax.Array:
    """Generalised advantage estimates (Schulman et al. 2016, eq. 16), [time, batch, ...]; nothing is expected after the
    last step.

        A_t = sum over l of (gamma lambda)^l (r_{t+l} + gamma V(s_{t+l+1}) - V(s_{t+l}))

    Args:
      rewards, values: [time, batch, ...], 0 after the end of a stream.
      discount, decay: gamma and lambda, scalars in [0, 1]; with lambda 1 the advantage is the discounted sum of the
        rewards that follow, minus V(s_t).
    """
    following = jnp.concatenate([values[1:], jnp.zeros_like(values[:1])], axis=0)
    deltas = rewards + discount * following - values

    def step(later: jax.Array, delta: jax.Array) -> tuple[jax.Array, jax.Array]:
        now = delta + discount * decay * later
        return now, now

    return lax.scan(step, jnp.zeros_like(deltas[0]), deltas, reverse=True)[1]
