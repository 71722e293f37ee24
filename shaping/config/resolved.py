"""A resolved configuration, every default filled in, as it is kept with a run and compared when the run is resumed."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from shaping.config.yaml_text import as_yaml

__all__ = ["as_yaml", "fingerprint", "first_difference", "fixed", "plain_data"]


def plain_data(tree: Any) -> Any:
    """A tree of the types that JSON and YAML have."""
    return json.loads(json.dumps(tree, default=lambda x: x.tolist() if hasattr(x, "tolist") else str(x)))


def fixed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved configuration that must not change while a run is interrupted."""
    # The interval in seconds and the amount kept may change; `every_updates` may not, as it cuts segments.
    every = (config.get("checkpoint") or {}).get("every_updates")
    return {**config, "checkpoint": {"every_updates": every}}


def fingerprint(config: Mapping[str, Any]) -> str:
    """A fingerprint that tells configurations apart, ignoring what may change."""
    return hashlib.sha256(json.dumps(fixed(config), sort_keys=True).encode()).hexdigest()


def first_difference(before: Any, now: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The first dotted key in which two configurations differ, with both values; None if they agree."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        names = [*before, *(name for name in now if name not in before)]
        parts = [(str(name), before.get(name), now.get(name)) for name in names]
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        parts = [(str(place), a, b) for place, (a, b) in enumerate(zip(before, now, strict=True))]
    else:
        return None if before == now else (key, before, now)
    found = (first_difference(a, b, f"{key}.{name}" if key else name) for name, a, b in parts)
    return next((difference for difference in found if difference), None)
