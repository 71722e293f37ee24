"""Pairings: who meets whom in a generation.

Learners stand at places. `fixed`, `well_mixed` and `islands` group neighbouring places (two and two, for two players)
and differ in how learners change places; `ring`, `lattice` and `graph` leave everybody in place and let neighbours
meet: the edges are divided into matchings, sets of edges without a common vertex, and a generation draws one of them.
Every edge is in one matching, so that all pairs of neighbours meet equally often; whoever has no edge in the matching
that is drawn meets nobody in that generation.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from shaping.population.bijection import permuted, permuted_among
from shaping.population.keys import use

KINDS = ("fixed", "well_mixed", "islands", "ring", "lattice", "graph")


@struct.dataclass
class Pairing:
    """How learners are brought together.

    Attributes:
      turnover: [] probability that those who meet separate at a generation's end (well_mixed).
      migration: [] probability that a learner leaves its island at a generation's end (islands).
      threshold: [] what a learner's value has to reach for it to stay with its partner, where `choice` is "threshold".
      kind: one of `KINDS`.
      choice: whether learners leave a partner on their own: "none"; "threshold"; "elsewhere", where their value is
        below what it last was with somebody else.
      islands: how many there are.
      width: of a lattice, which closes on itself; 0 for the most square one.
      edges: of a graph, pairs of learners' numbers.
      mixes: whether everybody changes partners in every generation, so that nothing has to be kept of the last one.
    """

    turnover: Any = 1.0
    migration: Any = 0.0
    threshold: Any = 0.0
    kind: str = struct.field(pytree_node=False, default="well_mixed")
    choice: str = struct.field(pytree_node=False, default="none")
    islands: int = struct.field(pytree_node=False, default=1)
    width: int = struct.field(pytree_node=False, default=0)
    edges: tuple[tuple[int, int], ...] = struct.field(pytree_node=False, default=())
    mixes: bool = struct.field(pytree_node=False, default=True)

    @property
    def structured(self) -> bool:
        """Whether learners stay in place and neighbours meet."""
        return self.kind in ("ring", "lattice", "graph")


def pairing(
    kind: Literal["fixed", "well_mixed", "islands", "ring", "lattice", "graph"] = "well_mixed",
    *,
    turnover: float = 1.0,
    choice: Literal["none", "threshold", "elsewhere"] = "none",
    threshold: float = 0.0,
    islands: int = 1,
    migration: float = 0.0,
    width: int = 0,
    edges: Iterable[tuple[int, int]] = (),
) -> Pairing:
    """A pairing by name.

    Args:
      kind: `fixed`, learners 2e and 2e + 1 meet for good (for n players, n neighbouring numbers); `well_mixed`, anybody
        meets anybody; `islands`, anybody on the same island; `ring`, those with neighbouring numbers; `lattice`, the
        four neighbours on a torus; `graph`, those with an edge between them.
      turnover: the probability, 0 to 1, that those who met separate at a generation's end; with `well_mixed` alone.
      choice: whether learners leave partners on their own, whatever the turnover: "threshold" where their value was
        below `threshold`, "elsewhere" where it was below what it last was with another partner. With `well_mixed`.
      threshold: see `choice`.
      islands: how many islands of equal size.
      migration: the probability, 0 to 1, that a learner changes places with other migrants at a generation's end.
      width: of a lattice; 0 for the most square one. It has to divide the size of the population.
      edges: of a graph, pairs of numbers of learners.

    Raises:
      ValueError: a number out of its range, or one that the kind has no use for.
    """
    if kind not in KINDS:
        raise ValueError(f"pairing.kind is {kind!r}; allowed: {', '.join(KINDS)}")
    if choice not in ("none", "threshold", "elsewhere"):
        raise ValueError(f"pairing.choice is {choice!r}; allowed: none, threshold, elsewhere")
    for name, value in (("turnover", turnover), ("migration", migration)):
        if isinstance(value, int | float) and not 0 <= value <= 1:
            raise ValueError(f"pairing.{name} is {value}; allowed: 0 to 1")
    for name, given, owner in (
        ("turnover", turnover != 1.0, "well_mixed"),
        ("choice", choice != "none", "well_mixed"),
        ("islands", islands != 1, "islands"),
        ("migration", migration != 0.0, "islands"),
        ("width", width != 0, "lattice"),
        ("edges", bool(edges := tuple((int(a), int(b)) for a, b in edges)), "graph"),
    ):
        if given and kind != owner:
            raise ValueError(f"pairing.{name} is given; allowed: with kind {owner}, not {kind}")
    for name, count, least in (("islands", islands, 1), ("width", width, 0)):
        if isinstance(count, bool) or not isinstance(count, int) or count < least:
            raise ValueError(f"pairing.{name} is {count!r}; allowed: an integer of {least} or more")
    mixes = kind == "well_mixed" and choice == "none" and isinstance(turnover, int | float) and turnover == 1
    return Pairing(turnover, migration, threshold, kind, choice, islands, width, edges, mixes)


def check_size(pairing: Pairing, size: int, seats: int) -> None:
    """Refuses a population that cannot be paired.

    Args:
      pairing: how it is to be.
      size: of the population.
      seats: of the game.

    Raises:
      ValueError: one line with what is wrong, and what is allowed.
    """
    if pairing.structured:
        if seats != 2:
            raise ValueError(f"pairing.kind is {pairing.kind}; allowed: games of two players, this one has {seats}")
        neighbours_of(pairing, size)
        return
    groups = pairing.islands if pairing.kind == "islands" else 1
    if size < 1 or size % (groups * seats):
        among = f" on {groups} islands" if groups > 1 else ""
        raise ValueError(f"population.size is {size}; allowed: a multiple of {groups * seats}, {seats} meet{among}")


def places_at_start(size: int) -> np.ndarray:
    """[size] int32, the learner at every place before the first generation."""
    return np.arange(size, dtype=np.int32)


def moved(pairing: Pairing, key: jax.Array, generation: jax.Array, places: jax.Array, leaves: jax.Array) -> jax.Array:
    """Who stands where in a generation.

    Args:
      pairing: of one population.
      key: of the population.
      generation: [] int32, from 0.
      places: [size] int32, who stood where in the generation before.
      leaves: [encounters] bool, which of those groups a partner left on its own.
    """
    size, own = places.shape[0], use(key, "pairing", generation)
    if pairing.kind == "well_mixed":
        if pairing.mixes:
            return permuted(own, jnp.arange(size, dtype=jnp.int32), size)
        drawn = jax.random.uniform(use(key, "turnover", generation), leaves.shape)
        # Nobody has a partner yet before the first generation.
        separated = leaves | (drawn < pairing.turnover) | (generation == 0)
        return permuted_among(own, jnp.repeat(separated, size // leaves.shape[0]), places)
    if pairing.kind == "islands":
        drawn = jax.random.uniform(use(key, "migration", generation), (size,))
        settled = permuted_among(use(key, "islands", generation), drawn < pairing.migration, places)
        each = size // pairing.islands
        island = jnp.arange(size, dtype=jnp.int32) // each
        within = permuted(own, jnp.arange(size, dtype=jnp.int32) % each, each, island)
        return settled[island * each + within]
    return places


def met(pairing: Pairing, key: jax.Array, generation: jax.Array, places: jax.Array, matchings: Any, seats: int) -> Any:
    """The learners' numbers of every encounter of a generation, [encounters, seats] int32.

    Args:
      pairing, key, generation: see `moved`.
      places: who stands where now.
      matchings: [matchings, encounters, 2] of `matchings_of` where there is a structure; what stands in one beyond its
        edges is `size`.
      seats: of the game.
    """
    if not pairing.structured:
        return places.reshape(-1, seats)
    count = matchings.shape[0]
    chosen = matchings[jax.random.randint(use(key, "pairing", generation), (), 0, count)]
    # Who sits where is drawn too, so that nobody plays one seat of an asymmetric game for good.
    turned = jax.random.bernoulli(use(key, "seats", generation), shape=chosen.shape[:1])
    return jnp.where(turned[:, None], chosen[:, ::-1], chosen)


def edges_of(pairing: Pairing, size: int) -> np.ndarray:
    """[edges, 2] int32, the edges of a structure, each once, the smaller number first.

    Raises:
      ValueError: a structure that a population of this size cannot have, or in which somebody has no neighbour.
    """
    numbers = np.arange(size)
    if pairing.kind == "ring":
        found = np.stack([numbers, (numbers + 1) % size], axis=1)
    elif pairing.kind == "lattice":
        width = pairing.width or max(d for d in range(1, int(size**0.5) + 1) if size % d == 0)
        if size % width or min(width, size // width) < 2:
            allowed = "a divisor of the size that leaves two rows and columns or more"
            raise ValueError(f"pairing.width is {width} at population.size {size}; allowed: {allowed}")
        row, column = numbers // width, numbers % width
        right = row * width + (column + 1) % width
        down = (numbers + width) % size
        found = np.concatenate([np.stack([numbers, right], axis=1), np.stack([numbers, down], axis=1)])
    else:
        found = np.asarray(pairing.edges, int).reshape(-1, 2)
        for a, b in found.tolist():
            if a == b or not (0 <= a < size and 0 <= b < size):
                raise ValueError(f"pairing.edges has {a}-{b}; allowed: two different numbers from 0 to {size - 1}")
    found = np.unique(np.sort(found, axis=1), axis=0)
    found = found[found[:, 0] != found[:, 1]]
    alone = np.setdiff1d(numbers, found)
    if len(alone):
        raise ValueError(f"pairing: learner {alone[0]} has no neighbour; allowed: graphs without an isolated vertex")
    return found.astype(np.int32)


def matchings_of(pairing: Pairing, size: int) -> np.ndarray:
    """[matchings, encounters, 2] int32: the edges of a structure divided into matchings; what a matching has fewer than
    the largest is filled up with `size`, whom nobody is. [0, 0, 2] where there is no structure.

    A ring or a lattice of even sides has as few as a vertex has neighbours, a graph less than twice as many.
    """
    if not pairing.structured:
        return np.zeros((0, 0, 2), np.int32)
    edges = edges_of(pairing, size)
    by_position = pairing.kind in ("ring", "lattice")
    colours = _coloured_by_position(pairing, edges, size) if by_position else _coloured(edges, size)
    count = np.bincount(colours)
    found = np.full((len(count), count.max(), 2), size, np.int32)
    for colour in range(len(count)):
        found[colour, : count[colour]] = edges[colours == colour]
    return found[count > 0]


def _coloured(edges: np.ndarray, size: int) -> np.ndarray:
    """A colour for every edge, no two alike at a vertex: each edge takes the first that is free."""
    used: list[set[int]] = [set() for _ in range(size)]
    colours = np.zeros(len(edges), int)
    for place, (a, b) in enumerate(edges.tolist()):
        colour = 0
        while colour in used[a] or colour in used[b]:
            colour += 1
        used[a].add(colour)
        used[b].add(colour)
        colours[place] = colour
    return colours


def _coloured_by_position(pairing: Pairing, edges: np.ndarray, size: int) -> np.ndarray:
    """`_coloured` of a ring or lattice: along every line in turns, the last edge of an odd line by itself."""
    if pairing.kind == "ring":
        return _along_line(edges[:, 0], edges[:, 1], size)
    width = pairing.width or max(d for d in range(1, int(size**0.5) + 1) if size % d == 0)
    rows, columns = edges // width, edges % width
    same_row = rows[:, 0] == rows[:, 1]
    across = _along_line(columns[:, 0], columns[:, 1], width)
    down = 3 + _along_line(rows[:, 0], rows[:, 1], size // width)
    return np.where(same_row, across, down)


def _along_line(first: np.ndarray, second: np.ndarray, length: int) -> np.ndarray:
    """Colours 0, 1 in turns of a line that closes on itself; 2 for the edge that closes it where its length is odd."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    closing = (high - low) != 1
    start = np.where(closing, high, low)
    return np.where(closing & (length % 2 == 1), 2, start % 2)


def neighbours_of(pairing: Pairing, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Whom everybody has for neighbours: numbers [size, most neighbours] int32, filled up with the first one's, and how
    many they are, [size] int32."""
    edges = edges_of(pairing, size)
    both = np.concatenate([edges, edges[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    degree = np.bincount(both[:, 0], minlength=size).astype(np.int32)
    first = np.concatenate([[0], np.cumsum(degree)[:-1]])
    rank = np.arange(degree.max())
    at = first[:, None] + np.where(rank < degree[:, None], rank, 0)
    return both[at, 1].astype(np.int32), degree


def with_numbers(pairing: Pairing, **numbers: Sequence[Any] | Any) -> Pairing:
    """The same pairing with other numbers, as a sweep gives them; where turnover is among them nobody can be sure that
    everybody changes partners."""
    mixes = pairing.mixes and "turnover" not in numbers
    return dataclasses.replace(pairing, mixes=mixes, **numbers)
