"""Graphs on which neighbours meet: from a file of edges, or made by networkx, which is loaded only for that."""

import functools
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Edges = tuple[tuple[int, int], ...]


def edges_of_file(path: str | Path) -> Edges:
    """The edges in a text file: two learners' numbers a line, apart by a space or a comma; `#` begins a comment.

    Raises:
      ValueError: a file that cannot be read, or a line with anything else; one line.
    """
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"pairing.edges is {str(path)!r}; allowed: a text file of edges ({error})") from None
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        if len(words) != 2 or not all(word.isdecimal() for word in words):
            raise ValueError(f"pairing.edges: line {number} of {path} is {line!r}; allowed: two numbers of learners")
        found.append((int(words[0]), int(words[1])))
    return tuple(found)


def given_graph(graph: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """A graph's generator and its arguments, as given by name, in a form that can be hashed.

    Raises:
      ValueError: if there is no generator, networkx has none of that name, or it has no such argument; or if networkx
        is not installed.
    """
    if not isinstance(graph, Mapping) or not isinstance(graph.get("generator"), str):
        raise ValueError(f"pairing.graph is {graph!r}; allowed: generator, its name in networkx, and its arguments")
    known = inspect.signature(_generator(graph["generator"])).parameters
    names = [name for name, one in known.items() if one.kind is one.POSITIONAL_OR_KEYWORD and name != "create_using"]
    for name, value in graph.items():
        if name not in ("generator", *names):
            raise ValueError(f"pairing.graph.{name} is given; allowed: {', '.join(names) or 'none'}")
        if not isinstance(value, str | int | float | bool):
            raise ValueError(f"pairing.graph.{name} is {value!r}; allowed: a number or a text")
    return tuple(sorted(graph.items()))


@functools.lru_cache(maxsize=16)
def generated(graph: tuple[tuple[str, Any], ...], size: int) -> Edges:
    """The edges of a graph with as many vertices as a population has learners, numbered in the generator's order.

    The generator's argument `n` is the size and its `seed` is 0 unless they are given.

    Args:
      graph: see `given_graph`.
      size: of the population.

    Raises:
      ValueError: arguments that the generator refuses, or a graph of another size.
    """
    import networkx

    settings = dict(graph)
    name = settings.pop("generator")
    generator = _generator(name)
    known = inspect.signature(generator).parameters
    settings = {key: own for key, own in (("n", size), ("seed", 0)) if key in known} | settings
    try:
        found = networkx.convert_node_labels_to_integers(generator(**settings))
    except (networkx.NetworkXException, TypeError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"pairing.graph: {name} refuses {settings} ({error})") from None
    if found.number_of_nodes() != size:
        count = found.number_of_nodes()
        raise ValueError(f"pairing.graph has {count} vertices; allowed: as many as population.size, {size}")
    return tuple((int(a), int(b)) for a, b in found.to_undirected().edges() if a != b)


def _generator(name: str) -> Any:
    try:
        import networkx
    except ImportError:
        told = "networkx, which is not installed: pip install 'shaping[graphs]'"
        raise ValueError(f"pairing.graph is given; allowed: with {told}") from None
    found = getattr(networkx, name, None)
    if not callable(found) or not str(getattr(found, "__module__", "")).startswith("networkx.generators"):
        allowed = "a generator of networkx, such as watts_strogatz_graph or random_regular_graph"
        raise ValueError(f"pairing.graph.generator is {name!r}; allowed: {allowed}")
    return found
