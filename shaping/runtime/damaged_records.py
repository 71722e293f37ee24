"""Damaged records: says in one line which file is damaged.

Metadata is small, and all of it is checked. Data is checked only after a read has failed: `explaining_damage` then
tries every piece, so that checking costs an intact record nothing.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from shaping.config.errors import ConfigError
from shaping.runtime.failures import is_out_of_memory, reason
from shaping.runtime.storage import is_local, kind_of, read_text
from shaping.zarr_chunks import undecodable

REMEDY = "restore it from a copy, or run config.yaml into a new folder"
RUN_ANEW = "run config.yaml into a new folder"
METADATA = "zarr.json"

_COORDINATES = ("cell", "match_in_cell", "seed")
_VARIABLES = ("value", "diverged_at", "theta_final")
# What else there is in a record of independent matches, and in one of populations.
_OF_MATCHES = ("update", "player", "theta_initial")
_OF_POPULATIONS = ("generation", "type", "share")


def check_metadata(
    path: Any, dimensions: Mapping[str, Sequence[str]] | None = None, sizes: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Checks the metadata of a record and returns its attributes.

    Args:
      path: the path of record.zarr.
      dimensions: those of every variable it should have; None if they are not known.
      sizes: the length of every dimension.

    Raises:
      ConfigError: names the damaged or missing file.
    """
    if not path.is_dir():
        raise ConfigError(f"{path}: is missing or not a folder; {REMEDY}")
    check_files(path)
    if is_old(path):
        raise ConfigError(f"{path}: is in the format of an older version, which this one does not read; {RUN_ANEW}")
    arrays = consolidated(path)
    if arrays is None:
        raise ConfigError(f"{path / METADATA}: does not list the arrays of the record; {REMEDY}")
    attributes = _json(path / METADATA).get("attributes")
    if not isinstance(attributes, dict) or not isinstance(attributes.get("config"), str):
        raise ConfigError(f"{path / METADATA}: the attribute `config` is missing or not text; {REMEDY}")
    _check_texts(path, attributes)
    found = {name: _check_array(path, name, array) for name, array in arrays.items()}
    step = "generation" if "generation" in found else "update"
    more = _OF_POPULATIONS if step == "generation" else _OF_MATCHES
    for name in (*_COORDINATES, *more, *(dimensions or _VARIABLES)):
        if name not in found:
            raise ConfigError(f"{path}: has no {name}; {REMEDY}")
    for name, dims in (dimensions or {}).items():
        expected = {dim: (sizes or {}).get(dim) for dim in dims}
        if found[name] != expected and sizes is not None:
            raise ConfigError(f"{path / name}: has the dimensions {found[name]}, must have {expected}; {REMEDY}")
    matches = found["diverged_at"].get("match", 0)
    for name, own in found.items():
        if own.get("match", matches) != matches:
            raise ConfigError(f"{path / name}: has {own['match']} matches, the record has {matches}; {REMEDY}")
    if not matches or not found[step].get(step):
        raise ConfigError(f"{path}: holds no matches or no {step}s; {REMEDY}")
    _check_opens(path)
    return attributes


def _check_opens(path: Any) -> None:
    """Opens the record with the library that reads it, which checks more of the metadata."""
    import zarr

    try:
        zarr.open_group(str(path), mode="r", zarr_format=3)
    except Exception as error:
        raise ConfigError(f"{path / METADATA}: cannot be read ({reason(error)[:200]}); {REMEDY}") from error


def check_files(folder: Any) -> None:
    """Checks that a folder holds only files and folders: a library that opens a named pipe would wait for ever.

    Raises:
      ConfigError: names whatever is neither.
    """
    if not is_local(folder) or not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                check_files(Path(entry.path))
            elif not entry.is_file():
                path = Path(entry.path)
                raise ConfigError(f"{path}: is {kind_of(path)}, not a file; {REMEDY}")


def _check_texts(path: Any, attributes: Mapping[str, Any]) -> None:
    try:
        config = yaml.safe_load(attributes["config"])
    except (yaml.YAMLError, ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise ConfigError(f"{path / METADATA}: the attribute `config` is not a configuration; {REMEDY}")
    count = "generations" if "generations" in attributes else "updates"
    for name, kinds in {count: int, "state_view": str, "horizon": (int, str), "jax_settings": str}.items():
        if not isinstance(attributes.get(name, "" if kinds is not int else None), kinds):
            raise ConfigError(f"{path / METADATA}: the attribute `{name}` has the wrong type; {REMEDY}")
    try:
        settings = json.loads(attributes.get("jax_settings", "{}"))
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise ConfigError(f"{path / METADATA}: the attribute `jax_settings` cannot be read; {REMEDY}")


def _check_array(path: Any, name: str, array: Any) -> dict[str, int]:
    """The length of each dimension of an array, by name."""
    shape = array.get("shape") if isinstance(array, dict) else None
    dims = array.get("dimension_names") if isinstance(array, dict) else None
    if (
        not isinstance(shape, list)
        or not isinstance(dims, list)
        or len(shape) != len(dims)
        or not all(isinstance(size, int) for size in shape)
        or not all(isinstance(dim, str) for dim in dims)
    ):
        raise ConfigError(f"{path / METADATA}: the description of {name} is damaged; {REMEDY}")
    # The copy for readers that do not use consolidated metadata.
    if _json(path / name / METADATA) != array:
        raise ConfigError(f"{path / name / METADATA}: differs from {path / METADATA}; {REMEDY}")
    return dict(zip(dims, shape, strict=True))


def is_old(path: Any) -> bool:
    """Whether a record is in the format (zarr 2) of earlier versions."""
    return (path / ".zgroup").exists() and not (path / METADATA).exists()


def is_whole(path: Any) -> bool:
    """Whether a record was created completely. Damaged metadata also counts as complete, so that it will be checked."""
    if is_old(path):
        return True
    try:
        return (path / METADATA).exists() and consolidated(path) is not None
    except ConfigError:
        return True


def consolidated(path: Any) -> dict[str, Any] | None:
    """The metadata of a record's arrays by name, from the record's own file; None if the file does not list them yet.

    Raises:
      ConfigError: if the file cannot be read.
    """
    listed = _json(path / METADATA).get("consolidated_metadata")
    arrays = listed.get("metadata") if isinstance(listed, dict) else None
    return arrays if isinstance(arrays, dict) else None


def _json(path: Any) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path, REMEDY))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path}: is not valid JSON; {REMEDY}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: is not a JSON object; {REMEDY}")
    return found


@contextlib.contextmanager
def explaining_damage(path: Any) -> Iterator[None]:
    """If its body fails, looks for a damaged piece of the record at `path` and reports that piece instead.

    Raises:
      ConfigError: names the piece.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, ConfigError) or is_out_of_memory(error):
            raise
        check_metadata(path)
        damaged = undecodable(path)
        if damaged is None:
            raise
        raise ConfigError(f"{damaged[0]}: cannot be read ({reason(damaged[1])[:200]}); {REMEDY}") from error
