"""One match: learners that play together, and one update of all of them. Everything here is for a single match;
`program` maps it over a population."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.learners.consistency import consistency_loss
from shaping.learners.learner import Learner, LearnerState
from shaping.objectives.game import Game
from shaping.population.keys import learner_key, match_key, use
from shaping.rules import computed_once


@struct.dataclass
class Match:
    """What sets a match up. Two matches with the same tree structure run in the same compiled program.

    Attributes:
      seed: [] int32, the seed of its cell.
      number: [] int32, its number within the cell.
      params: the numbers of the game.
      learners: one per seat.
      game: the game's static part.
    """

    seed: Any
    number: Any
    params: Any
    learners: tuple[Learner, ...]
    game: Game = struct.field(pytree_node=False)


@struct.dataclass
class MatchState:
    """What a match carries from update to update.

    Attributes:
      learners: one state per seat.
      diverged_at: [] int32, the update at which a value or parameter stopped being finite, -1 while none has.
      value_sum: per player, the sum of values after updates 1, 2, ... up to the one before this; where returns are
        sampled, of those that were recorded.
    """

    learners: tuple[LearnerState, ...]
    diverged_at: jax.Array
    value_sum: tuple[jax.Array, ...]


def start(match: Match, dtype: Any) -> MatchState:
    """The state before the first update, parameters in `dtype`."""
    objective = match.game.objective(match.params)
    policies = match.game.policies
    common = use(match_key(match.seed, match.number, len(match.learners)), "prepare")
    learners = tuple(
        learner.init(use(learner_key(match.seed, match.number, seat), "init"), common, policies, seat, objective, dtype)
        for seat, learner in enumerate(match.learners)
    )
    none = tuple(jnp.zeros((), dtype) for _ in learners)
    return MatchState(learners, jnp.int32(-1), none)


def values(match: Match, thetas: Sequence[Any]) -> list[jax.Array]:
    """The reported value of each player, scalars."""
    scale = match.game.value_scale(match.params)
    returns = match.game.objective(match.params)(thetas)[0]
    return [scale * returns[player] for player in range(len(thetas))]


def update(
    match: Match, state: MatchState, previous: tuple[LearnerState, ...], number: jax.Array
) -> tuple[MatchState, tuple[LearnerState, ...], list[jax.Array]]:
    """One update of all players from the same old parameters.

    Whether parameters are finite is tested one update late, on what the last update wrote to memory: a test of what
    is still being computed would make XLA compute it anew for every array that depends on the test.

    Args:
      match: the settings.
      state: the state after `number` updates, not yet tested.
      previous: the learners' states one update earlier, finite.
      number: [] int32.

    Returns:
      The state after one more update, the (tested) learners' states before it, and the values before it, NaN from the
      update of divergence on. A match that stops being finite goes back to its last finite state and stays there.
    """
    before = values(match, [learner.theta for learner in state.learners])
    after = moved(match, state.learners, number)
    goes_on, diverged_at = _tested(state, number)
    learners = _where(goes_on, after, previous)
    kept = _where(goes_on, state.learners, previous)
    goes_on_and_shown = goes_on & _finite(before)
    shown = [jnp.where(goes_on_and_shown, value, jnp.nan) for value in before]
    # The initial value does not count, but one that is not finite must show in the sum all the same.
    counted = [jnp.where(number > 0, value, value - value) for value in before]
    value_sum = tuple(total + value for total, value in zip(state.value_sum, counted, strict=True))
    return MatchState(learners, diverged_at, value_sum), kept, shown


def sampled_update(
    match: Match, state: MatchState, previous: tuple[LearnerState, ...], number: jax.Array
) -> tuple[MatchState, tuple[LearnerState, ...]]:
    """`update` of a match whose returns are sampled, without values: `measure` has them."""
    after = moved(match, state.learners, number)
    goes_on, diverged_at = _tested_once(state, number)
    kept = _where(goes_on, state.learners, previous)
    return MatchState(_where(goes_on, after, previous), diverged_at, state.value_sum), kept


def measure(match: Match, state: MatchState, number: jax.Array) -> tuple[MatchState, dict[str, jax.Array]]:
    """What a settled match whose returns are sampled is worth after `number` updates.

    Returns:
      The state, its values counted in; and variables of the record, NaN where the match has diverged: what the game
      measures (`value` [players] among it), and diagnostics of the learners, [players] each, NaN for those without.
    """
    thetas = [learner.theta for learner in state.learners]
    key = use(match_key(match.seed, match.number, len(match.learners)), "evaluation", number)
    found = match.game.evaluate(match.params, thetas, key) | _diagnoses(match, state.learners, number)
    finite = state.diverged_at < 0
    shown = {name: jnp.where(finite, value, jnp.full_like(value, jnp.nan)) for name, value in found.items()}
    counted = [jnp.where(finite & (number > 0), value, 0) for value in found["value"]]
    total = tuple(total + value for total, value in zip(state.value_sum, counted, strict=True))
    return dataclasses.replace(state, value_sum=total), shown


def _diagnoses(match: Match, states: tuple[LearnerState, ...], number: jax.Array) -> dict[str, jax.Array]:
    objective = match.game.objective(match.params)
    each = []
    for seat, learner in enumerate(match.learners):
        key = use(learner_key(match.seed, match.number, seat), "diagnosis", number)
        each.append(
            {} if learner.diagnose is None else learner.diagnose(learner.settings, key, states, seat, objective)
        )
    names = sorted({name for own in each for name in own})
    dtype = jax.tree.leaves([state.theta for state in states])[0].dtype
    nothing = jnp.full((), jnp.nan, dtype)
    return {name: jnp.stack([own.get(name, nothing) for own in each]) for name in names}


def moved(match: Match, states: tuple[LearnerState, ...], number: jax.Array) -> tuple[LearnerState, ...]:
    """Everybody's state after one more update, all from the same old ones."""
    objective = match.game.objective(match.params)
    if any(learner.observes for learner in match.learners):
        key = use(match_key(match.seed, match.number, len(match.learners)), "play", number)
        played = objective.sampler.play([state.theta for state in states], key)
        objective = dataclasses.replace(objective, observed=played)
    found = []
    for seat, learner in enumerate(match.learners):
        key = use(learner_key(match.seed, match.number, seat), "update", number)
        found.append(learner.step(key, states, seat, objective)[0])
    return tuple(found)


def settle(state: MatchState, previous: tuple[LearnerState, ...], number: jax.Array) -> MatchState:
    """The state after `number` updates, tested: finite, with `diverged_at` up to date."""
    goes_on, diverged_at = _tested(state, number)
    return MatchState(_where(goes_on, state.learners, previous), diverged_at, state.value_sum)


def sampled_settle(state: MatchState, previous: tuple[LearnerState, ...], number: jax.Array) -> MatchState:
    """`settle` of a match whose returns are sampled."""
    goes_on, diverged_at = _tested_once(state, number)
    return MatchState(_where(goes_on, state.learners, previous), diverged_at, state.value_sum)


def _tested_once(state: MatchState, number: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`_tested` where there are many arrays: the sum over all of them would be compiled into the choice of each."""
    return computed_once(_tested(state, number))


def _tested(state: MatchState, number: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Whether a match is still finite after `number` updates, and the update of divergence.

    A value that is not finite shows in the sum one update later than parameters that are not.
    """
    finite, finite_sum = _finite(state.learners), _finite(state.value_sum)
    running = state.diverged_at < 0
    at = jnp.where(finite_sum, jnp.where(finite, -1, number), number - 1)
    return running & finite & finite_sum, jnp.where(running, at, state.diverged_at).astype(jnp.int32)


def _where(condition: jax.Array, chosen: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), chosen, other)


def _finite(tree: Any) -> jax.Array:
    """Whether every number in the tree is finite: x - x is 0 for a finite x and NaN otherwise, and sums keep a NaN."""
    residue: Any = 0
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            residue = residue + jnp.sum(leaf - leaf)
    return residue == 0


def finish(
    match: Match, state: MatchState, updates: int, extras: Sequence[str] = (), recorded: int | None = None
) -> dict[str, Any]:
    """What is recorded at the end of a match.

    Args:
      match, state: the match and its settled state.
      updates: how many there were.
      extras: see below.
      recorded: at how many of them, from update 1 on, a match whose returns are sampled was measured.

    Returns:
      value: [players] after the last update; value_trajectory_mean: [players] over updates 1 to the last (the initial
        value where there are no updates); both NaN where diverged; diverged_at; theta_final [players, parameters],
        padded with NaN where one has fewer; what the game describes; and, where `extras` names "consistency",
        consistency_loss, a scalar.
    """
    thetas = [learner.theta for learner in state.learners]
    measured, key = {}, None
    if match.game.sampled:
        _, measured = measure(match, state, jnp.int32(updates))
        last = measured["value"]
        key = use(match_key(match.seed, match.number, len(match.learners)), "description")
    else:
        last = jnp.stack(values(match, thetas))
    finite = jnp.all(jnp.isfinite(last))
    diverged_at = jnp.where((state.diverged_at < 0) & ~finite, updates, state.diverged_at)
    last = jnp.where(diverged_at < 0, last, jnp.nan)
    total = jnp.stack(list(state.value_sum))
    count = updates if recorded is None else recorded
    mean = (total + last) / count if updates else last
    own = {"value": last, "value_trajectory_mean": mean, "diverged_at": diverged_at.astype(jnp.int32)}
    own["theta_final"] = _rows(thetas)
    if "consistency" in extras:
        loss = consistency_loss(match.learners, state.learners, match.game.objective(match.params))
        own["consistency_loss"] = jnp.where(diverged_at < 0, loss, jnp.nan)
    return measured | match.game.describe(match.params, thetas, key) | own


def _rows(thetas: Sequence[Any]) -> jax.Array:
    flat = [jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(theta)]) for theta in thetas]
    longest = max(row.size for row in flat)
    return jnp.stack([jnp.pad(row, (0, longest - row.size), constant_values=jnp.nan) for row in flat])
