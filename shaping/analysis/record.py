"""Reads a record folder, a bounded number of matches at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shaping.analysis.damaged_files import REMEDY, DamagedRecordError, absent_piece, first_line, naming_damage
from shaping.analysis.declarations import Variable, declared
from shaping.analysis.derived_measures import with_derived

if TYPE_CHECKING:
    import xarray as xr

UNFINISHED = -2
"""`diverged_at` of a match that is not finished yet."""
_NEEDED = ("value", "cell", "match_in_cell", "seed")
_OF_MATCHES = (("update", "player"), ("match", "update", "player"))
_OF_POPULATIONS = (("generation", "type", "share", "fixed_at"), ("match", "generation", "type"))
"""What else a record needs, and the dimensions of its values."""
_KINDS = (
    ("published", list, "a list"),
    ("variants", dict, "a mapping"),
    ("sweep", dict, "a mapping"),
    ("tie", list, "a list"),
)
BLOCK = 2**17
"""Matches held at a time; a few tens of bytes are kept of each afterwards."""


@dataclass(frozen=True)
class Shape:
    """What all matches of a cell have in common: players, states of a policy (0 for no tabular policy), state
    view.
    """

    players: int
    states: int
    state_view: str


@dataclass(frozen=True)
class Record:
    """An open record: cell c consists of the matches starts[c] .. starts[c + 1] - 1, all of shape shapes[c].

    variables are the measured ones, as the record declares them, see `declarations.declared`.
    """

    directory: Any
    dataset: xr.Dataset
    config: dict[str, Any]
    starts: np.ndarray
    shapes: tuple[Shape, ...]
    variables: dict[str, Variable]

    @property
    def of_populations(self) -> bool:
        """Whether a match is a population of learners that meet."""
        return "generation" in self.dataset.dims

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.shapes)


def folder_of(directory: Any) -> Any:
    """A path; something that already behaves like one, for example in an object store, is returned unchanged."""
    return Path(directory) if isinstance(directory, str) else directory


def open_record(directory: Any) -> Record:
    """Open DIR/record.zarr and DIR/config.yaml lazily.

    Raises:
        FileNotFoundError: if DIR holds no record.zarr.
        DamagedRecordError: if a file cannot be read, or holds something other than what a run writes.
    """
    import xarray as xr

    directory = folder_of(directory)
    path = directory / "record.zarr"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no record here")
    try:
        # Without consolidated metadata, the record of a run that is still going on can be opened too.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = xr.open_dataset(str(path), engine="zarr", chunks=None, consolidated=False)
    except Exception as error:
        raise DamagedRecordError(f"{path}: cannot be opened ({first_line(error)}); {REMEDY}") from error
    with naming_damage(directory):
        return _opened(directory, dataset)


def _opened(directory: Any, dataset: xr.Dataset) -> Record:
    path = directory / "record.zarr"
    more, wanted = _OF_POPULATIONS if "generation" in dataset.dims else _OF_MATCHES
    for name in (*_NEEDED, *more):
        if name not in dataset:
            raise DamagedRecordError(f"{path}: has no {name}, which every record has; {REMEDY}")
    if (dims := tuple(map(str, dataset["value"].dims))) != wanted:
        raise DamagedRecordError(f"{path / 'value'}: is along {', '.join(dims)}, not {', '.join(wanted)}; {REMEDY}")
    config = _config(directory, dataset.attrs.get("config", ""))
    cell = dataset["cell"].values
    starts = np.concatenate([[0], np.flatnonzero(np.diff(cell)) + 1, [len(cell)]]).astype(np.int64)
    if len(cell) == 0:
        starts = np.zeros(1, np.int64)
    if (dataset["match_in_cell"].values != np.arange(len(cell)) - np.repeat(starts[:-1], np.diff(starts))).any():
        raise DamagedRecordError(f"{path / 'cell'}: does not fit {path / 'match_in_cell'}; {REMEDY}")
    if missing := absent_piece(path, dataset):
        raise DamagedRecordError(missing)
    variables = with_derived(declared(dataset), map(str, dataset.data_vars))
    return Record(directory, dataset, config, starts, _shapes(dataset, starts), variables)


def text_of(path: Any) -> str:
    """A text file of a run.

    Raises:
        DamagedRecordError: if it cannot be read, or is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedRecordError(f"{path}: cannot be read as text ({first_line(error)}); {REMEDY}") from error


def _config(directory: Any, kept: Any) -> dict[str, Any]:
    """The configuration in the folder or, if there is none, that in the record's attributes."""
    import yaml

    path = directory / "config.yaml"
    text, where = (text_of(path), path) if path.exists() else (str(kept), directory / "record.zarr")
    try:
        config = yaml.safe_load(text) or {}
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DamagedRecordError(f"{where}: not a configuration ({first_line(error)}); {REMEDY}") from error
    if not isinstance(config, dict):
        raise DamagedRecordError(f"{where}: its configuration is {type(config).__name__}, not a mapping; {REMEDY}")
    for key, kind, allowed in _KINDS:
        if not isinstance(config.get(key) or kind(), kind):
            raise DamagedRecordError(f"{where}: {key} is {str(config[key])[:40]!r}; it must be {allowed}")
    for place, entry in enumerate(config.get("published") or []):
        if not _compares(entry):
            raise DamagedRecordError(
                f"{where}: published.{place} must be a mapping with a metric and a number as value"
            )
    return config


def _compares(entry: Any) -> bool:
    """Whether this is a valid entry of `published:`, as far as it is used here."""
    if not isinstance(entry, dict) or not isinstance(entry.get("cell") or {}, dict):
        return False
    return isinstance(entry.get("metric"), str) and isinstance(entry.get("value"), int | float)


def _shapes(dataset: xr.Dataset, starts: np.ndarray) -> tuple[Shape, ...]:
    if "generation" in dataset.dims:
        # Learners have no seats.
        return (Shape(1, 0, "own"),) * (len(starts) - 1)
    # Rows shorter than the longest are padded with NaN: the pattern in a cell's first finished match shows its true
    # shape.
    firsts = _finished(dataset, starts)
    players = np.zeros(len(firsts), int)
    # Matrix games have payoffs. In other games learners have parameters, and every player has a value after a match.
    for name in ("payoffs", "theta_initial", "value"):
        if name in dataset and all(dataset[name].sizes[d] for d in dataset[name].dims):
            first = dataset[name].isel(match=firsts)
            first = first.isel({d: 0 for d in first.dims if d not in ("match", "player")})
            # The last one that exists, because scripted players before it have no parameters.
            last = (np.isfinite(first.values) * (1 + np.arange(first.sizes["player"]))).max(axis=1, initial=0)
            players = np.maximum(players, last)
    # Nothing is known yet about a cell that has none.
    players = np.where(players == 0, dataset.sizes["player"], players)
    if "policy" in dataset:
        states = np.isfinite(dataset["policy"].isel(match=firsts, player=0).values).sum(axis=1)
        for cell in _sampled(dataset, firsts):
            met = dataset["policy"].isel(match=slice(int(starts[cell]), int(starts[cell + 1]))).values
            states[cell] = _states_met(met, int(players[cell]))
    else:
        states = np.zeros(len(firsts), int)
    if "policy.state_view" in dataset.coords:
        views = [str(v) for v in dataset["policy.state_view"].isel(match=firsts).values]
    else:
        views = [str(dataset.attrs.get("state_view", "own"))] * len(firsts)
    return tuple(Shape(int(p), int(s), v) for p, s, v in zip(players, states, views, strict=True))


def _finished(dataset: xr.Dataset, starts: np.ndarray) -> np.ndarray:
    """[cell] its first match that finished without diverging, else its first finished match, else its first match."""
    firsts = starts[:-1]
    if "diverged_at" not in dataset:
        return firsts
    found = []
    for first, end in zip(firsts, starts[1:], strict=True):
        place = int(first)
        if int(dataset["diverged_at"][place]) != -1:
            ended = dataset["diverged_at"][int(first) : int(end)].values
            # A match that diverged at once has no values, and only values show that a player without parameters exists.
            for there in (np.flatnonzero(ended == -1), np.flatnonzero(ended != UNFINISHED)):
                if len(there):
                    place += int(there[0])
                    break
        found.append(place)
    return np.array(found, np.int64)


def _sampled(dataset: xr.Dataset, firsts: np.ndarray) -> list[int]:
    """Cells whose returns are sampled."""
    if "reward_per_step" not in dataset or not len(firsts):
        return []
    first = dataset["reward_per_step"].isel(match=firsts, update=0, player=0).values
    return np.flatnonzero(np.isfinite(first)).tolist()


def _states_met(policy: np.ndarray, players: int) -> int:
    """States of policies [match, player, state] that may have been measured during play: a match need not have visited
    all of them, and a diverged one has none."""
    met = np.flatnonzero(np.isfinite(policy).any(axis=(0, 1)))
    last = int(met[-1]) + 1 if len(met) else 0
    return max(last, 1 + 2**players) if last > 1 else last


def groups(record: Record, matches: int = BLOCK) -> Iterator[range]:
    """Runs of consecutive cells of one shape and size with at most `matches` matches in all (or one larger
    cell).
    """
    sizes = np.diff(record.starts)
    first = 0
    for cell in range(1, record.cells + 1):
        same = (
            cell < record.cells
            and record.shapes[cell] == record.shapes[first]
            and sizes[cell] == sizes[first]
            and record.starts[cell + 1] - record.starts[first] <= matches
        )
        if not same:
            yield range(first, cell)
            first = cell


def read(
    record: Record, names: tuple[str, ...], lo: int, hi: int, shape: Shape, update: int | slice = -1
) -> dict[str, np.ndarray]:
    """Variables of matches lo .. hi - 1, cut to the shape of their cell.

    Variables over updates are read at one entry of `update` (by default the last) or a slice of them. A variable that
    the record lacks is left out. Floats are returned as float64.
    """
    cut = {"player": shape.players, "state": shape.states, "joint_action": 2**shape.players}
    out = {}
    for name in names:
        if name not in record.dataset:
            continue
        array = record.dataset[name]
        index: dict[str, Any] = {"match": slice(lo, hi)}
        index.update({d: slice(0, n) for d, n in cut.items() if d in array.dims})
        if "update" in array.dims:
            index["update"] = update
        values = array.isel(index).values
        out[name] = values.astype(np.float64) if values.dtype.kind == "f" else values
    return out


def finite_matches(value: np.ndarray, diverged_at: np.ndarray | None) -> np.ndarray:
    """[match] whether a match counts: it never diverged, and its values [match, player] are finite."""
    finite = np.asarray(np.isfinite(value).all(axis=1))
    return finite if diverged_at is None else np.logical_and(finite, np.logical_not(diverged_at >= 0))
