"""Distributions of actions. This is the only module that imports distrax.

Categorical distributions are always made from logits: in distrax, probabilities of exactly zero have NaN gradients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import log_ndtr

from shaping.envs.spaces import Box, Discrete
from shaping.policies.policy import Policy

# Where the normal before squashing is cut; anything further out becomes the edge of the box itself. In float32, numbers
# near 1 are well resolved up to tanh(6) = 0.99998, and hardly at all from tanh(8) on.
_EDGE = 6.0
LOG_SD_LIMITS = (-5.0, 2.0)
"""The range to which the logarithm of a learned standard deviation is clipped."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)


def categorical(logits: jax.Array) -> distrax.Categorical:
    """A categorical distribution over the last axis of `logits`, [..., actions]."""
    return distrax.Categorical(logits=logits)


def sampled(distribution: Any, key: jax.Array, uniform: jax.Array | None = None) -> jax.Array:
    """An action: from one number in [0, 1), by inversion, if the distribution is categorical and a number is given;
    otherwise whatever the distribution draws with the key.

    Numbers drawn for a whole trajectory at once cost a fraction of one key per step.
    """
    if uniform is None or not isinstance(distribution, distrax.Categorical):
        return distribution.sample(seed=key)
    below = jnp.cumsum(jax.nn.softmax(distribution.logits, axis=-1), axis=-1)[..., :-1]
    return jnp.sum(jnp.asarray(uniform)[..., None] >= below, axis=-1, dtype=jnp.int32)


def numbers_of_sample(policy: Policy, theta: Any, space: Discrete | Box, key: jax.Array) -> jax.Array:
    """What a policy's distribution draws in `sample(seed=key)`, before the policy is asked: it depends on the shape of
    its actions alone. `sampled_from` makes an action of it; `space` is that of the policy's observations. For a
    distribution that is neither categorical nor a squashed normal it is the key.

    Numbers drawn for many steps at once cost a fraction of those drawn step by step.
    """
    families: list[type] = []

    def asked(theta: Any) -> Any:
        distribution: Any = policy.apply(theta, jnp.zeros(space.shape, space.dtype), policy.start(()))[0]
        families.append(type(distribution))
        if isinstance(distribution, distrax.Categorical):
            return distribution.logits
        return distribution.mean if isinstance(distribution, SquashedNormal) else ()

    like = jax.eval_shape(asked, theta)
    if issubclass(families[0], distrax.Categorical):
        return jax.random.gumbel(key, like.shape, like.dtype)
    return jax.random.normal(key, like.shape, like.dtype) if families[0] is SquashedNormal else key


def sampled_from(distribution: Any, numbers: jax.Array) -> jax.Array:
    """The action that `distribution.sample(seed=key)` returns, from the numbers that it would draw."""
    if isinstance(distribution, SquashedNormal):
        return distribution.of_numbers(numbers)
    if not isinstance(distribution, distrax.Categorical):
        return distribution.sample(seed=numbers)
    logits: Any = distribution.logits
    action = jnp.argmax(numbers + logits, axis=-1).astype(jnp.int32)
    # As distrax has it.
    valid: Any = jnp.all(jnp.isfinite(jax.nn.softmax(logits)), axis=-1)
    return jnp.where(valid, action, -1)


@dataclass(frozen=True)
class SquashedNormal:
    """Actions y in a box, y = low + (high - low) (1 + tanh u) / 2, where u is normal and its dimensions are
    independent.

    Beyond |u| = 6 an action is the edge itself, with the probability of everything that lies beyond. The edges can
    therefore be reached, and the log-probability of an action follows from the action alone, however it was rounded. A
    standard deviation of 0 means that one action is certain: log-probability, entropy and their derivatives are 0.

    Attributes:
      mean: [..., *space.shape] of u; squashed, it gives the median action, `mode`.
      sd: [..., *space.shape] standard deviation of u, 0 or more.
      space: the box, with finite bounds.
    """

    mean: jax.Array
    sd: jax.Array
    space: Box

    def sample(self, *, seed: jax.Array) -> jax.Array:
        """An action, [..., *space.shape]."""
        return self.of_numbers(jax.random.normal(seed, self.mean.shape, self.mean.dtype))

    def of_numbers(self, numbers: jax.Array) -> jax.Array:
        """The action that standard normal numbers make, [..., *space.shape]."""
        return self._squashed(self.mean + self.sd * numbers)

    def mode(self) -> jax.Array:
        """The median action, [..., *space.shape]; not necessarily where the density is highest."""
        return self._squashed(self.mean)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """The logarithm of the density of an action within the box, or of the probability of an edge, [...] summed over
        dimensions."""
        width = self.space.high - self.space.low
        z = (jnp.asarray(value).astype(self.mean.dtype) - self.space.low) / width
        below, above = (jax.nn.sigmoid(jnp.asarray(2 * edge, z.dtype)) for edge in (-_EDGE, _EDGE))
        inside = jnp.clip(z, below, above)
        u = (jnp.log(inside) - jnp.log1p(-inside)) / 2
        sd = self._positive()
        density = distrax.Normal(self.mean, sd).log_prob(u) - self._log_slope(u)
        # Of the nearer edge only: these tails cost more than everything else.
        low = z < below
        beyond = log_ndtr(jnp.where(low, -_EDGE - self.mean, self.mean - _EDGE) / sd)
        found = jnp.where(low | (z > above), beyond, density)
        return self._summed(jnp.where(self.sd > 0, found, 0))

    def entropy(self) -> jax.Array:
        """The differential entropy of actions in nats, [...], which may be negative.

        It has no closed form: it is the entropy of the normal plus E log |dy / du|, an expectation over one normal
        number, by Gauss-Hermite quadrature with 32 nodes. It is accurate to 1e-4 for standard deviations up to 2, and
        to 0.1 for all that a policy of this package can have. The probability of the edges is ignored.
        """
        sd = self._positive()
        nodes, weights = (jnp.asarray(x, self.mean.dtype) for x in (_NODES, _WEIGHTS / np.sum(_WEIGHTS)))
        slopes = self._log_slope(self.mean[..., None] + sd[..., None] * nodes)
        found = distrax.Normal(self.mean, sd).entropy() + jnp.sum(weights * slopes, axis=-1)
        return self._summed(jnp.where(self.sd > 0, found, 0))

    def kl_divergence(self, other: "SquashedNormal") -> jax.Array:
        """KL(self || other) in nats, [...]: that of the normals, because both are squashed by the same function; 0 if
        one of them is certain."""
        found = distrax.Normal(self.mean, self._positive()).kl_divergence(distrax.Normal(other.mean, other._positive()))
        return self._summed(jnp.where((self.sd > 0) & (other.sd > 0), found, 0))

    def _squashed(self, u: jax.Array) -> jax.Array:
        low, high = self.space.low, self.space.high
        y = low + (high - low) * jax.nn.sigmoid(2 * u)
        return jnp.where(u > _EDGE, high, jnp.where(u < -_EDGE, low, jnp.clip(y, low, high)))

    def _log_slope(self, u: jax.Array) -> jax.Array:
        """log dy / du = log((high - low) / 2 (1 - tanh(u)^2))."""
        width = np.log(self.space.high - self.space.low)
        return width + np.log(2) - jax.nn.softplus(2 * u) - jax.nn.softplus(-2 * u)

    def _positive(self) -> jax.Array:
        return jnp.where(self.sd > 0, self.sd, 1)

    def _summed(self, each: jax.Array) -> jax.Array:
        return jnp.sum(each, axis=tuple(range(each.ndim - len(self.space.shape), each.ndim)))


def squashed_normal(mean: jax.Array, log_sd: jax.Array, space: Box) -> SquashedNormal:
    """A learned distribution over a box. `log_sd` is clipped to `LOG_SD_LIMITS`, beyond which its derivative is 0."""
    return SquashedNormal(mean, jnp.exp(jnp.clip(log_sd, *LOG_SD_LIMITS)), space)


def always(action: jax.Array, space: Box) -> SquashedNormal:
    """One certain action [..., *space.shape]; exact at the edges of the box, otherwise up to rounding."""
    action = lax.stop_gradient(jnp.asarray(action, float))
    z = (action - space.low) / (space.high - space.low)
    inside = jnp.clip(z, 1e-7, 1 - 1e-7)
    u = jnp.where(z <= 0, -2 * _EDGE, jnp.where(z >= 1, 2 * _EDGE, (jnp.log(inside) - jnp.log1p(-inside)) / 2))
    return SquashedNormal(u, jnp.zeros_like(u), space)


def without_noise(distribution: Any) -> Any:
    """A continuous distribution with all its mass on the median; any other distribution unchanged."""
    if not isinstance(distribution, SquashedNormal):
        return distribution
    return SquashedNormal(distribution.mean, jnp.zeros_like(distribution.sd), distribution.space)


def one_out_of(distributions: Sequence[Any], number: jax.Array) -> Any:
    """The distribution with this number, [] int32, among several of the same family over the same actions.

    Raises:
      ValueError: for distributions of several families, or over several spaces.
    """
    if all(isinstance(d, distrax.Categorical) for d in distributions):
        dtype = jnp.result_type(*(d.logits for d in distributions))
        return categorical(jnp.stack([d.logits.astype(dtype) for d in distributions])[number])
    families = sorted({f"{type(d).__name__} on {getattr(d, 'space', 'logits')}" for d in distributions})
    if len(families) > 1 or not all(isinstance(d, SquashedNormal) for d in distributions):
        raise ValueError(f"distributions are {', '.join(families)}; allowed: all of one kind over the same actions")
    mean, sd = (jnp.stack([getattr(d, name) for d in distributions])[number] for name in ("mean", "sd"))
    return SquashedNormal(mean, sd, distributions[0].space)
