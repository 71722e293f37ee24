"""Those who meet in a generation, gathered, updated together by the segment program of independent matches, measured,
and put back."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from shaping.learners.learner import LearnerState
from shaping.population import match as single
from shaping.population.compiled_programs import AXIS, Timetable, map_blocks, map_states, segment_function
from shaping.population.fixed_strategies import StillGame, StillParams, stilled, without_start
from shaping.population.match import Encounter, Match, MatchState
from shaping.population.meeting_population import MeetingSetup, MeetingState, Rules, flat
from shaping.population.random_keys import use
from shaping.population.seating import anywhere
from shaping.population.structures import SAMPLED_BLOCK, encounter_in_groups, members_of

# More updates than any match makes.
_FOREVER = 2**31 - 1


# A block has at most `_BLOCK` encounters, or as many as make `_UPDATES` updates together if that is more.
_BLOCK, _UPDATES = 128, 2048
# How many updates an encounter is taken to have where populations differ in that.
_USUAL_UPDATES = 10


def encounter(
    rules: Rules,
    setup: MeetingSetup,
    state: MeetingState,
    number: jax.Array,
    numbers: jax.Array,
    live: jax.Array | bool,
) -> tuple[LearnerState, dict[str, jax.Array]]:
    """The states of all learners after those who meet have been updated together, and what is then measured of them.

    Args:
      numbers: [populations, encounters, seats] int32, the positions of the learners who meet; past the last learner
        where an encounter is empty.
    """
    populations, encounters, seats = numbers.shape
    learners = state.types.shape[1]
    own = numbers if rules.structures else _part(numbers, rules.split)
    total = populations * own.shape[1]
    known = jnp.minimum(own, learners - 1)
    base = learners * jnp.arange(populations, dtype=jnp.int32)[:, None, None]
    at = (known + base).reshape(total, seats)
    in_place = setup.pairing.in_place and not rules.split
    identities = known
    if setup.pairing.in_place:
        identities = jax.vmap(lambda row, slots: row.at[slots].get(mode="promise_in_bounds"))(state.places, known)

    def updated(
        setup: MeetingSetup, combination: int, kinds: Sequence[jax.Array], numbers: jax.Array, states: Any
    ) -> tuple[tuple[LearnerState, ...], dict[str, jax.Array]]:
        return _together(rules, setup, combination, kinds, numbers, states, number, live)

    if rules.structures:
        # Encounters are not divided among devices here: every device computes all of them.
        return encounter_in_groups(rules, setup, state, numbers, identities, updated)

    def gathered(leaf: jax.Array) -> list[jax.Array]:
        if in_place:
            return [leaf.reshape(total, seats, *leaf.shape[1:])[:, seat] for seat in range(seats)]
        return [leaf.at[at[:, seat]].get(mode="promise_in_bounds") for seat in range(seats)]

    leaves, structure = jax.tree.flatten(state.learners)
    each = [gathered(leaf) for leaf in leaves]
    states = tuple(structure.unflatten([by_seat[seat] for by_seat in each]) for seat in range(seats))
    ended, measured = updated(setup, 0, gathered(flat(state.types)), identities, states)

    def together(leaf: jax.Array) -> jax.Array:
        """The parts that the devices have, put together: [populations, encounters, ...]."""
        found = leaf.reshape(populations, -1, *leaf.shape[1:])
        if rules.split:
            found = lax.all_gather(found, AXIS, axis=1, tiled=True)[:, :encounters]
        return found

    measured = jax.tree.map(together, measured)
    if all(rules.still):
        return state.learners, measured
    # Whoever met nobody keeps their state: what is put beyond the last learner is dropped.
    target = jnp.where(numbers < learners, numbers + base, populations * learners).reshape(-1)

    def put(leaf: jax.Array, *by_seat: jax.Array) -> jax.Array:
        rows = jnp.stack([together(one) for one in by_seat], axis=2)
        rows = rows.reshape(populations * encounters * seats, *leaf.shape[1:])
        if in_place:
            return rows
        return leaf.at[target].set(rows, mode="drop", unique_indices=not setup.pairing.structured)

    return jax.tree.map(put, state.learners, *ended), measured


def _together(
    rules: Rules,
    setup: MeetingSetup,
    combination: int,
    kinds: Sequence[jax.Array],
    numbers: jax.Array,
    states: tuple[LearnerState, ...],
    number: jax.Array,
    live: jax.Array | bool,
) -> tuple[tuple[LearnerState, ...], dict[str, jax.Array]]:
    """Updates encounters of one combination of structures, by the program of matches.

    Args:
      rules: what populations have in common.
      setup: leaves [populations, ...].
      combination: of the structures of who sits where, see `Rules.games`.
      kinds: by seat the types, [populations * encounters] int32.
      numbers: [populations, encounters, seats] int32, the learners' own numbers.
      states: by seat, leaves [populations * encounters, ...].
      number: [] int32, of the generation.
      live: whether anything changes.

    Returns:
      states after the updates, by seat; and what they are worth then, leaves [populations * encounters, ...].
    """
    matches = _matches(rules, setup, combination, kinds, numbers)
    total = len(kinds[0])
    dtype = next(leaf.dtype for leaf in jax.tree.leaves([state.theta for state in states]))
    none = tuple(jnp.zeros(total, dtype) for _ in states)
    begun = MatchState(states, jnp.full(total, -1, jnp.int32), none, none)

    block, padded = _blocked(rules, total)
    matches, begun = (jax.tree.map(lambda leaf: _padded(leaf, padded), tree) for tree in (matches, begun))
    ended, live = begun, jnp.asarray(live)
    if not all(rules.still):
        if rules.encounter is None:
            ended = _updated_as_often(matches, begun, number, live, block)
        else:
            updates = jnp.where(live, np.int32(_FOREVER), 0)
            segment = jnp.stack([number, jnp.int32(0), updates])
            ended, _ = segment_function(Timetable(_FOREVER, rules.encounter, 1, measures=False), block)(
                matches, begun, segment
            )
    done = number + live.astype(jnp.int32)

    def measure(match: Match, own: MatchState) -> dict[str, jax.Array]:
        return _measured(rules, combination, match, own, done * _updates_of(rules, match))

    measured = map_blocks(measure, block)(matches, ended)
    return jax.tree.map(lambda leaf: leaf[:total], (ended.learners, measured))


def _updates_of(rules: Rules, match: Match) -> Any:
    """How many updates those who meet make together."""
    assert match.encounter is not None
    return match.encounter.updates if rules.encounter is None else rules.encounter


def _updated_as_often(matches: Match, begun: MatchState, number: jax.Array, live: jax.Array, block: int) -> MatchState:
    """States after as many updates as each encounter has; all go on until the last is done."""
    assert matches.encounter is not None
    most = jnp.where(live, jnp.max(matches.encounter.updates), 0)

    def one(match: Match, state: MatchState) -> MatchState:
        assert match.encounter is not None
        own = jnp.where(live, match.encounter.updates, 0)
        first = number * match.encounter.updates

        def body(done: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            moved, kept, _ = single.update(match, carry[0], carry[1], first + done)
            return jax.tree.map(lambda new, old: jnp.where(done < own, new, old), (moved, kept), carry)

        moved, kept = lax.fori_loop(0, most, body, (state, state.learners))
        return single.settle(match, moved, kept, first + own)

    return map_states(one, block)(matches, begun)


def _part(numbers: jax.Array, devices: int) -> jax.Array:
    """A device's part of the encounters, [populations, its encounters, seats]; all of them where they are not split.
    The last one is repeated where they do not divide evenly."""
    if not devices:
        return numbers
    count = -(-numbers.shape[1] // devices)
    filled = jnp.pad(numbers, ((0, 0), (0, count * devices - numbers.shape[1]), (0, 0)), mode="edge")
    return lax.dynamic_slice_in_dim(filled, lax.axis_index(AXIS) * count, count, 1)


def _matches(
    rules: Rules, setup: MeetingSetup, combination: int, kinds: Sequence[jax.Array], numbers: jax.Array
) -> Match:
    """The encounters as matches, leaves [populations * encounters, ...]; see `_together`."""
    populations, encounters, _ = numbers.shape

    def spread(leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        wide = jnp.broadcast_to(leaf[:, None], (populations, encounters, *leaf.shape[1:]))
        return flat(wide)

    stripped = [without_start(one) for one in setup.types]
    if rules.stands:
        stripped = [stilled(one, still) for one, still in zip(stripped, rules.still, strict=True)]
    stripped = [anywhere(one) for one in stripped]

    def of_kind(kind: jax.Array, *leaves: Any) -> jax.Array:
        # A number each type, [populations, types, ...], picked by the type of whoever sits there.
        each = [jnp.broadcast_to(jnp.asarray(leaf), (populations, *jnp.shape(leaf)[1:])) for leaf in leaves]
        if len(each) == 1:
            return spread(each[0])
        table = jnp.stack(each, axis=1)
        own = kind.reshape(populations, encounters)
        return flat(jax.vmap(lambda row, at: row.at[at].get(mode="promise_in_bounds"))(table, own))

    if rules.stands:
        # Whether one stands still is the same in every population.
        flags = [jnp.full(populations, still) for still in rules.still]
        stripped = [
            dataclasses.replace(one, settings=dataclasses.replace(one.settings, still=flag))
            for one, flag in zip(stripped, flags, strict=True)
        ]
    learners = []
    for kind, members in zip(kinds, members_of(rules, combination), strict=True):
        # The place of each type among those that may sit here; others never do.
        own = kind if len(members) == len(stripped) else jnp.asarray(_places(members, len(stripped)))[kind]
        seated = [stripped[member] for member in members]
        learners.append(jax.tree.map(lambda *leaves, own=own: of_kind(own, *leaves), *seated))
    params: Any = jax.tree.map(spread, setup.params)
    game: Any = rules.games[combination] if rules.structures else rules.game
    if rules.stands:
        still = jnp.asarray(rules.still)
        params = StillParams(params, jnp.stack([still[kind] for kind in kinds], axis=1))
        game = StillGame(game)
    updates = None if setup.encounter is None else spread(setup.encounter)
    encounter = Encounter(numbers.reshape(populations * encounters, -1), rules.size, updates)
    return Match(spread(setup.seed), spread(setup.number), params, tuple(learners), game, None, encounter)


def _places(members: Sequence[int], types: int) -> np.ndarray:
    """For each type its place among the members, 0 for others; [types] int32."""
    found = np.zeros(types, np.int32)
    found[list(members)] = np.arange(len(members))
    return found


def _measured(
    rules: Rules, combination: int, match: Match, state: MatchState, number: jax.Array
) -> dict[str, jax.Array]:
    """What is measured of those who met, now, NaN where they diverged: value and what else the game measures of each,
    [seats], and, where actions are to cooperate or not, cooperation, [seats], and mutual_cooperation, []."""
    params = match.params.params if rules.stands else match.params
    game = rules.games[combination] if rules.structures else rules.game
    thetas = single.thetas_of(match, state.learners)
    found = dict(game.evaluate(params, thetas, use(match.key, "evaluation", number)))
    played = game.cooperation_as_played(params, thetas)
    if played is not None:
        found["cooperation"], found["mutual_cooperation"] = played
    return jax.tree.map(lambda leaf: jnp.where(state.diverged_at < 0, leaf, jnp.nan), found)


def _padded(leaf: jax.Array, count: int) -> jax.Array:
    """More rows, the last one again."""
    if leaf.shape[0] == count:
        return leaf
    last = jnp.broadcast_to(leaf[-1:], (count - leaf.shape[0], *leaf.shape[1:]))
    return jnp.concatenate([leaf, last])


def _blocked(rules: Rules, total: int) -> tuple[int, int]:
    """How many encounters a block has, and how many all blocks have together: just the encounters there are, if they
    divide evenly into blocks, otherwise a few more. The fewer updates an encounter makes, the larger a block has to be
    to pay off."""
    largest = SAMPLED_BLOCK if rules.game.sampled else max(_BLOCK, _UPDATES // (rules.encounter or _USUAL_UPDATES))
    if total <= largest:
        return total, total
    for block in range(largest, largest // 2, -1):
        if total % block == 0:
            return block, total
    blocks = -(-total // largest)
    block = -(-total // blocks)
    return block, blocks * block
