"""Signatures as schemas: a factory's annotated parameters say what a configuration may set, and in which range.

`NonNegative` and its like are ordinary floats to a type checker; the range travels with the type, so that a rule, a
game or an optimiser states the name, default and range of each of its settings once, in its own signature.
"""

import collections.abc
import functools
import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

P = typing.ParamSpec("P")
R = typing.TypeVar("R")
# Values that are checked; anything else may be, or stand for, a JAX array.
_PLAIN = (bool, int, float, complex, str, bytes, list, tuple, dict, np.ndarray, np.generic)


@dataclass(frozen=True)
class Range:
    """Allowed values of a number: low <= x <= high; `open_low` and `open_high` exclude an end."""

    low: float = float("-inf")
    high: float = float("inf")
    open_low: bool = False
    open_high: bool = False

    def holds(self, values: np.ndarray) -> bool:
        """Whether all of these numbers are finite and in the range."""
        above = values > self.low if self.open_low else values >= self.low
        below = values < self.high if self.open_high else values <= self.high
        return bool(np.all(np.isfinite(values) & above & below))

    def __str__(self) -> str:
        infinite_low, infinite_high = self.low == float("-inf"), self.high == float("inf")
        if infinite_low and infinite_high:
            return "a finite number"
        low = None if infinite_low else f"{'above' if self.open_low else 'at least'} {_plain(self.low)}"
        high = None if infinite_high else f"{'below' if self.open_high else 'at most'} {_plain(self.high)}"
        return " and ".join(part for part in (low, high) if part)


def _plain(end: float) -> str:
    """1,000,000,000 rather than 1e+09."""
    return f"{end:,}" if isinstance(end, int) else f"{end:g}"


NonNegative = Annotated[float, Range(0)]
Positive = Annotated[float, Range(0, open_low=True)]
Probability = Annotated[float, Range(0, 1)]


@dataclass(frozen=True)
class Field:
    """One setting of a factory.

    Attributes:
      name: the parameter's name.
      kind: "number" (data; can be swept without compiling again); "integer", "choice", "flag", "text" and "integers" (a
        list of integers) are structure, which is compiled in; "other" is what only the factory itself can check.
      default: the default value, `inspect.Parameter.empty` if there is none.
      range: allowed numbers.
      choices: allowed strings of a choice.
      optional: whether None is allowed.
      hint: the annotation, where the kind is "other".
    """

    name: str
    kind: Literal["number", "integer", "choice", "flag", "text", "integers", "other"]
    default: Any
    range: Range = Range()
    choices: tuple[str, ...] = ()
    optional: bool = False
    hint: Any = None

    @property
    def allowed(self) -> str:
        """What a value must be, in words."""
        if self.kind == "choice":
            return " or ".join(self.choices)
        words = {
            "number": "a finite number" if self.range == Range() else f"a number, {self.range}",
            "integer": f"an integer, {self.range}",
            "integers": f"a list of widths, each an integer, {Range(self.range.low)}",
            "flag": "true or false",
            "text": "text",
        }
        return words.get(self.kind, "a value that it takes")


def fields(factory: Callable[..., Any], skip: tuple[str, ...] = (), others: bool = False) -> dict[str, Field]:
    """The settings a factory takes, by name, from its signature.

    Args:
      factory: a function or class.
      skip: parameters that are not settings.
      others: whether parameters of unknown types are settings too; otherwise they are left out.
    """
    found = {}
    for name, parameter in inspect.signature(factory).parameters.items():
        if name in skip or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        hint = _hint(factory, parameter.annotation)
        field = _field(name, hint, parameter.default)
        if others and (field is None or (field.kind != "integers" and _has_sequence(hint))):
            field = Field(name, "other", parameter.default, hint=hint)
        if field is not None:
            found[name] = field
    return found


def checked(factory: Callable[P, R]) -> Callable[P, R]:
    """Wraps a factory so that it refuses numbers its signature does not allow when it is called, not deep inside later.

    Numbers of Python and numpy are checked, arrays element by element. JAX arrays and tracers are not checked.

    Raises:
      ValueError: one line with the name, the value and what is allowed.
    """
    known = fields(factory)
    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if name in known:
                check_value(name, value, known[name])
        return factory(*args, **kwargs)

    return call


def check_value(name: str, value: Any, field: Field) -> None:
    """Refuses a number, or a list of integers, that a setting does not allow, as `checked` does."""
    if field.kind == "integers" and not (value is None and field.optional):
        whole = isinstance(value, list | tuple) and all(type(x) is int or isinstance(x, np.integer) for x in value)
        if whole and field.range.holds(np.asarray(value, int)):
            return
        raise ValueError(f"{name} is {value!r}; allowed: {field.allowed}")
    if field.kind not in ("number", "integer") or (value is None and field.optional):
        return
    # An integer is structure: it can be no JAX array.
    if value is not None and not isinstance(value, _PLAIN) and field.kind == "number":
        return
    numeric = isinstance(value, int | float | np.ndarray | np.generic) and not isinstance(value, bool)
    array = np.asarray(value if numeric else "")
    allowed = array.dtype.kind in "iuf" and field.range.holds(array)
    if not allowed or (field.kind == "integer" and np.any(np.mod(array, 1) != 0)):
        raise ValueError(f"{name} is {value!r}; allowed: {field.allowed}")


def _hint(factory: Callable[..., Any], annotation: Any) -> Any:
    """An annotation as an object; None if only a type checker can see what it names."""
    if isinstance(annotation, str):
        try:
            return eval(annotation, getattr(inspect.unwrap(factory), "__globals__", {}))
        except NameError:
            return None
    return annotation


def _has_sequence(hint: Any) -> bool:
    """Whether one of several accepted types is a sequence."""
    return any(typing.get_origin(member) in (tuple, list) for member in typing.get_args(hint))


def _field(name: str, hint: Any, default: Any) -> Field | None:
    allowed = Range()
    if typing.get_origin(hint) is Annotated:
        hint, *extra = typing.get_args(hint)
        allowed = next((e for e in extra if isinstance(e, Range)), allowed)
    optional = False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = typing.get_args(hint)
        optional = type(None) in members
        ranged = next((m for m in members if typing.get_origin(m) is Annotated), None)
        sequence = next((m for m in members if typing.get_origin(m) in (tuple, collections.abc.Sequence)), None)
        # A bare number among several accepted types is enough: a configuration can set it.
        literal = next((m for m in members if typing.get_origin(m) is Literal), None)
        hint = next((m for m in members if m in (bool, int, float, str)), literal)
        if ranged is not None:
            hint, *extra = typing.get_args(ranged)
            allowed = next((e for e in extra if isinstance(e, Range)), allowed)
        if float in members or complex in members:
            hint = float
        hint = sequence if hint is None else hint
    if typing.get_origin(hint) is Literal:
        return Field(name, "choice", default, choices=typing.get_args(hint), optional=optional)
    if typing.get_origin(hint) in (tuple, collections.abc.Sequence):
        item = _field(name, typing.get_args(hint)[0], None)
        if item is None or item.kind != "integer":
            return None
        return Field(name, "integers", default, item.range, optional=optional)
    kinds: dict[Any, Any] = {bool: "flag", int: "integer", float: "number", str: "text"}
    if hint in kinds:
        return Field(name, kinds[hint], default, allowed, optional=optional)
    return None
