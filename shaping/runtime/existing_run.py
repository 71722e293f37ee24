"""The folder of a run that has begun: its configuration, its record, and whether it is finished."""

import json
from typing import Any

from shaping.config import build
from shaping.config.errors import ConfigError, shown
from shaping.config.plan import Experiment
from shaping.config.resolved import as_yaml, first_difference, fixed
from shaping.config.yaml_text import parse
from shaping.runtime.damaged_records import check_metadata, is_whole
from shaping.runtime.environment_variables import check_numeric_settings, numeric_settings
from shaping.runtime.record import Record
from shaping.runtime.record_schema import attributes, coordinates, layout
from shaping.runtime.status import read_status
from shaping.runtime.storage import folder_at, read_text, remove, sweep_up

SETTINGS_ATTRIBUTE = "jax_settings"
"""Attribute of the record with `numeric_settings` of the run, as JSON."""


def config_of(folder: Any) -> dict[str, Any]:
    """The configuration in the folder of a run.

    Raises:
      ConfigError: if there is none, or if it cannot be read.
    """
    folder = folder_at(folder)
    path = folder / "config.yaml"
    if not path.exists():
        raise ConfigError(f"{folder}: holds no run; it has no config.yaml")
    remedy = "restore it, for example from the attribute `config` of record.zarr"
    try:
        raw = parse(read_text(path, remedy), str(path))
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply to be a configuration; {remedy}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values, not {shown(raw)}; {remedy}")
    return raw


def is_finished(folder: Any) -> bool:
    """Whether nothing is left to do: matches, summary and report are all there."""
    status = read_status(folder)
    report = folder / "report" / "index.html"
    return status is not None and status.state == "finished" and report.is_file() and summary_of(folder) is not None


def summary_of(folder: Any) -> dict[str, Any] | None:
    """The summary of a run, or None if there is no readable one."""
    try:
        found = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("cells"), list) else None


def open_record(folder: Any, experiment: Experiment, config: dict[str, Any]) -> None:
    """Makes sure that the record of a run exists and belongs to it; creates it if the run has only just begun.

    Args:
      folder: the folder of the run.
      experiment: the experiment that is run.
      config: its resolved configuration, as plain data.

    Raises:
      ConfigError: if the record is damaged, belongs to another configuration, or was lost.
    """
    path = folder / "record.zarr"
    sweep_up(path)
    if not is_whole(path):
        if (folder / "checkpoint").exists():
            raise ConfigError(
                f"{folder}: holds checkpoints but no complete record.zarr; restore it, or run its config.yaml into a "
                "new folder"
            )
        remove(path)
        matches = build.templates(experiment)
        own = attributes(experiment, matches, as_yaml(config)) | {SETTINGS_ATTRIBUTE: json.dumps(numeric_settings())}
        Record.create(path, layout(experiment, matches), coordinates(experiment), own)
        return
    found = check_metadata(path)
    changed = first_difference(fixed(parse(found["config"])), fixed(config))
    if changed:
        key, before, now = changed
        raise ConfigError(
            f"{folder / 'config.yaml'}: {key} was {shown(before)} when the run began and is {shown(now)} now; "
            "change it back, or run the new configuration into a new folder"
        )
    expected = layout(experiment)
    check_metadata(path, expected.dimensions(), expected.sizes())
    check_settings(folder, found)


def check_settings(folder: Any, found: dict[str, Any]) -> None:
    """Checks that JAX has the settings it had when the run began; `found` are the attributes of its record.

    Raises:
      ConfigError: names the first setting that differs.
    """
    check_numeric_settings(folder, json.loads(found.get(SETTINGS_ATTRIBUTE, "{}")))
