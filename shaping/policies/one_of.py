"""Several policies as one, with a parameter that chooses between them: one compiled program can play them all."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from shaping.policies.pickling import remakable
from shaping.policies.policy import Policy


@remakable
def one_of(policies: Sequence[Policy]) -> Policy:
    """The policy whose number is theta[0], [] int32; theta[1] holds the parameters of all of them, one pytree each.

    All of them observe and remember; the chosen one acts. `init` chooses the first.

    Args:
      policies: at least one, over the same actions.
    """
    members = tuple(policies)

    def init(key: jax.Array, scale: jax.Array) -> Any:
        return jnp.int32(0), tuple(p.init(jax.random.fold_in(key, i), scale) for i, p in enumerate(members))

    def start(batch_shape: tuple[int, ...]) -> Any:
        return tuple(policy.start(batch_shape) for policy in members)

    def apply(theta: Any, observation: jax.Array, memories: Any) -> tuple[Any, Any]:
        from shaping.policies.distributions import one_out_of

        choice, thetas = theta
        found = [p.apply(t, observation, m) for p, t, m in zip(members, thetas, memories, strict=True)]
        return one_out_of([distribution for distribution, _ in found], choice), tuple(memory for _, memory in found)

    def table(theta: Any) -> Any:
        raise TypeError("one_of has no table of logits; allowed: policies made to learn, such as tabular")

    # Members that ignore observations, or do not declare theirs, may be combined with members that do.
    reads = next((p.observation_space for p in members if p.observation_space is not None), None)
    does = next((p.action_space for p in members if p.action_space is not None), None)
    return Policy(
        "one_of",
        members,
        init,
        start,
        apply,
        table,
        scalars=False,
        tabulated=False,
        observation_space=reads,
        action_space=does,
    )
