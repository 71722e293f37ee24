"""The compiled programs of a group of matches: start, a segment of updates, finish."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from shaping.population import match as single
from shaping.population.index_ranges import RecordedUpdates
from shaping.population.match import Match, MatchState
from shaping.population.memory_layout import from_blocks, put_together, take_apart, to_blocks

AXIS = "population"


@dataclass(frozen=True)
class Timetable:
    """When values are recorded and how updates are cut into segments.

    Rows are recorded after 0, record_every, 2 record_every, ... updates and after the last. An interval is the updates
    between two inspections of the state inside a program: all updates from one row to the next, or only a part if there
    are many. A segment is a fixed number of intervals, done in one call of the program; what lies beyond the last
    update is masked.

    Attributes:
      updates: number of updates of a match.
      record_every: updates from one row to the next.
      segment: intervals in a segment.
      extras: what else is recorded: "policies" at every recorded update, "consistency" at the end.
      intervals_per_row: intervals from one row to the next.
      measures: whether matches whose returns are sampled are measured at recorded updates, which takes play.
    """

    updates: int
    record_every: int
    segment: int
    extras: tuple[str, ...] = ()
    intervals_per_row: int = 1
    measures: bool = True

    @property
    def rows(self) -> int:
        """Recorded rows without the last one, which comes from the end of the run."""
        return -(-self.updates // self.record_every)

    @property
    def segments(self) -> int:
        """Calls of the segment program in a run."""
        return -(-self.rows * self.intervals_per_row // self.segment)

    def begins(self, interval: Any) -> Any:
        """The number of updates before an interval; an integer or an integer array."""
        length = -(-self.record_every // self.intervals_per_row)
        row, within = interval // self.intervals_per_row, (interval % self.intervals_per_row) * length
        if isinstance(interval, int):
            return min(row * self.record_every + min(within, self.record_every), self.updates)
        return jnp.minimum(row * self.record_every + jnp.minimum(within, self.record_every), self.updates)

    def interval_of(self, update: int) -> int:
        """The interval in which an update is done, counted from 0."""
        length = -(-self.record_every // self.intervals_per_row)
        row, within = divmod(update, self.record_every)
        return row * self.intervals_per_row + within // length

    def rows_after(self, updates: int) -> int:
        """How many rows the first `updates` updates record: those that are due after fewer updates than that."""
        return min(-(-updates // self.record_every), self.rows)

    def rows_before(self, interval: int) -> int:
        """How many rows are recorded before an interval begins."""
        return min(-(-interval // self.intervals_per_row), self.rows)

    @property
    def measured(self) -> int:
        """At how many updates, from the first on, something is recorded."""
        return len(self.recorded) - 1 if self.updates else 0

    @property
    def recorded(self) -> RecordedUpdates:
        """The recorded updates, ascending; they always include 0 and the last."""
        return RecordedUpdates(self.updates, self.record_every)


def segment_at(timetable: Timetable, interval: int, only: tuple[int, int] | None = None) -> np.ndarray:
    """The segment that begins with an interval, as its program takes it: all of its updates, or only the updates from
    one number up to but excluding another."""
    return np.array([interval, *(only or (0, timetable.updates))], np.int32)


def bounds(timetable: Timetable, segment: jax.Array, index: Any) -> tuple[jax.Array, jax.Array]:
    """The number of updates when an interval of a segment begins and when it ends, limited to the updates to do."""
    first, low, high = segment
    ends = (timetable.begins(first + index), timetable.begins(first + index + 1))
    begin, end = (jnp.clip(at, low, high) for at in ends)
    return begin, end


def population_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding that spreads the population axis over the mesh."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def start_program(mesh: Mesh, dtype: Any) -> Callable[[Match], MatchState]:
    """`matches -> states` before the first update; leaves [population, ...]."""
    function = jax.vmap(lambda match: single.start(match, dtype))
    return jax.jit(sharded_over(function, mesh, 1))


def segment_program(
    mesh: Mesh, timetable: Timetable, block: int
) -> Callable[[Match, MatchState, jax.Array], tuple[MatchState, dict[str, jax.Array]]]:
    """`segment_function` compiled, over a mesh; states are donated."""
    return jax.jit(sharded_over(segment_function(timetable, block), mesh, 2, replicated=1), donate_argnums=1)


def segment_function(
    timetable: Timetable, block: int
) -> Callable[[Match, MatchState, jax.Array], tuple[MatchState, dict[str, jax.Array]]]:
    """`(matches, states, segment) -> (states, recorded)`, blocks of matches one after the other.

    `segment` [3] int32 (see `segment_at`) holds its first interval and two numbers of updates, a first and an end; only
    updates from the first up to but excluding the end are done. A run does all of them; a narrower segment does the
    same updates in the same program, but few at a time.

    `recorded` has one row for each interval of the segment, as the match is at the interval's first update: value
    [population, intervals, players]; what learners record of that update; if the timetable's extras include "policies",
    policy_trajectory [population, intervals, players, states]; and if returns are sampled, everything that a match
    measures. Rows of intervals that do not begin a row of the record, and rows beyond the last update, are meaningless.
    """

    def run_block(blocks: tuple[Match, MatchState], segment: jax.Array) -> tuple[MatchState, dict[str, jax.Array]]:
        whole, states = blocks
        plays, axis = whole.game.sampled, _axis(whole)
        matches, start = take_apart(blocks) if _unrolled(whole) else blocks
        update = jax.vmap(single.update, (axis, axis, axis, None, None), axis)
        settle = jax.vmap(single.settle, (axis, axis, axis, None), axis)
        measure = jax.vmap(single.measure, (axis, axis, None), axis)
        policies: Any = jax.vmap(lambda learners: whole.game.cooperation(single.thetas_of(whole, learners)), axis, axis)

        def looked(settled: MatchState) -> dict[str, jax.Array]:
            return {"policy_trajectory": policies(settled.learners)} if "policies" in timetable.extras else {}

        def interval(carry: tuple[Any, Any], index: jax.Array) -> tuple[tuple[Any, Any], dict[str, jax.Array]]:
            begin, end = bounds(timetable, segment, index)
            if plays and not timetable.measures:
                recorded, rows = False, {}
                settled = settle(matches, *carry, begin)
                carry = (settled, settled.learners)
            elif plays:
                # What is not recorded is not played, nor is anything beyond the last update.
                number = segment[0] + index
                whole_interval = (begin == timetable.begins(number)) & (begin < end)
                recorded: Any = whole_interval & (number % timetable.intervals_per_row == 0)

                def played(settled: MatchState) -> tuple[MatchState, dict[str, jax.Array]]:
                    state, rows = measure(matches, settled, begin)
                    return state, rows | looked(settled)

                def passed(settled: MatchState) -> tuple[MatchState, dict[str, jax.Array]]:
                    like = jax.eval_shape(played, settled)[1]
                    return settled, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)

                state, rows = lax.cond(recorded, played, passed, settle(matches, *carry, begin))
                carry = (state, state.learners)
            else:
                # Values are those at the start of an update. The state at the start of an interval is not yet tested; a
                # match that has just diverged shows its last finite policies.
                recorded, rows = True, looked(settle(matches, *carry, begin)) if timetable.extras else {}

            def body(number: jax.Array, carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
                states, previous, info = carry
                wanted = False if recorded is False else recorded & (number == begin)
                states, previous, found = update(matches, states, previous, number, wanted)
                return states, previous, _kept(number == begin, found, info)

            names = [*matches.variables, *([] if plays else ["value"])]
            nothing = {name: [jnp.full_like(total, jnp.nan) for total in carry[0].value_sum] for name in names}
            states, previous, info = lax.fori_loop(begin, end, body, (*carry, nothing))
            rows = rows | {name: jnp.stack(each, axis=1 + axis) for name, each in info.items()}
            return (states, previous), rows

        moved, rows = lax.scan(interval, (start, start.learners), jnp.arange(timetable.segment))
        last = bounds(timetable, segment, timetable.segment)[0]
        # Transposed while they are in the cache.
        rows = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1 if plays else -1, 0), rows)
        return put_together(states, settle(matches, *moved, last)), rows

    def function(matches: Match, states: MatchState, segment: jax.Array) -> tuple[MatchState, dict[str, jax.Array]]:
        first = _axis(matches) == 0
        moved, rows = lax.map(lambda blocks: run_block(blocks, segment), to_blocks((matches, states), block, first))
        return from_blocks(moved, first), from_blocks(rows, True)

    return function


def finish_program(mesh: Mesh, timetable: Timetable, block: int) -> Callable[..., dict[str, jax.Array]]:
    """`(matches, states) -> record variables`, leaves [population, ...]; see `match.finish`."""

    def function(matches: Match, states: MatchState) -> dict[str, jax.Array]:
        recorded, axis = timetable.measured if matches.game.sampled else None, _axis(matches)

        # True, but an array computed from this device's states, like the one that the updates get; see `match.finish`.
        wanted = jnp.all(jnp.ones_like(states.diverged_at, bool))

        def finished(match: Match, state: MatchState) -> dict[str, jax.Array]:
            found = single.finish(match, state, timetable.updates, timetable.extras, recorded, wanted)
            return found | ({"policy_trajectory": found["policy"]} if "policies" in timetable.extras else {})

        finish: Any = jax.vmap(finished, axis, axis)

        def run_block(blocks: tuple[Match, MatchState]) -> dict[str, jax.Array]:
            return finish(*(take_apart(blocks) if _unrolled(blocks[0]) else blocks))

        return _over_blocks(run_block, block, axis == 0)((matches, states))

    return jax.jit(sharded_over(function, mesh, 2))


def map_blocks(function: Callable[[Match, MatchState], Any], block: int) -> Callable[[Match, MatchState], Any]:
    """`(matches, states) -> found`: a function of one match and its state, mapped over many, block by block."""

    def mapped(matches: Match, states: MatchState) -> Any:
        axis = _axis(matches)
        each: Any = jax.vmap(function, axis, axis)

        def run_block(blocks: tuple[Match, MatchState]) -> Any:
            return each(*(take_apart(blocks) if _unrolled(blocks[0]) else blocks))

        return _over_blocks(run_block, block, axis == 0)((matches, states))

    return mapped


def map_states(function: Callable[[Match, MatchState], MatchState], block: int) -> Callable[..., MatchState]:
    """`(matches, states) -> states`: the next state of one match, mapped over many, block by block."""

    def mapped(matches: Match, states: MatchState) -> MatchState:
        axis = _axis(matches)
        each: Any = jax.vmap(function, axis, axis)

        def run_block(blocks: tuple[Match, MatchState]) -> MatchState:
            apart = take_apart(blocks) if _unrolled(blocks[0]) else blocks
            return put_together(blocks[1], each(*apart))

        return _over_blocks(run_block, block, axis == 0)((matches, states))

    return mapped


def _kept(chosen: jax.Array, found: Any, before: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(chosen, a, b), found, before)


def _axis(matches: Match) -> int:
    """The axis of a block's matches: last, so that every operation of a small game is elementwise over them; or first,
    if returns are sampled, because batches of play are large and matrix products need it."""
    return 0 if matches.game.sampled else -1


def _unrolled(matches: Match) -> bool:
    """Whether matches of this structure can be taken apart into scalars."""
    return matches.game.unrolled and all(learner.elementwise for learner in matches.learners)


def _over_blocks(run_block: Callable[[Any], Any], block: int, first: bool) -> Callable[[Any], Any]:
    """Maps a function of blocks [..., block], or [block, ...] if `first`, over leaves [population, ...], one block
    after the other."""
    return lambda tree: from_blocks(lax.map(run_block, to_blocks(tree, block, first)), first)


def sharded_over(function: Callable[..., Any], mesh: Mesh, sharded: int, replicated: int = 0) -> Callable[..., Any]:
    """Each device runs the function on its own part of the population, without communication."""
    specs = (PartitionSpec(AXIS),) * sharded + (PartitionSpec(),) * replicated
    return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(AXIS), check_vma=False)
