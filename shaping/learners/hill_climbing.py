"""Hill climbers that try a random change of their policy and keep it if it pays (McAvoy, Kates-Harbeck, Chatterjee and
Hilbe 2022, PNAS Nexus 1: pgac141).

A policy is a table of probabilities. A proposal adds a number uniform on (-width, width) to each of them, clipped to
[0, 1]. With x the own value, y the mean of the others', and x', y' the same under the proposal:

    SELFISH   accepts if x' > x
    FMTL      accepts if x' + y' > x + y, with probability exp(-(x - y)^2 / (2 tolerance^2)); otherwise if
              |x' - y'| < |x - y|   ("fair-minded target learning")

All learners propose from the same old policies. Values are normalised, so `tolerance` is in units of payoffs.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.learners.initial_parameters import initial_parameters
from shaping.learners.learner import Common, Learner, LearnerState, check_common
from shaping.objectives.objective import Objective
from shaping.policies.memory_one import logit
from shaping.policies.policy import Policy
from shaping.signatures import NonNegative, Positive, Probability, checked

_PROPOSAL, _AIM, _PLAY = range(3)


@struct.dataclass
class Settings:
    """Settings.

    Attributes:
      width: half width of a proposal's change of a probability, in [0, 1].
      threshold: by how much something has to be better, at least 0.
      tolerance: difference of values at which fairness becomes the aim, above 0; None for SELFISH.
      common: settings that every learner has; only `initial` is used.
    """

    width: Any
    threshold: Any
    tolerance: Any
    common: Common


@checked
def selfish(
    width: Probability = 0.1,
    threshold: NonNegative = 1e-12,
    common: Common = Common(),  # noqa: B008 - frozen, and the default a reader expects to see
) -> Learner:
    """A hill climber on its own value. In the paper it starts from `arcsine()`.

    Args:
      width, threshold: see `Settings`. A threshold below the rounding errors of the precision has no effect.
      common: settings that every learner has.
    """
    return _learner(Settings(width, threshold, None, common))


@checked
def fmtl(
    width: Probability = 0.1,
    tolerance: Positive = 0.1,
    threshold: NonNegative = 1e-12,
    common: Common = Common(),  # noqa: B008
) -> Learner:
    """A hill climber that aims at high and equal values for all.

    Args:
      width, tolerance, threshold: see `Settings`.
      common: settings that every learner has.
    """
    return _learner(Settings(width, threshold, tolerance, common))


def _learner(settings: Settings) -> Learner:
    check_common(settings.common)
    return Learner(settings, _init, _step, elementwise=True, prepares=settings.common.initial.learned)


def _init(
    settings: Settings,
    key: jax.Array,
    common: jax.Array,
    policies: Sequence[Policy],
    player: int,
    objective: Objective,
    dtype: Any,
) -> LearnerState:
    del common
    if policies[player].kind != "tabular":
        kind = policies[player].kind
        raise ValueError(f"policy is a {kind}; allowed: tabular, as hill climbers change probabilities")
    return LearnerState(initial_parameters(settings.common.initial, key, policies, player, objective, dtype), ())


def _step(
    settings: Settings, key: jax.Array, states: Sequence[LearnerState], player: int, objective: Objective
) -> tuple[LearnerState, dict[str, Any]]:
    thetas = [state.theta for state in states]
    old = thetas[player]
    proposed = _proposal(settings, jax.random.fold_in(key, _PROPOSAL), old)
    # The same key for both: where returns are sampled, chance is the same.
    play = jax.random.fold_in(key, _PLAY)
    own, others = _values(objective, thetas, player, play)
    own_then, others_then = _values(objective, [*thetas[:player], proposed, *thetas[player + 1 :]], player, play)
    better = own_then - own > settings.threshold
    if settings.tolerance is not None:
        efficient = jnp.exp(-((own - others) ** 2) / (2 * settings.tolerance**2))
        aims = jax.random.uniform(jax.random.fold_in(key, _AIM), dtype=jnp.float32) < efficient
        more = (own_then + others_then) - (own + others) > settings.threshold
        fairer = jnp.abs(own - others) - jnp.abs(own_then - others_then) > settings.threshold
        better = jnp.where(aims, more, fairer)
    return LearnerState(jax.tree.map(lambda new, was: jnp.where(better, new, was), proposed, old), ()), {}


def _proposal(settings: Settings, key: jax.Array, theta: Any) -> Any:
    """Logits of changed probabilities."""
    leaves, structure = jax.tree.flatten(theta)
    # Drawn together, so that they are the same whether a table is one array or is taken apart into numbers.
    drawn = jax.random.uniform(key, (sum(leaf.size for leaf in leaves),), jnp.float32, -1, 1)
    found, first = [], 0
    for leaf in leaves:
        change = settings.width * drawn[first : first + leaf.size].reshape(leaf.shape).astype(leaf.dtype)
        found.append(logit(jnp.clip(jax.nn.sigmoid(leaf) + change, 0, 1)).astype(leaf.dtype))
        first += leaf.size
    return structure.unflatten(found)


def _values(objective: Objective, thetas: Sequence[Any], player: int, key: jax.Array) -> tuple[Any, Any]:
    """The own value and the mean of the others'."""
    returns = objective(thetas, key)[0]
    others = [returns[seat] for seat in range(len(thetas)) if seat != player]
    return objective.scale * returns[player], objective.scale * sum(others) / len(others)


LEARNERS = {"selfish": selfish, "fmtl": fmtl}
