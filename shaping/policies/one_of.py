"""Several policies as one, which of them being a parameter: one compiled program plays them all."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from shaping.policies.policy import Policy


def one_of(policies: Sequence[Policy]) -> Policy:
    """The policy with the number theta[0], [] int32, of these; theta[1] holds everybody's parameters, one pytree each.

    All of them watch and remember; the one that was chosen acts. `init` chooses the first.

    Args:
      policies: categorical ones over the same actions, at least one.
    """
    members = tuple(policies)

    def init(key: jax.Array, scale: jax.Array) -> Any:
        return jnp.int32(0), tuple(p.init(jax.random.fold_in(key, i), scale) for i, p in enumerate(members))

    def start(batch_shape: tuple[int, ...]) -> Any:
        return tuple(policy.start(batch_shape) for policy in members)

    def apply(theta: Any, observation: jax.Array, memories: Any) -> tuple[Any, Any]:
        from shaping.policies.distributions import categorical

        choice, thetas = theta
        found = [p.apply(t, observation, m) for p, t, m in zip(members, thetas, memories, strict=True)]
        dtype = jnp.result_type(*(distribution.logits for distribution, _ in found))
        logits = jnp.stack([distribution.logits.astype(dtype) for distribution, _ in found])
        return categorical(logits[choice]), tuple(memory for _, memory in found)

    def table(theta: Any) -> Any:
        raise TypeError("one_of has no table of logits; allowed: policies made to learn, such as tabular")

    return Policy("one_of", members, init, start, apply, table, scalars=False, tabulated=False)
