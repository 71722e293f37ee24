"""One probability per state: P(cooperate | s) = theta[s], which may be exactly zero or one."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.environment import check_integer
from shaping.envs.spaces import Discrete
from shaping.policies.pickling import remakable
from shaping.policies.policy import Policy

# The logit of a certain choice. Sampling adds a Gumbel number between -7 and 709 (float64; 89 in float32) to the logit
# of each action, so this always decides; its sigmoid is exactly 1; and unlike infinity it has finite derivatives.
_CERTAIN = 1000.0


@remakable
def memory_one(num_states: int = 5) -> Policy:
    """A policy whose parameters are its probabilities: theta [num_states], in [0, 1].

    States are in the order start, CC, CD, DC, DD, its own action first. Probabilities of exactly 0 and 1 are certain;
    they have finite log-probabilities, and derivatives of zero, so they do not change. Through `table` exact values are
    exact.

    Gradient ascent knows no bounds, and a probability that leaves [0, 1] stays certain. To learn, use `tabular`;
    `logit` turns a table of probabilities into logits for it.

    `init` draws what `tabular` draws, as probabilities: sigmoids of normal numbers with standard deviation `scale`.

    Args:
      num_states: number of states, 1 + 2**players.

    Raises:
      ValueError: if that is no integer of 1 or more.
    """
    check_integer("num_states", num_states, 1)

    def init(key: jax.Array, scale: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(scale * jax.random.normal(key, (num_states,), jnp.float32))

    def table(theta: Any) -> Any:
        return logit(theta) if isinstance(theta, jax.Array | np.ndarray) else [logit(p) for p in theta]

    def apply(theta: jax.Array, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        probability = jnp.sum(jax.nn.one_hot(observation, num_states, dtype=theta.dtype) * theta, axis=-1)
        return choice(probability), memory

    return Policy(
        "memory_one",
        (num_states,),
        init,
        lambda batch_shape: None,
        apply,
        table,
        observation_space=Discrete(num_states),
        action_space=Discrete(2),
    )


def logit(probability: Any) -> jax.Array:
    """log(p / (1 - p)), any shape, finite everywhere: -1000 for p <= 0 and 1000 for p >= 1, where its derivative is
    0."""
    p = jnp.asarray(probability)
    never, always = p <= 0, p >= 1
    # The inner `where` keeps the logarithms' derivatives finite where their values are not used.
    inside = jnp.where(never | always, jnp.full_like(p, 0.5), p)
    found = jnp.log(inside) - jnp.log1p(-inside)
    return jnp.where(never, jnp.full_like(p, -_CERTAIN), jnp.where(always, jnp.full_like(p, _CERTAIN), found))


def choice(probability: jax.Array) -> Any:
    """The distribution over the two actions that cooperates (action 0) with this probability, [...]."""
    from shaping.policies.distributions import categorical

    found = logit(probability)
    return categorical(jnp.stack([found, jnp.zeros_like(found)], axis=-1))
