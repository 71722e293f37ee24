"""COLA (Willi et al. 2022): learns, before the game begins, directions that anticipate each other consistently.

Networks f_i from everybody's parameters to player i's direction are trained on the consistency loss

    E_theta sum_i | f_i(theta) - nabla_i [ V_i(theta_i, theta_-i + eta f_-i(theta)) ] |^2,   theta uniform in a region

with the total derivative, through f_-i. Where the loss is 0, every player's direction is the best answer to the
directions of the others; LOLA of any order only approaches this, and only for small eta. Afterwards f_i is player i's
rule; outside the region it answers as at the region's border.

Consistent directions need not be unique: which ones are found depends on how the networks are initialised. Training
that begins with eta = 0, where they are the naive directions, and then raises eta follows the naive ones continuously.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax
from jax.flatten_util import ravel_pytree

from shaping.objectives.objective import Objective, Thetas
from shaping.policies.policy import Policy
from shaping.rules.consistency import inconsistency
from shaping.rules.gradients import move
from shaping.rules.rule import Rule
from shaping.signatures import NonNegative, Positive, Probability, Range, checked


@struct.dataclass
class Cola:
    """Settings.

    Attributes:
      lookahead_rate: eta, the step that each opponent is imagined to take along its own direction; at least 0.
      region: half the width of the cube of parameters in which the networks are trained, above 0.
      network_rate: learning rate of Adam at the first training step, above 0; it decays to 0 along a cosine.
      warm_up: the share of training during which eta rises from 0; between 0 (as in the paper) and 1.
      width, depth: of the hidden layers of a player's network.
      activation: the activation function of those layers.
      training_steps, training_batch: number of steps, and of parameter vectors drawn for each step.
    """

    lookahead_rate: Any
    region: Any
    network_rate: Any
    warm_up: Any
    width: int = struct.field(pytree_node=False, default=16)
    depth: int = struct.field(pytree_node=False, default=3)
    activation: str = struct.field(pytree_node=False, default="tanh")
    training_steps: int = struct.field(pytree_node=False, default=8000)
    training_batch: int = struct.field(pytree_node=False, default=64)


@checked
def cola(
    lookahead_rate: NonNegative = 1.0,
    region: Positive = 7.0,
    network_rate: Positive = 1e-3,
    warm_up: Probability = 0.0,
    width: Annotated[int, Range(1)] = 16,
    depth: Annotated[int, Range(1)] = 3,
    activation: Literal["tanh", "relu"] = "tanh",
    training_steps: Annotated[int, Range(1)] = 8000,
    training_batch: Annotated[int, Range(1)] = 64,
) -> Rule:
    """COLA with the networks of the paper's non-polynomial games; every learner trains its own networks.

    Raises:
      ValueError: if the activation is unknown.
    """
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        raise ValueError(f"activation is {activation!r}: must be {' or '.join(_ACTIVATIONS)}")
    sizes = (width, depth, activation, training_steps, training_batch)
    return Rule(Cola(lookahead_rate, region, network_rate, warm_up, *sizes), direction, prepare, untrained=_untrained)


def direction(
    objective: Objective, thetas: Thetas, player: int, settings: Cola, key: jax.Array | None = None, learned: Any = None
) -> Any:
    """f_player at the parameters, shaped as `thetas[player]`."""
    del objective, key
    return _direction(settings, learned, thetas, player)


def prepare(
    objective: Objective, policies: Sequence[Policy], player: int, settings: Cola, key: jax.Array, dtype: Any
) -> list[Any]:
    """The parameters of the trained networks, one entry per player."""
    del player
    like = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, dtype), [policy.shapes for policy in policies])
    inputs = ravel_pytree(like)[0]
    networks = []
    for seat, theta in enumerate(like):
        own = _network(settings, ravel_pytree(theta)[0].size).init(jax.random.fold_in(key, seat), inputs)
        networks.append(jax.tree.map(lambda leaf: leaf.astype(dtype), own))
    if settings.training_steps == 0:
        return networks
    schedule = optax.cosine_decay_schedule(1.0, settings.training_steps)
    transform = optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(schedule))

    def drawn(key: jax.Array) -> list[Any]:
        """Parameters of all players, [batch, ...], uniform in the region."""
        leaves, structure = jax.tree.flatten(like)
        keys = [jax.random.fold_in(key, place) for place in range(len(leaves))]
        shapes = [(settings.training_batch, *leaf.shape) for leaf in leaves]
        uniform = [jax.random.uniform(k, s, jnp.float32, -1, 1) for k, s in zip(keys, shapes, strict=True)]
        return structure.unflatten([settings.region * u.astype(dtype) for u in uniform])

    def step(carry: tuple[Any, Any], number: jax.Array) -> tuple[tuple[Any, Any], None]:
        networks, moments = carry
        thetas = drawn(jax.random.fold_in(key, len(policies) + number))
        risen = jnp.minimum((number + 1) / jnp.maximum(settings.warm_up * settings.training_steps, 1), 1)
        now = dataclasses.replace(settings, lookahead_rate=(risen * settings.lookahead_rate).astype(dtype))
        slope = jax.grad(lambda n: jnp.mean(jax.vmap(lambda t: loss(objective, t, now, n))(thetas)))
        change, moments = transform.update(slope(networks), moments, networks)
        return (move(networks, -settings.network_rate, change), moments), None

    trained, _ = lax.scan(step, (networks, transform.init(networks)), jnp.arange(settings.training_steps))
    return trained[0]


def _untrained(settings: Cola) -> Cola:
    return dataclasses.replace(settings, training_steps=0)


def loss(objective: Objective, thetas: Thetas, settings: Cola, networks: list[Any]) -> jax.Array:
    """The consistency loss of the networks at one point, a scalar."""
    rates = [settings.lookahead_rate] * len(thetas)
    return inconsistency(objective, thetas, lambda now, player: _direction(settings, networks, now, player), rates)


_ACTIVATIONS = {"tanh": jnp.tanh, "relu": nn.relu}


class _Network(nn.Module):
    """Hidden layers with weights from N(0, 0.1^2), as in the authors' notebook, and a linear output."""

    hidden: tuple[int, ...]
    outputs: int
    activation: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        start = nn.initializers.normal(0.1)
        for width in self.hidden:
            x = _ACTIVATIONS[self.activation](nn.Dense(width, kernel_init=start)(x))
        return nn.Dense(self.outputs, kernel_init=start)(x)


def _network(settings: Cola, outputs: int) -> _Network:
    return _Network((settings.width,) * settings.depth, outputs, settings.activation)


def _direction(settings: Cola, networks: list[Any], thetas: Thetas, player: int) -> Any:
    """f_player, shaped as its parameters."""
    inputs = jnp.clip(ravel_pytree(list(thetas))[0], -settings.region, settings.region)
    own, unflatten = ravel_pytree(thetas[player])
    return unflatten(_applied(_network(settings, own.size), networks[player], inputs))


@partial(jax.jit, static_argnums=0)
def _applied(module: _Network, network: Any, inputs: jax.Array) -> jax.Array:
    """The network's output; jitted, so that it is traced once although many places ask for it."""
    return jnp.asarray(module.apply(network, inputs))


RULES = {"cola": cola}
