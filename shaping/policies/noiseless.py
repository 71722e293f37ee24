"""A policy without exploration noise."""

import dataclasses
from typing import Any

import jax

from shaping.policies.policy import Policy


def noiseless(policy: Policy) -> Policy:
    """The same policy, except that a continuous action is the median of its distribution. Discrete actions are still
    drawn: to choose at random is part of a policy."""

    def apply(theta: Any, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        from shaping.policies.distributions import without_noise

        distribution, memory = policy.apply(theta, observation, memory)
        return without_noise(distribution), memory

    return dataclasses.replace(policy, kind=f"noiseless {policy.kind}", apply=apply)
