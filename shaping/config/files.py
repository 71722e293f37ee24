"""Reading configurations: YAML files, shipped ones by bare name, and `--set key=value` on top."""

import copy
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from shaping.config.errors import ConfigError, shown
from shaping.config.validate import TOP

BARE = {"game": "name", "optimizer": "name", "policy": "kind", "objective": "kind"}
"""Parts of a configuration that may be given by a bare name, and the key that name stands for."""


class _Loader(yaml.SafeLoader):
    """YAML that reads 1e-3 as a number and refuses a key written twice."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?((\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+|\.\d[\d_]*)$"),
    list("-+0123456789."),
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    # A merged mapping (<<) may be overridden; only what is written here can be written twice.
    merge = "tag:yaml.org,2002:merge"
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value if key.tag != merge]
    for key in keys:
        if isinstance(key, list | dict):
            raise ConfigError(f"{shown(key)}: cannot be a key (line {node.start_mark.line + 1}); keys are names")
        if keys.count(key) > 1:
            raise ConfigError(f"{key}: written twice (line {node.start_mark.line + 1}); keep one")
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse(text: str, source: str = "configuration") -> Any:
    """A YAML text as plain Python data."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise ConfigError(f"{source}{where}: not valid YAML: {problem}") from None


def shipped() -> dict[str, Path]:
    """The configurations that travel with the package, by bare name."""
    here = Path(__file__).resolve().parents[1]
    for folder in (here / "_configs", here.parent / "configs"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def read(source: str | Path | Mapping[str, Any], overrides: Iterable[str] = ()) -> dict[str, Any]:
    """A configuration as plain data: a mapping, a file, or the name of a shipped one, with `key=value` overrides."""
    raw = _plain_data(source) if isinstance(source, Mapping) else _read_file(source)
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set {override}: must be key=value, for example matches=100")
        head = key.strip().split(".")[0]
        if head != key.strip() and head in TOP:
            raw.setdefault(head, copy.deepcopy(TOP[head]))
            open_up(raw, head)
        assign(raw, key.strip(), parse(text, f"--set {key}"))
    return raw


def _plain_data(tree: Any) -> Any:
    """A copy in which arrays are nested lists and numpy's numbers are Python's."""
    if isinstance(tree, Mapping):
        return {key: _plain_data(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_plain_data(part) for part in tree]
    return tree.tolist() if hasattr(tree, "tolist") else tree


def _read_file(source: str | Path) -> dict[str, Any]:
    path = Path(source)
    known = shipped()
    if not path.is_file():
        name = path.name.removesuffix(".yaml")
        if name not in known:
            raise ConfigError(f"{source}: no such file, nor a shipped configuration; shipped: {', '.join(known)}")
        path = known[name]
    try:
        raw = parse(path.read_text(encoding="utf-8"), str(source))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: cannot be read: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{source}: must be a mapping of keys to values, not {shown(raw)}")
    return raw


def open_up(tree: dict[str, Any], key: str) -> None:
    """Writes out a part that was given by its bare name, `optimizer: adam` as `optimizer: {name: adam}`, in place."""
    if isinstance(tree.get(key), str) and key in BARE:
        tree[key] = {BARE[key]: tree[key]}


def assign(tree: Any, key: str, value: Any, above: str = "") -> None:
    """Sets a dotted key in place; `players.*.x` sets every seat's; missing mappings on the way are made.

    `above` is what stands before `key` in the whole key, for messages.
    """
    head, _, rest = key.partition(".")
    inside = f"{above}{head}."
    if isinstance(tree, list):
        if head != "*" and not (head.isdigit() and int(head) < len(tree)):
            raise ConfigError(
                f"{above}{key}: {head!r} is not a place in a list of {len(tree)}; allowed: 0 to {len(tree) - 1} or *"
            )
        places = range(len(tree)) if head == "*" else [int(head)]
        for place in places:
            if rest:
                assign(tree[place], rest, value, inside)
            else:
                tree[place] = copy.deepcopy(value)
        return
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{above}{key}: cannot be set inside {above.rstrip('.')}, which is {shown(tree)}; allowed inside mappings"
        )
    if above == "players." and head.isdigit():
        raise ConfigError(
            f"{above}{key}: players is one mapping for every seat; allowed: players.*.{rest or 'rule'}, or a list"
        )
    if head in ("*", "all") and head not in tree:
        if not rest:
            raise ConfigError(f"{above}{key}: every seat's what? allowed: {above}{head}.KEY, as {above}{head}.rule")
        # One mapping that stands for every seat.
        assign(tree, rest, value, inside)
    elif not rest or (head == "sweep"):
        if rest:
            tree.setdefault(head, {})[rest] = value
        else:
            tree[head] = value
    else:
        if tree.get(head) is None:
            tree[head] = {}
        assign(tree[head], rest, value, inside)
