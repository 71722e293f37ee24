"""A policy with fixed parameters, which leaves nothing to learn."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.policies.pickling import remakable
from shaping.policies.policy import Policy


@remakable
def fixed(policy: Policy, theta: Any) -> Policy:
    """`policy` with the parameters theta; its own parameters are (). It has no value head, because it does not learn.

    Args:
      policy: any policy.
      theta: concrete parameters for it, any pytree of arrays.
    """
    leaves, structure = jax.tree.flatten(theta)
    arrays = [np.asarray(leaf) for leaf in leaves]
    name = tuple((str(a.dtype), a.shape, a.tobytes()) for a in arrays)
    kept = structure.unflatten(arrays)

    def init(key: jax.Array, scale: jax.Array) -> tuple[()]:
        del key, scale
        return ()

    def apply(theta: Any, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        del theta
        return policy.apply(jax.tree.map(jnp.asarray, kept), observation, memory)

    return Policy(
        "fixed",
        (policy, name),
        init,
        policy.start,
        apply,
        lambda _: policy.table(kept),
        policy.scalars,
        policy.rounds,
        policy.tabulated,
        observation_space=policy.observation_space,
        action_space=policy.action_space,
    )
