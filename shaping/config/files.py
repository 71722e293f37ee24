"""Reading configurations: YAML files, shipped ones by bare name, and `--set key=value` on top."""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from shaping.config.dotted import assign, expand_bare_name
from shaping.config.errors import ConfigError, not_allowed, shown
from shaping.config.top_level import TOP
from shaping.config.yaml_text import parse, plain_data


def shipped() -> dict[str, Path]:
    """The configurations that come with the package, by bare name."""
    here = Path(__file__).resolve().parents[1]
    for folder in (here / "_configs", here.parent / "configs"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def read(source: str | Path | Mapping[str, Any], overrides: Iterable[str] = ()) -> dict[str, Any]:
    """A configuration as plain data, from a mapping, a file, or the name of a shipped one, with `key=value`
    overrides."""
    if not isinstance(source, str | Path | Mapping):
        raise not_allowed("configuration", source, "a YAML file, the name of a shipped configuration, or a mapping")
    if isinstance(overrides, str | Mapping):
        raise not_allowed("overrides", overrides, 'a list of settings, such as ["matches=100"]')
    raw = plain_data(source) if isinstance(source, Mapping) else _read_file(source)
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set {override}: must be key=value, for example matches=100")
        head = key.strip().split(".")[0]
        if head != key.strip() and head in TOP:
            raw.setdefault(head, copy.deepcopy(TOP[head]))
            expand_bare_name(raw, head)
        assign(raw, key.strip(), parse(text, f"--set {key}"))
    return raw


def _read_file(source: str | Path) -> dict[str, Any]:
    path, known = Path(source), shipped()
    try:
        there = path.exists()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"{shown(str(source))}: cannot be read: {why}") from None
    if not there:
        name = path.name.removesuffix(".yaml")
        # Only a bare name can be a shipped configuration.
        if name not in known or str(source) != path.name:
            raise ConfigError(f"{source}: no such file, nor a shipped configuration; shipped: {', '.join(known)}")
        path = known[name]
    elif not path.is_file():
        what = "a folder" if path.is_dir() else "no ordinary file"
        raise ConfigError(f"{source}: is {what}; give a YAML file, or the name of a shipped configuration")
    try:
        raw = parse(path.read_text(encoding="utf-8"), str(source))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: cannot be read: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{source}: must be a mapping of keys to values, not {shown(raw)}")
    return raw
