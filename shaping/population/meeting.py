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
from shaping.population.compiled_programs import AXIS, Timetable, map_blocks, segment_function
from shaping.population.ecology import Ecology, EcologyState, Rules, flat
from shaping.population.fixed_strategies import StillGame, StillParams, stilled, without_start
from shaping.population.match import Encounter, Match, MatchState
from shaping.population.random_keys import use
from shaping.population.seating import anywhere

# Updates of no match are as many.
_FOREVER = 2**31 - 1


# Encounters of a block, at least; and updates that a block is taken up for.
_BLOCK, _UPDATES = 128, 2048


# Of those whose returns are sampled: a batch of play fills a cache by itself.
_SAMPLED_BLOCK = 2


def encounter(
    rules: Rules, ecology: Ecology, state: EcologyState, number: jax.Array, numbers: jax.Array, live: jax.Array | bool
) -> tuple[LearnerState, dict[str, jax.Array]]:
    """States of all after those who meet were updated together, and what they are worth to each other then.

    Args:
      numbers: [populations, encounters, seats] int32, where the learners lie who meet; beyond the last one where an
        encounter is empty.
    """
    populations, encounters, seats = numbers.shape
    learners = state.types.shape[1]
    own = _part(numbers, rules.split)
    total = populations * own.shape[1]
    known = jnp.minimum(own, learners - 1)
    base = learners * jnp.arange(populations, dtype=jnp.int32)[:, None, None]
    at = (known + base).reshape(total, seats)
    in_place = ecology.pairing.in_place and not rules.split
    identities = known
    if ecology.pairing.in_place:
        identities = jax.vmap(lambda row, slots: row.at[slots].get(mode="promise_in_bounds"))(state.places, known)

    def gathered(leaf: jax.Array) -> list[jax.Array]:
        if in_place:
            return [leaf.reshape(total, seats, *leaf.shape[1:])[:, seat] for seat in range(seats)]
        return [leaf.at[at[:, seat]].get(mode="promise_in_bounds") for seat in range(seats)]

    leaves, structure = jax.tree.flatten(state.learners)
    each = [gathered(leaf) for leaf in leaves]
    states = tuple(structure.unflatten([by_seat[seat] for by_seat in each]) for seat in range(seats))
    matches = _matches(rules, ecology, gathered(flat(state.types)), identities)
    none = tuple(jnp.zeros(total, state.elsewhere.dtype) for _ in range(seats))
    begun = MatchState(states, jnp.full(total, -1, jnp.int32), none, none)

    block, padded = _blocked(rules, total)
    matches, begun = (jax.tree.map(lambda leaf: _padded(leaf, padded), tree) for tree in (matches, begun))
    ended, learns = begun, not all(rules.still)
    if learns:
        updates = jnp.where(jnp.asarray(live), np.int32(_FOREVER), 0)
        segment = jnp.stack([number, jnp.int32(0), updates])
        ended, _ = segment_function(Timetable(_FOREVER, rules.encounter, 1, measures=False), block)(
            matches, begun, segment
        )
    after = (number + jnp.asarray(live).astype(jnp.int32)) * rules.encounter
    measured = map_blocks(lambda match, own: _measured(rules, match, own, after), block)(matches, ended)

    def together(leaf: jax.Array) -> jax.Array:
        """[populations, encounters, ...] of what each device has of it."""
        found = leaf[:total].reshape(populations, -1, *leaf.shape[1:])
        if rules.split:
            found = lax.all_gather(found, AXIS, axis=1, tiled=True)[:, :encounters]
        return found

    measured = jax.tree.map(together, measured)
    if not learns:
        return state.learners, measured
    # Whoever met nobody keeps their state: what is put beyond the last learner is dropped.
    target = jnp.where(numbers < learners, numbers + base, populations * learners).reshape(-1)

    def put(leaf: jax.Array, *by_seat: jax.Array) -> jax.Array:
        rows = jnp.stack([together(one) for one in by_seat], axis=2)
        rows = rows.reshape(populations * encounters * seats, *leaf.shape[1:])
        if in_place:
            return rows
        return leaf.at[target].set(rows, mode="drop", unique_indices=not ecology.pairing.structured)

    return jax.tree.map(put, state.learners, *ended.learners), measured


def _part(numbers: jax.Array, devices: int) -> jax.Array:
    """A device's part of the encounters, [populations, its encounters, seats]; all of them where they are not split.
    The last one is repeated where they do not go into as many parts."""
    if not devices:
        return numbers
    count = -(-numbers.shape[1] // devices)
    filled = jnp.pad(numbers, ((0, 0), (0, count * devices - numbers.shape[1]), (0, 0)), mode="edge")
    return lax.dynamic_slice_in_dim(filled, lax.axis_index(AXIS) * count, count, 1)


def _matches(rules: Rules, ecology: Ecology, kinds: Sequence[jax.Array], numbers: jax.Array) -> Match:
    """The encounters as matches, leaves [populations * encounters, ...]."""
    populations, encounters, _ = numbers.shape

    def spread(leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        wide = jnp.broadcast_to(leaf[:, None], (populations, encounters, *leaf.shape[1:]))
        return flat(wide)

    stripped = [without_start(one) for one in ecology.types]
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
    learners = tuple(jax.tree.map(lambda *leaves, own=kind: of_kind(own, *leaves), *stripped) for kind in kinds)
    params: Any = jax.tree.map(spread, ecology.params)
    game: Any = rules.game
    if rules.stands:
        still = jnp.asarray(rules.still)
        params = StillParams(params, jnp.stack([still[kind] for kind in kinds], axis=1))
        game = StillGame(rules.game)
    encounter = Encounter(numbers.reshape(populations * encounters, -1), rules.size)
    return Match(spread(ecology.seed), spread(ecology.number), params, learners, game, None, encounter)


def _measured(rules: Rules, match: Match, state: MatchState, number: jax.Array) -> dict[str, jax.Array]:
    """What is measured of those who met, now, NaN where they diverged: value and what else the game measures of each,
    [seats], and, where actions are to cooperate or not, cooperation, [seats], and mutual_cooperation, []."""
    params = match.params.params if rules.stands else match.params
    thetas = single.thetas_of(match, state.learners)
    found = dict(rules.game.evaluate(params, thetas, use(match.key, "evaluation", number)))
    played = rules.game.cooperation_as_played(params, thetas)
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
    """How many encounters a block has, and how many all blocks have: as many as there are, where a number of blocks
    divides them, or a few more. The fewer updates a block is taken up for, the larger it has to be to be worth it."""
    largest = _SAMPLED_BLOCK if rules.game.sampled else max(_BLOCK, _UPDATES // rules.encounter)
    if total <= largest:
        return total, total
    for block in range(largest, largest // 2, -1):
        if total % block == 0:
            return block, total
    blocks = -(-total // largest)
    block = -(-total // blocks)
    return block, blocks * block
