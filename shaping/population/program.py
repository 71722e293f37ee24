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
from shaping.population.layout import from_blocks, put_together, take_apart, to_blocks
from shaping.population.match import Match, MatchState

AXIS = "population"


@dataclass(frozen=True)
class Timetable:
    """When values are recorded and how updates are cut into segments.

    Values are recorded after 0, record_every, 2 record_every, ... updates and after the last. An interval is the
    updates from one record to the next. It is one stretch of updates, or `pieces` of them where it is long; a segment
    is a fixed number of stretches, what lies beyond the last update masked.

    Attributes:
      updates: number of updates of a match.
      record_every: updates per interval.
      segment: stretches per segment.
      extras: what is recorded besides, "policies" at every recorded update, "consistency" at the end.
      pieces: stretches per interval.
    """

    updates: int
    record_every: int
    segment: int
    extras: tuple[str, ...] = ()
    pieces: int = 1

    @property
    def intervals(self) -> int:
        """Intervals in a run, the last possibly shorter."""
        return -(-self.updates // self.record_every)

    @property
    def segments(self) -> int:
        """Calls of the segment program in a run."""
        return -(-self.intervals * self.pieces // self.segment)

    def begins(self, stretch: Any) -> Any:
        """The number of updates before a stretch; an integer or an integer array."""
        length = -(-self.record_every // self.pieces)
        within = (stretch % self.pieces) * length
        if isinstance(stretch, int):
            return min(stretch // self.pieces * self.record_every + min(within, self.record_every), self.updates)
        at = (stretch // self.pieces) * self.record_every + jnp.minimum(within, self.record_every)
        return jnp.minimum(at, self.updates)

    def recorded_before(self, stretch: int) -> int:
        """How many rows are recorded before a stretch begins."""
        return min(-(-stretch // self.pieces), self.intervals)

    @property
    def measured(self) -> int:
        """At how many updates from the first on something is recorded."""
        return len(self.recorded) - 1 if self.updates else 0

    @property
    def recorded(self) -> list[int]:
        """The recorded updates, ascending; 0 and the last always among them."""
        return [*range(0, self.updates, self.record_every), self.updates]


def window_of(timetable: Timetable, stretch: int, only: tuple[int, int] | None = None) -> np.ndarray:
    """The window of the segment that begins with a stretch: all of it, or only the updates from one number to below
    another."""
    return np.array([stretch, *(only or (0, timetable.updates))], np.int32)


def bounds(timetable: Timetable, window: jax.Array, index: Any) -> tuple[jax.Array, jax.Array]:
    """The updates before a stretch of a segment begins and when it has ended, within the window."""
    first, low, high = window
    ends = (timetable.begins(first + index), timetable.begins(first + index + 1))
    begin, end = (jnp.clip(at, low, high) for at in ends)
    return begin, end


def population_sharding(mesh: Mesh) -> NamedSharding:
    """The population axis spread over the mesh."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def start_program(mesh: Mesh, dtype: Any) -> Callable[[Match], MatchState]:
    """`matches -> states` before the first update; leaves [population, ...]."""
    function = jax.vmap(lambda match: single.start(match, dtype))
    return jax.jit(_sharded(function, mesh, 1))


def segment_program(
    mesh: Mesh, timetable: Timetable, block: int
) -> Callable[[Match, MatchState, jax.Array], tuple[MatchState, dict[str, jax.Array]]]:
    """`(matches, states, window) -> (states, recorded)`; states are donated.

    `window` [3] int32 is the first stretch of the segment, and two numbers of updates: what lies before the one or from
    the other on is not done. A run does all of it; a smaller window does the same updates in the same program, but few
    at a time.

    `recorded` has one row for each stretch of the segment, as its first update finds the match: value [population,
    stretches, players] and, where the timetable's extras name "policies", policy_trajectory [population, stretches,
    players, states]; where returns are sampled, everything a match measures. Rows of stretches that do not begin an
    interval, and rows beyond the last update, are meaningless.
    """

    def run_sampled_block(
        blocks: tuple[Match, MatchState], window: jax.Array
    ) -> tuple[MatchState, dict[str, jax.Array]]:
        # Arrays of a batch of play are large: the population stands first, where products of matrices want it.
        matches, states = blocks
        update = jax.vmap(single.sampled_update, in_axes=(0, 0, 0, None, None))
        settle = jax.vmap(single.sampled_settle, in_axes=(0, 0, None))
        measure = jax.vmap(single.measure, in_axes=(0, 0, None))
        policies: Any = jax.vmap(lambda learners: matches.game.cooperation(single.thetas_of(matches, learners)))

        def interval(carry: tuple[Any, Any], index: jax.Array) -> tuple[tuple[Any, Any], dict[str, jax.Array]]:
            begin, end = bounds(timetable, window, index)
            settled = settle(*carry, begin)

            def measured(settled: MatchState) -> tuple[MatchState, dict[str, jax.Array]]:
                state, rows = measure(matches, settled, begin)
                if "policies" in timetable.extras:
                    rows["policy_trajectory"] = policies(settled.learners)
                return state, rows

            def beyond(settled: MatchState) -> tuple[MatchState, dict[str, jax.Array]]:
                like = jax.eval_shape(measured, settled)[1]
                return settled, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)

            # What is not recorded is not played, nor what lies beyond the last update.
            stretch = window[0] + index
            whole = (begin == timetable.begins(stretch)) & (begin < end)
            shown = whole & (stretch % timetable.pieces == 0)
            counted, rows = lax.cond(shown, measured, beyond, settled)

            def body(number: jax.Array, carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
                states, previous, info = carry
                states, previous, found = update(matches, states, previous, number, shown & (number == begin))
                return states, previous, _kept(number == begin, found, info)

            empty = _nothing(matches, counted)
            states, previous, info = lax.fori_loop(begin, end, body, (counted, counted.learners, empty))
            return (states, previous), rows | {name: jnp.stack(each, axis=1) for name, each in info.items()}

        (moved, previous), rows = lax.scan(interval, (states, states.learners), jnp.arange(timetable.segment))
        last = bounds(timetable, window, timetable.segment)[0]
        return settle(moved, previous, last), jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), rows)

    def run_block(blocks: tuple[Match, MatchState], window: jax.Array) -> tuple[MatchState, dict[str, jax.Array]]:
        whole, states = blocks
        apart = take_apart if _unrolled(whole) else lambda tree: tree
        matches = apart(whole)
        policies: Any = jax.vmap(lambda learners: whole.game.cooperation(single.thetas_of(whole, learners)), -1, -1)
        update = jax.vmap(single.update, in_axes=(-1, -1, -1, None, None), out_axes=-1)
        settle = jax.vmap(single.settle, in_axes=(-1, -1, None), out_axes=-1)

        def interval(carry: tuple[Any, Any], index: jax.Array) -> tuple[tuple[Any, Any], dict[str, jax.Array]]:
            begin, end = bounds(timetable, window, index)

            def body(number: jax.Array, carry: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
                states, previous, recorded, info = carry
                states, previous, values, found = update(matches, states, previous, number, number == begin)
                return states, previous, _kept(number == begin, values, recorded), _kept(number == begin, found, info)

            empty = [jnp.full_like(total, jnp.nan) for total in carry[0].value_sum]
            start = (*carry, empty, _nothing(matches, carry[0]))
            states, previous, recorded, info = lax.fori_loop(begin, end, body, start)
            rows = {"value": jnp.stack(recorded)} | {name: jnp.stack(each) for name, each in info.items()}
            if "policies" in timetable.extras:
                # What the interval finds is not yet tested; one that has just diverged shows its last finite state.
                rows["policy_trajectory"] = policies(settle(*carry, begin).learners)
            return (states, previous), rows

        start = apart(states)
        moved, rows = lax.scan(interval, (start, start.learners), jnp.arange(timetable.segment))
        last = bounds(timetable, window, timetable.segment)[0]
        # Turned around while they are in the cache.
        return put_together(states, settle(*moved, last)), jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), rows)

    def function(matches: Match, states: MatchState, window: jax.Array) -> tuple[MatchState, dict[str, jax.Array]]:
        run, first = run_sampled_block if matches.game.sampled else run_block, matches.game.sampled
        moved, rows = lax.map(lambda blocks: run(blocks, window), to_blocks((matches, states), block, first))
        return from_blocks(moved, first), from_blocks(rows, True)

    wrapped = _sharded(function, mesh, 2, replicated=1)
    return jax.jit(wrapped, donate_argnums=1)


def finish_program(mesh: Mesh, timetable: Timetable, block: int) -> Callable[..., dict[str, jax.Array]]:
    """`(matches, states) -> record variables`, leaves [population, ...]; see `match.finish`."""

    def function(matches: Match, states: MatchState) -> dict[str, jax.Array]:
        sampled = matches.game.sampled
        recorded = timetable.measured if sampled else None
        axis = 0 if sampled else -1

        def finished(match: Match, state: MatchState) -> dict[str, jax.Array]:
            found = single.finish(match, state, timetable.updates, timetable.extras, recorded)
            return found | ({"policy_trajectory": found["policy"]} if "policies" in timetable.extras else {})

        finish: Any = jax.vmap(finished, axis, axis)

        def run_block(blocks: tuple[Match, MatchState]) -> dict[str, jax.Array]:
            return finish(*(take_apart(blocks) if _unrolled(blocks[0]) else blocks))

        return _over_blocks(run_block, block, sampled)((matches, states))

    return jax.jit(_sharded(function, mesh, 2))


def _kept(chosen: jax.Array, found: Any, before: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(chosen, a, b), found, before)


def _nothing(matches: Match, states: MatchState) -> dict[str, list[jax.Array]]:
    """What learners record besides where they have not yet: a number for every player of every match, NaN."""
    return {name: [jnp.full_like(total, jnp.nan) for total in states.value_sum] for name in matches.variables}


def _unrolled(matches: Match) -> bool:
    """Whether matches of this structure may be taken apart into scalars."""
    return matches.game.unrolled and all(learner.elementwise for learner in matches.learners)


def _over_blocks(run_block: Callable[[Any], Any], block: int, first: bool) -> Callable[[Any], Any]:
    """Maps a function of blocks [..., block], or [block, ...] where `first`, over leaves [population, ...], one block
    after the other."""
    return lambda tree: from_blocks(lax.map(run_block, to_blocks(tree, block, first)), first)


def _sharded(function: Callable[..., Any], mesh: Mesh, sharded: int, replicated: int = 0) -> Callable[..., Any]:
    """Each device runs the function on its own part of the population; no part talks to another."""
    specs = (PartitionSpec(AXIS),) * sharded + (PartitionSpec(),) * replicated
    return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(AXIS), check_vma=False)
