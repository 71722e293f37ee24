"""Populations whose learners lie in blocks, so that devices can have a part of them each.

With `blocks` above 1 a well-mixed population lies by place rather than by number: those who meet are neighbours in
memory, and whoever changes place takes its state along. Before a generation, half of the groups of every block move on
to another one, by as many blocks as the number of the generation says; then those who have separated change places
within their block. A device with some of the blocks sends half of its states to one other device (or two that are next
to each other), and receives as many. Nothing else passes between devices, and nobody needs all states.

In one generation two learners of different blocks may be unable to meet. Over many, every learner is in every block
equally often and at random places of it, so any two meet equally often.

Arrays with an entry for every learner are [populations, slots, ...] here, the slots of this device; a learner's number
is in `MeetingState.places`.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from shaping.population.compiled_programs import AXIS
from shaping.population.meeting_population import MeetingSetup, MeetingState, Rules
from shaping.population.random_keys import use
from shaping.population.random_permutation import permuted, permuted_among


def first_slot(rules: Rules) -> Any:
    """The number of a device's first slot, among those of all devices."""
    return lax.axis_index(AXIS) * (rules.size // rules.sharded) if rules.sharded else 0


def separated(rules: Rules, setup: MeetingSetup, key: jax.Array, generation: jax.Array, leaves: jax.Array) -> jax.Array:
    """Which groups of the generation before separate, [populations, groups] bool; see `pairing.separated`."""
    blocks = _own_blocks(rules, setup)

    def of(turnover: Any, own: jax.Array, left: jax.Array, block: jax.Array) -> jax.Array:
        drawn = jax.random.uniform(jax.random.fold_in(use(own, "turnover", generation), block), left.shape)
        return left | (drawn < turnover) | (generation == 0)

    by_block = leaves.reshape(len(leaves), len(blocks), -1)
    found = jax.vmap(jax.vmap(of, (None, None, 0, 0)), (0, 0, 0, None))(setup.pairing.turnover, key, by_block, blocks)
    return found.reshape(leaves.shape)


def moved(
    rules: Rules, setup: MeetingSetup, state: MeetingState, key: jax.Array, generation: jax.Array, apart: jax.Array
) -> MeetingState:
    """The state in which everybody is where they meet somebody in a generation.

    Args:
      rules, setup: the populations.
      state: after the generation before.
      key: [populations], of the populations.
      generation: [] int32.
      apart: [populations, groups] bool, which groups have separated.
    """
    seats, blocks = rules.seats, _own_blocks(rules, setup)
    shift = jnp.where(generation > 0, 1 + generation % (setup.pairing.blocks - 1), 0)

    def exchange(leaf: jax.Array, each: int) -> jax.Array:
        """`leaf` has `each` rows a group."""
        by_block = leaf.reshape(len(leaf), len(blocks), -1, *leaf.shape[2:])
        kept = by_block.shape[2] // each // 2 * each
        gone = _passed_on(rules, by_block[:, :, kept:], shift)
        return jnp.concatenate([by_block[:, :, :kept], gone], axis=2).reshape(leaf.shape)

    flags = jnp.repeat(exchange(apart, 1), seats, axis=1)
    per_block = rules.size // setup.pairing.blocks
    everybody = jnp.arange(per_block, dtype=jnp.int32)

    def order(own: jax.Array, chosen: jax.Array, block: jax.Array) -> jax.Array:
        within = jax.random.fold_in(use(own, "pairing", generation), block)
        if setup.pairing.mixes:
            return permuted(within, everybody, per_block)
        return permuted_among(within, chosen, everybody)

    by_block = flags.reshape(len(flags), len(blocks), per_block)
    found = jax.vmap(jax.vmap(order, (None, 0, 0)), (0, 0, None))(key, by_block, blocks)
    begins = per_block * jnp.arange(len(blocks), dtype=jnp.int32)[:, None]
    at = (found + begins).reshape(len(flags), -1)

    def take(leaf: jax.Array) -> jax.Array:
        settled = exchange(leaf, seats)
        return jax.vmap(lambda own, rows: own.at[rows].get(mode="promise_in_bounds"))(settled, at)

    return over_slots(state, take)


def over_slots(state: MeetingState, function: Callable[[jax.Array], jax.Array]) -> MeetingState:
    """The state with a function applied to everything that is of a learner, [populations, slots, ...]."""
    populations = len(state.types)

    def of(leaf: jax.Array) -> jax.Array:
        found = function(leaf.reshape(populations, -1, *leaf.shape[1:]))
        return found.reshape(-1, *found.shape[2:])

    return dataclasses.replace(
        state,
        learners=jax.tree.map(of, state.learners),
        types=function(state.types),
        ancestors=function(state.ancestors),
        places=function(state.places),
        elsewhere=function(state.elsewhere),
        partners=None if state.partners is None else function(state.partners),
        last=None if state.last is None else function(state.last),
    )


def of_numbers(rules: Rules, places: jax.Array, numbers: Any, leaf: jax.Array) -> jax.Array:
    """The entries of `leaf` that belong to the learners with these numbers, [populations, numbers, ...], the same on
    every device.

    Args:
      rules: of the populations.
      places: [populations, slots] int32, the learner in each slot.
      numbers: [numbers] int.
      leaf: [populations, slots, ...].
    """
    slots = jnp.arange(places.shape[1], dtype=jnp.int32)
    nobody = jnp.full(rules.size, -1, jnp.int32)

    def of(own: jax.Array, row: jax.Array) -> jax.Array:
        slot = nobody.at[own].set(slots)[numbers]
        here = (slot >= 0).reshape(-1, *[1] * (row.ndim - 1))
        return jnp.where(here, row[slot], jnp.zeros((), row.dtype))

    return rules.total(jax.vmap(of)(places, leaf))


def sorted_by_number(rules: Rules, state: MeetingState) -> MeetingState:
    """The state in which learners lie by number, over all devices in turn: states go round the devices once, and each
    keeps what is its own."""
    places, first = state.places, first_slot(rules)

    def keep(kept: jax.Array, leaf: jax.Array, numbers: jax.Array) -> jax.Array:
        slots = kept.shape[1]
        at = jnp.where((numbers >= first) & (numbers < first + slots), numbers - first, slots)
        return jax.vmap(lambda own, rows, given: own.at[rows].set(given, mode="drop"))(kept, at, leaf)

    def home(leaf: jax.Array) -> jax.Array:
        found, numbers = jnp.zeros_like(leaf), places
        for step in range(max(rules.sharded, 1)):
            if step:
                leaf, numbers = (_to_device(rules, own, 1) for own in (leaf, numbers))
            found = keep(found, leaf, numbers)
        return found

    return over_slots(state, home)


def _own_blocks(rules: Rules, setup: MeetingSetup) -> jax.Array:
    """The numbers of the blocks on this device, int32."""
    count = setup.pairing.blocks // max(rules.sharded, 1)
    return first_slot(rules) // (rules.size // setup.pairing.blocks) + jnp.arange(count, dtype=jnp.int32)


def _passed_on(rules: Rules, leaf: jax.Array, shift: jax.Array) -> jax.Array:
    """`leaf` [populations, blocks, ...] with every block's entry replaced by that of the block `shift` before it."""
    if not rules.sharded:
        return jnp.roll(leaf, shift, axis=1)
    own = leaf.shape[1]
    devices, blocks = shift // own, shift % own
    near, far = (
        lax.switch(devices, [partial(_to_device, rules, by=by + beyond) for by in range(rules.sharded)], leaf)
        for beyond in (0, 1)
    )
    return lax.dynamic_slice_in_dim(jnp.concatenate([far, near], axis=1), own - blocks, own, 1)


def _to_device(rules: Rules, leaf: jax.Array, by: int) -> jax.Array:
    """`leaf` as it is on the device `by` places before this one."""
    if by % rules.sharded == 0:
        return leaf
    return lax.ppermute(leaf, AXIS, [(device, (device + by) % rules.sharded) for device in range(rules.sharded)])
