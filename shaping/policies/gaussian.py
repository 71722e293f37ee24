"""A normal distribution over continuous actions that ignores observations: the simplest player of a market."""

from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.spaces import Box
from shaping.policies.networks import check_bounded
from shaping.policies.pickling import remakable
from shaping.policies.policy import Policy


@remakable
def gaussian(action_space: Box) -> Policy:
    """Draws each dimension of its action from a normal squashed to the box (`distributions.SquashedNormal`).

    theta is {"mean": [*shape], "log_sd": [*shape]}, both for the normal before squashing: at mean 0 the median action
    is the middle of the box. It accepts any observation and ignores it.

    `init` draws means and logarithms of standard deviations from a normal distribution with standard deviation `scale`.

    Args:
      action_space: the actions of one player.

    Raises:
      ValueError: if it is not a box of floats with finite bounds.
    """
    check_bounded(action_space)

    def init(key: jax.Array, scale: jax.Array) -> dict[str, jax.Array]:
        names = ("mean", "log_sd")
        drawn = jax.random.normal(key, (len(names), *action_space.shape), jnp.float32)
        return dict(zip(names, jnp.asarray(scale, jnp.float32) * drawn, strict=True))

    def apply(theta: dict[str, jax.Array], observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        from shaping.policies.distributions import squashed_normal

        del observation
        return squashed_normal(theta["mean"], theta["log_sd"], action_space), memory

    return Policy(
        "gaussian", (action_space,), init, lambda batch_shape: None, apply, scalars=False, action_space=action_space
    )
