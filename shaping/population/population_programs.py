"""Populations of learners that meet, as a run trains them: their settings, their state, and what its programs do."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

from shaping.classic_strategies import STRATEGIES
from shaping.learners.learner import Learner
from shaping.population import blocks, meeting_population
from shaping.population.compiled_programs import Timetable, bounds
from shaping.population.generations import generation, learners_by_number, recorded, sampled_learners
from shaping.population.meeting_population import MeetingSetup, MeetingState, Rules, flat
from shaping.population.pairing import Pairing, structure_of
from shaping.population.selection import Selection


@struct.dataclass
class Population:
    """The settings of a population. Two with the same tree structure run in the same compiled program.

    Attributes:
      seed: [] int32, the seed of its cell.
      number: [] int32, its number within the cell.
      params: the numbers of the game.
      types: a learner for each type, all of one structure.
      counts: [types] int32, the number of learners of each type; they are numbered type by type.
      pairing, selection: who meets whom, and who replaces whom.
      encounter: [] int32, updates made together in a generation; None where it is one of the rules.
      rules: what is compiled.
      names: names of the types.
      stops: whether it stops once all of its learners are of one type.
      extras: what else is recorded of every recorded generation: "policies" and "sampled_types", those of some
        learners, `rules.sample` in number; "types", those of all.
    """

    seed: Any
    number: Any
    params: Any
    types: tuple[Learner, ...]
    counts: Any
    pairing: Pairing
    selection: Selection
    rules: Rules = struct.field(pytree_node=False)
    names: tuple[str, ...] = struct.field(pytree_node=False)
    stops: bool = struct.field(pytree_node=False, default=False)
    extras: tuple[str, ...] = struct.field(pytree_node=False, default=())
    encounter: Any = None


@struct.dataclass
class PopulationState:
    """What populations carry from generation to generation, leaves [populations, ...].

    Attributes:
      meeting: learners and places; leaves of learners are [populations, size, ...].
      payoffs: [populations, types, types], values of types against each other where selection asks for them.
      row: what is recorded of the last generation.
      diverged_at: [populations] int32, the generation in which a learner first stopped being finite; -1 until then.
    """

    meeting: MeetingState
    payoffs: jax.Array
    row: dict[str, jax.Array]
    diverged_at: jax.Array


def setup_of(settings: Population) -> MeetingSetup:
    """What these populations are made from."""
    return MeetingSetup(
        settings.seed,
        settings.number,
        settings.params,
        settings.types,
        settings.pairing,
        settings.selection,
        *map(jnp.asarray, structure_of(settings.pairing, settings.rules.size)),
        encounter=settings.encounter,
    )


def _apart(state: MeetingState) -> MeetingState:
    """Leaves of learners from [populations * size, ...] to [populations, size, ...]."""
    size = state.types.shape[1]
    learners = jax.tree.map(lambda leaf: leaf.reshape(-1, size, *leaf.shape[1:]), state.learners)
    return dataclasses.replace(state, learners=learners)


def _together(state: MeetingState) -> MeetingState:
    return dataclasses.replace(state, learners=jax.tree.map(flat, state.learners))


def start(settings: Population, dtype: Any) -> PopulationState:
    """States before the first generation, leaves [populations, ...]."""
    rules, own = settings.rules, setup_of(settings)
    ends = jnp.cumsum(settings.counts, axis=1)
    # The learners of this device.
    first = blocks.first_slot(rules)
    numbers = first + jnp.arange(rules.size // max(rules.sharded, 1), dtype=jnp.int32)
    types = jax.vmap(lambda end: jnp.searchsorted(end, numbers, side="right").astype(jnp.int32))(ends)
    state = meeting_population.begin(rules, own, types, dtype, first)
    kinds = len(rules.still)
    if settings.selection.payoff == "expected" and not meeting_population.differ(rules, settings.selection):
        payoffs = meeting_population.type_values(rules, own, dtype)
    else:
        payoffs = jnp.zeros((len(types), kinds, kinds), dtype)
    sizes = {"type": (kinds,), "strategy": (len(STRATEGIES),), "": ()}
    names = recorded(rules, own.params, settings.selection)
    row = {name: jnp.zeros((len(types), *sizes[over]), dtype) for name, over in names.items()}
    row |= jax.tree.map(jnp.zeros_like, _looked_at(settings, state, dtype))
    return PopulationState(_apart(state), payoffs, row, jnp.full(len(types), -1, jnp.int32))


def segment_function(timetable: Timetable) -> Callable[..., tuple[PopulationState, dict[str, jax.Array]]]:
    """`(settings, states, segment) -> (states, rows)`; as `compiled_programs.segment_function`, but by generations.

    A row holds the results of the generation before it. For the row before the first generation, those who would meet
    are measured, and nothing changes.
    """

    def function(
        settings: Population, states: PopulationState, segment: jax.Array
    ) -> tuple[PopulationState, dict[str, jax.Array]]:
        own = setup_of(settings)

        def interval(state: PopulationState, index: jax.Array) -> tuple[PopulationState, dict[str, jax.Array]]:
            begin, end = bounds(timetable, segment, index)

            def body(number: jax.Array, carry: tuple[PopulationState, Any]) -> tuple[PopulationState, Any]:
                state, row = carry
                live = number >= 0
                state = _after(settings, own, state, jnp.maximum(number, 0).astype(jnp.int32), live)
                return state, jax.tree.map(lambda old, new: jnp.where(live, old, new), row, state.row)

            first = jnp.where((begin == 0) & (end > 0), -1, begin)
            return lax.fori_loop(first, end, body, (state, state.row))

        state, rows = lax.scan(interval, _at_hand(states), jnp.arange(timetable.segment))
        rows = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), rows)
        return dataclasses.replace(state, meeting=_apart(state.meeting)), rows

    return function


def _at_hand(states: PopulationState) -> PopulationState:
    return dataclasses.replace(states, meeting=_together(states.meeting))


def _after(
    settings: Population, own: MeetingSetup, state: PopulationState, number: jax.Array, live: jax.Array
) -> PopulationState:
    """States after one more generation; those of populations that have stopped are unchanged."""
    before = state.meeting
    after, row = generation(settings.rules, own, before, number, state.payoffs, live)
    row |= _looked_at(settings, after, state.payoffs.dtype)
    row = {name: leaf.astype(state.row[name].dtype) for name, leaf in row.items()}
    failed = live & (row["diverged"] > 0) & (state.diverged_at < 0)
    diverged_at = jnp.where(failed, number + 1, state.diverged_at)
    if settings.stops:
        stopped = (before.fixed_at >= 0) & live
        after = _together(_kept(stopped, _apart(before), _apart(after)))
        none = {name: jnp.zeros_like(row[name]) for name in ("imitations", "mutations") if name in row}
        row, diverged_at = _kept(stopped, state.row | none, row), jnp.where(stopped, state.diverged_at, diverged_at)
    return PopulationState(after, state.payoffs, row, diverged_at)


def _looked_at(settings: Population, state: MeetingState, dtype: Any) -> dict[str, jax.Array]:
    """What the extras record of states, [populations, ...]."""
    found: dict[str, jax.Array] = {}
    if settings.rules.sample:
        sampled = sampled_learners(settings.rules, settings.pairing, state)
        found |= {name: own.astype(dtype) for name, own in sampled.items() if name in settings.extras}
    if "types" in settings.extras:
        everybody = np.arange(settings.rules.size)
        types = learners_by_number(settings.rules, settings.pairing, state, state.types, everybody)
        found["types"] = types.astype(dtype)
    return found


def _kept(stopped: jax.Array, before: Any, after: Any) -> Any:
    def chosen(old: jax.Array, new: jax.Array) -> jax.Array:
        return jnp.where(stopped.reshape(-1, *([1] * (old.ndim - 1))), old, new)

    return jax.tree.map(chosen, before, after)


def finish(settings: Population, states: PopulationState) -> dict[str, jax.Array]:
    """What is recorded at the end, leaves [populations, ...]; see `shaping.variables.POPULATION`."""
    found = states.meeting
    if settings.rules.sharded or settings.pairing.blocks > 1:
        found = _apart(blocks.sorted_by_number(settings.rules, _together(found)))
    return states.row | {
        "theta_final": meeting_population.theta_rows(settings.rules, found.learners.theta, found.types),
        "type_final": found.types,
        "ancestor": found.ancestors,
        "fixed_at": found.fixed_at,
        "diverged_at": states.diverged_at,
    }
