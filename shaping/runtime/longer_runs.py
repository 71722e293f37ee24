"""More updates for a finished run: its record grows, and its final states become the states it continues from.

The folder is changed in steps that can be repeated. The file `extension.json` is there from before the first step until
after the last. If the process is killed in between, `resume` finds it and repeats the steps.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from shaping.config.errors import ConfigError, not_allowed
from shaping.config.files import parse
from shaping.runtime.record import consolidate
from shaping.runtime.status import NAME as STATUS
from shaping.runtime.storage import read_text, remove, write_whole

MARKER = "extension.json"
STATES = "extended"
"""Folder below `checkpoint/` that holds the final states a run is extended from."""


def asked_updates(overrides: list[str]) -> int | None:
    """The number of updates that `--set updates=N` asks for; None where nothing is set.

    Raises:
      ConfigError: if anything else is set.
    """
    found = None
    for override in overrides:
        key, _, text = override.partition("=")
        if key.strip() != "updates":
            raise ConfigError(f"--set {override}: only updates can be set for a run that has begun, as in updates=1000")
        value = parse(text, f"--set {key}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise not_allowed("updates", value, "a whole number, no smaller than that of the run")
        found = value
    return found


def pending_updates(folder: Any) -> int | None:
    """The number of updates that an interrupted extension was to reach; None if there is none.

    Raises:
      ConfigError: if the file that says so cannot be read.
    """
    path = folder / MARKER
    if not path.exists():
        return None
    try:
        updates = json.loads(read_text(path, "restore it"))["updates"]
        if isinstance(updates, int):
            return updates
    except ConfigError:
        raise
    except (ValueError, TypeError, LookupError, RecursionError):
        pass
    raise ConfigError(f'{path}: is damaged; it must hold the new number of updates, as in {{"updates": 1000}}')


def check_extension(config: Mapping[str, Any], updates: int) -> None:
    """Checks that a finished run can be extended to a number of updates.

    Args:
      config: its resolved configuration.
      updates: the new number.

    Raises:
      ConfigError: if it cannot.
    """
    before = config["updates"]
    if updates < before:
        raise not_allowed("updates", updates, f"at least {before}, which the run has already")


def extend(folder: Any, updates: list[int], config_yaml: str) -> None:
    """Prepares the folder of a finished run for more updates. Can be repeated if it was interrupted.

    Args:
      folder: the folder of the run.
      updates: the updates that the longer run records, ascending.
      config_yaml: its configuration with the new number of updates.
    """
    write_whole(folder / MARKER, json.dumps({"updates": updates[-1]}) + "\n")
    _grow(folder / "record.zarr", updates, config_yaml)
    states = folder / "checkpoint" / STATES
    states.mkdir(parents=True, exist_ok=True)
    for group in (folder / "checkpoint").glob("group-*"):
        group.rename(states / group.name)
    remove(folder / "checkpoint" / "running")
    write_whole(folder / "config.yaml", config_yaml)
    # The status still says that the run is finished.
    if (folder / STATUS).exists():
        (folder / STATUS).unlink()
    (folder / MARKER).unlink()


def _grow(path: Any, updates: list[int], config_yaml: str) -> None:
    import zarr

    group: Any = zarr.open_group(str(path), mode="r+", zarr_format=3, use_consolidated=False)
    # The row of the former last update is outdated, unless the longer run records that update too. Labels are changed
    # after values, so new labels mean that the row has been erased.
    before = group["update"][:].tolist()
    outdated = slice(len(before) - (before[-1] not in updates), len(before))
    for name, array in group.arrays():
        dims = array.metadata.dimension_names
        if "update" in dims and name != "update":
            place = dims.index("update")
            shape = (*array.shape[:place], len(updates), *array.shape[place + 1 :])
            if shape != array.shape:
                array.resize(shape)
            if outdated.start < outdated.stop:
                array[(*[slice(None)] * place, outdated)] = np.nan
    group["update"].resize((len(updates),))
    group["update"][:] = np.asarray(updates, np.int64)
    group.attrs.update({"config": config_yaml, "updates": updates[-1]})
    consolidate(path)
