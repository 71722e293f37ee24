"""`shaping league --learning`: learning rules against each other, everyone against everyone, both still learning.

It is one run, with a variant for each row and column, so it can be resumed, replayed and reported on like any other.
Every pair sees the same seeds, so a row against two columns, or two rows against a column, can be compared in pairs.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from shaping import __version__
from shaping.config.errors import ConfigError
from shaping.config.files import read
from shaping.experiment import run
from shaping.learners import named_players
from shaping.results import load

_SEPARATOR = " v "
_DEFAULTS = {"matches": 20, "updates": 100}


def learning_league(
    source: str | Path | Mapping[str, Any],
    game: Any = None,
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Any:
    """Trains every rule against every other and itself, and says who shapes whom.

    Args:
      source: names of rules and learners separated by commas, with their default settings; or a configuration (a file
        or a mapping) whose key `learners` maps names to the settings of a player, in place of `players`. The first is
        the one that others are compared with.
      game: a name, in place of the configuration's.
      out: the folder to write, new or empty; by default a new one under `runs/`.
      overrides: `key=value` settings that change the configuration.
      say: receives lines of text, as for `run`.

    Returns:
      The folder of the run, with league.zarr (`value` [row, column, update, player], means over matches of row in seat
      0 and column in seat 1, with `low` and `high`; `value_final` [row, column, match, player]), league.json and
      league/index.html besides.

    Raises:
      ConfigError: bad input, in one line, before anything is computed.
    """
    learners, config = _configuration(source, game, overrides)
    names = list(learners)
    config["variants"] = {
        _variant(row, column): {"players": [learners[row], learners[column]]} for row in names for column in names
    }
    if config.get("sweep"):
        raise ConfigError("sweep: not in a learning league, whose cells are its pairs; leave it out")
    folder = run(config, out, say=say, name="learning-league")
    write_learning_league(folder, names)
    return folder


def _configuration(source: Any, game: Any, overrides: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    if isinstance(source, str) and not source.endswith((".yaml", ".yml")):
        names = [each.strip() for each in source.split(",")]
        known = named_players()
        for name in names:
            if name not in known:
                raise ConfigError(f"--learning {name}: no such rule or learner; allowed: a YAML file, or some of "
                                  f"{', '.join(known)}")  # fmt: skip
        raw: dict[str, Any] = {"learners": {name: {"rule": name} for name in names}}
        if len(set(names)) != len(names):
            raise ConfigError(f"--learning {source}: a name is there twice; allowed: each once")
    else:
        raw = read(source)
    config = _DEFAULTS | read({key: value for key, value in raw.items() if key != "learners"}, overrides)
    learners = raw.get("learners")
    if not isinstance(learners, dict) or not learners or not all(isinstance(one, dict) for one in learners.values()):
        raise ConfigError("learners: needed in a learning league: a mapping of names to settings, each with a rule")
    for key in ("players", "variants", "population"):
        if key in config:
            raise ConfigError(f"{key}: not in a learning league, in which `learners` says who plays; leave it out")
    for name in learners:
        if _SEPARATOR in str(name):
            raise ConfigError(f"learners: {name!r} contains {_SEPARATOR!r}; allowed: other names")
    if game is not None:
        config["game"] = game
    return {str(name): settings for name, settings in learners.items()}, config


def _variant(row: str, column: str) -> str:
    return f"{row}{_SEPARATOR}{column}"


def write_learning_league(folder: Any, names: list[str]) -> None:
    """Writes league.zarr, league.json and league/index.html from the record of the run."""
    import xarray

    from shaping.analysis.learning_league import summary_of, trajectories, write_learning_report

    record = load(folder).record
    of_variant = np.array([str(name) for name in record["variant"].values], object)
    values = np.asarray(record["value"].values, np.float64)
    if values.shape[2] != 2:
        raise ConfigError(f"{folder}: has {values.shape[2]} players; a learning league is of two")
    pairs = [np.flatnonzero(of_variant == _variant(row, column)) for row in names for column in names]
    each = np.stack([values[at] for at in pairs]).reshape(len(names), len(names), -1, *values.shape[1:])
    mean, low, high = trajectories(each)
    along = ("row", "column", "update", "player")
    dataset = xarray.Dataset(
        {
            "value": (along, mean),
            "low": (along, low),
            "high": (along, high),
            "value_final": (("row", "column", "match", "player"), each[:, :, :, -1]),
        },
        {
            "row": np.array(names, dtype=np.dtypes.StringDType()),
            "column": np.array(names, dtype=np.dtypes.StringDType()),
            "update": record["update"].values,
        },
        {"version": __version__},
    )
    dataset.to_zarr(str(folder / "league.zarr"), mode="w", consolidated=False)
    summary = {"version": __version__} | summary_of(dataset)
    text = json.dumps(summary, indent=1, allow_nan=False) + "\n"
    (folder / "league.json").write_text(text, encoding="utf-8")
    write_learning_report(folder, dataset, summary)
