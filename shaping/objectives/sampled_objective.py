"""Expected returns estimated from play: an objective for any environment and policies, differentiable to any order.

A call draws a fresh batch with the key it is given and returns, for every player, an estimate. Its value is that of the
batch, and its derivatives of every order are unbiased estimates of those of the return (formulas are in `estimators`):

    V_i = E sum_t gamma^t r_i,t         t = 0, ..., horizon - 1, to the end of an episode
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from shaping.objectives.estimators import BASELINES, KINDS, centred, dice, gae, loaded_dice, surrogate
from shaping.objectives.objective import Objective, Thetas
from shaping.objectives.play_batches import Batch, Sampler
from shaping.policies.along_trajectories import values_over_time
from shaping.policies.critics import Critic


@struct.dataclass
class EstimatorNumbers:
    """Numbers of an estimator; each may have a population axis.

    Attributes:
      gae_lambda: lambda of advantages (`estimators.gae`), in [0, 1].
      decay: lambda of Loaded DiCE (`estimators.loaded_dice`), in [0, 1]; None for 1.
    """

    gae_lambda: Any = 1.0
    decay: Any = None


@dataclass(frozen=True)
class Estimator:
    """How returns are estimated; part of what is compiled.

    Attributes:
      kind: "dice", "loaded_dice" or "surrogate".
      baseline: "leave_one_out", "batch_mean", "critic" or "none".
      slices: into how many slices the batch is cut, whose derivatives are added up one after the other; the result is
        the same.
      rematerialise: whether derivatives store only the parameters before each imagined step, and play and compute
        everything in between a second time.

      Raises:
      ValueError: for an unknown choice, or for Loaded DiCE without a critic.
    """

    kind: str = "dice"
    baseline: str = "leave_one_out"
    slices: int = 1
    rematerialise: bool = False

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}; allowed: {', '.join(KINDS)}")
        if self.baseline not in BASELINES:
            raise ValueError(f"baseline is {self.baseline!r}; allowed: {', '.join(BASELINES)}")
        if self.kind == "loaded_dice" and self.baseline != "critic":
            raise ValueError(f"baseline is {self.baseline!r}; allowed: critic if kind is loaded_dice")
        if self.kind == "surrogate" and self.baseline == "critic":
            raise ValueError("baseline is 'critic'; allowed: leave_one_out, batch_mean or none if kind is surrogate")


def sampled_objective(
    sampler: Sampler,
    estimator: Estimator = Estimator(),  # noqa: B008 - frozen, and the default a reader expects to see
    numbers: EstimatorNumbers = EstimatorNumbers(),  # noqa: B008
    critics: Sequence[Critic | None] | None = None,
) -> Objective:
    """The objective of a sampler.

    Args:
      sampler: plays the batches.
      estimator, numbers: how returns are estimated.
      critics: one per player, for the baseline `critic`; their parameters are the context of a call, one pytree per
        player. A player whose policy has a value head needs none.

    Raises:
      ValueError: if the number of slices does not divide the batch, if a batch is too small to leave one out, if a
        baseline needs critics and there are none, or if it would depend on what is done (a joint Q critic).
    """
    if sampler.batch % estimator.slices:
        raise ValueError(f"slices is {estimator.slices}; allowed: a divisor of batch, {sampler.batch}")
    if estimator.baseline == "leave_one_out" and sampler.batch < 2:
        raise ValueError(f"batch is {sampler.batch}; allowed: 2 or more with baseline leave_one_out")
    if estimator.baseline == "critic":
        for seat, policy in enumerate(sampler.policies):
            if policy.evaluate is None and (critics is None or critics[seat] is None):
                raise ValueError(f"player {seat} has no critic; allowed: one per player with baseline critic")
            critic = None if critics is None else critics[seat]
            if critic is not None and critic.joint and critic.num_actions is not None:
                raise ValueError("baseline is 'critic'; allowed: another, as joint Q critics see what the others do")

    def values(player: int, thetas: Thetas, batch: Batch, context: Any = None) -> jax.Array:
        return state_values(sampler, critics, thetas, context, player, batch)

    def action_values(player: int, batch: Batch, context: Any = None) -> jax.Array:
        return _expected(critics, context, player, batch)

    # Jitted, so that play, the estimate and each of its derivatives are traced once for everybody who asks.
    @jax.jit
    def estimated(thetas: list[Any], key: jax.Array, context: Any) -> tuple[jax.Array, Batch]:
        batch = sampler.play(thetas, key)
        if estimator.baseline == "critic":
            still = lax.stop_gradient(list(thetas))
            expected = jnp.stack([values(seat, still, batch, context) for seat in range(len(thetas))], axis=-1)
        else:
            expected = None
        return _estimated(sampler, estimator, numbers, list(thetas), batch, expected), batch

    def returns(thetas: Thetas, key: jax.Array | None, context: Any) -> tuple[jax.Array, Batch]:
        if key is None:
            raise ValueError("key is None; allowed: a key, as returns are sampled")
        return estimated(list(thetas), key, context)

    return Objective(returns, sampler.divergence, values, action_values, sampler, estimator.rematerialise)


def state_values(
    sampler: Sampler, critics: Sequence[Critic | None] | None, thetas: Thetas, context: Any, player: int, batch: Batch
) -> jax.Array:
    """The return that a player's critic expects from each step on, [time, batch], 0 after the end.

    Raises:
      ValueError: for a player without a critic, or a critic without parameters.
    """
    policy, seen = sampler.policies[player], batch.observations[:, :, player]
    critic = None if critics is None else critics[player]
    if critic is None:
        if policy.evaluate is None:
            raise ValueError(
                f"player {player} has no critic; allowed: critics in the game, or a policy with a value head"
            )
        evaluate = policy.evaluate

        def head(theta: Any, observation: jax.Array, memory: Any) -> tuple[jax.Array, Any]:
            _, value, memory = evaluate(theta, observation, memory)
            return value, memory

        found = values_over_time(head, policy.start, thetas[player], seen)
    else:
        found = _expected(critics, context, player, batch)
        if critic.num_actions is not None:
            found = jnp.sum(sampler.probabilities(player, thetas[player], batch) * found, axis=-1)
    return jnp.where(batch.running, found, 0)


def _expected(critics: Sequence[Critic | None] | None, context: Any, player: int, batch: Batch) -> jax.Array:
    """What a player's critic says at every step, [time, batch], or [time, batch, actions] if it is a Q critic."""
    critic = None if critics is None else critics[player]
    if critic is None or context is None or context[player] is None:
        raise ValueError(f"player {player}'s critic has no parameters; allowed: learners that keep critics")
    seen: Any = batch.observations[:, :, player]
    if critic.joint:
        seen = jnp.roll(batch.observations, -player, axis=2), jnp.roll(batch.actions, -player, axis=2)[:, :, 1:]
    return values_over_time(critic.apply, critic.start, context[player], seen)


def _estimated(
    sampler: Sampler,
    estimator: Estimator,
    numbers: EstimatorNumbers,
    thetas: list[Any],
    batch: Batch,
    values: jax.Array | None,
) -> jax.Array:
    """Returns [players] estimated from a given batch."""
    gamma = sampler.discount
    # The weights of the log-probabilities are computed for the whole batch, before it is sliced.
    if estimator.kind == "loaded_dice":
        assert values is not None
        weighted = gae(batch.rewards, values, gamma, numbers.gae_lambda)
    else:
        weighted = centred(batch.rewards, estimator.baseline)
    value = None
    if estimator.kind == "loaded_dice" or estimator.baseline in ("leave_one_out", "batch_mean"):
        # Centred rewards sum to zero, and Loaded DiCE has the value zero: the return of the batch is added back.
        value = jnp.mean(_discounted(batch.rewards, gamma), axis=0)

    def of(thetas: list[Any], batch: Batch, weighted: jax.Array, values: jax.Array | None) -> jax.Array:
        chances = sampler.log_probabilities(thetas, batch)
        if estimator.kind == "loaded_dice":
            return loaded_dice(chances, weighted, gamma, numbers.decay)
        if estimator.kind == "surrogate":
            return surrogate(chances, weighted, gamma)
        return dice(chances, weighted, gamma, values)

    if estimator.slices > 1:
        of = jax.checkpoint(of)
    if estimator.slices == 1:
        found = of(thetas, batch, weighted, values)
    else:
        found = _summed(of, estimator.slices, thetas, batch, weighted, values) / estimator.slices
    return found if value is None else found + lax.stop_gradient(value - found)


def _summed(of: Any, slices: int, thetas: list[Any], *data: Any) -> jax.Array:
    """The sum of `of` over slices of the batch, one after the other."""

    def cut(leaf: jax.Array) -> jax.Array:
        """[time, batch, ...] to [slices, time, batch / slices, ...]."""
        time, streams = leaf.shape[:2]
        return jnp.moveaxis(leaf.reshape(time, slices, streams // slices, *leaf.shape[2:]), 1, 0)

    def add(total: jax.Array, part: Any) -> tuple[jax.Array, None]:
        return total + of(thetas, *part), None

    parts = jax.tree.map(cut, data)
    like = jax.eval_shape(lambda: of(thetas, *jax.tree.map(lambda leaf: leaf[0], parts)))
    return lax.scan(add, jnp.zeros(like.shape, like.dtype), parts)[0]


def _discounted(rewards: jax.Array, discount: Any) -> jax.Array:
    """sum_t gamma^t r_t of every stream, [batch, players]; computed backwards, which works for any gamma."""

    def step(later: jax.Array, now: jax.Array) -> tuple[jax.Array, None]:
        return now + discount * later, None

    return lax.scan(step, jnp.zeros_like(rewards[0]), rewards, reverse=True)[0]
