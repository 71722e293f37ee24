"""The standard learner: an update rule's direction, carried out by an optax optimiser.

It may also keep critics, which baselines use, and models of its opponents, which then replace the opponents' parameters
in the rule.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from shaping.learners import critic as critics
from shaping.learners import opponent_model as models
from shaping.learners.ascent import ascend, check_seats, seated, summed, with_value_head
from shaping.learners.critic import CriticSettings
from shaping.learners.initial_parameters import Initial, initial_parameters, normal
from shaping.learners.learner import Common, Learner, LearnerState, check_common, seats_of
from shaping.learners.opponent_model import ModelSettings
from shaping.learners.optimizer import Optimizer, optimizer
from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy
from shaping.rules.rule import Rule
from shaping.variables import VARIABLES

# Folded into an update's key for further estimates of its shaping term; the draws of rules are numbered below it.
_SPREAD = 0x7FFFFF00


@struct.dataclass
class GradientSettings:
    """Settings of a gradient learner: its rule, and settings that every learner has."""

    rule: Rule
    common: Common


@struct.dataclass
class GradientMemory:
    """What a gradient learner remembers besides its parameters: the optimiser's state, what its rule has learned, its
    critics and its models of opponents (None if it has none)."""

    optimizer: Any
    learned: Any
    critic: Any = None
    model: Any = None


def gradient_learner(
    rule: Rule,
    step_size: Any = 1.0,
    optimizer: Optimizer = optimizer("sgd"),  # noqa: B008 - frozen, and the default a reader expects to see
    initial: Initial = normal(1.0),  # noqa: B008
    critic: CriticSettings | None = None,
    model: ModelSettings | None = None,
    shaping_samples: int = 0,
) -> Learner:
    """theta <- theta + step_size * optimiser(direction of the rule).

    Args:
      rule: the update rule.
      step_size: the optimiser's learning rate, at least 0, or a `schedule`; 0 freezes the player.
      optimizer: the optax optimiser.
      initial: the distribution of the initial parameters.
      critic: which critics it keeps; None for none. This and what follows are only for objectives that sample.
      model: which models of its opponents it keeps; None if it knows their parameters.
      shaping_samples: how many estimates of the shaping term are made to record its mean and spread; 0 to record
        neither, otherwise at least 2.

      Raises:
      ValueError: for something that is not a rule; for shaping_samples with a rule that has no shaping term; for trust
        with a rule whose settings do not say whether it has a lookahead rate.
    """
    return learner_of(rule, Common(step_size, optimizer, initial, critic, model, shaping_samples))


def learner_of(rule: Rule, common: Common) -> Learner:
    """`gradient_learner` with the common settings in one object."""
    if not isinstance(rule, Rule):
        given = "already a learner, which takes `common`" if isinstance(rule, Learner) else repr(rule)
        raise ValueError(f"rule is {given}; allowed: an update rule")
    check_common(common)
    if common.shaping_samples and rule.shaping is None:
        raise ValueError("shaping_samples is given; allowed: for rules with a shaping term (lola, first_order)")
    critic, model = common.critic, common.model
    if model is not None and model.trust is not None and not dataclasses.is_dataclass(rule.settings):
        raise ValueError(
            "trust is given; allowed: for rules whose settings are a dataclass, where it slows `lookahead_rate`"
        )
    names = () if model is None else ("model_error", "model_trust")
    names += ("shaping_norm", "shaping_sd") if common.shaping_samples else ()
    return Learner(
        GradientSettings(rule, common),
        _init,
        _step,
        # What a rule has learned has arrays of its own shapes, not one number for each of theta.
        elementwise=common.optimizer.elementwise and rule.prepare is None and critic is None and model is None,
        prepares=rule.prepare is not None or common.initial.learned,
        observes=critic is not None or model is not None,
        shareable=rule.prepare is None,
        needs_distance=rule.needs_distance,
        needs_chain=rule.needs_chain,
        needs_tables=rule.needs_tables,
        needs_information_sets=rule.needs_information_sets,
        variables={name: VARIABLES[name] for name in names},
        gradients=rule.gradients,
        lookaheads=rule.lookaheads,
    )


def _init(
    settings: GradientSettings,
    key: jax.Array,
    shared_key: jax.Array,
    policies: Sequence[Policy],
    player: int | tuple[int, ...],
    objective: Objective,
    dtype: Any,
) -> LearnerState:
    rule, common, seats = settings.rule, settings.common, seats_of(player)
    check_seats(policies, seats)
    theta = initial_parameters(common.initial, key, policies, seats[0], objective, dtype)
    learned, critic, model = None, None, None
    if rule.prepare is not None:
        # Learners of the same kind in a match learn the same about their game: where several things could be learned
        # (COLA's directions are not unique), they agree.
        learned = rule.prepare(objective, policies, seats[0], rule.settings, shared_key, dtype)
    if common.critic is not None:
        critic = critics.start(common.critic, jax.random.fold_in(key, 1), dtype, seats)
    if common.model is not None:
        model = models.start(common.model, jax.random.fold_in(key, 2), policies, seats, objective, dtype)
    moments = common.optimizer.build(common.step_size).init(theta)
    return LearnerState(theta, GradientMemory(moments, learned, critic, model))


def _step(
    settings: GradientSettings,
    key: jax.Array,
    states: Sequence[LearnerState],
    player: int | tuple[int, ...],
    objective: Objective,
) -> tuple[LearnerState, Mapping[str, Any]]:
    rule, common, seats = settings.rule, settings.common, seats_of(player)
    own, thetas = states[seats[0]], [state.theta for state in states]
    memory: GradientMemory = own.memory
    critic: Any = memory.critic
    model: Any = memory.model
    info: dict[str, Any] = {}
    if common.model is not None:
        # Trust is computed from data not yet fitted; the direction is taken with the models after the fit.
        trust = models.trust_of(common.model, model, objective)
        info["model_trust"] = trust
        info["model_error"] = lambda: models.error_of(memory.model, thetas, objective.observed, objective.sampler)
        model = models.fitted(common.model, model, objective)
        rule = rule.slowed(trust)
    known = objective if critic is None else objective.within(critics.by_seat(critic, seats))

    def summed_direction(theta: Any, number: Any) -> Any:
        del number
        now = seated(thetas, seats, theta)

        def of(seat: int, key: jax.Array) -> Any:
            def direct(seen: Sequence[Any]) -> Any:
                return rule.direction(known, seen, seat, key, memory.learned)

            if common.model is None:
                direction = direct(now)
            else:
                each = [direct(models.imagined(model, now, member)) for member in range(common.model.members)]
                direction = jax.tree.map(lambda *parts: sum(parts) / len(parts), *each)
            return with_value_head(common.critic, known, now, seat, direction)

        return summed(seats, key, of)

    theta, moments = ascend(common.optimizer.build(common.step_size), own.theta, memory.optimizer, summed_direction)
    if common.critic is not None:
        judged = thetas if common.model is None else models.imagined(model, thetas, 0)
        critic = critics.fitted(common.critic, memory.critic, objective, seats, judged)
    if common.shaping_samples:
        seen = thetas if common.model is None else models.imagined(model, thetas, 0)
        spread = _once(lambda: _spread_of_shaping(rule, common.shaping_samples, known, seen, seats, key))
        info |= {name: lambda name=name: spread()[name] for name in ("shaping_norm", "shaping_sd")}
    return LearnerState(theta, GradientMemory(moments, memory.learned, critic, model)), info


def _once(found: Any) -> Any:
    """A function that is computed when it is first called, and whose result later calls reuse."""
    kept: list[Any] = []

    def once() -> Any:
        if not kept:
            kept.append(found())
        return kept[0]

    return once


def _spread_of_shaping(
    rule: Rule, count: int, objective: Objective, thetas: Sequence[Any], seats: Sequence[int], key: jax.Array
) -> dict[str, jax.Array]:
    """The length of the mean of independent estimates of the shaping term, including the update's own, and the root
    mean square distance of one estimate from that mean."""
    assert rule.shaping is not None
    shaping = rule.shaping

    def estimate(key: jax.Array) -> jax.Array:
        term = summed(seats, key, lambda seat, key: shaping(objective, thetas, seat, rule.settings, key))
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(term)])

    keys = [key, *(jax.random.fold_in(key, _SPREAD + number) for number in range(1, count))]
    each = lax.map(estimate, jnp.stack(keys))
    mean = jnp.mean(each, axis=0)
    variance = jnp.sum((each - mean) ** 2) / (count - 1)
    # The noise of the estimates makes the length of their mean too large; its contribution is subtracted.
    return {
        "shaping_norm": jnp.sqrt(jnp.maximum(jnp.sum(mean**2) - variance / count, 0)),
        "shaping_sd": jnp.sqrt(variance),
    }
