"""Rules, learners, environments and policies that installed packages and plugins add, by name.

An installed package declares entry points in the groups `shaping.rules`, `shaping.learners`, `shaping.environments` and
`shaping.policies`; each entry has the name that configurations use and refers to a factory. A plugin is a module, or a
file, with dictionaries RULES, LEARNERS, ENVIRONMENTS and POLICIES of factories by name. Names of this package cannot be
replaced. As for built-in factories, the signature says what can be set. Nothing in a configuration makes code run:
packages are installed, and plugins are named on the command line or given to `use_plugin`.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

Kind = Literal["rules", "learners", "environments", "policies"]
KINDS: tuple[Kind, ...] = ("rules", "learners", "environments", "policies")
_plugins: dict[str, dict[str, Callable[..., Any]]] = {kind: {} for kind in KINDS}


class ExtensionError(ValueError):
    """One line: what could not be added, and why."""


class Named(Mapping[str, Callable[..., Any]]):
    """Factories by name: built-in ones, and added ones, which are imported when they are first used."""

    def __init__(self, kind: Kind, own: Mapping[str, Callable[..., Any]]):
        self._kind, self._own = kind, own

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name in self._own:
            return self._own[name]
        return _plugins[self._kind][name] if name in _plugins[self._kind] else _load(self._kind, name)

    def __iter__(self) -> Iterator[str]:
        return iter({**self._own, **_points(self._kind), **_plugins[self._kind]})

    def __len__(self) -> int:
        return len(list(iter(self)))


def use_plugin(source: str) -> None:
    """Adds the contents of a module (given by its dotted name) or of a Python file.

    Raises:
      ExtensionError: if it does not exist, fails to import, or has nothing to add.
    """
    try:
        module = _from_file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except Exception as error:
        raise ExtensionError(f"--plugin {source}: cannot be imported: {type(error).__name__}: {error}") from error
    found = {kind: getattr(module, kind.upper(), {}) for kind in KINDS}
    if not any(found.values()):
        names = ", ".join(kind.upper() for kind in KINDS)
        raise ExtensionError(f"--plugin {source}: adds nothing; it must have one of {names}, a dictionary of factories")
    for kind, factories in found.items():
        for name, factory in factories.items():
            if not callable(factory):
                raise ExtensionError(f"--plugin {source}: {kind.upper()}[{name!r}] is {factory!r}; must be a factory")
            _plugins[kind][str(name)] = factory


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up their own module by name.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@cache
def _points(kind: Kind) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"shaping.{kind}")}


@cache
def _load(kind: Kind, name: str) -> Callable[..., Any]:
    point = _points(kind)[name]
    try:
        found = point.load()
    except Exception as error:
        where = f"{point.dist.name if point.dist else 'a package'}, entry point shaping.{kind} {name}"
        raise ExtensionError(f"{where}: cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ExtensionError(f"entry point shaping.{kind} {name}: is {found!r}; must be a factory")
    return found
