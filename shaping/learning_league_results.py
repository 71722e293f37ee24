"""What a learning league left behind, from the record of its run: league.zarr, league.json and league/index.html."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from shaping import __version__
from shaping.config.errors import ConfigError
from shaping.config.league import variant_of
from shaping.envs import MatrixGame
from shaping.objectives.league_values import league_values
from shaping.recorded_tables import HISTORIES, are_tables, as_written, own_tables

_MOST_VALUES = 2 * 10**7


def write_learning_league(folder: Any, record: Any, names: Sequence[str], pdfs: bool = False) -> Any:
    """Writes the results of a learning league beside its record; returns the path of its page.

    Args:
      folder: the folder of the run.
      record: its record.
      names: of the learners, in order.
      pdfs: whether figures are written as PDF too.

    Raises:
      ConfigError: the record is of other learners.
    """
    import xarray

    from shaping.analysis.learning_league_report import summary_of, trajectories, write_learning_report

    of_variant = np.array([str(name) for name in record["variant"].values], object)
    values = np.asarray(record["value"].values, np.float64)
    pairs = [np.flatnonzero(of_variant == variant_of(row, column)) for row in names for column in names]
    if len({len(at) for at in pairs}) != 1 or not len(pairs[0]):
        raise ConfigError(f"{folder / 'config.yaml'}: league.learners: {', '.join(names)}; the record has others")
    each = np.stack([values[at] for at in pairs]).reshape(len(names), len(names), -1, *values.shape[1:])
    mean, low, high = trajectories(each)
    along = ("row", "column", "update", "player")
    text = np.array(list(names), dtype=np.dtypes.StringDType())
    variables: dict[str, Any] = {
        "value": (along, mean),
        "low": (along, low),
        "high": (along, high),
        "value_final": (("row", "column", "match", "player"), each[:, :, :, -1]),
        "number": (("row", "column", "match"), np.stack(pairs).reshape(each.shape[:3])),
    }
    crossed = _cross_play(record, pairs)
    if crossed is not None:
        shape = (len(names), len(names), *crossed.shape[1:])
        variables["value_crossed"] = (("row", "column", "match", "other_match", "player"), crossed.reshape(shape))
    dataset = xarray.Dataset(
        variables, {"row": text, "column": text, "update": record["update"].values}, {"version": __version__}
    )
    dataset.to_zarr(str(folder / "league.zarr"), mode="w", consolidated=False)
    summary = {"version": __version__} | summary_of(dataset)
    told = json.dumps(summary, indent=1, allow_nan=False) + "\n"
    (folder / "league.json").write_text(told, encoding="utf-8")
    return write_learning_report(folder, dataset, summary, pdfs)


def _cross_play(record: Any, pairs: Sequence[np.ndarray]) -> np.ndarray | None:
    """What final policies of one match earn against those of another, [pair, match, other match, player]: the row's
    learner of the first match in seat 0, the column's of the other in seat 1. NaN where a policy is not known; None
    where policies are no tables of a matrix game, or there are too many."""
    matches = len(pairs[0])
    if not are_tables(record) or len(pairs) * matches**2 > _MOST_VALUES:
        return None
    tables = own_tables(record)
    payoffs = as_written(record["payoffs"].values[0])
    if tables is None or payoffs.size != 8:
        return None
    horizon = record.attrs.get("horizon", "infinite")
    discount, noise = (as_written(record[name].values[0]) for name in ("discount", "noise"))
    steps = None if horizon == "infinite" else int(horizon)
    game = MatrixGame(payoffs.reshape(2, 2, 2), float(discount), tuple(noise.tolist()), steps)
    known = np.asarray(np.isfinite(tables).any(axis=(0, 1)))
    tables = tables[..., known]
    if tables.shape[-1] == 1:
        tables = np.repeat(tables, HISTORIES[0], axis=-1)
    if tables.shape[-1] not in HISTORIES:
        return None
    found = np.full((len(pairs), matches, matches, 2), np.nan)
    for number, at in enumerate(pairs):
        both = np.concatenate([tables[at, 0], tables[at, 1]])
        good = np.asarray(np.isfinite(both).all(axis=1))
        value = league_values(game, np.where(good[:, None], both, 0.5)).value
        first, second = value[:matches, matches:, 0], value[matches:, :matches, 1].T
        apart = good[:matches, None] & good[None, matches:]
        found[number] = np.where(apart[..., None], np.stack([first, second], axis=-1), np.nan)
    return found
