"""Populations whose learners meet: generations of pairing, updates together, and selection, as one compiled program.

States of learners lie flat, all populations one after the other. In every generation a pairing names who meets, their
states are gathered, the segment program of independent matches updates them, they are put back, and selection says
whose copy everybody is. A learner's settings are those of its type, found by its number: nothing depends on where it
sits.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from shaping.learners.learner import Learner, LearnerState
from shaping.objectives.game import Game
from shaping.population import match as single
from shaping.population import pairing as pairings
from shaping.population import selection as selections
from shaping.population.keys import learner_key, population_key, use
from shaping.population.match import Encounter, Match, MatchState
from shaping.population.pairing import Pairing
from shaping.population.program import AXIS, Timetable, map_blocks, segment_function
from shaping.population.selection import Outcome, Scene, Selection
from shaping.population.still import StillGame, StillParams, stilled, without_start

# Updates of no match are as many.
_FOREVER = 2**31 - 1
# Encounters of a block, at least; and updates that a block is taken up for.
_BLOCK, _UPDATES = 128, 2048
# Of those whose returns are sampled: a batch of play fills a cache by itself.
_SAMPLED_BLOCK = 2


@dataclasses.dataclass(frozen=True)
class Rules:
    """What populations have in common, hashable: what is compiled, as opposed to the numbers it is fed.

    Attributes:
      game: for the learners that meet, one policy a seat, all alike.
      size: of a population.
      encounter: updates made together in a generation.
      shared: whether all learners of a population start from one draw.
      still: for each type whether it never learns.
      mutant: the number of the type that mutations lead to; None where it is drawn from all.
      split: among how many devices encounters are divided; 0 where each has populations of its own.
    """

    game: Game
    size: int
    encounter: int
    shared: bool
    still: tuple[bool, ...]
    mutant: int | None = None
    split: int = 0

    @property
    def seats(self) -> int:
        """How many meet."""
        return len(self.game.policies)

    @property
    def stands(self) -> bool:
        """Whether some types learn and others do not."""
        return any(self.still) and not all(self.still)


@struct.dataclass
class Ecology:
    """What sets populations up; leaves [populations, ...] but for those of a structure.

    Attributes:
      seed: int32, the seed of its cell.
      number: int32, its number within the cell.
      params: the numbers of the game.
      types: a learner of each type.
      pairing, selection: how learners are.
      matchings: [matchings, encounters, 2] int32 of a structure, for all populations.
      neighbours, degrees: [size, most neighbours] and [size] int32 of a structure.
    """

    seed: Any
    number: Any
    params: Any
    types: tuple[Learner, ...]
    pairing: Pairing
    selection: Selection
    matchings: Any
    neighbours: Any
    degrees: Any


@struct.dataclass
class EcologyState:
    """What populations carry from generation to generation.

    Attributes:
      learners: states, leaves [populations * size, ...].
      types: [populations, size] int32.
      ancestors: [populations, size] int32, the learner of generation 0, or the mutant, whose copy everybody is.
      places: [populations, size] int32, who stands where.
      leaves: [populations, encounters] bool, which groups a partner has left.
      elsewhere: [populations, size], a learner's last value with another partner; NaN before there was one.
      fixed_at: [populations] int32, the generation after which all were of one type; -1 while they are not.
    """

    learners: LearnerState
    types: jax.Array
    ancestors: jax.Array
    places: jax.Array
    leaves: jax.Array
    elsewhere: jax.Array
    fixed_at: jax.Array


def begin(rules: Rules, ecology: Ecology, types: jax.Array, dtype: Any) -> EcologyState:
    """The state before the first generation.

    Args:
      rules, ecology: the populations.
      types: [populations, size] int32.
      dtype: of parameters.
    """
    populations, size = types.shape
    everybody = jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), types.shape)
    learners = fresh(rules, ecology, types, "init", 0, dtype)
    return EcologyState(
        learners,
        types,
        everybody,
        everybody,
        jnp.zeros((populations, size // rules.seats), bool),
        jnp.full(types.shape, jnp.nan, dtype),
        jnp.where(jnp.all(types == types[:, :1], axis=1), 0, -1).astype(jnp.int32),
    )


def fresh(
    rules: Rules, ecology: Ecology, types: jax.Array, purpose: str, generation: jax.Array | int, dtype: Any
) -> LearnerState:
    """States that nobody has updated yet, of everybody, leaves [populations * size, ...]."""
    policies = rules.game.policies

    def of(seed: Any, population: Any, params: Any, learners: Sequence[Learner], number: Any, kind: Any) -> Any:
        own = learner_key(seed, population, number)
        shared = population_key(seed, population)
        key = use(shared if rules.shared else own, purpose, generation)
        objective = rules.game.objective(params)
        each = [one.init(key, use(shared, "prepare"), policies, 0, objective, dtype) for one in learners]
        found = each[0]
        for place, other in enumerate(each[1:], start=1):
            found = jax.tree.map(lambda a, b, place=place: jnp.where(kind == place, b, a), found, other)
        return found

    numbers = jnp.arange(types.shape[1], dtype=jnp.int32)
    over_learners = jax.vmap(of, (None, None, None, None, 0, 0))
    over_populations = jax.vmap(over_learners, (0, 0, 0, 0, None, 0))
    found = over_populations(ecology.seed, ecology.number, ecology.params, ecology.types, numbers, types)
    return jax.tree.map(_flat, found)


def type_values(rules: Rules, ecology: Ecology, dtype: Any) -> jax.Array:
    """What types that never learn are worth against each other, [populations, types, types], in the mean over seats."""

    def of(params: Any, learners: Sequence[Learner]) -> jax.Array:
        objective, key = rules.game.objective(params), jax.random.key(0)
        thetas = [one.init(key, key, rules.game.policies, 0, objective, dtype).theta for one in learners]

        def between(a: Any, b: Any) -> jax.Array:
            first, second = (rules.game.evaluate(params, pair, key)["value"] for pair in ((a, b), (b, a)))
            return (first[0] + second[1]) / 2

        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *thetas)
        return jax.vmap(jax.vmap(between, (None, 0)), (0, None))(stacked, stacked)

    return jax.vmap(of)(ecology.params, ecology.types)


def generation(
    rules: Rules,
    ecology: Ecology,
    state: EcologyState,
    number: jax.Array,
    matrix: jax.Array,
    live: jax.Array | bool = True,
) -> tuple[EcologyState, dict[str, jax.Array]]:
    """One generation of all populations.

    Args:
      rules, ecology: the populations.
      state: after `number` generations.
      number: [] int32.
      matrix: [populations, types, types] of `type_values`; zeros where payoffs are those of the encounter.
      live: whether anything changes; else those who would meet are looked at alone.

    Returns:
      The state after one more, and what is recorded of it.
    """
    size, kinds = rules.size, len(rules.still)
    key = jax.vmap(population_key)(ecology.seed, ecology.number)

    places = jax.vmap(lambda p, k, at, left: pairings.moved(p, k, number, at, left))(
        ecology.pairing, key, state.places, state.leaves
    )
    numbers = jax.vmap(lambda p, k, at: pairings.met(p, k, number, at, ecology.matchings, rules.seats))(
        ecology.pairing, key, places
    )
    meets = numbers[..., 0] < size
    learners, measured = _encounter(rules, ecology, state, number, numbers, live)

    # Back to learners, [populations, size]; NaN for whoever met nobody.
    def by_learner(seats: jax.Array) -> jax.Array:
        blank = jnp.full((len(numbers), size), jnp.nan, seats.dtype)
        return jax.vmap(lambda own, at, given: own.at[at].set(given, mode="drop"))(
            blank, numbers.reshape(len(numbers), -1), seats.reshape(len(numbers), -1)
        )

    values = by_learner(measured["value"])
    rows = _rows(state.types, values, numbers, meets, kinds)
    rows |= {name: _mean_by_type(by_learner(measured[name]), state.types, kinds) for name in _also(measured)}
    if "mutual_cooperation" in measured:
        rows["mutual_cooperation"] = _mean(measured["mutual_cooperation"], meets)

    state = dataclasses.replace(state, learners=learners, places=places)
    if ecology.pairing.choice != "none":
        state = _with_leavers(ecology, state, numbers, values)
    if ecology.selection.kind != "none":
        state, outcome = _select(rules, ecology, state, number, values, matrix, key, live)
        rows |= {"imitations": outcome.imitations, "mutations": outcome.mutations}
    one_type = jnp.all(state.types == state.types[:, :1], axis=1)
    fixed_at = jnp.where((state.fixed_at < 0) & one_type, number + 1, state.fixed_at)
    state = dataclasses.replace(state, fixed_at=jnp.where(jnp.asarray(live), fixed_at, state.fixed_at))
    rows["share"] = shares_of(state.types, kinds).astype(values.dtype)
    return state, rows


def _encounter(
    rules: Rules, ecology: Ecology, state: EcologyState, number: jax.Array, numbers: jax.Array, live: jax.Array | bool
) -> tuple[LearnerState, dict[str, jax.Array]]:
    """States of all after those who meet were updated together, and what they are worth to each other then.

    Args:
      numbers: [populations, encounters, seats] int32, `size` where an encounter is empty.
    """
    populations, encounters, seats = numbers.shape
    own = _part(numbers, rules.split)
    total = populations * own.shape[1]
    known = jnp.minimum(own, rules.size - 1)
    base = rules.size * jnp.arange(populations, dtype=jnp.int32)[:, None, None]
    flat = (known + base).reshape(total, seats)
    in_place = ecology.pairing.kind == "fixed" and not rules.split

    def gathered(leaf: jax.Array) -> list[jax.Array]:
        if in_place:
            return [leaf.reshape(total, seats, *leaf.shape[1:])[:, seat] for seat in range(seats)]
        return [leaf.at[flat[:, seat]].get(mode="promise_in_bounds") for seat in range(seats)]

    leaves, structure = jax.tree.flatten(state.learners)
    each = [gathered(leaf) for leaf in leaves]
    states = tuple(structure.unflatten([by_seat[seat] for by_seat in each]) for seat in range(seats))
    matches = _matches(rules, ecology, gathered(_flat(state.types)), known)
    none = tuple(jnp.zeros(total, state.elsewhere.dtype) for _ in range(seats))
    begun = MatchState(states, jnp.full(total, -1, jnp.int32), none, none)

    block, padded = _blocked(rules, total)
    matches, begun = (jax.tree.map(lambda leaf: _padded(leaf, padded), tree) for tree in (matches, begun))
    ended, learns = begun, not all(rules.still)
    if learns:
        updates = jnp.where(jnp.asarray(live), np.int32(_FOREVER), 0)
        segment = jnp.stack([number, jnp.int32(0), updates])
        ended, _ = segment_function(Timetable(_FOREVER, rules.encounter, 1), block)(matches, begun, segment)
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
    target = jnp.where(numbers < rules.size, numbers + base, populations * rules.size).reshape(-1)

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
        return _flat(wide)

    stripped = [stilled(without_start(one), rules.still[place]) for place, one in enumerate(ecology.types)]
    if not rules.stands:
        stripped = [without_start(one) for one in ecology.types]

    def of_kind(kind: jax.Array, *leaves: Any) -> jax.Array:
        # A number each type, [populations, types, ...], picked by the type of whoever sits there.
        each = [jnp.broadcast_to(jnp.asarray(leaf), (populations, *jnp.shape(leaf)[1:])) for leaf in leaves]
        if len(each) == 1:
            return spread(each[0])
        table = jnp.stack(each, axis=1)
        own = kind.reshape(populations, encounters)
        return _flat(jax.vmap(lambda row, at: row.at[at].get(mode="promise_in_bounds"))(table, own))

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
    """What those who met are worth to each other now: value [seats], NaN where they diverged, and, where actions are to
    cooperate or not, how often each does, [seats], and all do, []."""
    params = match.params.params if rules.stands else match.params
    thetas = single.thetas_of(match, state.learners)
    found = {"value": rules.game.evaluate(params, thetas, use(match.key, "evaluation", number))["value"]}
    played = getattr(rules.game, "cooperation_as_played", None)
    if played is not None:
        found["cooperation"], found["mutual_cooperation"] = played(params, thetas)
    return jax.tree.map(lambda leaf: jnp.where(state.diverged_at < 0, leaf, jnp.nan), found)


def _with_leavers(ecology: Ecology, state: EcologyState, numbers: jax.Array, values: jax.Array) -> EcologyState:
    """Who leaves a partner because of what it was worth with it, and what everybody will remember then."""
    if ecology.pairing.choice == "threshold":
        wants_out = values < jnp.asarray(ecology.pairing.threshold)[:, None]
    else:
        wants_out = values < state.elsewhere
    leaves = jnp.any(jax.vmap(lambda own, at: own[at])(wants_out, numbers), axis=-1)
    parted = jnp.zeros(values.shape, bool)
    parted = jax.vmap(lambda own, at, gone: own.at[at].set(gone[:, None]))(parted, numbers, leaves)
    return dataclasses.replace(state, leaves=leaves, elsewhere=jnp.where(parted, values, state.elsewhere))


def _select(
    rules: Rules,
    ecology: Ecology,
    state: EcologyState,
    number: jax.Array,
    values: jax.Array,
    matrix: jax.Array,
    key: jax.Array,
    live: jax.Array | bool,
) -> tuple[EcologyState, Outcome]:
    """The populations after selection."""
    purpose = jax.vmap(lambda own: use(own, "selection", number))(key)

    def of(selection: Selection, own: jax.Array, value: Any, kind: Any, worth: Any) -> Outcome:
        scene = Scene(value, kind, worth, ecology.neighbours, ecology.degrees)
        return selections.selected(selection, own, scene, rules.mutant)

    outcome = jax.vmap(of)(ecology.selection, purpose, values, state.types, matrix)
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
    if ecology.selection.mutates != "none":
        mutated = outcome.mutated & live

        def mutants(states: LearnerState) -> LearnerState:
            if ecology.selection.mutates == "noise":
                new = _moved_by_noise(ecology, states, number, own)
            else:
                new = fresh(rules, ecology, types, "mutation", number + 1, values.dtype)
            chosen = mutated.reshape(-1)
            return jax.tree.map(lambda a, b: jnp.where(_over(chosen, a), b, a), states, new)

        learners = lax.cond(jnp.any(mutated), mutants, lambda states: states, learners)
        if ecology.selection.mutates != "noise":
            ancestors = jnp.where(mutated, own, ancestors)
    none = jnp.zeros_like(outcome.imitations)
    counted = outcome._replace(
        imitations=jnp.where(live, outcome.imitations, none), mutations=jnp.where(live, outcome.mutations, none)
    )
    return dataclasses.replace(state, learners=learners, types=types, ancestors=ancestors), counted


def _moved_by_noise(ecology: Ecology, states: LearnerState, number: jax.Array, own: jax.Array) -> LearnerState:
    """States with normal numbers added to parameters, keyed by the learner whose place it is."""

    def of(seed: Any, population: Any, scale: Any, learner: Any, theta: Any) -> Any:
        key = use(learner_key(seed, population, learner), "noise", number)
        leaves, structure = jax.tree.flatten(theta)
        moved = [
            leaf + scale * jax.random.normal(jax.random.fold_in(key, place), leaf.shape, jnp.float32).astype(leaf.dtype)
            for place, leaf in enumerate(leaves)
        ]
        return structure.unflatten(moved)

    populations = ecology.seed.shape[0]
    theta = jax.tree.map(lambda leaf: leaf.reshape(populations, -1, *leaf.shape[1:]), states.theta)
    over_learners = jax.vmap(of, (None, None, None, 0, 0))
    found = jax.vmap(over_learners, (0, 0, 0, None, 0))(
        ecology.seed, ecology.number, ecology.selection.noise, own, theta
    )
    return dataclasses.replace(states, theta=jax.tree.map(_flat, found))


def _rows(types: jax.Array, values: jax.Array, numbers: jax.Array, meets: jax.Array, kinds: int) -> dict[str, Any]:
    """value, value_sd [populations, types]; assortment [populations]."""
    mean = _mean_by_type(values, types, kinds)
    square = _mean_by_type((values - jax.vmap(lambda row, at: row[at])(mean, types)) ** 2, types, kinds)
    sitting = jax.vmap(lambda own, at: own.at[at].get(mode="clip"))(types, numbers)
    alike = _mean(jnp.mean(sitting[..., 1:] == sitting[..., :1], axis=-1, dtype=values.dtype), meets)
    # By chance two of a finite population are of one type a little less often than two drawn with replacement.
    counts = _counts(types, kinds).astype(values.dtype)
    size = types.shape[1]
    chance = jnp.sum(counts * (counts - 1), axis=1) / (float(size) * max(size - 1, 1))
    assortment = jnp.where(chance < 1, (alike - chance) / jnp.where(chance < 1, 1 - chance, 1), jnp.nan)
    return {"value": mean, "value_sd": jnp.sqrt(square), "assortment": assortment}


def _also(measured: dict[str, jax.Array]) -> list[str]:
    return [name for name in measured if name == "cooperation"]


def _counts(types: jax.Array, kinds: int) -> jax.Array:
    """[populations, types] int32."""
    return jnp.stack([jnp.sum(types == kind, axis=1, dtype=jnp.int32) for kind in range(kinds)], axis=1)


def shares_of(types: jax.Array, kinds: int) -> jax.Array:
    """Shares of types, [populations, types]."""
    return _counts(types, kinds) / types.shape[1]


def _mean(each: jax.Array, counted: jax.Array) -> jax.Array:
    """The mean over axis 1 of what counts and is a number, [populations]; NaN of nothing."""
    known = counted & jnp.isfinite(each)
    return jnp.sum(jnp.where(known, each, 0), axis=1) / jnp.sum(known, axis=1).astype(each.dtype)


def _mean_by_type(each: jax.Array, types: jax.Array, kinds: int) -> jax.Array:
    """[populations, types], means over those of a type who met somebody; NaN where there are none."""
    return jnp.stack([_mean(each, types == kind) for kind in range(kinds)], axis=1)


def _flat(leaf: jax.Array) -> jax.Array:
    """[populations, n, ...] to [populations * n, ...]."""
    return leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])


def _over(flags: jax.Array, leaf: jax.Array) -> jax.Array:
    return flags.reshape(-1, *([1] * (leaf.ndim - 1)))


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


def program(rules: Rules, rows: int, mesh: Mesh) -> Callable[..., tuple[EcologyState, dict[str, jax.Array]]]:
    """`(ecology, state, matrix, first, count, live) -> (state, recorded)`, compiled over a mesh; the state is donated.

    Does `count` generations, at most `rows`, from number `first` on. `recorded` has variables [populations, rows, ...];
    what lies beyond `count` is meaningless.

    Each device has populations of its own, or, where these are too few (`rules.split`), all of them and a part of the
    encounters: who meets whom is computed everywhere, what came of it is gathered.
    """

    def function(
        ecology: Ecology, state: EcologyState, matrix: jax.Array, first: jax.Array, count: jax.Array, live: jax.Array
    ) -> tuple[EcologyState, dict[str, jax.Array]]:
        blank = _blank(rules, ecology, rows, state)

        def body(index: jax.Array, carry: tuple[EcologyState, Any]) -> tuple[EcologyState, Any]:
            state, recorded = carry
            state, found = generation(rules, ecology, state, first + index, matrix, live)
            return state, jax.tree.map(lambda all_rows, row: all_rows.at[index].set(row), recorded, found)

        state, recorded = lax.fori_loop(0, count, body, (state, blank))
        return state, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), recorded)

    return jax.jit(over(rules, mesh, function, 2, 3), donate_argnums=1)


def _blank(rules: Rules, ecology: Ecology, rows: int, state: EcologyState) -> dict[str, jax.Array]:
    """Room for what is recorded of so many generations, [rows, populations, ...]."""
    populations, dtype = len(state.types), state.elsewhere.dtype
    whole: dict[str, Any] = {"assortment": dtype}
    by_type = ["share", "value", "value_sd"]
    if hasattr(rules.game, "cooperation_as_played"):
        by_type.append("cooperation")
        whole["mutual_cooperation"] = dtype
    if ecology.selection.kind != "none":
        whole |= dict.fromkeys(("imitations", "mutations"), jnp.dtype(jnp.int32))
    kinds = len(rules.still)
    found = {name: jnp.zeros((rows, populations, kinds), dtype) for name in by_type}
    return found | {name: jnp.zeros((rows, populations), own) for name, own in whole.items()}


def over(rules: Rules, mesh: Mesh, function: Callable[..., Any], cut: int, whole: int = 0) -> Callable[..., Any]:
    """A function over the devices of a mesh: of an ecology, of what has the populations first, `cut` arguments of it,
    and of what all devices have alike, `whole` of it."""
    own, same = PartitionSpec() if rules.split else PartitionSpec(AXIS), PartitionSpec()
    settings: Any = Ecology(own, own, own, own, own, own, same, same, same)  # pyright: ignore[reportArgumentType]
    specs = (settings, *(own,) * cut, *(same,) * whole)
    return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=own, check_vma=False)
