"""What a user reads when a configuration cannot be run."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any


class ConfigError(ValueError):
    """One line that names the key, its value and what is allowed."""


class LostError(Exception):
    """Another process of the job is gone, or never started."""


def shown(value: Any) -> str:
    """A value on one line, shortened."""
    text = " ".join(str(value).split()) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def unknown_key(key: str, known: Iterable[str], where: str = "") -> ConfigError:
    """An unknown key, with the nearest known one; `where` is appended to say where it is unknown."""
    key = key if key.isprintable() else ascii(key)[1:-1]
    names = list(dict.fromkeys(map(str, known)))
    last = key.rsplit(".", 1)[-1]
    by_last = {name.rsplit(".", 1)[-1]: name for name in names}
    nearest = get_close_matches(key, names, n=1, cutoff=0.5)
    if not nearest:
        nearest = [by_last[name] for name in get_close_matches(last, list(by_last), n=1, cutoff=0.5)]
    hint = f" (nearest: {nearest[0]})" if nearest else ""
    listed = ", ".join(names) if len(names) <= 24 else ", ".join(names[:24]) + ", ..."
    return ConfigError(f"{key}: unknown key{where}; allowed: {listed}{hint}")


def not_allowed(key: str, value: Any, allowed: Any, choices: Iterable[str] = ()) -> ConfigError:
    """A value outside what a key allows."""
    nearest = get_close_matches(str(value), list(choices), n=1)
    hint = f" (nearest: {nearest[0]})" if nearest else ""
    return ConfigError(f"{key}: {shown(value)} is not allowed; must be {allowed}{hint}")


@contextmanager
def errors_about(where: str) -> Iterator[None]:
    """Turns a factory's refusal (`ValueError: setting is value; allowed: ...`) into an error about the setting's
    key."""
    try:
        yield
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{where}.{error}") from None
