"""YAML 1.2 as plain data and back. Plain text that looks like a number is read as one; such text is written quoted.

Texts are small, but may be malicious: depth and size are limited while the data is built, and aliases are counted each
time they are used.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from shaping.config.errors import ConfigError, shown

MAX_DEPTH, MAX_SIZE = 60, 300_000
_CORE = "tag:yaml.org,2002:"
_FLOAT = r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?"
_INTEGER = r"[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+"
_PLAIN: dict[str, tuple[str, Callable[[str], Any]]] = {
    "null": ("|~|null|Null|NULL", lambda text: None),
    "bool": ("true|True|TRUE|false|False|FALSE", lambda text: text.lower() == "true"),
    "int": (_INTEGER, lambda text: int(text, 0 if text[1:2] in ("o", "x") else 10)),
    "float": (rf"{_FLOAT}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", lambda text: float(_WORD.sub(r"\1", text.lower()))),
    "merge": ("<<", str),
}
"""The type of plain text by the core schema of YAML 1.2: the first pattern that matches, else text."""
_WORD = re.compile(r"\.(inf|nan)")


class _Loader(yaml.SafeLoader):
    """Decides the type of plain text as YAML 1.2 does."""

    yaml_implicit_resolvers: Any = {
        None: [(f"{_CORE}{name}", re.compile(rf"(?:{pattern})\Z")) for name, (pattern, _) in _PLAIN.items()]
    }


def parse(text: str, source: str = "configuration") -> Any:
    """A YAML text as plain Python data.

    Raises:
      ConfigError: what it is and in which line.
    """
    try:
        return _Reader(source).value(yaml.compose(text, _Loader), 0)
    except RecursionError:
        raise ConfigError(f"{source}: nested too deeply; allowed: {MAX_DEPTH} levels") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        if isinstance(error, yaml.reader.ReaderError):
            problem = f"holds the character {chr(error.character)!r} (number {error.position})"
        raise ConfigError(f"{source}{where}: not valid YAML: {problem}") from None


class _Reader:
    """Builds data from the nodes of a text. Every use of an alias is counted and copied."""

    def __init__(self, source: str):
        self._source, self._size = source, 0

    def value(self, node: Any, depth: int) -> Any:
        if node is None:
            return None
        self._size += 1
        if depth > MAX_DEPTH:
            raise self._error(node, f"nested too deeply; allowed: {MAX_DEPTH} levels")
        if self._size > MAX_SIZE:
            raise self._error(node, f"too large; allowed: {MAX_SIZE:,} values, counting what aliases repeat")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        kind = "seq" if isinstance(node, yaml.SequenceNode) else "map"
        if node.tag != f"{_CORE}{kind}":
            raise self._error(node, f"the tag {node.tag} is not allowed; plain data only")
        return self._mapping(node, depth) if kind == "map" else [self.value(item, depth + 1) for item in node.value]

    def _error(self, node: Any, what: str) -> ConfigError:
        return ConfigError(f"{self._source}, line {node.start_mark.line + 1}: {what}")

    def _mapping(self, node: Any, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        for name, part in node.value:
            key, line = self.value(name, depth + 1), name.start_mark.line + 1
            value = self.value(part, depth + 1)
            if isinstance(key, list | dict):
                raise ConfigError(f"{shown(key)}: cannot be a key (line {line}); keys are names")
            if name.tag == f"{_CORE}merge":
                parts = value if isinstance(value, list) else [value]
                if not all(isinstance(part, dict) for part in parts):
                    raise self._error(name, "<< merges mappings only")
                for part in parts:
                    merged = part | merged
            elif any(key == known and type(key) is type(known) for known in found):
                raise ConfigError(f"{key}: written twice (line {line}); keep one")
            else:
                found[key] = value
        return merged | found

    def _scalar(self, node: Any) -> Any:
        name = node.tag.removeprefix(_CORE)
        if name == "str":
            return node.value
        if name not in _PLAIN:
            raise self._error(node, f"the tag {node.tag} is not allowed; plain data only")
        pattern, read = _PLAIN[name]
        if not re.fullmatch(pattern, node.value):
            raise self._error(node, f"{shown(node.value)} is no {name}")
        try:
            return read(node.value)
        except ValueError:
            raise self._error(node, f"{shown(node.value)} has too many digits for a number") from None


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or 1.2 would read as something else, so that all readers read the same."""


_Dumper.add_implicit_resolver(f"{_CORE}float", re.compile(f"^(?:{_FLOAT}|{_INTEGER})$"), None)


def plain_data(tree: Any) -> Any:
    """A copy in which arrays are nested lists and numpy numbers are Python numbers."""
    if isinstance(tree, Mapping):
        return {key: plain_data(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain_data(part) for part in tree]
    return tree.tolist() if hasattr(tree, "tolist") else tree


def as_yaml(config: Mapping[str, Any]) -> str:
    """Plain data as YAML text."""
    return yaml.dump(dict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
