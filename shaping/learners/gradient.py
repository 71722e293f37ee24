"""The learner of the literature: an update rule's direction, carried out by an optax optimiser.

Beside its policy it may keep critics, which baselines and actor-critic rules ask, and models of its opponents, which
then take the place of their parameters in the rule.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax

from shaping.learners import critic as critics
from shaping.learners import opponent_model as models
from shaping.learners.critic import CriticSettings
from shaping.learners.initial import Initial, initial_parameters, normal
from shaping.learners.learner import Learner, LearnerState
from shaping.learners.opponent_model import ModelSettings
from shaping.learners.optimizer import Optimizer, optimizer
from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy
from shaping.rules.rule import Rule


@struct.dataclass
class GradientSettings:
    """Settings of a gradient learner; see `gradient_learner`."""

    rule: Rule
    step_size: Any
    optimizer: Optimizer
    initial: Initial
    critic: CriticSettings | None = None
    model: ModelSettings | None = None
    shaping_samples: int = struct.field(pytree_node=False, default=0)


def gradient_learner(
    rule: Rule,
    step_size: Any = 1.0,
    optimizer: Optimizer = optimizer("sgd"),  # noqa: B008 - frozen, and the default a reader expects to see
    initial: Initial = normal(1.0),  # noqa: B008
    critic: CriticSettings | None = None,
    model: ModelSettings | None = None,
    shaping_samples: int = 0,
) -> Learner:
    """theta <- theta + step_size * optimizer(direction of the rule).

    Args:
      rule: the update rule.
      step_size: the optimiser's learning rate, at least 0; 0 freezes the player.
      optimizer: the optax optimiser.
      initial: the distribution of the first parameters.
      critic: what critics it keeps; None for none. Only with objectives that sample, like the following.
      model: what models of its opponents it keeps; None to know their parameters.
      shaping_samples: how often the shaping term is estimated anew where its mean and spread are recorded; 0 where
        they are not, else at least 2.

    Raises:
      ValueError: shaping_samples for a rule that has no shaping term; where a match starts, no critic for a rule that
        would ask the policy's own value head, which nothing would train.
    """
    if shaping_samples and rule.shaping is None:
        raise ValueError("shaping_samples is given; allowed: for rules with a shaping term (lola, first_order)")
    prepares = rule.prepare is not None or initial.learned
    # What a rule has learned is arrays of its own, not numbers beside those of theta.
    elementwise = optimizer.elementwise and rule.prepare is None and critic is None and model is None
    settings = GradientSettings(rule, step_size, optimizer, initial, critic, model, shaping_samples)
    learns = critic is not None or model is not None
    return Learner(
        settings,
        _init,
        _step,
        elementwise,
        prepares,
        observes=learns,
        diagnose=_diagnose if model is not None or shaping_samples else None,
    )


@struct.dataclass
class GradientMemory:
    """What a gradient learner carries beside its parameters: the optimiser's state, what its rule has learned, its
    critics and its models of opponents (None where it has none)."""

    optimizer: Any
    learned: Any
    critic: Any = None
    model: Any = None


def _init(
    settings: GradientSettings,
    key: jax.Array,
    common: jax.Array,
    policies: Sequence[Policy],
    player: int,
    objective: Objective,
    dtype: Any,
) -> LearnerState:
    theta = initial_parameters(settings.initial, key, policies, player, objective, dtype)
    rule, learned, critic, model = settings.rule, None, None, None
    if rule.needs_critic and settings.critic is None and policies[player].evaluate is not None:
        raise ValueError("critic is None; allowed: what `critic` returns, so that the policy's value head is trained")
    if rule.prepare is not None:
        # Learners of one kind learn the same about one game: where there are several things to learn (COLA's directions
        # are not unique), those of a match agree.
        learned = rule.prepare(objective, policies, player, rule.settings, common, dtype)
    if settings.critic is not None:
        critic = critics.start(settings.critic, jax.random.fold_in(key, 1), dtype)
    if settings.model is not None:
        model = models.start(settings.model, jax.random.fold_in(key, 2), policies, player, objective, dtype)
    moments = settings.optimizer.build(settings.step_size).init(theta)
    return LearnerState(theta, GradientMemory(moments, learned, critic, model))


def _step(
    settings: GradientSettings,
    key: jax.Array,
    states: Sequence[LearnerState],
    player: int,
    objective: Objective,
) -> tuple[LearnerState, dict[str, jax.Array]]:
    own = states[player]
    memory: GradientMemory = own.memory
    transform = settings.optimizer.build(settings.step_size)
    thetas = [state.theta for state in states]
    rule = settings.rule
    critic: Any = memory.critic
    model: Any = memory.model
    if settings.model is not None:
        # Trust is asked of what was not fitted yet; the direction is taken with what is known by then.
        rate = models.trust_of(settings.model, model, objective)
        model = models.fitted(settings.model, model, objective)
        rule = _slowed(rule, rate)
    known = objective if critic is None else objective.within(critic.parameters)
    data = None
    if rule.collect is not None:
        data = rule.collect(known, thetas, player, rule.settings, key)

    def ascend(carry: tuple[Any, Any], number: jax.Array) -> tuple[tuple[Any, Any], None]:
        theta, moments = carry
        now = [theta if seat == player else other for seat, other in enumerate(thetas)]
        given = None if data is None else (data, number)

        def direct(seen: Sequence[Any]) -> Any:
            return rule.direction(known, seen, player, key, memory.learned, given)

        if settings.model is None:
            direction = direct(now)
        else:
            members = range(settings.model.members)
            each = [direct(models.imagined(model, now, member)) for member in members]
            direction = jax.tree.map(lambda *parts: sum(parts) / len(parts), *each)
        if settings.critic is not None and settings.critic.critics[player] is None:
            direction = _with_value_head(settings.critic, known, now, player, direction)
        # optax descends: the direction of ascent enters with its sign turned.
        descent = jax.tree.map(jnp.negative, direction)
        change, moments = transform.update(descent, moments, theta)
        return (optax.apply_updates(theta, change), moments), None

    if rule.steps == 1:
        (theta, moments), _ = ascend((own.theta, memory.optimizer), jnp.int32(0))
    else:
        (theta, moments), _ = lax.scan(ascend, (own.theta, memory.optimizer), jnp.arange(rule.steps))
    if settings.critic is not None:
        critic = critics.fitted(settings.critic, memory.critic, objective)
    return LearnerState(theta, GradientMemory(moments, memory.learned, critic, model)), {}


def _with_value_head(
    settings: CriticSettings, objective: Objective, thetas: Sequence[Any], player: int, direction: Any
) -> Any:
    """The direction with what the critic in the policy's own trunk wants, weighed by the critics' rate."""

    def loss(theta: Any) -> jax.Array:
        now = [theta if seat == player else other for seat, other in enumerate(thetas)]
        return settings.rate * critics.value_loss(settings, objective, now, player, objective.observed)

    return jax.tree.map(lambda d, slope: d - slope, direction, jax.grad(loss)(thetas[player]))


def _slowed(rule: Rule, factor: jax.Array) -> Rule:
    """A rule with its lookahead rate multiplied; one without a rate as it is."""
    if not hasattr(rule.settings, "lookahead_rate"):
        return rule
    rate = jax.tree.map(lambda r: r * factor.astype(jnp.result_type(r)), jnp.asarray(rule.settings.lookahead_rate))
    return dataclasses.replace(rule, settings=dataclasses.replace(rule.settings, lookahead_rate=rate))


def _diagnose(
    settings: GradientSettings, key: jax.Array, states: Sequence[LearnerState], player: int, objective: Objective
) -> dict[str, jax.Array]:
    """Scalars: model_error, the KL of opponents' policies from their models on the states of a fresh batch, and
    model_trust; shaping_norm and shaping_sd, the length of the mean of independent estimates of the shaping term and
    how far one estimate lies from it (root mean square)."""
    memory: GradientMemory = states[player].memory
    thetas = [state.theta for state in states]
    found = {}
    if settings.model is not None:
        batch = objective.sampler.play(thetas, jax.random.fold_in(key, 0))
        seen = dataclasses.replace(objective, observed=batch)
        found["model_error"] = models.error_of(memory.model, thetas, batch, objective.sampler)
        found["model_trust"] = models.trust_of(settings.model, memory.model, seen)
        thetas = models.imagined(memory.model, thetas, 0)
    if settings.shaping_samples:
        known = objective if memory.critic is None else objective.within(memory.critic.parameters)
        found |= _spread_of_shaping(settings, known, thetas, player, jax.random.fold_in(key, 1))
    dtype = jax.tree.leaves(states[player].theta)[0].dtype
    return {name: value.astype(dtype) for name, value in found.items()}


def _spread_of_shaping(
    settings: GradientSettings, objective: Objective, thetas: Sequence[Any], player: int, key: jax.Array
) -> dict[str, jax.Array]:
    rule, count = settings.rule, settings.shaping_samples
    assert rule.shaping is not None
    shaping = rule.shaping

    def estimate(number: jax.Array) -> jax.Array:
        term = shaping(objective, thetas, player, rule.settings, jax.random.fold_in(key, number))
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(term)])

    each = lax.map(estimate, jnp.arange(count))
    mean = jnp.mean(each, axis=0)
    variance = jnp.sum((each - mean) ** 2) / (count - 1)
    # The length of a mean of noisy estimates is too long by what the noise contributes.
    return {
        "shaping_norm": jnp.sqrt(jnp.maximum(jnp.sum(mean**2) - variance / count, 0)),
        "shaping_sd": jnp.sqrt(variance),
    }
