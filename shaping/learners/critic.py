"""Critics that are learned together with policies: one for every seat, from the match as it is played.

    phi <- phi - rate * optimiser of  mean 1/2 (V_phi(s_t) - target_t)^2        if it estimates V
                                      mean 1/2 (Q_phi(s_t, a_t) - target_t)^2   if it estimates Q

    target_t = V_phi'(s_t) + A_t,   for Q with V_phi'(s) = sum_a pi(a | s) Q_phi'(s, a)

with generalised advantages A from the rewards and V_phi': lambda 1 makes targets the discounted rewards that follow,
lambda 0 those of one step (for Q, expected Sarsa). phi' is phi itself or, if critics have target networks, parameters
that follow it slowly (Mnih et al. 2015: copied now and then; Lillicrap et al. 2016: averaged exponentially).

A learner has its own critics for all seats: the return of an opponent that it imagines needs a baseline too, and what
the opponent itself expects is not visible. If a policy's critic shares its trunk, it is its own critic: its loss is
then part of the learner's ascent, with the weight `rate`.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax

from shaping.objectives.estimators import gae
from shaping.objectives.objective import Objective
from shaping.objectives.play_batches import Batch
from shaping.policies.critics import Critic
from shaping.rules.target_network import followed
from shaping.signatures import NonNegative, Probability, Range, checked


@struct.dataclass
class CriticSettings:
    """Settings.

    Attributes:
      rate: the critics' learning rate; for critics that share a trunk, the weight of their loss. At least 0.
      gae_lambda: of the targets, in [0, 1]; with 1 they are the discounted rewards that follow.
      critics: one per seat, None for a policy that is its own critic.
      optimizer: "adam" or "sgd".
      steps: optimiser steps per update, at least 1.
      target_rate: how far target networks move towards the critics, above 0 and at most 1; None for no target networks.
      target_period: updates from one such move to the next, at least 1.
    """

    rate: Any
    gae_lambda: Any
    critics: tuple[Critic | None, ...] = struct.field(pytree_node=False)
    optimizer: str = struct.field(pytree_node=False, default="adam")
    steps: int = struct.field(pytree_node=False, default=1)
    target_rate: Any = None
    target_period: int = struct.field(pytree_node=False, default=1)

    def turned(self, order: Sequence[int]) -> "CriticSettings":
        """The same with other seats: the critic of seat k is that of seat `order[k]`."""
        return self.replace(critics=tuple(self.critics[seat] for seat in order))  # pyright: ignore


Share = Annotated[float, Range(0, 1, open_low=True)]


@checked
def critic(
    critics: Sequence[Critic | None],
    rate: NonNegative = 0.1,
    gae_lambda: Probability = 1.0,
    optimizer: str = "adam",
    steps: Annotated[int, Range(1)] = 1,
    target_rate: Share | None = None,
    target_period: Annotated[int, Range(1)] = 1,
) -> CriticSettings:
    """How critics are learned; see `CriticSettings` for the meaning of the settings.

    Raises:
      ValueError: for an unknown optimiser, fewer than 1 step, or a target rate or period out of its range.
    """
    if not isinstance(critics, list | tuple):
        raise ValueError(f"critics is {critics!r}; allowed: one critic per seat, None for a seat without")
    if optimizer not in ("adam", "sgd"):
        raise ValueError(f"optimizer is {optimizer!r}: must be adam or sgd")
    return CriticSettings(rate, gae_lambda, tuple(critics), optimizer, steps, target_rate, target_period)


@struct.dataclass
class CriticState:
    """Parameters of the critics and states of their optimisers, one per seat; None for a seat without a critic. With
    target networks also their parameters, and the number of updates so far; otherwise None."""

    parameters: tuple[Any, ...]
    optimizers: tuple[Any, ...]
    targets: tuple[Any, ...] | None = None
    updates: Any = None

    def turned(self, order: Sequence[int]) -> "CriticState":
        """The same with other seats, see `CriticSettings.turned`."""
        targets = None if self.targets is None else tuple(self.targets[i] for i in order)
        return CriticState(
            tuple(self.parameters[i] for i in order), tuple(self.optimizers[i] for i in order), targets, self.updates
        )


def by_seat(state: CriticState, seats: Sequence[int]) -> list[Any]:
    """Parameters of all critics, by seat; all seats of the learner share one critic."""
    return _shared(state.parameters, seats)


def _shared(parameters: Sequence[Any], seats: Sequence[int]) -> list[Any]:
    return [parameters[seats[0] if seat in seats else seat] for seat in range(len(parameters))]


def start(settings: CriticSettings, key: jax.Array, dtype: Any, seats: Sequence[int] = ()) -> CriticState:
    """Critics before the first update: networks start from their own initialisation, tables from 0.

    A learner that plays several `seats` has one critic for all of them, stored at the first.
    """
    transform = _transform(settings)
    parameters: list[Any] = []
    for seat, critic in enumerate(settings.critics):
        critic = None if seat in seats[1:] else critic
        scale = jnp.float32(0 if critic is not None and critic.kind == "tabular" else 1)
        drawn = None if critic is None else critic.init(jax.random.fold_in(key, seat), scale)
        parameters.append(jax.tree.map(lambda leaf: leaf.astype(dtype), drawn))
    follows = settings.target_rate is not None
    return CriticState(
        tuple(parameters),
        tuple(transform.init(phi) for phi in parameters),
        tuple(parameters) if follows else None,
        jnp.int32(0) if follows else None,
    )


def fitted(
    settings: CriticSettings,
    state: CriticState,
    objective: Objective,
    seats: Sequence[int] = (),
    thetas: Sequence[Any] | None = None,
    loss_of: Callable[..., tuple[jax.Array, jax.Array]] | None = None,
) -> CriticState:
    """Critics after their steps on the observed batch; the critic that all `seats` of a learner share is fitted to what
    was seen at each of them. Q critics need the parameters of the policies, `thetas`. `loss_of` takes the place of
    `judged`."""
    return fitted_with_estimates(settings, state, objective, seats, thetas, loss_of)[0]


def fitted_with_estimates(
    settings: CriticSettings,
    state: CriticState,
    objective: Objective,
    seats: Sequence[int] = (),
    thetas: Sequence[Any] | None = None,
    loss_of: Callable[..., tuple[jax.Array, jax.Array]] | None = None,
) -> tuple[CriticState, dict[int, jax.Array]]:
    """See `fitted`; and by seat what the critics said of the batch before, which their first step computes anyway."""
    loss_of = judged if loss_of is None else loss_of
    transform = _transform(settings)
    steady = None if state.targets is None else objective.within(_shared(state.targets, seats))
    batch: Batch = objective.observed
    found: list[tuple[Any, Any]] = []
    estimates: dict[int, jax.Array] = {}
    for seat, (phi, moments) in enumerate(zip(state.parameters, state.optimizers, strict=True)):
        if settings.critics[seat] is None or seat in seats[1:]:
            found.append((phi, moments))
            continue

        alike = seats if seat in seats else (seat,)

        def loss(phi: Any, alike: Sequence[int] = alike) -> tuple[jax.Array, list[jax.Array]]:
            context = [phi if other in alike else None for other in range(len(settings.critics))]
            at = objective.within(context)
            each = [loss_of(settings, at, thetas, other, batch, steady) for other in alike]
            losses = [lost for lost, _ in each]
            return sum(losses[1:], start=losses[0]), [said for _, said in each]

        def step(carry: tuple[Any, Any], _: None, loss: Any = loss) -> tuple[tuple[Any, Any], Any]:
            phi, moments = carry
            slope, said = jax.grad(loss, has_aux=True)(phi)
            change, moments = transform.update(slope, moments, phi)
            return (optax.apply_updates(phi, change), moments), said

        after, said = lax.scan(step, (phi, moments), None, length=settings.steps)
        found.append(after)
        estimates |= {other: every[0] for other, every in zip(alike, said, strict=True)}
    parameters, moments = (tuple(each) for each in zip(*found, strict=True))
    if state.targets is None:
        return CriticState(parameters, moments), estimates
    count = state.updates + 1
    targets = followed(state.targets, parameters, count, settings.target_rate, settings.target_period)
    return CriticState(parameters, moments, targets, count), estimates


def value_loss(
    settings: CriticSettings,
    objective: Objective,
    thetas: Sequence[Any] | None,
    player: int,
    batch: Batch,
    steady: Objective | None = None,
) -> jax.Array:
    """Half the mean squared distance of a critic from its targets, which are held fixed; a scalar. Targets come from
    `steady`, the objective within the target networks' parameters, or if it is None from the critic itself."""
    return judged(settings, objective, thetas, player, batch, steady)[0]


def judged(
    settings: CriticSettings,
    objective: Objective,
    thetas: Sequence[Any] | None,
    player: int,
    batch: Batch,
    steady: Objective | None = None,
) -> tuple[jax.Array, jax.Array]:
    """`value_loss`, and what the critic said: V [time, batch], or Q [time, batch, actions]."""
    assert objective.values is not None
    critic = settings.critics[player]
    if critic is None or critic.num_actions is None:
        values = said = objective.values(player, thetas, batch)
        expected = values if steady is None else _values(steady, player, thetas, batch)
    else:
        assert objective.action_values is not None
        said, taken = objective.action_values(player, batch), batch.actions[:, :, player]
        values = jnp.sum(said * jax.nn.one_hot(taken, critic.num_actions, dtype=said.dtype), axis=-1)
        expected = _values(steady or objective, player, thetas, batch)
    rewards, still = batch.rewards[:, :, player], lax.stop_gradient(expected)
    targets = still + gae(rewards, still, objective.sampler.discount, settings.gae_lambda)
    running = batch.running.astype(values.dtype)
    squares = jnp.where(batch.running, (values - lax.stop_gradient(targets)) ** 2, 0)
    return 0.5 * jnp.sum(squares) / jnp.maximum(jnp.sum(running), 1), said


def spread(arrays: jax.Array, running: jax.Array) -> jax.Array:
    """The standard deviation over running steps, [...] of [time, batch, ...]."""
    weight = running.reshape(*running.shape, *[1] * (arrays.ndim - 2)).astype(arrays.dtype)
    count = jnp.maximum(jnp.sum(weight), 1)
    mean = jnp.sum(weight * arrays, (0, 1)) / count
    return jnp.sqrt(jnp.sum(weight * (arrays - mean) ** 2, (0, 1)) / count)


def explained_variance(values: jax.Array, returns: jax.Array, running: jax.Array) -> jax.Array:
    """The share of the variance of returns over running steps that values explain, at most 1; [time, batch] each."""
    return 1 - (spread(returns - values, running) / spread(returns, running)) ** 2


def _values(objective: Objective, player: int, thetas: Sequence[Any] | None, batch: Batch) -> jax.Array:
    assert objective.values is not None
    return objective.values(player, thetas, batch)


def _transform(settings: CriticSettings) -> optax.GradientTransformation:
    return {"adam": optax.adam, "sgd": optax.sgd}[settings.optimizer](settings.rate)
