"""Policy gradients over trials, in which streams of play share those they meet (COALA-PG, Meulemans et al. 2025).

The others of a trial update between its episodes on the play of all B streams. What a shaper does in one stream thus
changes what happens in all streams later. With rewards r of stream b at step l, whose episode ends with step m, and the
objective  E (1/B) sum over b, l of r_l^b,  the gradient is  E sum over b, l of grad log pi(a_l^b) A_l^b  with

    coala           A_l^b = 1/B (r_l^b + ... + r_m^b)  +  1/B sum over all b' of (r_{m+1}^b' + ...)      (theorem 3.1)
    mfos            A_l^b =     (r_l^b + ... + r_m^b)  +  1/B sum over all b' of (r_{m+1}^b' + ...)      (equation 7)
    batch_unaware   A_l^b = 1/B (r_l^b + ...)

The first is unbiased. M-FOS's lacks a 1/B, without which the present episode counts B times as much as it should; with
it, it is the first. The last takes streams for independent, and misses what an action changes in all the others.

In a trial in which a copy of the shaper sits opposite nobody learns, and streams are indeed independent: there the last
is unbiased too and has less noise, so it replaces the others, and means over streams are taken for each kind of trial
by itself.

With a critic, errors  delta_l = r_l + gamma V_{l+1} - V_l,  discounted by gamma lambda, take the place of rewards. V is
the return of the own stream; neither it nor its targets notice where episodes end. All three are one reverse scan.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from jax import lax

from shaping.learners.actor_critic import ActorCritic, learner_with
from shaping.learners.learner import Common, Learner
from shaping.objectives.play_batches import Batch
from shaping.signatures import NonNegative, Positive, Probability, Range, checked

Estimate = Literal["coala", "mfos", "batch_unaware"]


def trial_advantages(
    rewards: jax.Array,
    rounds: int,
    estimator: Estimate = "coala",
    values: Any = 0.0,
    discount: Any = 1.0,
    decay: Any = 1.0,
) -> jax.Array:
    """A of the formulas above, for one trial, [time, streams]; the surrogate is to be summed over both.

    Args:
      rewards: [time, streams].
      rounds: steps of an episode, after which the others update; a divisor of time.
      estimator: which of the three.
      values: V, [time, streams], or 0 for no critic.
      discount, decay: gamma and lambda, scalars in [0, 1].

    Raises:
      ValueError: if `rounds` does not divide the steps.
    """
    steps, streams = rewards.shape
    if steps % rounds:
        raise ValueError(f"rounds is {rounds}; allowed: a divisor of the steps of a trial, {steps}")
    values = jnp.broadcast_to(values, rewards.shape)
    following = jnp.concatenate([values[1:], jnp.zeros_like(values[:1])])
    errors = rewards + discount * following - values
    share = 1.0 if estimator == "mfos" else 1 / streams
    last = jnp.arange(1, steps + 1) % rounds == 0

    def step(later: tuple[jax.Array, jax.Array], now: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
        (own, all_), (error, last) = later, now
        if estimator != "batch_unaware":
            # Before the error of an episode's last step is added: that step still belongs to its own stream.
            own = jnp.where(last, all_, own)
        own = share * error + discount * decay * own
        all_ = jnp.mean(error) + discount * decay * all_
        return (own, all_), own

    start = jnp.zeros(streams, errors.dtype), jnp.zeros((), errors.dtype)
    return lax.scan(step, start, (errors, last), reverse=True)[1]


@dataclass(frozen=True)
class OfTrials:
    """Advantages of a batch of trials, as actor-critic learners ask for them.

    Attributes:
      estimator: see above.
      centre: whether their mean over all streams of all trials of a kind is subtracted at each step, a baseline without
        a critic.
      scale: whether they are divided by their spread over the batch.
    """

    estimator: Estimate
    centre: bool
    scale: bool

    def __call__(self, rewards: jax.Array, values: jax.Array, batch: Batch, sampler: Any, decay: Any) -> jax.Array:
        """[time, trials * streams], times B, as learners take the mean over streams where the formulas have the sum.

        Raises:
          ValueError: if what is played are no trials of a sampled game.
        """
        meta = getattr(sampler.env, "meta", None)
        if meta is None or not meta.sampled:
            raise ValueError("coala learns over trials of a game that is played; allowed: with trial.rounds")
        apart = [leaf.reshape(meta.horizon, -1, meta.streams) for leaf in (rewards, values)]

        def by(estimator: Estimate) -> jax.Array:
            def of(rewards: jax.Array, values: jax.Array) -> jax.Array:
                return trial_advantages(rewards, meta.rounds, estimator, values, sampler.discount, decay)

            return meta.streams * jax.vmap(of, in_axes=1, out_axes=1)(*apart).reshape(rewards.shape)

        found, alone = by(self.estimator), None if batch.group is None else batch.group > 0
        if alone is not None:
            found = jnp.where(alone, by("batch_unaware"), found)
        if self.centre:
            found = _centred(found, alone)
        return found / (jnp.std(found) + 1e-8) if self.scale else found


def _centred(advantages: jax.Array, alone: jax.Array | None) -> jax.Array:
    """Advantages [time, streams] minus their mean at each step, of the streams in `alone` and of all others."""
    if alone is None:
        return advantages - jnp.mean(advantages, axis=1, keepdims=True)

    def mean(chosen: jax.Array) -> jax.Array:
        count = jnp.maximum(jnp.sum(chosen, axis=1, keepdims=True), 1)
        return jnp.sum(jnp.where(chosen, advantages, 0), axis=1, keepdims=True) / count

    return advantages - jnp.where(alone, mean(alone), mean(~alone))


@checked
def coala(
    estimator: Estimate = "coala",
    clip: Positive | None = 0.2,
    gae_lambda: Probability = 1.0,
    entropy: NonNegative = 0.0,
    epochs: Annotated[int, Range(1)] = 4,
    minibatches: Annotated[int, Range(1)] = 2,
    centre: bool = True,
    normalise: bool = True,
    critic: bool = True,
    common: Common = Common(),  # noqa: B008 - frozen, and the default a reader expects to see
) -> Learner:
    """COALA-PG, with the clipped steps of PPO.

    Args:
      estimator: "coala", "mfos" or "batch_unaware".
      clip: epsilon of PPO; None for none.
      gae_lambda, entropy, epochs, minibatches: see `ppo`.
      centre, normalise: whether the mean at each step is subtracted from advantages, and whether they are divided by
        their spread.
      critic: whether it learns a critic; where advantages are centred, it can do without.
      common: settings that every learner has.
    """
    own = ActorCritic(
        gae_lambda, entropy, clip, False, epochs, minibatches, OfTrials(estimator, centre, normalise), critic
    )
    return replace(learner_with(own, common), needs_trials=True)


LEARNERS = {"coala": coala}
