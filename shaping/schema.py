"""Signatures as schema: a factory's annotated parameters say what a configuration may set, in which range.

`NonNegative` and the like are ordinary floats to a type checker; the range travels beside the type, so that a rule, a
game or an optimiser states the name, default and range of each of its settings once, in its own signature.
"""

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal


@dataclass(frozen=True)
class Range:
    """Allowed values of a number: low <= x <= high, an open end where `open_low` or `open_high`."""

    low: float = float("-inf")
    high: float = float("inf")
    open_low: bool = False
    open_high: bool = False

    def __str__(self) -> str:
        infinite_low, infinite_high = self.low == float("-inf"), self.high == float("inf")
        if infinite_low and infinite_high:
            return "a finite number"
        low = None if infinite_low else f"{'above' if self.open_low else 'at least'} {self.low:g}"
        high = None if infinite_high else f"{'below' if self.open_high else 'at most'} {self.high:g}"
        return " and ".join(part for part in (low, high) if part)


NonNegative = Annotated[float, Range(0)]
Positive = Annotated[float, Range(0, open_low=True)]
Probability = Annotated[float, Range(0, 1)]


@dataclass(frozen=True)
class Field:
    """One setting of a factory.

    Attributes:
      name: the parameter's name.
      kind: "number" (data, sweepable without compiling anew), "integer", "choice" or "flag" (structure).
      default: the default value, `inspect.Parameter.empty` where there is none.
      range: allowed numbers.
      choices: allowed strings of a choice.
      optional: whether None is allowed.
    """

    name: str
    kind: Literal["number", "integer", "choice", "flag"]
    default: Any
    range: Range = Range()
    choices: tuple[str, ...] = ()
    optional: bool = False


def fields(factory: Callable[..., Any], skip: tuple[str, ...] = ()) -> dict[str, Field]:
    """The settings a factory takes, by name, from its signature; parameters of other types are left out."""
    found = {}
    for name, parameter in inspect.signature(factory).parameters.items():
        if name in skip:
            continue
        field = _field(name, _hint(factory, parameter.annotation), parameter.default)
        if field is not None:
            found[name] = field
    return found


def _hint(factory: Callable[..., Any], annotation: Any) -> Any:
    """An annotation as an object; None where it names something only a type checker sees."""
    if isinstance(annotation, str):
        try:
            return eval(annotation, getattr(factory, "__globals__", {}))
        except NameError:
            return None
    return annotation


def _field(name: str, hint: Any, default: Any) -> Field | None:
    allowed = Range()
    if typing.get_origin(hint) is Annotated:
        hint, *extra = typing.get_args(hint)
        allowed = next((e for e in extra if isinstance(e, Range)), allowed)
    optional = False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = typing.get_args(hint)
        optional = type(None) in members
        # A bare number among several accepted types is enough to be set from a configuration.
        hint = next((m for m in members if m in (bool, int, float)), None)
        ranged = next((m for m in members if typing.get_origin(m) is Annotated), None)
        if ranged is not None:
            hint, *extra = typing.get_args(ranged)
            allowed = next((e for e in extra if isinstance(e, Range)), allowed)
        if float in members or complex in members:
            hint = float
    if typing.get_origin(hint) is Literal:
        return Field(name, "choice", default, choices=typing.get_args(hint), optional=optional)
    if hint is bool:
        return Field(name, "flag", default, optional=optional)
    if hint is int:
        return Field(name, "integer", default, allowed, optional=optional)
    if hint is float:
        return Field(name, "number", default, allowed, optional=optional)
    return None
