"""Selection: who replaces whom at the end of a generation.

Either events follow one after another (`events` per generation), each on the population that the last one left, or a
share of all learners is selected at once (`rate`). Closed formulas of fixation describe only the former. The result is,
for every learner, the number of the learner that it is now a copy of; its own number if nothing happened.

    fermi        i, drawn from all, copies j, drawn from the others, with probability
                 1 / (1 + exp(-intensity (v_j - v_i)))
    birth_death  a copy of j, drawn by fitness exp(intensity v), replaces a learner drawn from the others
    death_birth  i, drawn from all, is replaced by a copy of one of the others, drawn by fitness
    truncation   the `rate` N learners with the lowest values become copies of as many with the highest

(Traulsen, Nowak and Pacheco 2006; Moran 1958; Ohtsuki et al. 2006.) With selection among neighbours, "the others" are a
learner's neighbours. v is the value of the last update of the generation, or the expected value against all others.
"""

from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from shaping.population.random_permutation import below
from shaping.signatures import NonNegative, Probability, Range

KINDS = ("none", "fermi", "birth_death", "death_birth", "truncation")


@struct.dataclass
class Selection:
    """How learners are selected.

    Attributes:
      intensity: [] of selection, at least 0.
      rate: [] share of all learners that imitate at once (fermi) or are replaced (truncation).
      mutation: [] probability that a learner that would have imitated, or been replaced, mutates instead.
      noise: [] standard deviation of the noise that a mutation adds to parameters, if it does not change the type.
      kind: one of `KINDS`.
      events: number of events in a generation, one after another; 0 if a share of all is selected at once.
      payoff: "encounter", the value of a learner's last update; "expected", the mean over all others.
      fitness: "exponential", exp(intensity v); "linear", 1 + intensity v.
      mutates: "none"; "uniform", to a random type; "noise", on what is copied; or the name of a type.
      neighbours: whether learners imitate, and are replaced by, only their neighbours.
    """

    intensity: Any = 1.0
    rate: Any = 0.0
    mutation: Any = 0.0
    noise: Any = 0.0
    kind: str = struct.field(pytree_node=False, default="none")
    events: int = struct.field(pytree_node=False, default=0)
    payoff: str = struct.field(pytree_node=False, default="encounter")
    fitness: str = struct.field(pytree_node=False, default="exponential")
    mutates: str = struct.field(pytree_node=False, default="none")
    neighbours: bool = struct.field(pytree_node=False, default=False)


def selection(
    kind: Literal["none", "fermi", "birth_death", "death_birth", "truncation"] = "none",
    *,
    intensity: NonNegative = 1.0,
    events: Annotated[int, Range(0, 10**9)] = 0,
    rate: Probability = 0.0,
    payoff: Literal["encounter", "expected"] = "encounter",
    fitness: Literal["exponential", "linear"] = "exponential",
    mutation: Probability = 0.0,
    mutates: str = "uniform",
    noise: NonNegative = 0.0,
    among: Literal["all", "neighbours"] = "all",
) -> Selection:
    """Selection by name; see this module for the kinds.

    Args:
      kind: none, fermi, birth_death, death_birth or truncation.
      intensity: of selection, at least 0.
      events: number of events in a generation, one after another.
      rate: the share of all learners that is selected at once, 0 to 1; this or `events`.
      payoff: "encounter", a learner's last value; "expected", the mean against all other learners.
      fitness: "exponential" or "linear", for birth_death and death_birth.
      mutation: the probability that a learner that would have imitated, or been replaced, mutates instead.
      mutates: "uniform", to a random type; the name of a type; or "noise", to a copy with normal noise added to its
        parameters.
      noise: standard deviation of that noise.
      among: whom a learner may imitate or be replaced by: "all" others, or its "neighbours" in the pairing.

    Raises:
      ValueError: a number out of its range, or one that the kind does not use.
    """
    if kind not in KINDS:
        raise ValueError(f"selection.kind is {kind!r}; allowed: {', '.join(KINDS)}")
    for name, given, allowed in (
        ("payoff", payoff, ("encounter", "expected")),
        ("fitness", fitness, ("exponential", "linear")),
        ("among", among, ("all", "neighbours")),
    ):
        if given not in allowed:
            raise ValueError(f"selection.{name} is {given!r}; allowed: {', '.join(allowed)}")
    for name, value, high in (("rate", rate, 1), ("mutation", mutation, 1), ("intensity", intensity, None)):
        if isinstance(value, int | float) and not (value >= 0 and (high is None or value <= high)):
            raise ValueError(f"selection.{name} is {value}; allowed: {'0 to 1' if high else 'at least 0'}")
    if isinstance(events, bool) or not isinstance(events, int) or events < 0:
        raise ValueError(f"selection.events is {events!r}; allowed: an integer of 0 or more")
    at_once = not (isinstance(rate, int | float) and rate == 0)
    if kind != "none" and bool(events) == at_once:
        raise ValueError(f"selection: events {events} and rate {rate} given; allowed: one of them above 0")
    if kind in ("birth_death", "death_birth") and at_once:
        raise ValueError(f"selection.rate is {rate}; allowed: 0 with kind {kind}, which has events")
    if kind == "truncation" and events:
        raise ValueError(f"selection.events is {events}; allowed: 0 with kind truncation, which has a rate")
    if kind == "truncation" and among == "neighbours":
        raise ValueError("selection.among is neighbours; allowed: all with kind truncation")
    if kind == "none" and (events or at_once or not _zero(mutation)):
        raise ValueError("selection: events, rate and mutation are given; allowed: with a kind other than none")
    if fitness == "linear" and kind not in ("birth_death", "death_birth"):
        raise ValueError(f"selection.fitness is linear; allowed: exponential with kind {kind}")
    if mutates != "noise" and isinstance(noise, int | float) and noise != 0:
        raise ValueError(f"selection.noise is {noise}; allowed: with mutates noise, not {mutates}")
    how = "none" if _zero(mutation) else mutates
    return Selection(intensity, rate, mutation, noise, kind, events, payoff, fitness, how, among == "neighbours")


def _zero(number: Any) -> bool:
    return isinstance(number, int | float) and number == 0


class Outcome(NamedTuple):
    """What a selection did to one population.

    Attributes:
      parents: [size] int32, the learner whose copy each one is now.
      types: [size] int32.
      mutated: [size] bool.
      imitations, mutations: [] int32, the number of each.
    """

    parents: jax.Array
    types: jax.Array
    mutated: jax.Array
    imitations: jax.Array
    mutations: jax.Array


class Scene(NamedTuple):
    """What selection in one population depends on.

    Attributes:
      values: [size], from the last update of a generation; used if payoffs are those of the encounter.
      types: [size] int32.
      matrix: [types, types], payoff of a type against another; used if payoffs are expected.
      neighbours, degrees: [size, most neighbours] and [size] int32, if selection is among neighbours.
      each: [size, size], payoff of a learner against another, used instead of `matrix`; None if all of a type are
        alike. Mutants keep the payoff that they had.
    """

    values: jax.Array
    types: jax.Array
    matrix: jax.Array
    neighbours: Any
    degrees: Any
    each: Any = None


def selected(selection: Selection, key: jax.Array, scene: Scene, mutant: int | None) -> Outcome:
    """The selection of one generation in one population.

    Args:
      selection: selection of this population.
      key: key of the population, the purpose and the generation.
      scene: see `Scene`.
      mutant: the type that mutations lead to; None for a random one.
    """
    if selection.events:
        return _one_after_another(selection, key, scene, mutant)
    return _at_once(selection, key, scene, mutant)


def expected_payoffs(matrix: jax.Array, counts: jax.Array) -> jax.Array:
    """Mean payoff of each type against all other learners, [types]; 0 if there are no others.

    Args:
      matrix: [types, types].
      counts: [types], the number of learners of each.
    """
    others = jnp.maximum(jnp.sum(counts) - 1, 1).astype(matrix.dtype)
    # A type without learners gets the payoff that a single learner of it would have.
    return (jnp.sum(matrix * counts.astype(matrix.dtype), axis=1) - jnp.diagonal(matrix)) / others


def _by_type(selection: Selection, scene: Scene) -> bool:
    """Whether the payoffs of all learners of a type are the same."""
    return selection.payoff == "expected" and scene.each is None


def _payoffs(selection: Selection, scene: Scene) -> tuple[jax.Array, jax.Array | None]:
    """Payoffs of classes before selection, [classes], and what the payoff of a class changes by for every other learner
    of a class, [classes, classes], None if others make no difference. A class is a type, or a learner and its
    copies."""
    if selection.payoff != "expected":
        return scene.values, None
    size = scene.types.shape[0]
    if scene.each is not None:
        return expected_payoffs(scene.each, jnp.ones(size, jnp.int32)), scene.each / max(size - 1, 1)
    counts = jnp.zeros(scene.matrix.shape[0], jnp.int32).at[scene.types].add(1)
    return expected_payoffs(scene.matrix, counts), scene.matrix / max(size - 1, 1)


def _fermi(intensity: Any, difference: jax.Array) -> jax.Array:
    """The probability of copying somebody whose value is higher by that difference; 0 if the difference is unknown."""
    return jnp.where(jnp.isfinite(difference), jax.nn.sigmoid(intensity * difference), 0)


def _other(selection: Selection, scene: Scene, word: jax.Array, number: jax.Array) -> jax.Array:
    """Somebody else, drawn uniformly from all others or from the neighbours."""
    if selection.neighbours:
        return scene.neighbours[number, below(word, scene.degrees[number]).astype(jnp.int32)]
    found = below(word, scene.types.shape[0] - 1).astype(jnp.int32)
    return found + (found >= number)


def _unit(word: jax.Array) -> jax.Array:
    """A word as a number in [0, 1), float32."""
    return (word >> 8).astype(jnp.float32) * jnp.float32(2**-24)


def _drawn_type(word: jax.Array, types: int, mutant: int | None) -> jax.Array:
    return below(word, types).astype(jnp.int32) if mutant is None else jnp.full(word.shape, mutant, jnp.int32)


# What an event changes of a learner, in one row: the learner it is a copy of, its type, whether it has mutated.
_PARENT, _TYPE, _MUTATED = range(3)


def _one_after_another(selection: Selection, key: jax.Array, scene: Scene, mutant: int | None) -> Outcome:
    size, kinds = scene.types.shape[0], scene.matrix.shape[0]
    words = jax.random.bits(key, (selection.events, 5), jnp.uint32)
    everybody = jnp.arange(size, dtype=jnp.int32)
    first, effect = _payoffs(selection, scene)
    # A copy is of the class of the original.
    of_class = _TYPE if _by_type(selection, scene) else _PARENT

    def pair(learners: jax.Array, payoffs: jax.Array, word: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Who may be replaced, by whom, and whether that happens."""
        one = below(word[0], size).astype(jnp.int32)
        if selection.kind == "fermi":
            model = _other(selection, scene, word[1], one)
            difference = payoffs[learners[model, of_class]] - payoffs[learners[one, of_class]]
            return one, model, _unit(word[2]) < _fermi(selection.intensity, difference)
        each = payoffs[learners[:, of_class]]
        if selection.kind == "birth_death":
            model = _by_fitness(selection, each, jnp.ones(size, bool), word[0])
            return _other(selection, scene, word[1], model), model, jnp.bool_(True)
        if selection.neighbours:
            near = scene.neighbours[one]
            known = jnp.arange(near.shape[0]) < scene.degrees[one]
            model = near[_by_fitness(selection, each[near], known, word[1])]
        else:
            model = _by_fitness(selection, each, everybody != one, word[1])
        return one, model, jnp.bool_(True)

    def event(number: jax.Array, carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[Any, ...]:
        learners, payoffs, counted = carry
        word = words[number]
        one, model, copies = pair(learners, payoffs, word)
        was, other = learners[one], learners[model]
        now = jnp.where(copies, other, was)
        mutates = _unit(word[3]) < selection.mutation
        if selection.mutates == "noise":
            mutates = mutates & copies
        elif selection.mutates != "none":
            now = now.at[_TYPE].set(jnp.where(mutates, _drawn_type(word[4], kinds, mutant), now[_TYPE]))
        # A copy of a mutant is a mutant too: it has no state yet that could be copied.
        now = now.at[_MUTATED].set(now[_MUTATED] | mutates)
        if effect is not None:
            payoffs = payoffs + (effect[:, now[of_class]] - effect[:, was[of_class]])
        counted = counted + jnp.stack([copies & ~mutates, mutates]).astype(jnp.int32)
        return learners.at[one].set(now), payoffs, counted

    start = jnp.stack([everybody, scene.types, jnp.zeros_like(everybody)], axis=1)
    found, _, counted = lax.fori_loop(0, selection.events, event, (start, first, jnp.zeros(2, jnp.int32)))
    return Outcome(found[:, _PARENT], found[:, _TYPE], found[:, _MUTATED] == 1, counted[0], counted[1])


def _by_fitness(selection: Selection, payoffs: jax.Array, allowed: jax.Array, word: jax.Array) -> jax.Array:
    """The position of one learner drawn by fitness from those allowed."""
    known = allowed & jnp.isfinite(payoffs)
    scaled = selection.intensity * payoffs
    if selection.fitness == "linear":
        weights = jnp.where(known, jnp.maximum(1 + scaled, 0), 0)
    else:
        weights = jnp.where(known, jnp.exp(scaled - jnp.max(jnp.where(known, scaled, -jnp.inf))), 0)
    reached = jnp.cumsum(weights)
    drawn = _unit(word) * reached[-1]
    return jnp.minimum(jnp.sum(reached <= drawn), payoffs.shape[0] - 1).astype(jnp.int32)


def _at_once(selection: Selection, key: jax.Array, scene: Scene, mutant: int | None) -> Outcome:
    size, kinds = scene.types.shape[0], scene.matrix.shape[0]
    everybody = jnp.arange(size, dtype=jnp.int32)
    payoffs = _payoffs(selection, scene)[0]
    payoffs = payoffs[scene.types] if _by_type(selection, scene) else payoffs

    def words(place: int) -> jax.Array:
        # Word by word from a counter: a learner's words do not depend on the number of learners.
        return jax.random.bits(jax.random.fold_in(key, place), (size,), jnp.uint32)

    if selection.kind == "truncation":
        order = jnp.argsort(jnp.where(jnp.isfinite(payoffs), payoffs, -jnp.inf)).astype(jnp.int32)
        replaced_of_rank = everybody < jnp.round(selection.rate * size)
        copies = jnp.zeros(size, bool).at[order].set(replaced_of_rank)
        models = jnp.zeros(size, jnp.int32).at[order].set(order[::-1])
    else:
        models = _other(selection, scene, words(0), everybody)
        drawn = _unit(words(1)) < selection.rate
        copies = drawn & (_unit(words(2)) < _fermi(selection.intensity, payoffs[models] - payoffs))
    if selection.mutates == "none":
        mutates = jnp.zeros(size, bool)
    elif selection.mutates == "noise" or selection.kind == "truncation":
        mutates = copies & (_unit(words(3)) < selection.mutation)
    else:
        mutates = drawn & (_unit(words(3)) < selection.mutation)
    types = jnp.where(copies, scene.types[models], scene.types)
    if selection.mutates not in ("none", "noise"):
        types = jnp.where(mutates, _drawn_type(words(4), kinds, mutant), types)
    parents = jnp.where(copies, models, everybody)
    imitations = jnp.sum(copies & ~mutates, dtype=jnp.int32)
    return Outcome(parents, types, mutates, imitations, jnp.sum(mutates, dtype=jnp.int32))
