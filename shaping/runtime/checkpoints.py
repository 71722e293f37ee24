"""The only module that imports orbax: whole states of a population on disk."""

from pathlib import Path
from typing import Any


def save(path: Path, state: Any) -> None:
    """Writes a pytree of arrays to a folder that does not exist yet, atomically."""
    from orbax.checkpoint import v1 as orbax

    orbax.save(str(path.resolve()), state)


def restore(path: Path, like: Any) -> Any:
    """Reads a pytree back; `like` has its structure, shapes and types (arrays, or `jax.ShapeDtypeStruct` with a
    sharding)."""
    from orbax.checkpoint import v1 as orbax

    return orbax.load(str(path.resolve()), like)
