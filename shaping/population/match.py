"""One match: learners that play together, and one update of all of them. Everything here is for a single match;
`compiled_programs` maps it over a population."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from shaping.learners.consistency import consistency_loss
from shaping.learners.learner import Learner, LearnerState
from shaping.objectives.game import Game
from shaping.objectives.objective import Objective
from shaping.objectives.rewards import Reward
from shaping.population import recorded_info
from shaping.population.compensated_sums import add_compensated
from shaping.population.random_keys import learner_key, match_key, use
from shaping.rules import computed_once
from shaping.variables import Variable


@struct.dataclass
class Encounter:
    """Who meets, if learners belong to a population rather than to a match.

    Attributes:
      numbers: [learners] int32, the learners' numbers within their population.
      size: the size of the population.
      updates: [] int32, how many they make together, if populations of a program differ in it.
    """

    numbers: Any
    size: int = struct.field(pytree_node=False)
    updates: Any = None


@struct.dataclass
class Match:
    """The settings of a match. Two matches with the same tree structure run in the same compiled program.

    Attributes:
      seed: [] int32, the seed of its cell.
      number: [] int32, its number within the cell.
      params: the numbers of the game.
      learners: one per seat, or fewer if `seats` says who plays where.
      game: the game's static part.
      seats: for each seat the learner that plays it, a position in `learners`; None if each seat has its own learner.
      encounter: who the learners are, if they belong to a population; None if they are the match's own, in which case
        their numbers are their positions.
      rewards: what each seat maximises, None for a seat that maximises the game's own reward; None if all of them do.
    """

    seed: Any
    number: Any
    params: Any
    learners: tuple[Learner, ...]
    game: Game = struct.field(pytree_node=False)
    seats: tuple[int, ...] | None = struct.field(pytree_node=False, default=None)
    encounter: Encounter | None = None
    rewards: tuple[Reward | None, ...] | None = None

    @property
    def objective(self) -> Objective:
        """What its learners maximise."""
        if self.rewards is None:
            found = self.game.objective(self.params)
        else:
            found = self.game.objective(self.params, self.rewards)
        return dataclasses.replace(found, scale=self.game.value_scale(self.params))

    @property
    def played_by(self) -> tuple[int, ...]:
        """For each seat, the position in `learners` of the learner that plays it."""
        return tuple(range(len(self.learners))) if self.seats is None else self.seats

    @property
    def variables(self) -> dict[str, Variable]:
        """What its learners, and its game if that is exact, record along updates in addition to values, by name."""
        return recorded_info.variables(self.learners) | recorded_info.of_game(self.game)

    def player(self, learner: int) -> int | tuple[int, ...]:
        """The seat of a learner, or its seats, as `Learner.step` takes them.

        Raises:
          ValueError: if it has none, or if it has several and cannot be shared.
        """
        found = tuple(seat for seat, place in enumerate(self.played_by) if place == learner)
        if not found or (len(found) > 1 and not self.learners[learner].shareable):
            allowed = "one seat" if found else "a seat for each learner"
            raise ValueError(f"seats is {self.seats}; allowed: {allowed} for learner {learner}")
        return found[0] if len(found) == 1 else found

    def by_seat(self, each: Sequence[Any]) -> list[Any]:
        """Converts what there is for each learner (such as its state) into a list over seats."""
        return [each[place] for place in self.played_by]

    def key_of(self, learner: int) -> jax.Array:
        """The key of one of the learners."""
        number = learner if self.encounter is None else self.encounter.numbers[learner]
        return learner_key(self.seed, self.number, number)

    @property
    def key(self) -> jax.Array:
        """The key of what the learners share."""
        if self.encounter is None:
            return match_key(self.seed, self.number, len(self.learners))
        key = jax.random.key(self.seed)
        for place in range(len(self.learners)):
            number = self.number * self.encounter.size + self.encounter.numbers[place]
            key = jax.random.fold_in(key, number)
        return key


@struct.dataclass
class MatchState:
    """What a match carries from update to update.

    Attributes:
      learners: one state per learner.
      diverged_at: [] int32, the update at which a value or parameter stopped being finite; -1 while all are finite.
      value_sum: per player, the sum of the values after updates 1, 2, ... up to the one before this; if returns are
        sampled, of those values that were recorded.
      value_excess: per player, how much too large that sum is because of rounding (see `compensated_sums`).
    """

    learners: tuple[LearnerState, ...]
    diverged_at: jax.Array
    value_sum: tuple[jax.Array, ...]
    value_excess: tuple[jax.Array, ...]


def start(match: Match, dtype: Any) -> MatchState:
    """The state before the first update, parameters in `dtype`."""
    objective = match.objective
    policies = match.game.policies
    common = use(match.key, "prepare")
    learners = tuple(
        learner.init(use(match.key_of(place), "init"), common, policies, match.player(place), objective, dtype)
        for place, learner in enumerate(match.learners)
    )
    none = tuple(jnp.zeros((), dtype) for _ in match.played_by)
    return MatchState(learners, jnp.int32(-1), none, none)


def thetas_of(match: Match, states: Sequence[LearnerState]) -> list[Any]:
    """Parameters per seat."""
    return [state.theta for state in match.by_seat(states)]


def values(match: Match, thetas: Sequence[Any]) -> list[jax.Array]:
    """The reported value of each player, scalars."""
    scale = match.game.value_scale(match.params)
    returns = match.game.objective(match.params)(thetas)[0]
    return [scale * returns[player] for player in range(len(thetas))]


def update(
    match: Match,
    state: MatchState,
    previous: tuple[LearnerState, ...],
    number: jax.Array,
    recorded: jax.Array | bool = False,
) -> tuple[MatchState, tuple[LearnerState, ...], dict[str, list[jax.Array]]]:
    """One update of all players from the same old parameters.

    Whether parameters are finite is tested one update late, on what the last update wrote to memory: if values that are
    still being computed were tested, XLA would compute them again for every array that depends on the test.

    Args:
      match: the settings.
      state: the state after `number` updates, not yet tested.
      previous: the learners' states one update earlier, finite.
      number: [] int32.
      recorded: [] bool, whether what learners record in addition is wanted for this update.

    Returns:
      The state after one more update, the (tested) learners' states before it, and what is recorded about the update,
      NaN from the update of divergence on: what learners record (see `stepped`) and, unless returns are sampled, the
      values before it (those of play come from `measure`). A match that stops being finite goes back to its last finite
      state and stays there.
    """
    sums, before = (state.value_sum, state.value_excess), []
    if not match.game.sampled:
        before = values(match, thetas_of(match, state.learners))
        # The initial value does not count in the mean, but if it is not finite the sum must show it.
        sums = _added(state, [jnp.where(number > 0, value, value - value) for value in before])
    after, found = stepped(match, state.learners, number, recorded)
    goes_on, diverged_at = _tested(match, state, number)
    kept = _where(goes_on, state.learners, previous)
    moved = MatchState(_where(goes_on, after, previous), diverged_at, *sums)
    if before:
        goes_on, found = goes_on & _finite(before), found | {"value": before}
    return moved, kept, _shown(goes_on, found)


def measure(match: Match, state: MatchState, number: jax.Array) -> tuple[MatchState, dict[str, jax.Array]]:
    """Measures a settled match whose returns are sampled, after `number` updates.

    Returns:
      The state, with the values added to its sums; and what the game measures, including `value` [players], NaN if the
      match has diverged.
    """
    found = _played(match, state.learners, number)
    finite = state.diverged_at < 0
    shown = {name: jnp.where(finite, value, jnp.full_like(value, jnp.nan)) for name, value in found.items()}
    counted = [jnp.where(finite & (number > 0), value, 0) for value in found["value"]]
    total, excess = _added(state, counted)
    return dataclasses.replace(state, value_sum=total, value_excess=excess), shown


@jax.jit
def _played(match: Match, states: tuple[LearnerState, ...], number: jax.Array) -> dict[str, jax.Array]:
    """What the game measures of a match after `number` updates. Traced once, however many programs measure it."""
    return match.game.evaluate(match.params, thetas_of(match, states), use(match.key, "evaluation", number))


def _added(state: MatchState, values: Sequence[jax.Array]) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
    """The sums of values after adding one of each, and their excess."""
    each = [add_compensated(*old) for old in zip(state.value_sum, state.value_excess, values, strict=True)]
    return tuple(total for total, _ in each), tuple(excess for _, excess in each)


def stepped(
    match: Match, states: tuple[LearnerState, ...], number: jax.Array, recorded: jax.Array | bool = False
) -> tuple[tuple[LearnerState, ...], dict[str, list[jax.Array]]]:
    """The state of every learner after one more update, all from the same old states; and what else learners record.

    The latter has, for every name of `match.variables`, one scalar per player, NaN for those whose learners do not
    record it, and for all if the update is not `recorded`. It is of the states before the update.
    """
    if recorded is False:
        return _unrecorded(match, states, number)
    return _recorded(match, states, number, jnp.asarray(recorded))


# Traced once: a run's updates and its end need the same step, and tracing one takes longer than compiling it.
@jax.jit
def _unrecorded(match: Match, states: tuple[LearnerState, ...], number: jax.Array) -> Any:
    return _stepped(match, states, number, False)


@jax.jit
def _recorded(match: Match, states: tuple[LearnerState, ...], number: jax.Array, recorded: jax.Array) -> Any:
    return _stepped(match, states, number, recorded)


def _stepped(
    match: Match, states: tuple[LearnerState, ...], number: jax.Array, recorded: jax.Array | bool
) -> tuple[tuple[LearnerState, ...], dict[str, list[jax.Array]]]:
    """See `stepped`."""
    objective = match.objective
    seated = match.by_seat(states)
    if any(learner.observes for learner in match.learners):
        played = objective.sampler.play([state.theta for state in seated], use(match.key, "play", number))
        objective = dataclasses.replace(objective, observed=played)
    after, infos = [], []
    for place, learner in enumerate(match.learners):
        key = use(match.key_of(place), "update", number)
        state, besides = learner.step(key, seated, match.player(place), objective)
        after.append(state)
        infos.append(besides)
    dtype = next((leaf.dtype for leaf in jax.tree.leaves([state.theta for state in states])), jnp.result_type(float))
    shown = recorded_info.recorded(match.learners, match.played_by, infos, recorded, dtype)
    thetas = [state.theta for state in seated]
    return tuple(after), shown | recorded_info.measured(match.game, match.params, thetas, recorded, dtype)


def moved(match: Match, states: tuple[LearnerState, ...], number: jax.Array) -> tuple[LearnerState, ...]:
    """The state of every learner after one more update, all from the same old states."""
    return stepped(match, states, number)[0]


def _shown(finite: jax.Array, besides: dict[str, list[jax.Array]]) -> dict[str, list[jax.Array]]:
    return jax.tree.map(lambda leaf: jnp.where(finite, leaf, jnp.nan), besides)


def settle(match: Match, state: MatchState, previous: tuple[LearnerState, ...], number: jax.Array) -> MatchState:
    """The state after `number` updates, tested: it is finite, and `diverged_at` is up to date."""
    goes_on, diverged_at = _tested(match, state, number)
    return dataclasses.replace(state, learners=_where(goes_on, state.learners, previous), diverged_at=diverged_at)


def _tested(match: Match, state: MatchState, number: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Whether a match is still finite after `number` updates, and the update of divergence.

    A value that is not finite shows in the sum one update later than a parameter that is not.
    """
    finite, finite_sum = _finite(state.learners), _finite(state.value_sum)
    running = state.diverged_at < 0
    at = jnp.where(finite_sum, jnp.where(finite, -1, number), number - 1)
    found = running & finite & finite_sum, jnp.where(running, at, state.diverged_at).astype(jnp.int32)
    # Where arrays are many, without the barrier the sum over all would be compiled into the choice of each.
    return computed_once(found) if match.game.sampled else found


def _where(condition: jax.Array, chosen: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), chosen, other)


def _finite(tree: Any) -> jax.Array:
    """Whether every number in the tree is finite: x - x is 0 for a finite x and otherwise NaN, which a sum keeps.

    Arrays of one shape are added up first: a sum over all numbers of each by itself takes long to compile.
    """
    residues: dict[tuple[int, ...], Any] = {}
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            residues[leaf.shape] = residues.get(leaf.shape, 0) + (leaf - leaf)
    return sum(map(jnp.sum, residues.values()), jnp.zeros(())) == 0


def finish(
    match: Match,
    state: MatchState,
    updates: int,
    extras: Sequence[str] = (),
    recorded: int | None = None,
    wanted: jax.Array | bool = True,
) -> dict[str, Any]:
    """What is recorded at the end of a match.

    Args:
      match, state: the match and its settled state.
      updates: how many there were.
      extras: what else to record, see below.
      recorded: at how many updates, from update 1 on, a match whose returns are sampled was measured.
      wanted: True; if it is an array like the one that `update` gets, the step of the updates is not traced again.

    Returns:
      value: [players] after the last update; value_trajectory_mean: [players] over updates 1 to the last (the initial
        value if there are no updates); both NaN if it diverged; diverged_at; theta_final [players, parameters], padded
        with NaN for players that have fewer; what the game describes; what else learners record, [players], for the
        update that would come next; and, if `extras` contains "consistency", consistency_loss, a scalar.
    """
    thetas = thetas_of(match, state.learners)
    measured, key = {}, None
    if match.game.sampled:
        _, measured = measure(match, state, jnp.int32(updates))
        last = measured["value"]
        key = use(match.key, "description")
    else:
        last = jnp.stack(values(match, thetas))
    finite = jnp.all(jnp.isfinite(last))
    diverged_at = jnp.where((state.diverged_at < 0) & ~finite, updates, state.diverged_at)
    last = jnp.where(diverged_at < 0, last, jnp.nan)
    count = updates if recorded is None else recorded
    mean = jnp.stack(_added(state, list(last))[0]) / count if updates else last
    own = {"value": last, "value_trajectory_mean": mean, "diverged_at": diverged_at.astype(jnp.int32)}
    own["theta_final"] = _rows(thetas, last.dtype)
    if "consistency" in extras:
        learners, states = match.by_seat(match.learners), match.by_seat(state.learners)
        loss = consistency_loss(learners, states, match.objective)
        own["consistency_loss"] = jnp.where(diverged_at < 0, loss, jnp.nan)
    if match.variables:
        # For the update that would come next; the resulting states are dropped.
        besides = stepped(match, state.learners, jnp.int32(updates), wanted)[1]
        measured |= {name: jnp.stack(each) for name, each in _shown(diverged_at < 0, besides).items()}
    return measured | match.game.describe(match.params, thetas, key) | own


def _rows(thetas: Sequence[Any], dtype: Any) -> jax.Array:
    flat = [
        jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(theta)] or [jnp.zeros(0, dtype)])
        for theta in thetas
    ]
    longest = max(row.size for row in flat)
    return jnp.stack([jnp.pad(row, (0, longest - row.size), constant_values=jnp.nan) for row in flat])
