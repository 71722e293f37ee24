"""YAML 1.2 as plain data and back: what looks like a number is one, whatever it is that is written.

Texts are small and written by people, or by somebody who means harm: depth and size are bounded before anything walks
the data, aliases counted as often as they are used.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from ruamel.yaml import YAML, YAMLError

from shaping.config.errors import ConfigError, shown

MAX_DEPTH, MAX_SIZE = 60, 300_000
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_CORE = "tag:yaml.org,2002:"
_TYPES: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool, "null": type(None)}


def parse(text: str, source: str = "configuration") -> Any:
    """A YAML text as plain Python data.

    Raises:
      ConfigError: what it is and in which line.
    """
    try:
        return _Reader(text, source).document()
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise ConfigError(f"{source}{where}: not valid YAML: {problem}") from None


class _Reader:
    """Builds data from the events of a text."""

    def __init__(self, text: str, source: str):
        self._events: Iterator[Any] = iter(YAML(typ="safe", pure=True).parse(text))
        self._source, self._anchors, self._size = source, {}, 0

    def document(self) -> Any:
        found, documents = None, 0
        for event in self._events:
            kind = _kind(event)
            if kind == "DocumentStart":
                documents += 1
                if documents > 1:
                    raise self._error(event, "a second document; keep one")
            elif kind not in ("StreamStart", "StreamEnd", "DocumentEnd"):
                found = self._value(event, 0)
        return found

    def _error(self, event: Any, what: str) -> ConfigError:
        return ConfigError(f"{self._source}, line {event.start_mark.line + 1}: {what}")

    def _value(self, event: Any, depth: int) -> Any:
        kind = _kind(event)
        self._count(event, depth)
        if kind == "Alias":
            if event.anchor not in self._anchors:
                raise self._error(event, f"*{event.anchor} is not written above; aliases repeat what is")
            value = self._anchors[event.anchor]
            self._grow(event, value)
            return copy.deepcopy(value)
        if kind == "Scalar":
            value = self._scalar(event)
        elif kind == "SequenceStart":
            self._core(event, "seq")
            value = [self._value(item, depth + 1) for item in self._until("SequenceEnd")]
        else:
            self._core(event, "map")
            value = self._mapping(depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _until(self, end: str) -> Iterator[Any]:
        while _kind(event := next(self._events)) != end:
            yield event

    def _mapping(self, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        for event in self._until("MappingEnd"):
            merges = _kind(event) == "Scalar" and event.value == "<<" and event.style is None
            key = self._value(event, depth + 1)
            if isinstance(key, list | dict):
                line = event.start_mark.line + 1
                raise ConfigError(f"{shown(key)}: cannot be a key (line {line}); keys are names")
            value = self._value(next(self._events), depth + 1)
            if merges:
                parts = value if isinstance(value, list) else [value]
                if not all(isinstance(part, dict) for part in parts):
                    raise self._error(event, "<< merges mappings only")
                for part in parts:
                    merged = part | merged
                continue
            if any(key == known and type(key) is type(known) for known in found):
                raise ConfigError(f"{key}: written twice (line {event.start_mark.line + 1}); keep one")
            found[key] = value
        return merged | found

    def _count(self, event: Any, depth: int) -> None:
        self._size += 1
        if depth > MAX_DEPTH:
            raise self._error(event, f"nested too deeply; allowed: {MAX_DEPTH} levels")
        if self._size > MAX_SIZE:
            raise self._error(event, f"too much; allowed: {MAX_SIZE:,} values, what aliases repeat included")

    def _grow(self, event: Any, value: Any) -> None:
        """Counts what an alias repeats, before it is copied."""
        stack = [value]
        while stack:
            part = stack.pop()
            self._count(event, 0)
            stack += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()

    def _core(self, event: Any, name: str) -> None:
        if _tag(event) not in (None, f"{_CORE}{name}", "!"):
            raise self._error(event, f"the tag {_tag(event)} is not allowed; plain data only")

    def _scalar(self, event: Any) -> Any:
        tag = _tag(event)
        if tag is None:
            return self._resolved(event) if event.style is None else event.value
        name = tag.removeprefix(_CORE)
        if name in ("str", "!"):
            return event.value
        if name not in _TYPES:
            self._core(event, "str")
        value = self._resolved(event)
        if not isinstance(value, _TYPES[name]) or (name != "bool" and isinstance(value, bool)):
            raise self._error(event, f"{shown(event.value)} is no {name}")
        return float(value) if name == "float" else value

    def _resolved(self, event: Any) -> Any:
        """A plain scalar by what it looks like."""
        text = event.value
        if text.lower() in _WORDS and text in (
            text.lower(),
            text.upper(),
            text.capitalize(),
            text[:1] + text[1:].upper(),
        ):
            return _WORDS[text.lower()]
        try:
            if _INTEGER.fullmatch(text):
                return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            return float(text) if _FLOAT.fullmatch(text) else text
        except ValueError:
            raise self._error(event, f"{shown(text)} has too many digits for a number") from None


def _kind(event: Any) -> str:
    return type(event).__name__.removesuffix("Event")


def _tag(event: Any) -> str | None:
    tag = getattr(event, "tag", None)
    return None if tag is None else str(tag)


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or 1.2 would read as something else, so that any reader reads the same."""


_Dumper.add_implicit_resolver(f"{_CORE}float", re.compile(f"^(?:{_FLOAT.pattern}|{_INTEGER.pattern})$"), None)


def as_yaml(config: Mapping[str, Any]) -> str:
    """Plain data as it stands in a file."""
    return yaml.dump(dict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
