"""Common to learners that ascend: optimiser steps along directions, one direction for each seat of the learner.

    theta <- theta + step_size * optimiser(sum over the learner's seats of the seat's direction)

If a policy's critic shares its trunk, both are learned together: the gradient of the critic's loss is part of the
direction.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from shaping.learners import critic as critics
from shaping.learners.critic import CriticSettings
from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy
from shaping.rules.gradients import add, replace


def climb(
    transform: optax.GradientTransformation,
    theta: Any,
    moments: Any,
    direction: Callable[[Any, Any], Any],
    steps: int = 1,
) -> tuple[Any, Any]:
    """(theta, the optimiser's state) after some steps; `direction` takes theta and the number of the step."""

    def ascend(carry: tuple[Any, Any], number: Any) -> tuple[tuple[Any, Any], None]:
        theta, moments = carry
        # optax descends, so the direction of ascent is passed with its sign reversed.
        descent = jax.tree.map(jnp.negative, direction(theta, number))
        change, moments = transform.update(descent, moments, theta)
        return (optax.apply_updates(theta, change), moments), None

    if steps == 1:
        return ascend((theta, moments), jnp.int32(0))[0]
    return lax.scan(ascend, (theta, moments), jnp.arange(steps))[0]


def summed(seats: Sequence[int], key: jax.Array, direction: Callable[[int, jax.Array], Any]) -> Any:
    """The sum over a learner's seats of `direction(seat, key)`; each seat has its own key."""
    if len(seats) == 1:
        return direction(seats[0], key)
    return add(*(direction(seat, jax.random.fold_in(key, place)) for place, seat in enumerate(seats)))


def seated(thetas: Sequence[Any], seats: Sequence[int], theta: Any) -> list[Any]:
    """All players' parameters, with those of a learner's seats replaced."""
    now = list(thetas)
    for seat in seats:
        now = replace(now, seat, theta)
    return now


def with_value_head(
    settings: CriticSettings | None, objective: Objective, thetas: Sequence[Any], player: int, direction: Any
) -> Any:
    """The direction, plus the descent direction of the loss of a critic in the policy's own trunk, weighted by the
    critics' rate; unchanged if the policy has no such critic.

    Raises:
      ValueError: for a target network of such a critic.
    """
    if settings is None or settings.critics[player] is not None:
        return direction
    if settings.target_rate is not None:
        raise ValueError("target_rate is given; allowed: for critics that are networks of their own, not value heads")

    def loss(theta: Any) -> jax.Array:
        return settings.rate * critics.value_loss(
            settings, objective, replace(thetas, player, theta), player, objective.observed
        )

    return jax.tree.map(lambda d, slope: d - slope, direction, jax.grad(loss)(thetas[player]))


def check_seats(policies: Sequence[Policy], seats: Sequence[int]) -> None:
    """Refuses one learner for several seats with different policies.

    Raises:
      ValueError: if they differ.
    """
    for seat in seats[1:]:
        if policies[seat] != policies[seats[0]]:
            raise ValueError(f"players {seats[0]} and {seat} have different policies; allowed: one, where it is shared")


def check_value_head(critic: CriticSettings | None, policy: Policy) -> None:
    """Refuses a value head that nothing would train.

    Raises:
      ValueError: if a learner that uses a policy's own value head keeps no critics.
    """
    if critic is None and policy.evaluate is not None:
        raise ValueError("critic is None; allowed: what `critic` returns, so that the policy's value head is trained")
