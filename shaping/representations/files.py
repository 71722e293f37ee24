"""Encoders as files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from shaping.envs.spaces import Box, Discrete
from shaping.representations.encoder import Encoder

_SPACES = {"discrete": Discrete, "box": Box}
_SHAPES = ("dimension", "window", "widths", "head", "decoder")


def save(encoder: Encoder, path: Any) -> None:
    """Writes an encoder, its parameters included, in the MessagePack format of flax."""
    from flax.serialization import msgpack_serialize

    spaces = {name: _told(getattr(encoder, name)) for name in ("observation_space", "action_space")}
    about = spaces | {name: getattr(encoder, name) for name in _SHAPES}
    path = Path(path) if isinstance(path, str) else path
    path.write_bytes(msgpack_serialize({"about": json.dumps(about), "params": encoder.params}))


def load(path: Any) -> Encoder:
    """Reads an encoder that `save` has written.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is no encoder.
    """
    from flax.serialization import msgpack_restore

    path = Path(path) if isinstance(path, str) else path
    written = path.read_bytes()
    try:
        found: Any = msgpack_restore(written)
        about: dict[str, Any] = json.loads(found["about"])
        spaces: dict[str, Any] = {name: _space(about.pop(name)) for name in ("observation_space", "action_space")}
        shapes: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in about.items()
        }
        return Encoder(**spaces, **shapes, params=found["params"])
    # What msgpack, JSON and the networks' own checks raise.
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: is no encoder: {type(error).__name__}: {str(error).splitlines()[0]}") from error


def _told(space: Discrete | Box) -> dict[str, Any]:
    kind = "discrete" if isinstance(space, Discrete) else "box"
    return {"kind": kind} | dataclasses.asdict(space)


def _space(told: dict[str, Any]) -> Any:
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    return _SPACES[given.pop("kind")](**given)
