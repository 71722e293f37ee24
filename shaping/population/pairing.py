"""Pairings: who meets whom in a generation.

Learners stand at places. `fixed`, `well_mixed` and `islands` group neighbouring places (in pairs, for two players) and
differ in how learners change places. In `ring`, `lattice` and `graph` learners stay in place and neighbours meet: the
edges are divided into matchings, sets of edges without a common vertex, and each generation draws one of them. Every
edge is in exactly one matching, so all pairs of neighbours meet equally often. A learner without an edge in the
matching that is drawn meets nobody in that generation.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from shaping.population.graphs import edges_of_file, generated, given_graph
from shaping.population.random_keys import use
from shaping.population.random_permutation import permuted, permuted_among
from shaping.signatures import Probability, Range

KINDS = ("fixed", "well_mixed", "islands", "ring", "lattice", "graph")


@struct.dataclass
class Pairing:
    """How learners are brought together.

    Attributes:
      turnover: [] probability that a group separates at the end of a generation (well_mixed).
      migration: [] probability that a learner leaves its island at the end of a generation (islands).
      threshold: [] the value that a learner needs to stay with its partner, if `choice` is "threshold".
      kind: one of `KINDS`.
      choice: whether learners leave a partner on their own: "none"; "threshold"; "elsewhere", if their value is below
        their last value with another partner.
      islands: number of islands.
      width: of a lattice, which is a torus; 0 for the most nearly square one.
      edges: of a graph, pairs of learners' numbers.
      graph: the generator of a graph and its arguments, see `graphs.given_graph`; () if its edges are given.
      blocks: how many blocks a well-mixed population lies in, between which half of all groups move in a generation,
        see `blocks`; 1 where anybody may meet anybody at once.
      mixes: whether everybody changes partners in every generation, so that nothing of the last one has to be kept.
    """

    turnover: Any = 1.0
    migration: Any = 0.0
    threshold: Any = 0.0
    kind: str = struct.field(pytree_node=False, default="well_mixed")
    choice: str = struct.field(pytree_node=False, default="none")
    islands: int = struct.field(pytree_node=False, default=1)
    width: int = struct.field(pytree_node=False, default=0)
    edges: tuple[tuple[int, int], ...] = struct.field(pytree_node=False, default=())
    graph: tuple[tuple[str, Any], ...] = struct.field(pytree_node=False, default=())
    mixes: bool = struct.field(pytree_node=False, default=True)
    blocks: int = struct.field(pytree_node=False, default=1)

    @property
    def in_place(self) -> bool:
        """Whether those who meet lie next to each other in memory."""
        return self.kind == "fixed" or self.blocks > 1

    @property
    def structured(self) -> bool:
        """Whether learners stay in place and neighbours meet."""
        return self.kind in ("ring", "lattice", "graph")


def pairing(
    kind: Literal["fixed", "well_mixed", "islands", "ring", "lattice", "graph"] = "well_mixed",
    *,
    turnover: Probability = 1.0,
    choice: Literal["none", "threshold", "elsewhere"] = "none",
    threshold: float = 0.0,
    islands: Annotated[int, Range(1, 10**9)] = 1,
    migration: Probability = 0.0,
    width: Annotated[int, Range(0, 10**9)] = 0,
    edges: Iterable[tuple[int, int]] | str | Path = (),
    graph: Mapping[str, Any] | None = None,
    blocks: Annotated[int, Range(1, 10**9)] = 1,
) -> Pairing:
    """A pairing by name.

    Args:
      kind: `fixed`, learners 2e and 2e + 1 always meet (for n players, n consecutive numbers); `well_mixed`, anybody
        meets anybody; `islands`, anybody on the same island; `ring`, learners with consecutive numbers; `lattice`, the
        four neighbours on a torus; `graph`, learners joined by an edge.
      turnover: the probability, 0 to 1, that a group separates at the end of a generation; only with `well_mixed`.
      choice: whether learners leave partners on their own, whatever the turnover: "threshold", if their value was below
        `threshold`; "elsewhere", if it was below their last value with another partner. Only with `well_mixed`.
      threshold: see `choice`.
      islands: number of islands, all of the same size.
      migration: the probability, 0 to 1, that a learner changes places with other migrants at the end of a generation.
      width: of a lattice; 0 for the most nearly square one. It has to divide the size of the population.
      edges: of a graph, pairs of learners' numbers, or the path of a text file with one such pair a line.
      graph: a graph made by networkx instead: the name of a `generator`, for example watts_strogatz_graph, and its
        arguments; `n` is the size of the population, and `seed` 0, unless they are given.
      blocks: divides a well-mixed population into so many blocks. Learners meet within their block, and half of all
        groups move to another block before every generation: any two meet equally often in the long run, and a
        population that is larger than a device can be divided among as many devices as divide the number of blocks.

    Raises:
      ValueError: a number out of its range, or one that the kind does not use.
    """
    if kind not in KINDS:
        raise ValueError(f"pairing.kind is {kind!r}; allowed: {', '.join(KINDS)}")
    if choice not in ("none", "threshold", "elsewhere"):
        raise ValueError(f"pairing.choice is {choice!r}; allowed: none, threshold, elsewhere")
    for name, value in (("turnover", turnover), ("migration", migration)):
        if isinstance(value, int | float) and not 0 <= value <= 1:
            raise ValueError(f"pairing.{name} is {value}; allowed: 0 to 1")
    listed = edges_of_file(edges) if isinstance(edges, str | Path) else tuple((int(a), int(b)) for a, b in edges)
    made = () if graph is None else given_graph(graph)
    for name, given, owner in (
        ("turnover", turnover != 1.0, "well_mixed"),
        ("choice", choice != "none", "well_mixed"),
        ("islands", islands != 1, "islands"),
        ("migration", migration != 0.0, "islands"),
        ("width", width != 0, "lattice"),
        ("edges", bool(listed), "graph"),
        ("graph", bool(made), "graph"),
        ("blocks", blocks != 1, "well_mixed"),
    ):
        if given and kind != owner:
            raise ValueError(f"pairing.{name} is given; allowed: with kind {owner}, not {kind}")
    if kind == "graph" and bool(listed) == bool(made):
        raise ValueError(f"pairing: edges and graph are {'both' if made else 'not'} given; allowed: one of them")
    for name, count, least in (("islands", islands, 1), ("width", width, 0), ("blocks", blocks, 1)):
        if isinstance(count, bool) or not isinstance(count, int) or count < least:
            raise ValueError(f"pairing.{name} is {count!r}; allowed: an integer of {least} or more")
    if choice != "threshold" and isinstance(threshold, int | float) and threshold != 0:
        raise ValueError(f"pairing.threshold is given; allowed: with choice threshold, not {choice}")
    if choice != "none" and isinstance(turnover, int | float) and turnover == 1:
        raise ValueError(f"pairing.choice is {choice!r}; allowed: with a turnover below 1, at which not all separate")
    mixes = kind == "well_mixed" and choice == "none" and isinstance(turnover, int | float) and turnover == 1
    return Pairing(turnover, migration, threshold, kind, choice, islands, width, listed, made, mixes, blocks)


def check_size(pairing: Pairing, size: int, seats: int) -> None:
    """Refuses a population that cannot be paired.

    Args:
      pairing: the pairing.
      size: size of the population.
      seats: number of players of the game.

    Raises:
      ValueError: one line with what is wrong, and what is allowed.
    """
    if pairing.structured:
        if seats != 2:
            raise ValueError(f"pairing.kind is {pairing.kind}; allowed: games of two players, this one has {seats}")
        neighbours_of(pairing, size)
        return
    if pairing.blocks > 1 and (size < 1 or size % (2 * pairing.blocks * seats)):
        allowed = (
            f"a multiple of {2 * pairing.blocks * seats}, an even number of groups in each of {pairing.blocks} blocks"
        )
        raise ValueError(f"population.size is {size}; allowed: {allowed}")
    groups = pairing.islands if pairing.kind == "islands" else 1
    if size < 1 or size % (groups * seats):
        among = f" on {groups} islands" if groups > 1 else ""
        raise ValueError(f"population.size is {size}; allowed: a multiple of {groups * seats}, {seats} meet{among}")


def places_at_start(size: int) -> np.ndarray:
    """[size] int32, the learner at every place before the first generation."""
    return np.arange(size, dtype=np.int32)


def moved(pairing: Pairing, key: jax.Array, generation: jax.Array, places: jax.Array, leaves: jax.Array) -> jax.Array:
    """The places of learners in a generation.

    Args:
      pairing: pairing of one population.
      key: key of the population.
      generation: [] int32, from 0 on.
      places: [size] int32, the learner at each place in the generation before.
      leaves: [encounters] bool, the groups that a partner left on its own.
    """
    size, own = places.shape[0], use(key, "pairing", generation)
    if pairing.kind == "well_mixed":
        if pairing.mixes:
            return permuted(own, jnp.arange(size, dtype=jnp.int32), size)
        apart = separated(pairing, key, generation, leaves)
        return permuted_among(own, jnp.repeat(apart, size // leaves.shape[0]), places)
    if pairing.kind == "islands":
        drawn = jax.random.uniform(use(key, "migration", generation), (size,))
        settled = permuted_among(use(key, "islands", generation), drawn < pairing.migration, places)
        each = size // pairing.islands
        island = jnp.arange(size, dtype=jnp.int32) // each
        within = permuted(own, jnp.arange(size, dtype=jnp.int32) % each, each, island)
        return settled[island * each + within]
    return places


def separated(pairing: Pairing, key: jax.Array, generation: jax.Array, leaves: jax.Array) -> jax.Array:
    """Which groups of the generation before separate, [encounters] bool, by turnover or because a partner left; see
    `moved`."""
    drawn = jax.random.uniform(use(key, "turnover", generation), leaves.shape)
    # Nobody has a partner yet before the first generation.
    return leaves | (drawn < pairing.turnover) | (generation == 0)


def met(pairing: Pairing, key: jax.Array, generation: jax.Array, places: jax.Array, matchings: Any, seats: int) -> Any:
    """The learners' numbers in every encounter of a generation, [encounters, seats] int32.

    Args:
      pairing, key, generation: see `moved`.
      places: the learner at each place now.
      matchings: [matchings, encounters, 2] from `matchings_of` for a structure, padded with `size`.
      seats: number of players of the game.
    """
    if not pairing.structured:
        return places.reshape(-1, seats)
    count = matchings.shape[0]
    chosen = matchings[jax.random.randint(use(key, "pairing", generation), (), 0, count)]
    # Seats are drawn too, so that nobody always plays the same seat of an asymmetric game.
    turned = jax.random.bernoulli(use(key, "seats", generation), shape=chosen.shape[:1])
    return jnp.where(turned[:, None], chosen[:, ::-1], chosen)


def edges_of(pairing: Pairing, size: int) -> np.ndarray:
    """[edges, 2] int32, the edges of a structure, each once, the smaller number first.

    Raises:
      ValueError: a structure that a population of this size cannot have, or one in which a learner has no neighbour.
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
        edges = generated(pairing.graph, size) if pairing.graph else pairing.edges
        found = np.asarray(edges, int).reshape(-1, 2)
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
    """[matchings, encounters, 2] int32: the edges of a structure divided into matchings, each padded with `size` (which
    is no learner) to the length of the longest. [0, 0, 2] if there is no structure.

    A ring or a lattice with even sides has as few matchings as a vertex has neighbours, a graph less than twice as
    many.
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
    """A colour for every edge, different for edges that share a vertex: each edge takes the first free colour."""
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
    """`_coloured` for a ring or lattice: colours alternate along every line; the last edge of an odd line has its
    own."""
    if pairing.kind == "ring":
        return _along_line(edges[:, 0], edges[:, 1], size)
    width = pairing.width or max(d for d in range(1, int(size**0.5) + 1) if size % d == 0)
    rows, columns = edges // width, edges % width
    same_row = rows[:, 0] == rows[:, 1]
    across = _along_line(columns[:, 0], columns[:, 1], width)
    down = 3 + _along_line(rows[:, 0], rows[:, 1], size // width)
    return np.where(same_row, across, down)


def _along_line(first: np.ndarray, second: np.ndarray, length: int) -> np.ndarray:
    """Alternating colours 0, 1 along a closed line; 2 for the closing edge of a line of odd length."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    closing = (high - low) != 1
    start = np.where(closing, high, low)
    return np.where(closing & (length % 2 == 1), 2, start % 2)


def neighbours_of(pairing: Pairing, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Everybody's neighbours: numbers [size, most neighbours] int32, padded with the first neighbour, and how many
    there are, [size] int32."""
    edges = edges_of(pairing, size)
    both = np.concatenate([edges, edges[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    degree = np.bincount(both[:, 0], minlength=size).astype(np.int32)
    first = np.concatenate([[0], np.cumsum(degree)[:-1]])
    rank = np.arange(degree.max())
    at = first[:, None] + np.where(rank < degree[:, None], rank, 0)
    return both[at, 1].astype(np.int32), degree


def structure_of(pairing: Pairing, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matchings, neighbours and degrees of a structure, see `matchings_of` and `neighbours_of`; placeholders where
    there is none."""
    if not pairing.structured:
        return matchings_of(pairing, size), np.zeros((1, 1), np.int32), np.ones(1, np.int32)
    return matchings_of(pairing, size), *neighbours_of(pairing, size)


def with_numbers(pairing: Pairing, **numbers: Sequence[Any] | Any) -> Pairing:
    """The same pairing with other numbers, as in a sweep. If turnover is among them, it is no longer certain that
    everybody changes partners."""
    mixes = pairing.mixes and "turnover" not in numbers
    return dataclasses.replace(pairing, mixes=mixes, **numbers)
