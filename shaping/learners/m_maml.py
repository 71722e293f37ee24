"""M-MAML (Lu et al. 2022, M-FOS, baselines): the initial parameters from which naive learning does best.

A learner that will ascend its own return naively, against a naive opponent with random parameters, chooses its start:

    phi <- phi + Adam of nabla_phi  E_theta_-i  1/T sum_{t=1..T} V_i(theta^t),
    theta^0 = (phi, theta_-i), theta_-i from N(0, 1),   theta_j^{t+1} = theta_j^t + alpha_j nabla_j V_j(theta^t)

differentiated through the learning of all players. The learner's own alpha is learned together with phi; the opponents'
is fixed. Only phi is kept: the learner's step size decides what steps are taken later.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax

from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy
from shaping.rules.gradients import computed_once, gradients, move, replace


@struct.dataclass
class MetaInitial:
    """Settings.

    Attributes:
      scale: standard deviation of the distribution from which phi starts, at least 0.
      step_size: alpha of the opponents, and the initial value of the learner's own, at least 0.
      outer_rate: learning rate of Adam, above 0.
      episodes: updates of phi.
      steps: T, updates of all players in an episode.
      batch: number of opponents over which an episode is averaged.
    """

    scale: Any = 1.0
    step_size: Any = 1.0
    outer_rate: Any = 0.01
    episodes: int = struct.field(pytree_node=False, default=1000)
    steps: int = struct.field(pytree_node=False, default=100)
    batch: int = struct.field(pytree_node=False, default=16)


def meta_learned(
    settings: MetaInitial, key: jax.Array, policies: Sequence[Policy], player: int, objective: Objective, dtype: Any
) -> Any:
    """phi after all episodes, shaped like the player's parameters."""
    everyone = range(len(policies))

    def drawn(seat: int, key: jax.Array, scale: Any) -> Any:
        theta = policies[seat].init(jax.random.fold_in(key, seat), jnp.asarray(scale, jnp.float32))
        return jax.tree.map(lambda leaf: leaf.astype(dtype), theta)

    def value(meta: tuple[Any, jax.Array], key: jax.Array) -> jax.Array:
        """The mean return along one episode against one draw of opponents."""
        phi, rate = meta
        thetas = replace([drawn(seat, key, 1.0) for seat in everyone], player, phi)

        def step(thetas: list[Any], _: None) -> tuple[list[Any], jax.Array]:
            ascent = gradients(objective, thetas, everyone)
            rates = [rate if seat == player else settings.step_size for seat in everyone]
            after = [
                computed_once(move(t, r, ascent[j][j])) for j, (t, r) in enumerate(zip(thetas, rates, strict=True))
            ]
            return after, objective.of(player, after)

        _, returns = lax.scan(jax.checkpoint(step), thetas, None, length=settings.steps)
        return jnp.mean(returns)

    def loss(meta: tuple[Any, jax.Array], key: jax.Array) -> jax.Array:
        keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.arange(settings.batch))
        return -jnp.mean(jax.vmap(lambda own: value(meta, own))(keys))

    transform = optax.scale_by_adam()
    first = (drawn(player, key, settings.scale), jnp.asarray(settings.step_size, dtype))

    def episode(carry: tuple[Any, Any], number: jax.Array) -> tuple[tuple[Any, Any], None]:
        meta, moments = carry
        slope = jax.grad(loss)(meta, jax.random.fold_in(key, len(policies) + number))
        change, moments = transform.update(slope, moments, meta)
        return (move(meta, -settings.outer_rate, change), moments), None

    (final, _), _ = lax.scan(episode, (first, transform.init(first)), jnp.arange(settings.episodes))
    return final[0]
