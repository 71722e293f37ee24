"""Models of opponents, fitted only to their observed actions (Foerster et al. 2018, section 4.5).

    theta_hat <- argmax  mean log pi_theta_hat(a | s)  -  beta KL(pi_before || pi_theta_hat)

by gradient steps on the observations and actions of the last `window` updates. beta = 0 is the plain model of the
paper. Three remedies stabilise it, alone or together:

- proximal fitting, beta > 0: a model moves slowly from policy to policy, however little it has seen;
- an ensemble: members are fitted to different streams, and directions are averaged over them;
- trust: the lookahead rate is multiplied by exp(-D / trust), where D is how far members differ on what was seen (the
  mean KL between neighbours). Members that know little about an opponent disagree, and it is then hardly shaped.

A model replaces the opponent's parameters in the objective; nothing else changes.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax import lax

from shaping.learners import replay_buffer
from shaping.learners.replay_buffer import Replay
from shaping.objectives.objective import Objective
from shaping.objectives.play_batches import Batch, Sampler
from shaping.policies.policy import Policy
from shaping.signatures import NonNegative, Positive, Range, checked


@struct.dataclass
class ModelSettings:
    """Settings.

    Attributes:
      rate: learning rate of the fit, at least 0.
      penalty: beta, at least 0.
      trust: the divergence of members at which trust has fallen to 1/e; None to trust always.
      scale: scale of the models' initial parameters, as in `Policy.init`.
      members: size of the ensemble, at least 1.
      window: number of updates whose play is kept, at least 1.
      steps: optimiser steps per update.
      first_steps: optimiser steps in the first update.
      optimizer: "adam" or "sgd".
      streams: how many of an update's streams of play the learner sees, at least one per member; None for all.
    """

    rate: Any
    penalty: Any
    trust: Any
    scale: Any
    members: int = struct.field(pytree_node=False, default=1)
    window: int = struct.field(pytree_node=False, default=1)
    steps: int = struct.field(pytree_node=False, default=1)
    first_steps: int = struct.field(pytree_node=False, default=1)
    optimizer: str = struct.field(pytree_node=False, default="adam")
    streams: int | None = struct.field(pytree_node=False, default=None)

    about_others: ClassVar[bool] = True
    """In a population what is learned by them starts anew with a new partner."""

    def turned(self, order: Sequence[int]) -> "ModelSettings":
        """The same: all others are modelled alike."""
        del order
        return self


@struct.dataclass
class ModelState:
    """What a learner knows about all others.

    Attributes:
      thetas: parameters of the models, one pytree [members, ...] per seat; None for its own seat.
      optimizers: states of their optimisers, likewise.
      window: a replay of observations, actions and running of a `Batch`, [window, time, streams, ...].
    """

    thetas: tuple[Any, ...]
    optimizers: tuple[Any, ...]
    window: Replay

    about_others: ClassVar[bool] = True

    def turned(self, order: Sequence[int]) -> "ModelState":
        """The same with other seats: the model of seat k is that of seat `order[k]`."""
        players = np.asarray(order)
        entries = {
            name: leaf if name == "running" else leaf[:, :, :, players] for name, leaf in self.window.entries.items()
        }
        window = Replay(entries, self.window.seen)
        return ModelState(tuple(self.thetas[i] for i in order), tuple(self.optimizers[i] for i in order), window)


@checked
def opponent_model(
    rate: NonNegative = 0.1,
    penalty: NonNegative = 0.0,
    trust: Positive | None = None,
    scale: NonNegative = 1.0,
    members: Annotated[int, Range(1, 64)] = 1,
    window: Annotated[int, Range(1, 10**4)] = 1,
    steps: Annotated[int, Range(1, 10**5)] = 10,
    first_steps: Annotated[int, Range(1, 10**5)] = 50,
    optimizer: Literal["adam", "sgd"] = "adam",
    streams: Annotated[int, Range(1, 10**7)] | None = None,
) -> ModelSettings:
    """A model of every opponent; see `ModelSettings` for the meaning of the settings.

    Raises:
      ValueError: for a number of members, updates or steps below 1, for trust with only one member, or for fewer
        streams than members.
    """
    if trust is not None and members < 2:
        raise ValueError(f"members is {members}: must be at least 2, because trust rests on whether members agree")
    if streams is not None and streams < members:
        raise ValueError(f"streams is {streams}: must be at least {members}, one for every member")
    return ModelSettings(rate, penalty, trust, scale, members, window, steps, first_steps, optimizer, streams)


def start(
    settings: ModelSettings,
    key: jax.Array,
    policies: Sequence[Policy],
    seats: Sequence[int],
    objective: Objective,
    dtype: Any,
) -> ModelState:
    """Models before anything was seen, for every seat that is not one of the learner's own `seats`. They are drawn like
    any player's parameters, and are not those of the opponents.

    Raises:
      ValueError: if there are no others.
    """
    if len(seats) == len(policies):
        raise ValueError("opponent_model is given; allowed: for learners that have opponents")
    transform = _transform(settings)
    thetas: list[Any] = []
    for seat, policy in enumerate(policies):
        if seat in seats:
            thetas.append(None)
            continue
        keys = [jax.random.fold_in(jax.random.fold_in(key, seat), member) for member in range(settings.members)]
        drawn = jax.vmap(lambda key, policy=policy: policy.init(key, settings.scale))(jnp.stack(keys))
        thetas.append(jax.tree.map(lambda leaf: leaf.astype(dtype), drawn))
    like = jax.eval_shape(lambda seen: _kept(settings, Batch(rewards=jnp.zeros(()), **seen)), objective.sampler.seen)
    optimizers = tuple(None if theta is None else jax.vmap(transform.init)(theta) for theta in thetas)
    return ModelState(tuple(thetas), optimizers, replay_buffer.init(like, settings.window))


def fitted(settings: ModelSettings, state: ModelState, objective: Objective) -> ModelState:
    """Models after one more observed batch."""
    window, seen = replay_buffer.add(state.window, _kept(settings, objective.observed)), state.window.seen
    full = Batch(rewards=jnp.zeros(()), **window.entries)
    # Entries that are still missing in the window are marked as not running, so they have no weight.
    joined = jax.tree.map(lambda leaf: jnp.concatenate(jnp.unstack(leaf), axis=1) if leaf.ndim else leaf, full)
    parts = _dealt(joined, settings.members)
    thetas: list[Any] = []
    moments: list[Any] = []
    for seat, theta in enumerate(state.thetas):
        if theta is None:
            thetas.append(None)
            moments.append(None)
            continue
        fit = jax.vmap(lambda *own, seat=seat: _fit(settings, objective.sampler, seat, seen, *own))
        new, carried = fit(theta, state.optimizers[seat], parts)
        thetas.append(new)
        moments.append(carried)
    return ModelState(tuple(thetas), tuple(moments), window)


def imagined(state: ModelState, thetas: Sequence[Any], member: Any) -> list[Any]:
    """All players' parameters as one member of the ensemble knows them; the learner's own are unchanged."""
    return [
        theta if model is None else jax.tree.map(lambda leaf: leaf[member], model)
        for theta, model in zip(thetas, state.thetas, strict=True)
    ]


def trust_of(settings: ModelSettings, state: ModelState, objective: Objective) -> jax.Array:
    """exp(-D / trust), a scalar in [0, 1]; 1 without trust."""
    if settings.trust is None:
        return jnp.ones(())
    found, seen = [], Batch(rewards=jnp.zeros(()), **_kept(settings, objective.observed))
    for seat, theta in enumerate(state.thetas):
        if theta is not None:
            others = jax.tree.map(lambda leaf: jnp.roll(leaf, 1, axis=0), theta)
            between = jax.vmap(lambda a, b, seat=seat: objective.sampler.divergence(seat, a, b, seen), in_axes=0)
            found.append(jnp.mean(between(theta, others)))
    return jnp.exp(-jnp.mean(jnp.stack(found)) / settings.trust)


def error_of(state: ModelState, thetas: Sequence[Any], batch: Batch, sampler: Sampler) -> jax.Array:
    """KL(policy || model) on the states of a batch, averaged over opponents and members; a scalar."""
    found = []
    for seat, model in enumerate(state.thetas):
        if model is not None:
            each = jax.vmap(lambda own, seat=seat: sampler.divergence(seat, own, thetas[seat], batch))(model)
            found.append(jnp.mean(each))
    return jnp.mean(jnp.stack(found))


def _fit(
    settings: ModelSettings, sampler: Sampler, seat: int, seen: jax.Array, theta: Any, moments: Any, batch: Batch
) -> tuple[Any, Any]:
    """One member's parameters and optimiser state after its steps."""
    transform = _transform(settings)
    before = theta
    running = jnp.maximum(jnp.sum(batch.running.astype(jax.tree.leaves(theta)[0].dtype)), 1)

    def loss(theta: Any) -> jax.Array:
        unlikely = -jnp.sum(sampler.read(seat, theta, batch)[0]) / running
        if isinstance(settings.penalty, float) and settings.penalty == 0:
            return unlikely
        return unlikely + settings.penalty * sampler.divergence(seat, theta, before, batch)

    def step(number: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        theta, moments = carry
        change, new = transform.update(jax.grad(loss)(theta), moments, theta)
        wanted = number < jnp.where(seen == 0, settings.first_steps, settings.steps)
        moved = (optax.apply_updates(theta, change), new)
        return jax.tree.map(lambda a, b: jnp.where(wanted, a, b), moved, (theta, moments))

    # Under vmap `seen` is the same for all matches, because all of them begin together.
    most = jnp.where(jnp.max(seen) == 0, settings.first_steps, settings.steps)
    return lax.fori_loop(0, most, step, (theta, moments))


def _kept(settings: ModelSettings, batch: Batch) -> dict[str, jax.Array]:
    """What is kept of a batch: what all players saw and did, in the streams that the learner sees."""
    shown = slice(settings.streams)
    return {name: getattr(batch, name)[:, shown] for name in ("observations", "actions", "running")}


def _dealt(batch: Batch, members: int) -> Batch:
    """Deals a batch's streams to the members in turn, [members, time, batch / members, ...]; rewards are left out."""

    def deal(leaf: jax.Array) -> jax.Array:
        if not leaf.ndim:
            return jnp.zeros((members,), leaf.dtype)
        streams = leaf.shape[1] // members * members
        apart = leaf[:, :streams].reshape(leaf.shape[0], streams // members, members, *leaf.shape[2:])
        return jnp.moveaxis(apart, 2, 0)

    return jax.tree.map(deal, batch)


def _transform(settings: ModelSettings) -> optax.GradientTransformation:
    return {"adam": optax.adam, "sgd": optax.sgd}[settings.optimizer](settings.rate)
