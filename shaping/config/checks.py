"""Checks settings with pydantic models made from the signatures that declare them; errors are one line each."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from inspect import Parameter
from typing import Annotated, Any, Literal

import numpy as np
import pydantic
from pydantic import BeforeValidator, ConfigDict, Strict, create_model

from shaping.config.errors import ConfigError, not_allowed, unknown_key
from shaping.signatures import Field, Range

MOST_WIDTHS = 100
"""Layers of a network."""


def _whole(value: Any) -> Any:
    """Turns 2.0 into 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(kind: type, allowed: Range) -> Any:
    ends: dict[str, Any] = {}
    for low, value, opened in ((True, allowed.low, allowed.open_low), (False, allowed.high, allowed.open_high)):
        if np.isfinite(value):
            ends[("gt" if opened else "ge") if low else ("lt" if opened else "le")] = kind(value)
    if kind is int:
        return Annotated[int, Strict(), pydantic.Field(**ends), BeforeValidator(_whole)]
    return Annotated[float, Strict(), pydantic.Field(allow_inf_nan=False, **ends)]


def annotation(field: Field) -> Any:
    """The pydantic type of a setting."""
    kinds: dict[str, Any] = {
        "number": lambda: _number(float, field.range),
        "integer": lambda: _number(int, field.range),
        "integers": lambda: Annotated[list[_number(int, field.range)], pydantic.Field(max_length=MOST_WIDTHS)],
        "choice": lambda: Literal[field.choices],
        "flag": lambda: Annotated[bool, Strict()],
        "text": lambda: Annotated[str, Strict()],
        "other": lambda: _plain_type(field.hint),
    }
    found = kinds[field.kind]()
    return found | None if field.optional and found is not Any else found


def _plain_type(hint: Any) -> Any:
    """The type of a setting that only a factory can check, as far as that is plain data."""
    try:
        pydantic.TypeAdapter(hint).json_schema()
    except (pydantic.errors.PydanticUserError, pydantic.errors.PydanticInvalidForJsonSchema, TypeError):
        return Any
    return hint


@lru_cache(maxsize=1024)
def model(title: str, known: tuple[Field, ...], about: str = "", /, **more: Any) -> type[pydantic.BaseModel]:
    """A model of settings that refuses unknown ones; `more` are further fields, in pydantic's form."""
    members: dict[str, Any] = {}
    for field in known:
        required = field.default is Parameter.empty
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        default = default if isinstance(default, bool | int | float | str | list) else None
        # Names that pydantic models use themselves get an alias.
        own = f"{field.name}_" if hasattr(pydantic.BaseModel, field.name) else field.name
        kind = annotation(field)
        members[own] = (
            kind if required or default is not None or field.optional else kind | None,
            pydantic.Field(... if required else default, alias=field.name),
        )
    config = ConfigDict(extra="forbid", protected_namespaces=(), populate_by_name=False)
    return create_model(title, __config__=config, __doc__=about or None, **members, **more)


def check_known(
    where: str,
    given: Iterable[Any],
    known: Iterable[str],
    owner: str = "",
    others: Callable[[], Mapping[str, Collection[str]]] = dict,
) -> None:
    """Refuses an unknown key.

    Args:
      where: the dotted key above them.
      given: keys as written.
      known: allowed keys.
      owner: what the keys belong to, for the message.
      others: known keys of others, by name: an unknown key may be one of theirs.

    Raises:
      ConfigError: with the nearest known key, and what the key belongs to.
    """
    prefix, known = f"{where}." if where else "", list(known)
    for key in given:
        if key not in known:
            elsewhere = [name for name, theirs in others().items() if key in theirs and name != owner]
            note = f" of {owner}" if owner else ""
            note += f"; it belongs to {', '.join(elsewhere)}" if elsewhere else ""
            raise unknown_key(f"{prefix}{key}", [f"{prefix}{name}" for name in known], note)


def settings(
    where: str,
    given: Mapping[str, Any],
    known: Mapping[str, Field],
    skip: tuple[str, ...] = (),
    owner: str = "",
    others: Callable[[], Mapping[str, Collection[str]]] = dict,
) -> dict[str, Any]:
    """Checked settings, in the order of `known`; defaults filled in.

    Args:
      where: the dotted key above them.
      given: as written.
      known: the settings there are.
      skip: keys that may appear beside them and are checked elsewhere.
      owner, others: see `check_known`.

    Raises:
      ConfigError: naming the key, the value and what is allowed.
    """
    check_known(where, given, (*skip, *known), owner, others)
    own = {key: given[key] for key in known if key in given}
    try:
        found = model("Settings", tuple(known.values())).model_validate(own)
    except pydantic.ValidationError as error:
        raise _one_line(f"{where}." if where else "", own, known, error) from None
    values = found.model_dump(by_alias=True)
    return {name: values[name] for name in known}


def only_entry(where: str, raw: Any, known: Collection[str], forms: str) -> tuple[str, Any]:
    """The kind and the value of a mapping with one entry, {kind: value}; `forms` describes what is allowed.

    Raises:
      ConfigError: naming what is not such a mapping, or a kind that is not among `known`.
    """
    if not isinstance(raw, Mapping) or len(raw) != 1:
        raise not_allowed(where, raw, forms)
    ((kind, value),) = raw.items()
    if kind not in known:
        raise unknown_key(f"{where}.{kind}", [f"{where}.{name}" for name in known])
    return kind, value


def one_of(key: str, name: Any, known: Iterable[str]) -> str:
    """Returns a known name, or raises an error with the nearest one."""
    if not isinstance(name, str) or name not in known:
        names = list(known)
        raise not_allowed(key, name, f"{'one of ' * (len(names) > 1)}{', '.join(names)}", names)
    return name


def named(
    where: str,
    raw: Any,
    key: str,
    names: Collection[str],
    known: Callable[[str], Mapping[str, Field]],
    skip: tuple[str, ...] = (),
) -> dict[str, Any]:
    """A choice by name under `key`, with the settings that belong to it; the bare name alone will do.

    Args:
      where: the dotted key of the whole.
      raw: as written.
      key: the key that holds the name: name, kind, rule, schedule or strategy.
      names: known names.
      known: `(name) -> settings`.
      skip: keys that may appear beside them and are checked elsewhere.
    """
    given = mapping(where, raw, key)
    name = one_of(f"{where}.{key}", given.get(key), names)
    own = settings(where, given, known(name), (key, *skip), name, lambda: {other: known(other) for other in names})
    return {key: name} | own


def _one_line(
    prefix: str, given: Mapping[str, Any], known: Mapping[str, Field], error: pydantic.ValidationError
) -> ConfigError:
    first = error.errors(include_url=False)[0]
    name, *places = first["loc"]
    field = known[str(name)]
    value, key = given.get(str(name)), f"{prefix}{name}"
    if field.kind == "integers" and isinstance(value, list | tuple):
        if len(value) > MOST_WIDTHS:
            return not_allowed(key, value, f"a list of at most {MOST_WIDTHS} widths")
        place = next(place for place in places if isinstance(place, int))
        return not_allowed(f"{key}.{place}", value[place], Field(key, "integer", None, field.range).allowed)
    return not_allowed(key, value, field.allowed, field.choices)


def numbers(key: str, value: Any, shape: tuple[int, ...], wanted: str) -> Any:
    """Nested lists of numbers of a shape; `wanted` describes them.

    Raises:
      ConfigError: naming the entry, or the position, that is not allowed.
    """

    def checked(part: Any, sizes: tuple[int, ...], place: str) -> Any:
        if not sizes:
            return check_number(place, part, Range())
        if not isinstance(part, list | tuple) or len(part) != sizes[0]:
            raise not_allowed(key, value, wanted if place == key else f"{wanted} (see {place})")
        return [checked(entry, sizes[1:], f"{place}.{i}") for i, entry in enumerate(part)]

    return checked(value, shape, key)


def check_number(key: str, value: Any, allowed: Range, integer: bool = False) -> Any:
    """A number, or an array of them, within a range.

    Raises:
      ConfigError: naming the key, the value and what is allowed.
    """
    if isinstance(value, np.ndarray) and value.ndim:
        for entry in value.flat:
            check_number(key, entry.item() if hasattr(entry, "item") else entry, allowed, integer)
        return value
    plain = value.item() if isinstance(value, np.generic | np.ndarray) else value
    try:
        return _adapter(allowed, integer).validate_python(plain)
    except pydantic.ValidationError:
        raise not_allowed(key, value, Field(key, "integer" if integer else "number", None, allowed).allowed) from None


@lru_cache(maxsize=256)
def _adapter(allowed: Range, integer: bool) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(_number(int if integer else float, allowed))


def mapping(key: str, value: Any, name_key: str | None = None) -> dict[str, Any]:
    """A mapping; a bare name stands for {name_key: name}."""
    if isinstance(value, str) and name_key:
        return {name_key: value}
    if not isinstance(value, Mapping):
        raise not_allowed(key, value, "a mapping of settings")
    return dict(value)


def check_held(key: str, value: float, allowed: Range, precision: str) -> None:
    """Refuses a number that its precision rounds to infinity, or to a value that is not allowed.

    Raises:
      ConfigError: with the nearest number that the precision can hold.
    """
    kind: Any = np.dtype(precision).type
    limits = np.finfo(precision)
    with np.errstate(over="ignore", under="ignore"):
        held = kind(value)
    # XLA takes subnormal numbers for zero.
    held = kind(0) if abs(held) < limits.tiny else held
    if not np.isfinite(held):
        nearest = np.copysign(float(limits.max), value)
    elif allowed.open_high and held >= allowed.high:
        nearest = np.nextafter(kind(allowed.high), kind(-np.inf))
    elif allowed.open_low and held <= allowed.low:
        nearest = limits.tiny if allowed.low == 0 else np.nextafter(kind(allowed.low), kind(np.inf))
    else:
        return
    raise not_allowed(key, value, f"a number that {precision} can hold, the nearest is {nearest}")


def check_text(tree: Any, key: str = "") -> None:
    """Refuses text that cannot be written to a file, which would otherwise fail only after training."""
    parts = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    for name, part in parts:
        check_text(str(name), key)
        check_text(part, f"{key}.{name}" if key else str(name))
    if isinstance(tree, str) and any("\ud800" <= letter <= "\udfff" for letter in tree):
        raise ConfigError(
            f"{ascii(key)[1:-1]}: {ascii(tree)} holds half a character; allowed: text that can be written as UTF-8"
        )
