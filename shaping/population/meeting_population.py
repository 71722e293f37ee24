"""Populations whose learners meet: what sets them up, and what they carry from generation to generation.

States of learners lie flat, all populations one after the other, by number; in pairings with `blocks`, by place. A
learner's settings are those of its type: nothing depends on where it sits.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from shaping.learners.learner import Learner, LearnerState
from shaping.objectives.game import Game
from shaping.policies.policy import Policy
from shaping.population.compiled_programs import AXIS
from shaping.population.composition import counts_of
from shaping.population.pairing import Pairing
from shaping.population.random_keys import learner_key, population_key, use
from shaping.population.seating import knows_others, start
from shaping.population.selection import Selection


@dataclasses.dataclass(frozen=True)
class Rules:
    """What populations have in common, hashable: what is compiled, as opposed to the numbers it is fed.

    Attributes:
      game: for the learners that meet, one policy a seat, all alike.
      size: of a population.
      encounter: updates made together in a generation; None where populations differ in it, see
        `MeetingSetup.encounter`.
      shared: whether all learners of a population start from one draw.
      still: for each type whether it never learns.
      mutant: the number of the type that mutations lead to; None where it is drawn from all.
      split: among how many devices encounters are divided, while all have all learners; 0 where they are not.
      sharded: among how many devices learners are divided, see `blocks`; 0 where they are not.
      keep_models: whether models of opponents are kept when partners change, rather than started anew.
      nearest: whether the nearest classic strategies are counted, see `nearest_strategy`.
      sample: how many learners' policies are recorded, at equal distances in the order of their numbers; 0 for none.
      sample_every: generations from one such sample to the next.
      structures: for each type the number of its policy's structure, in order of appearance; () where all types have
        the same policy. See `structures`.
      games: where they do not, the game of each combination of structures over the seats, in row-major order.
    """

    game: Game
    size: int
    encounter: int | None
    shared: bool
    still: tuple[bool, ...]
    mutant: int | None = None
    split: int = 0
    sharded: int = 0
    keep_models: bool = False
    nearest: bool = False
    sample: int = 0
    sample_every: int = 1
    structures: tuple[int, ...] = ()
    games: tuple[Game, ...] = ()

    @property
    def seats(self) -> int:
        """How many learners meet."""
        return len(self.game.policies)

    def policy_of(self, kind: int) -> Policy:
        """The policy of a type, by its number."""
        return by_structure(self)[self.structures[kind] if self.structures else 0][0].policies[0]

    def total(self, found: jax.Array) -> jax.Array:
        """The sum over all learners, of a sum over the learners of this device."""
        return lax.psum(found, AXIS) if self.sharded else found

    @property
    def stands(self) -> bool:
        """Whether some types learn and others do not."""
        return any(self.still) and not all(self.still)


@struct.dataclass
class MeetingSetup:
    """What populations are made from; leaves [populations, ...] except those of a structure.

    Attributes:
      seed: int32, the seed of its cell.
      number: int32, its number within the cell.
      params: the numbers of the game.
      types: a learner of each type.
      encounter: [populations] int32, updates made together in a generation; None where all make as many.
      pairing, selection: how learners are paired and selected.
      matchings: [matchings, encounters, 2] int32 of a structure, the same for all populations.
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
    encounter: Any = None


@struct.dataclass
class MeetingState:
    """What populations carry from generation to generation.

    Attributes:
      learners: states, leaves [populations * size, ...].
      types: [populations, size] int32.
      ancestors: [populations, size] int32, the learner of generation 0, or the mutant, that each one is a copy of.
      places: [populations, size] int32, the learner at each place. Where learners lie by place, so does everything here
        that is [populations, size].
      leaves: [populations, encounters] bool, the groups that a partner has left.
      elsewhere: [populations, size], a learner's last value with another partner; NaN before it had one.
      fixed_at: [populations] int32, the generation after which all were of one type; -1 until then.
      partners: [populations, size, others] int32, of whom a learner's models are, -1 before it had any; None where
        nobody keeps models, or they are kept when partners change.
      last: [populations, size], a learner's value in the generation before, if learners compare partners with those
        they had; None otherwise.
    """

    learners: LearnerState
    types: jax.Array
    ancestors: jax.Array
    places: jax.Array
    leaves: jax.Array
    elsewhere: jax.Array
    fixed_at: jax.Array
    partners: jax.Array | None = None
    last: jax.Array | None = None


def begin(rules: Rules, setup: MeetingSetup, types: jax.Array, dtype: Any, first: Any = 0) -> MeetingState:
    """The state before the first generation.

    Args:
      rules, setup: the populations.
      types: [populations, size] int32, or those of this device's learners.
      dtype: of parameters.
      first: [] int32, the number of the first of them.
    """
    populations, size = types.shape
    everybody = jnp.broadcast_to(first + jnp.arange(size, dtype=jnp.int32), types.shape)
    learners = fresh(rules, setup, types, "init", 0, dtype, first)
    of_one_type = jnp.any(counts_of(types, len(rules.still), rules.total) == rules.size, axis=1)
    return MeetingState(
        learners,
        types,
        everybody,
        everybody,
        jnp.zeros((populations, size // rules.seats), bool),
        jnp.full(types.shape, jnp.nan, dtype),
        jnp.where(of_one_type, 0, -1).astype(jnp.int32),
        jnp.full((*types.shape, rules.seats - 1), -1, jnp.int32) if starts_models_anew(rules, setup) else None,
        jnp.full(types.shape, jnp.nan, dtype) if setup.pairing.choice == "elsewhere" else None,
    )


def starts_models_anew(rules: Rules, setup: MeetingSetup) -> bool:
    """Whether models of opponents start anew with new partners."""
    if rules.keep_models or setup.pairing.kind == "fixed":
        return False
    return any(knows_others(learner.settings) for learner in setup.types)


def fresh(
    rules: Rules,
    setup: MeetingSetup,
    types: jax.Array,
    purpose: str,
    generation: jax.Array | int,
    dtype: Any,
    first: Any = 0,
    places: jax.Array | None = None,
) -> LearnerState:
    """Initial states of learners, leaves [populations * learners, ...], with numbers from `first` on, or `places`."""

    def of_structure(game: Game, learners: Sequence[tuple[int, Learner]], params: Any, given: Any, kind: Any) -> Any:
        """The state of a learner, if its type is one of these; otherwise that of any of them."""
        objective = game.objective(params)
        own, common, number = given
        (_, first), *others = [
            (place, start(one, own, common, game.policies, number, objective, dtype)) for place, one in learners
        ]
        for place, other in others:
            first = jax.tree.map(lambda a, b, place=place: jnp.where(kind == place, b, a), first, other)
        return first

    def of(seed: Any, population: Any, params: Any, learners: Sequence[Learner], number: Any, kind: Any) -> Any:
        own = learner_key(seed, population, number)
        shared = population_key(seed, population)
        key = use(shared if rules.shared else own, purpose, generation)
        given = key, use(shared, "prepare"), number
        each = [
            of_structure(game, [(place, learners[place]) for place in members], params, given, kind)
            for game, members in by_structure(rules)
        ]
        return joined(each) if rules.structures else each[0]

    numbers = first + jnp.arange(types.shape[1], dtype=jnp.int32) if places is None else places
    over_learners = jax.vmap(of, (None, None, None, None, 0, 0))
    over_populations = jax.vmap(over_learners, (0, 0, 0, 0, None if places is None else 0, 0))
    found = over_populations(setup.seed, setup.number, setup.params, setup.types, numbers, types)
    return jax.tree.map(flat, found)


def type_values(rules: Rules, setup: MeetingSetup, dtype: Any) -> jax.Array:
    """Values of types that never learn against each other, [populations, types, types], averaged over seats."""

    def of(params: Any, learners: Sequence[Learner]) -> jax.Array:
        objective, key = rules.game.objective(params), jax.random.key(0)
        thetas = [one.init(key, key, rules.game.policies, 0, objective, dtype).theta for one in learners]

        def between(a: Any, b: Any) -> jax.Array:
            first, second = (rules.game.evaluate(params, pair, key)["value"] for pair in ((a, b), (b, a)))
            return (first[0] + second[1]) / 2

        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *thetas)
        return jax.vmap(jax.vmap(between, (None, 0)), (0, None))(stacked, stacked)

    return jax.vmap(of)(setup.params, setup.types)


def differ(rules: Rules, selection: Selection) -> bool:
    """Whether expected payoffs are needed of every learner, as learners of a type differ: they learn, or have noise."""
    return selection.payoff == "expected" and (not all(rules.still) or selection.mutates == "noise")


# Pairs that are evaluated at once, roughly.
_PAIRS = 8192

MOST_PAIRS = 2**24
"""Pairs of learners that may be evaluated in a generation, in units of `Game.work`."""


def learner_values(rules: Rules, setup: MeetingSetup, state: MeetingState, generation: jax.Array) -> jax.Array:
    """Values of all learners against each other, [populations, size, size], averaged over seats."""
    size, game, dtype = rules.size, rules.game, state.elsewhere.dtype
    rows = max(1, min(size, _PAIRS // size if not game.sampled else 1))
    count = -(-size // rows)

    def of(seed: Any, population: Any, params: Any, thetas: Any) -> jax.Array:
        key = use(population_key(seed, population), "expected", generation)

        def against(number: jax.Array) -> jax.Array:
            """Values of both in all games of a learner in seat 0, [size, 2]."""
            own = jax.tree.map(lambda leaf: leaf[number], thetas)

            def between(other: Any, theta: Any) -> jax.Array:
                pair = jax.random.fold_in(jax.random.fold_in(key, number), other)
                return game.evaluate(params, (own, theta), pair)["value"].astype(dtype)

            return jax.vmap(between)(jnp.arange(size), thetas)

        numbers = jnp.minimum(jnp.arange(count * rows), size - 1).reshape(count, rows)
        found = lax.map(jax.vmap(against), numbers).reshape(count * rows, size, 2)[:size]
        return (found[..., 0] + found[..., 1].T) / 2

    thetas = jax.tree.map(lambda leaf: leaf.reshape(-1, size, *leaf.shape[1:]), state.learners.theta)
    return jax.vmap(of)(setup.seed, setup.number, setup.params, thetas)


def by_structure(rules: Rules) -> list[tuple[Game, list[int]]]:
    """For every structure of policies, the game that learners of it play among themselves, and the numbers of its
    types."""
    if not rules.structures:
        return [(rules.game, list(range(len(rules.still))))]
    kinds, seats = max(rules.structures) + 1, rules.seats
    alike = [sum(kind * kinds**seat for seat in range(seats)) for kind in range(kinds)]
    return [
        (rules.games[alike[kind]], [place for place, own in enumerate(rules.structures) if own == kind])
        for kind in range(kinds)
    ]


def joined(states: Sequence[LearnerState]) -> LearnerState:
    """A state with room for every structure of policies, of which a learner uses that of its type."""
    return LearnerState(tuple(state.theta for state in states), tuple(state.memory for state in states))


def parted(states: LearnerState) -> list[LearnerState]:
    """The inverse of `joined`."""
    return [LearnerState(*own) for own in zip(states.theta, states.memory, strict=True)]


def theta_rows(rules: Rules, theta: Any, types: jax.Array) -> jax.Array:
    """Parameters as rows, [populations, learners, parameters]; where policies differ in structure those of the own one,
    padded with NaN.

    Args:
      theta: leaves [populations, learners, ...].
      types: [populations, learners] int32.
    """

    def rows(own: Any) -> jax.Array:
        leaves = jax.tree.leaves(own)
        return jnp.concatenate([leaf.reshape(*types.shape, math.prod(leaf.shape[2:])) for leaf in leaves], axis=2)

    if not rules.structures:
        return rows(theta)
    each = [rows(own) for own in theta]
    most = max(own.shape[2] for own in each)
    each = [jnp.pad(own, ((0, 0), (0, 0), (0, most - own.shape[2])), constant_values=jnp.nan) for own in each]
    kind = jnp.asarray(rules.structures)[types][..., None]
    found = each[0]
    for place, own in enumerate(each[1:], start=1):
        found = jnp.where(kind == place, own, found)
    return found


def flat(leaf: jax.Array) -> jax.Array:
    """[populations, n, ...] to [populations * n, ...]."""
    return leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])
