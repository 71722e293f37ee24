"""Dotted keys such as `players.*.step_size`: looking them up in a configuration, and setting them."""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from shaping.config.errors import ConfigError, not_allowed, shown
from shaping.signatures import Field

BARE = {
    "game": "name",
    "optimizer": "name",
    "policy": "kind",
    "objective": "kind",
    "population.pairing": "kind",
    "population.selection": "kind",
}
"""Parts of a configuration that may be given as a bare name, and the key that the name belongs to."""


def keys_of(tree: Any, above: str = "") -> Iterator[str]:
    """All dotted keys in plain data."""
    parts = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    for name, part in parts:
        yield f"{above}{name}"
        yield from keys_of(part, f"{above}{name}.")


def entries(key: str, value: Any, field: Field) -> dict[str, Field]:
    """The fields of a number, nested list of numbers or array: the whole and each of its entries."""
    found = {key: field}
    if isinstance(value, list | tuple):
        for i, part in enumerate(value):
            found |= entries(f"{key}.{i}", part, field)
    return found


def numbers_in(where: str, settings: Mapping[str, Any], known: Mapping[str, Field]) -> dict[str, Field]:
    """The numbers among the given settings, by dotted key."""
    given = {name: field for name, field in known.items() if settings.get(name) is not None}
    return {f"{where}.{name}": field for name, field in given.items() if field.kind == "number"}


def look_up(tree: Any, key: str) -> Any:
    """The value of a key; None where there is none."""
    for name in key.split("."):
        tree = tree[int(name)] if isinstance(tree, list) else tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def put(tree: Any, key: str, value: Any) -> Any:
    """A copy in which an existing key has another value; parts not on the way to it are shared."""
    head, _, rest = key.partition(".")
    name: Any = int(head) if isinstance(tree, list) else head
    new = copy.copy(tree)
    new[name] = put(tree[name], rest, value) if rest else value
    return new


def check_name(where: str, name: Any) -> None:
    """Refuses a name that a dotted key could not hold.

    Raises:
      ConfigError: it is no text, or empty, or has a dot or a star.
    """
    if not isinstance(name, str) or not name or "." in name or "*" in name:
        raise not_allowed(where, name, "names that are text without . and *")


def seat_keys(key: str, seats: int) -> list[str]:
    """A key with `*` as one key per seat."""
    return [key.replace("*", str(seat), 1) for seat in range(seats)] if key.startswith("players.*.") else [key]


def as_written(key: str, known: Iterable[str]) -> list[str]:
    """Known keys, with `*` for a seat where `key` was written with it."""
    if not key.startswith("players.*."):
        return list(known)
    return list(dict.fromkeys(re.sub(r"^players\.\d+\.", "players.*.", name) for name in known))


def check_overlaps(keys: Sequence[str]) -> None:
    """Refuses two swept keys if one contains the other, or equals the other at some seat. One would overwrite the
    other, and the labels of the cells would be wrong."""
    for place, key in enumerate(keys):
        for other in keys[:place]:
            parts, others = key.split("."), other.split(".")
            if all(a == b or "*" in (a, b) for a, b in zip(parts, others, strict=False)):
                told = f"overlaps with sweep.{other}, one would undo the other; sweep one of them"
                raise ConfigError(f"sweep.{key}: {told}")


def expand_bare_name(tree: dict[str, Any], key: str, above: str = "") -> None:
    """Expands a part given by its bare name in place: `optimizer: adam` becomes `optimizer: {name: adam}`.

    `above` is as in `assign`.
    """
    if isinstance(tree.get(key), str) and f"{above}{key}" in BARE:
        tree[key] = {BARE[f"{above}{key}"]: tree[key]}


def assign(tree: Any, key: str, value: Any, above: str = "") -> None:
    """Sets a dotted key in place. `players.*.x` sets it for every seat; missing mappings on the way are created.

    `above` is the part of the whole key before `key`, for messages.
    """
    head, _, rest = key.partition(".")
    whole, inside = f"{above}{key}", f"{above}{head}."
    if isinstance(tree, list):
        if head != "*" and not (_is_place(head) and int(head) < len(tree)):
            allowed = f"0 to {len(tree) - 1}, or * for all"
            raise ConfigError(f"{whole}: {head!r} is no index into a list of {len(tree)}; allowed: {allowed}")
        for place in range(len(tree)) if head == "*" else [int(head)]:
            if rest:
                assign(tree[place], rest, value, inside)
            else:
                tree[place] = copy.deepcopy(value)
    elif not isinstance(tree, dict):
        where = f"{above.rstrip('.')}, which is {shown(tree)}"
        raise ConfigError(f"{whole}: cannot be set inside {where}; allowed inside mappings")
    elif above == "players." and _is_place(head):
        allowed = f"players.*.{rest or 'rule'}, or a list"
        raise ConfigError(f"{whole}: players is one mapping for every seat; allowed: {allowed}")
    elif head in ("*", "all") and head not in tree:
        if not rest:
            raise ConfigError(f"{whole}: names no setting; allowed: {above}{head}.KEY, such as {above}{head}.rule")
        # One mapping for every seat.
        assign(tree, rest, value, inside)
    elif not rest:
        tree[head] = value
    elif head == "sweep":  # its keys are themselves dotted
        if not isinstance(tree.get(head), dict | None):
            raise ConfigError(f"{whole}: cannot be set inside {head}, which is {shown(tree[head])}")
        tree[head] = (tree.get(head) or {}) | {rest: value}
    else:
        if tree.get(head) is None:
            tree[head] = {}
        if above:
            expand_bare_name(tree, head, above)
        assign(tree[head], rest, value, inside)


def _is_place(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
