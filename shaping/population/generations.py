"""A generation of populations: a pairing, updates together, selection."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from shaping.learners.learner import LearnerState
from shaping.population import blocks
from shaping.population import pairing as pairings
from shaping.population import selection as selections
from shaping.population.composition import counts_of, mean_by_type, mean_of, measures, rows_of
from shaping.population.meeting import encounter
from shaping.population.meeting_population import (
    MeetingSetup,
    MeetingState,
    Rules,
    differ,
    flat,
    fresh,
    learner_values,
    theta_rows,
)
from shaping.population.nearest_strategy import counts_of_nearest
from shaping.population.pairing import Pairing
from shaping.population.random_keys import learner_key, population_key, use
from shaping.population.seating import own_first, with_new_partners
from shaping.population.selection import Outcome, Scene, Selection
from shaping.population.unfixed_populations import can_stand_still, selected_where_mixed


def generation(
    rules: Rules,
    setup: MeetingSetup,
    state: MeetingState,
    number: jax.Array,
    matrix: jax.Array,
    live: jax.Array | bool = True,
) -> tuple[MeetingState, dict[str, jax.Array]]:
    """One generation of all populations.

    Args:
      rules, setup: the populations.
      state: after `number` generations.
      number: [] int32.
      matrix: [populations, types, types] of `type_values`; zeros where payoffs are those of the encounter.
      live: whether anything changes; if not, those who would meet are only measured.

    Returns:
      The state after one more, and what is recorded of it.
    """
    size, kinds, total = state.types.shape[1], len(rules.still), rules.total
    key = jax.vmap(population_key)(setup.seed, setup.number)

    state, numbers = _brought_together(rules, setup, state, number, key)
    meets = numbers[..., 0] < size
    if state.partners is not None:
        state = _with_partners(rules, setup, state, state.partners, number, numbers)
    learners, measured = encounter(rules, setup, state, number, numbers, live)

    # Back to learners, [populations, size]; NaN for whoever met nobody.
    def by_learner(seats: jax.Array) -> jax.Array:
        blank = jnp.full((len(numbers), size), jnp.nan, seats.dtype)
        return jax.vmap(lambda own, at, given: own.at[at].set(given, mode="drop"))(
            blank, numbers.reshape(len(numbers), -1), seats.reshape(len(numbers), -1)
        )

    values = by_learner(measured["value"])
    counts = counts_of(state.types, kinds, total)
    rows = rows_of(state.types, values, numbers, meets, counts, rules.size, total)
    each = [name for name in measured if name not in ("value", "mutual_cooperation")]
    rows |= {name: mean_by_type(by_learner(measured[name]), state.types, kinds, total) for name in each}
    rows["mean_value"] = mean_of(values, jnp.isfinite(values), total)
    if "cooperation" in measured:
        cooperation = by_learner(measured["cooperation"])
        rows["mean_cooperation"] = mean_of(cooperation, jnp.isfinite(cooperation), total)
    failed = meets[..., None] & ~jnp.isfinite(measured["value"])
    rows["diverged"] = total(jnp.sum(failed, axis=(1, 2))).astype(values.dtype)
    if "mutual_cooperation" in measured:
        rows["mutual_cooperation"] = mean_of(measured["mutual_cooperation"], meets, total)

    state = dataclasses.replace(state, learners=learners)
    if setup.pairing.choice != "none":
        state = _with_leavers(setup, state, numbers, values)
    if setup.selection.kind != "none":
        state, outcome = _select(rules, setup, state, number, values, matrix, key, live)
        rows |= {"imitations": outcome.imitations, "mutations": outcome.mutations}
        counts = counts_of(state.types, kinds, total)
    one_type = jnp.any(counts == rules.size, axis=1)
    fixed_at = jnp.where((state.fixed_at < 0) & one_type, number + 1, state.fixed_at)
    state = dataclasses.replace(state, fixed_at=jnp.where(jnp.asarray(live), fixed_at, state.fixed_at))
    rows["share"] = (counts / rules.size).astype(values.dtype)
    if rules.nearest:
        thetas = jax.tree.map(lambda leaf: leaf.reshape(len(key), size, *leaf.shape[1:]), state.learners.theta)
        near = total(jax.vmap(lambda params, own: counts_of_nearest(rules.game, params, own))(setup.params, thetas))
        rows["nearest"] = near / jnp.sum(near, axis=1, keepdims=True).astype(values.dtype)
    return state, rows


def _brought_together(
    rules: Rules, setup: MeetingSetup, state: MeetingState, number: jax.Array, key: jax.Array
) -> tuple[MeetingState, jax.Array]:
    """The state in which learners are at their places of this generation, and where those lie who meet, [populations,
    encounters, seats] int32; whoever separates, by turnover or choice, remembers what it was worth with the partner it
    had."""
    pairing, seats = setup.pairing, rules.seats
    if pairing.blocks > 1:
        apart = blocks.separated(rules, setup, key, number, state.leaves)
        state = blocks.moved(rules, setup, _with_memories(state, apart, number), key, number, apart)
    elif state.last is not None:
        apart = jax.vmap(lambda p, k, left: pairings.separated(p, k, number, left))(pairing, key, state.leaves)
        state = _with_memories(state, apart, number, state.places)
    if pairing.in_place:
        slots = jnp.arange(state.types.shape[1], dtype=jnp.int32).reshape(-1, seats)
        return state, jnp.broadcast_to(slots, (len(state.types), *slots.shape))
    places = jax.vmap(lambda p, k, at, left: pairings.moved(p, k, number, at, left))(
        pairing, key, state.places, state.leaves
    )
    numbers = jax.vmap(lambda p, k, at: pairings.met(p, k, number, at, setup.matchings, seats))(pairing, key, places)
    return dataclasses.replace(state, places=places), numbers


def _with_partners(
    rules: Rules, setup: MeetingSetup, state: MeetingState, before: jax.Array, number: jax.Array, numbers: jax.Array
) -> MeetingState:
    """The state in which what learners know about others is about those whom they meet now."""
    seats, populations = rules.seats, len(numbers)
    names = numbers
    if setup.pairing.in_place:
        names = state.places.reshape(numbers.shape)
    others = jnp.stack([names[..., own_first(seat, seats)[1:]] for seat in range(seats)], axis=2)
    met = jax.vmap(lambda own, at, given: own.at[at].set(given, mode="drop"))(
        jnp.full_like(before, -1),
        numbers.reshape(populations, -1),
        others.reshape(populations, -1, seats - 1),
    )
    known = met[..., 0] >= 0
    # Before the first encounter everybody's models are new.
    new = known & (before[..., 0] >= 0) & jnp.any(met != before, axis=-1)

    def anew(states: LearnerState) -> LearnerState:
        places = state.places if setup.pairing.in_place else None
        fresh_ones = fresh(rules, setup, state.types, "partner", number + 1, state.elsewhere.dtype, places=places)
        return with_new_partners(states, fresh_ones, new.reshape(-1))

    learners = lax.cond(jnp.any(new), anew, lambda states: states, state.learners)
    partners = jnp.where(known[..., None], met, before)
    return dataclasses.replace(state, learners=learners, partners=partners)


def _with_memories(
    state: MeetingState, apart: jax.Array, number: jax.Array, places: jax.Array | None = None
) -> MeetingState:
    """Whoever is of a group that separates remembers what it was worth in it.

    Args:
      state: after the generation before.
      apart: [populations, groups] bool.
      number: [] int32, of the generation.
      places: the learner at each place, if learners lie by number.
    """
    if state.last is None:
        return state
    # Before the first generation there is no partner to remember.
    parted = jnp.repeat(apart & (number > 0), state.types.shape[1] // apart.shape[1], axis=1)
    if places is not None:
        parted = jax.vmap(lambda own, gone: jnp.zeros(own.shape, bool).at[own].set(gone))(places, parted)
    return dataclasses.replace(state, elsewhere=jnp.where(parted, state.last, state.elsewhere))


def _with_leavers(setup: MeetingSetup, state: MeetingState, numbers: jax.Array, values: jax.Array) -> MeetingState:
    """Who leaves a partner because of what it was worth with it."""
    if setup.pairing.choice == "threshold":
        wants_out = values < jnp.asarray(setup.pairing.threshold)[:, None]
    else:
        wants_out = values < state.elsewhere
    leaves = jnp.any(jax.vmap(lambda own, at: own[at])(wants_out, numbers), axis=-1)
    return dataclasses.replace(state, leaves=leaves, last=None if state.last is None else values)


def _select(
    rules: Rules,
    setup: MeetingSetup,
    state: MeetingState,
    number: jax.Array,
    values: jax.Array,
    matrix: jax.Array,
    key: jax.Array,
    live: jax.Array | bool,
) -> tuple[MeetingState, Outcome]:
    """The populations after selection."""
    purpose = jax.vmap(lambda own: use(own, "selection", number))(key)

    each = None
    if differ(rules, setup.selection):
        each = learner_values(rules, setup, state, number)

    def of(selection: Selection, own: jax.Array, value: Any, kind: Any, worth: Any, each: Any) -> Outcome:
        scene = Scene(value, kind, worth, setup.neighbours, setup.degrees, each)
        return selections.selected(selection, own, scene, rules.mutant)

    given = (setup.selection, purpose, values, state.types, matrix, each)
    if can_stand_still(setup.selection, all(rules.still)):
        outcome = selected_where_mixed(lambda own: of(*own), given, state.types)
    else:
        outcome = jax.vmap(of)(*given)
    size, live = rules.size, jnp.asarray(live)
    own = jnp.arange(size, dtype=jnp.int32)
    parents = jnp.where(live, outcome.parents, own)
    base = size * jnp.arange(len(parents), dtype=jnp.int32)[:, None]

    def copied(states: LearnerState) -> LearnerState:
        at = (parents + base).reshape(-1)
        return jax.tree.map(lambda leaf: leaf.at[at].get(mode="promise_in_bounds"), states)

    learners = lax.cond(jnp.any(parents != own), copied, lambda states: states, state.learners)
    types = jnp.where(live, outcome.types, state.types)
    ancestors = jnp.take_along_axis(state.ancestors, parents, axis=1)
    # A copy has the models of the original, which are of the latter's partners.
    partners = state.partners
    if partners is not None:
        partners = jnp.take_along_axis(partners, parents[..., None], axis=1)
    if setup.selection.mutates != "none":
        mutated = outcome.mutated & live

        def mutants(states: LearnerState) -> LearnerState:
            if setup.selection.mutates == "noise":
                new = _moved_by_noise(setup, states, number, own)
            else:
                new = fresh(rules, setup, types, "mutation", number + 1, values.dtype)
            chosen = mutated.reshape(-1)
            return jax.tree.map(lambda a, b: jnp.where(_over(chosen, a), b, a), states, new)

        learners = lax.cond(jnp.any(mutated), mutants, lambda states: states, learners)
        if setup.selection.mutates != "noise":
            ancestors = jnp.where(mutated, own, ancestors)
            partners = None if partners is None else jnp.where(mutated[..., None], -1, partners)
    none = jnp.zeros_like(outcome.imitations)
    counted = outcome._replace(
        imitations=jnp.where(live, outcome.imitations, none), mutations=jnp.where(live, outcome.mutations, none)
    )
    moved = dataclasses.replace(state, learners=learners, types=types, ancestors=ancestors, partners=partners)
    return moved, counted


def _moved_by_noise(setup: MeetingSetup, states: LearnerState, number: jax.Array, own: jax.Array) -> LearnerState:
    """States with normal numbers added to parameters, keyed by the learner whose place it is."""

    def of(seed: Any, population: Any, scale: Any, learner: Any, theta: Any) -> Any:
        key = use(learner_key(seed, population, learner), "noise", number)
        leaves, structure = jax.tree.flatten(theta)
        moved = [
            leaf + scale * jax.random.normal(jax.random.fold_in(key, place), leaf.shape, jnp.float32).astype(leaf.dtype)
            for place, leaf in enumerate(leaves)
        ]
        return structure.unflatten(moved)

    populations = setup.seed.shape[0]
    theta = jax.tree.map(lambda leaf: leaf.reshape(populations, -1, *leaf.shape[1:]), states.theta)
    over_learners = jax.vmap(of, (None, None, None, 0, 0))
    found = jax.vmap(over_learners, (0, 0, 0, None, 0))(setup.seed, setup.number, setup.selection.noise, own, theta)
    return dataclasses.replace(states, theta=jax.tree.map(flat, found))


def _over(flags: jax.Array, leaf: jax.Array) -> jax.Array:
    return flags.reshape(-1, *([1] * (leaf.ndim - 1)))


def sampled_learners(rules: Rules, pairing: Pairing, state: MeetingState) -> dict[str, jax.Array]:
    """policies [populations, sample, parameters] and sampled_types [populations, sample] of learners at equal distances
    in the order of their numbers."""
    numbers = sampled_numbers(rules)
    thetas = jax.tree.map(lambda leaf: leaf.reshape(*state.types.shape, *leaf.shape[1:]), state.learners.theta)
    thetas, types = jax.tree.map(
        lambda leaf: learners_by_number(rules, pairing, state, leaf, numbers), (thetas, state.types)
    )
    return {"policies": theta_rows(rules, thetas, types), "sampled_types": types}


def learners_by_number(
    rules: Rules, pairing: Pairing, state: MeetingState, leaf: jax.Array, numbers: np.ndarray
) -> jax.Array:
    """The entries of `leaf` [populations, learners, ...] that belong to the learners with these numbers, [populations,
    numbers, ...]."""
    by_place = rules.sharded or pairing.blocks > 1
    return blocks.of_numbers(rules, state.places, numbers, leaf) if by_place else leaf[:, numbers]


def sampled_numbers(rules: Rules) -> np.ndarray:
    """[sample] the numbers of learners whose policies are recorded."""
    return np.arange(rules.sample) * rules.size // rules.sample


def recorded(rules: Rules, params: Any, selection: Selection) -> dict[str, str]:
    """Names of what is recorded of a generation, each with the dimension that it is over: "type", "strategy", or ""
    for what a population has one of."""
    by_type = ["share", "value", "value_sd", *measures(rules.game, params)]
    whole = ["assortment", "diverged", "mean_value", *(["mean_cooperation"] if "cooperation" in by_type else [])]
    whole += ["mutual_cooperation"] * rules.game.tabular + ["imitations", "mutations"] * (selection.kind != "none")
    found = dict.fromkeys(by_type, "type") | dict.fromkeys(whole, "")
    return found | ({"nearest": "strategy"} if rules.nearest else {})
