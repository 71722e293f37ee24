"""Meta-value learning (Cooijmans et al. 2023, MeVa): ascends the long-run value of parameters under learning.

The meta-value of joint parameters is a discounted sum of returns over all players' future updates,

    Vhat_i(x_t) = (1 - g) f_i(x_{t+1}) + g Vhat_i(x_{t+1}),     U_i(x) = (1 - g) f_i(x) + g Vhat_i(x)
    x_{t+1} = x_t + eta (nabla_1 U_1, ..., nabla_n U_n)(x_t)

and MeVa learners ascend their own U_i. Before the first update each of them learns Vhat, a network, from trajectories
of imagined learning. It is trained along stretches of `stride` updates, by TD(lambda) with a slowly moving target
network and quantile regression. Discounts g are drawn from Beta(1/2, 1/2) and are inputs of the network. Exploration
flips the signs of units of its last layer. The opponents may instead be imagined as naive or LOLA learners, who then
move along their own directions.

Returns are standardised by their mean and standard deviation at N(0, 1) parameters, so that the network need not know
the scale of a game; directions are converted back to units of the return.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax
from jax.flatten_util import ravel_pytree

from shaping.objectives.objective import Objective, Thetas
from shaping.policies.policy import Policy
from shaping.rules.first_order import FirstOrder
from shaping.rules.first_order import direction as first_order_direction
from shaping.rules.gradients import gradient, move
from shaping.rules.meta_value import MetaValueNetwork, quantile_huber
from shaping.rules.rule import Rule
from shaping.rules.target_network import polyak
from shaping.signatures import NonNegative, Positive, Probability, Range, checked

_TARGET_RATE = 0.01  # 1 - rho of the target network's moving average
_FLIPPED = 1 / 16  # share of units whose sign exploration flips
# Folded into a key for networks and for the scale of returns; episodes are numbered below these.
_NETWORKS, _SCALES = 2**30, 2**30 + 2


@struct.dataclass
class MetaValue:
    """Settings.

    Attributes:
      lookahead_rate: eta, the step that all players are imagined to take, in training; at least 0.
      discount: g of the U to ascend, 0 to 1; 0 is naive learning.
      trace: lambda of TD(lambda), 0 to 1.
      network_rate: Adam's learning rate, above 0.
      opponents: how the others are imagined to learn: meva, naive or lola.
      symmetric: whether players are interchangeable; otherwise the network distinguishes them.
      width, quantiles: of the network.
      episodes: how many trajectories it is trained on, one after the other.
      steps, stride: updates of a trajectory, and of the stretch between two training steps.
      batch: trajectories that run in parallel.
    """

    lookahead_rate: Any
    discount: Any
    trace: Any
    network_rate: Any
    opponents: str = struct.field(pytree_node=False, default="meva")
    symmetric: bool = struct.field(pytree_node=False, default=True)
    width: int = struct.field(pytree_node=False, default=128)
    quantiles: int = struct.field(pytree_node=False, default=64)
    episodes: int = struct.field(pytree_node=False, default=1000)
    steps: int = struct.field(pytree_node=False, default=100)
    stride: int = struct.field(pytree_node=False, default=10)
    batch: int = struct.field(pytree_node=False, default=128)


@checked
def meva(
    lookahead_rate: NonNegative = 1.0,
    discount: Probability = 0.95,
    trace: Probability = 0.9,
    network_rate: Positive = 1e-3,
    opponents: Literal["meva", "naive", "lola"] = "meva",
    symmetric: bool = True,
    width: Annotated[int, Range(1)] = 128,
    quantiles: Annotated[int, Range(1)] = 64,
    episodes: Annotated[int, Range(1)] = 1000,
    steps: Annotated[int, Range(1)] = 100,
    stride: Annotated[int, Range(1)] = 10,
    batch: Annotated[int, Range(1)] = 128,
) -> Rule:
    """MeVa at the sizes of the authors' tournament; every learner trains its own network.

    Raises:
      ValueError: if the opponents are unknown, or `steps` is not a multiple of `stride`.
    """
    if opponents not in ("meva", "naive", "lola"):
        raise ValueError(f"opponents is {opponents!r}: must be meva, naive or lola")
    if steps % stride:
        raise ValueError(f"steps is {steps}: must be a multiple of stride ({stride})")
    sizes = (opponents, symmetric, width, quantiles, episodes, steps, stride, batch)
    settings = MetaValue(lookahead_rate, discount, trace, network_rate, *sizes)
    return Rule(settings, direction, prepare, untrained=_untrained)


@struct.dataclass
class Learned:
    """The network's parameters, and the standard deviation of returns [players], which is the unit of its values."""

    network: Any
    deviation: jax.Array


def direction(
    objective: Objective,
    thetas: Thetas,
    player: int,
    settings: MetaValue,
    key: jax.Array | None = None,
    learned: Any = None,
) -> Any:
    """nabla_player U_player in units of the return, shaped as `thetas[player]`."""
    joint, unflatten = _joint(thetas)
    g = jnp.full(len(thetas), settings.discount, joint.dtype)
    slopes = jax.grad(lambda x: jnp.sum(_values(settings, learned.network, x, g)))(joint)
    own = gradient(objective, thetas, player, player, key)
    ahead = unflatten[player](slopes[player] * learned.deviation[player])
    return jax.tree.map(lambda now, later: (1 - settings.discount) * now + settings.discount * later, own, ahead)


def prepare(
    objective: Objective, policies: Sequence[Policy], player: int, settings: MetaValue, key: jax.Array, dtype: Any
) -> Learned:
    """The network after all episodes.

    Raises:
      ValueError: if players have different numbers of parameters.
    """
    players = range(len(policies))

    def drawn(key: jax.Array) -> list[Any]:
        thetas = [policy.init(jax.random.fold_in(key, i), jnp.float32(1)) for i, policy in enumerate(policies)]
        return jax.tree.map(lambda leaf: leaf.astype(dtype), thetas)

    start, unflatten = _joint(drawn(key))
    samples = jax.vmap(lambda k: jnp.stack(list(objective(drawn(k))[0])))(_keys(jax.random.fold_in(key, _SCALES), 512))
    mean, deviation = jnp.mean(samples, axis=0), jnp.std(samples, axis=0) + 1e-6

    def standardised(x: jax.Array) -> jax.Array:
        """f [players] at joint parameters [players, parameters]."""
        returns = objective([unflatten[i](x[i]) for i in players])[0]
        return (jnp.stack(list(returns)) - mean) / deviation

    def ascent(network: Any, x: jax.Array, g: jax.Array, signs: jax.Array | None) -> jax.Array:
        """The imagined directions of all players in units of the return, [players, parameters]; flipped signs
        explore."""

        def surrogate(x: jax.Array) -> jax.Array:
            return jnp.sum(_values(settings, network, x, g, signs))

        def own_slopes(x: jax.Array) -> jax.Array:
            thetas = [unflatten[i](x[i]) for i in players]
            return jnp.stack([ravel_pytree(gradient(objective, thetas, i, i))[0] for i in players])

        # Explorers ascend only Vhat, as the authors' do: the returns would drown the flipped signs.
        meta = deviation[:, None] * jax.grad(surrogate)(x)
        if signs is None or settings.opponents == "naive":
            naive = own_slopes(x)
        if signs is None:
            meta = (1 - g)[:, None] * naive + g[:, None] * meta
        if settings.opponents == "meva":
            return meta
        if settings.opponents == "lola":
            inner = FirstOrder(settings.lookahead_rate, 0.0, 1.0)
            thetas = [unflatten[i](x[i]) for i in players]
            others = [ravel_pytree(first_order_direction(objective, thetas, i, inner))[0] for i in players]
            naive = jnp.stack(others)
        return jnp.where(jnp.arange(len(policies))[:, None] == player, meta, naive)

    def stretch(network: Any, x: jax.Array, g: jax.Array, signs: jax.Array | None) -> jax.Array:
        """Joint parameters after 1, ..., stride updates, [stride, players, parameters]."""

        def step(x: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            after = x + settings.lookahead_rate * ascent(network, x, g, signs)
            return after, after

        return lax.scan(step, x, None, length=settings.stride)[1]

    def loss(network: Any, target: Any, xs: jax.Array, rewards: jax.Array, g: jax.Array) -> jax.Array:
        """Quantile regression of Vhat at xs[:-1] on lambda returns along xs [stride + 1, players, parameters]."""
        found = jax.vmap(lambda x: _quantiles(settings, network, x, g))(xs[:-1])
        later = jax.vmap(lambda x: _quantiles(settings, target, x, g))(xs[1:])
        share = g[:, None]

        def back(ahead: jax.Array, row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            reward, value = row
            bootstrapped = (1 - settings.trace) * value + settings.trace * ahead
            wanted = (1 - share) * reward[:, None] + share * bootstrapped
            return wanted, wanted

        _, wanted = lax.scan(back, later[-1], (rewards, later), reverse=True)
        return jnp.mean(quantile_huber(found, lax.stop_gradient(wanted)))

    transform = optax.scale_by_adam()

    def train(carry: Any, _: None) -> tuple[Any, None]:
        """One stretch: explore, then learn from the trajectory."""
        (network, target, moments), x, g, signs = carry
        explored = jax.vmap(lambda x, g, s: stretch(network, x, g, s)[-1])(x, g, signs)
        followed = jax.vmap(lambda x, g: stretch(network, x, g, None))(explored, g)
        rewards = jax.vmap(jax.vmap(standardised))(followed)
        xs = jnp.concatenate([explored[:, None], followed], axis=1)
        slope = jax.grad(lambda n: jnp.mean(jax.vmap(lambda *row: loss(n, target, *row))(xs, rewards, g)))(network)
        change, moments = transform.update(slope, moments, network)
        network = move(network, -settings.network_rate, change)
        target = polyak(target, network, _TARGET_RATE)
        return ((network, target, moments), explored, g, signs), None

    def episode(learner: Any, number: jax.Array) -> tuple[Any, None]:
        own = jax.random.fold_in(key, number)
        x = jax.vmap(lambda k: _joint(drawn(k))[0])(_keys(jax.random.fold_in(own, 0), settings.batch))
        shape = (settings.batch, len(policies))
        g = jax.random.beta(jax.random.fold_in(own, 1), 0.5, 0.5, shape, jnp.float32).astype(dtype)
        flipped = jax.random.bernoulli(jax.random.fold_in(own, 2), _FLIPPED, (*shape, settings.width))
        signs = jnp.where(flipped, -1, 1).astype(dtype)
        (learner, *_), _ = lax.scan(train, (learner, x, g, signs), None, length=settings.steps // settings.stride)
        return learner, None

    networks = [
        jax.tree.map(
            lambda leaf: leaf.astype(dtype),
            _module(settings).init(jax.random.fold_in(key, _NETWORKS + i), start, jnp.zeros(len(policies))),
        )
        for i in range(2)
    ]
    first = (networks[0], networks[1], transform.init(networks[0]))
    if settings.episodes == 0:
        return Learned(networks[0], deviation)
    (network, _, _), _ = lax.scan(episode, first, jnp.arange(settings.episodes))
    return Learned(network, deviation)


def _untrained(settings: MetaValue) -> MetaValue:
    return dataclasses.replace(settings, episodes=0)


def _module(settings: MetaValue) -> MetaValueNetwork:
    return MetaValueNetwork(settings.width, settings.quantiles, settings.symmetric and settings.opponents == "meva")


def _quantiles(settings: MetaValue, network: Any, x: jax.Array, g: jax.Array, signs: Any = None) -> jax.Array:
    """[players, quantiles]."""
    return _applied(_module(settings), network, x, g, signs)


@partial(jax.jit, static_argnums=0)
def _applied(module: MetaValueNetwork, network: Any, x: jax.Array, g: jax.Array, signs: Any) -> jax.Array:
    """The network's output; jitted, so that it is traced once although many places ask for it."""
    return jnp.asarray(module.apply(network, x, g, signs))


def _values(settings: MetaValue, network: Any, x: jax.Array, g: jax.Array, signs: Any = None) -> jax.Array:
    """Vhat [players], standardised."""
    return jnp.mean(_quantiles(settings, network, x, g, signs), axis=-1)


def _joint(thetas: Thetas) -> tuple[jax.Array, list[Any]]:
    """Parameters as [players, parameters], and for each player the function that restores their shape."""
    flat = [ravel_pytree(theta) for theta in thetas]
    if len({row.size for row, _ in flat}) > 1:
        raise ValueError("meva needs players with equally many parameters")
    return jnp.stack([row for row, _ in flat]), [unflatten for _, unflatten in flat]


def _keys(key: jax.Array, count: int) -> jax.Array:
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.arange(count))


RULES = {"meva": meva}
