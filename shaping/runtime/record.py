"""The record of a run: one Dataset on disk that `xarray.open_zarr` opens, written chunk by chunk."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shaping.envs.coin_game.counts import HISTORIES
from shaping.runtime.folders import is_local
from shaping.runtime.fsync import BackgroundSync, sync_folder, tracking_store


@dataclass(frozen=True)
class Layout:
    """Sizes and labels of a record.

    Attributes:
      matches: number of matches.
      updates: recorded updates, ascending.
      states: labels of the `state` dimension, of the largest game.
      joint_actions: labels of the `joint_action` dimension, of the largest game.
      players: the largest number of players.
      dtype: of the floating-point variables.
      parameters: length of the `parameter` dimension that thetas have where some are not one number a state, else None.
      matrix_games: whether there are any; policies, payoffs and what they are worth are those of matrix games.
      coin_games: whether there are any; pickups are theirs.
      extras: what else is recorded, as in a `Timetable`.
      measured: variables of play that are recorded along with values, where returns are sampled.
      opponents: labels of the `opponent` dimension, scripted players that the final policies met.
      sampled_coins: whether pickups are known by what was last picked up.
    """

    matches: int
    updates: Sequence[int]
    states: Sequence[str]
    joint_actions: Sequence[str]
    players: int
    dtype: np.dtype
    parameters: int | None = None
    matrix_games: bool = True
    coin_games: bool = False
    extras: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    opponents: tuple[str, ...] = ()
    sampled_coins: bool = False

    def sizes(self) -> dict[str, int]:
        """The length of every dimension."""
        return {
            "match": self.matches,
            "update": len(self.updates),
            "player": self.players,
            "colour": self.players,
            "state": len(self.states),
            "joint_action": len(self.joint_actions),
            "parameter": self.parameters or 0,
            "opponent": len(self.opponents),
            "history": len(HISTORIES),
        }

    def bytes(self) -> int:
        """What the record takes on disk if nothing of it can be compressed."""
        sizes = self.sizes()
        numbers = sum(math.prod(sizes[d] for d in dims) for dims in self.dimensions().values())
        return numbers * self.dtype.itemsize

    def dimensions(self) -> dict[str, tuple[str, ...]]:
        """The dimensions of every variable of this record."""
        kinds = {name: self.matrix_games for name in _MATRIX_GAMES}
        kinds |= {name: self.coin_games or kinds.get(name, False) for name in _COIN_GAMES}
        kinds |= {name: name in self.measured for name in MEASURED}
        kinds |= {name: self.sampled_coins for name in ("cooperation_by_history", "own_fraction_against")}
        kinds["reward_against"] = bool(self.opponents)
        found = {name: dims for name, dims in DIMENSIONS.items() if kinds.get(name, True)}
        if self.parameters is not None:
            found |= {name: ("match", "player", "parameter") for name in ("theta_initial", "theta_final")}
        if self.matrix_games and "policies" in self.extras:
            found["policy_trajectory"] = ("match", "update", "player", "state")
        if "consistency" in self.extras:
            found["consistency_loss"] = ("match",)
        return found


DIMENSIONS: dict[str, tuple[str, ...]] = {
    "value": ("match", "update", "player"),
    "value_trajectory_mean": ("match", "player"),
    "policy": ("match", "player", "state"),
    "theta_initial": ("match", "player", "state"),
    "theta_final": ("match", "player", "state"),
    "diverged_at": ("match",),
    "payoffs": ("match", "player", "joint_action"),
    "discount": ("match",),
    "noise": ("match", "player"),
    "value_cooperation": ("match", "player"),
    "value_defection": ("match", "player"),
    "pickups": ("match", "player", "colour"),
    "reward_against": ("match", "player", "opponent"),
    "own_fraction_against": ("match", "player", "opponent"),
    "cooperation_by_history": ("match", "player", "history"),
}
MEASURED = (
    "reward_per_step",
    "entropy",
    "value_exact",
    "own_fraction",
    "model_error",
    "model_trust",
    "shaping_norm",
    "shaping_sd",
)
"""What is recorded along with values where returns are sampled."""
DIMENSIONS |= dict.fromkeys(MEASURED, ("match", "update", "player"))
_MATRIX_GAMES = ("policy", "payoffs", "discount", "noise", "value_cooperation", "value_defection")
_COIN_GAMES = ("pickups", "discount", "noise")
DESCRIPTIONS = {
    "value": "normalised value after the given number of updates; NaN once diverged",
    "value_trajectory_mean": "mean of the normalised value over updates 1 to the last",
    "policy": "final P(cooperate | state) as chosen, before execution noise",
    "policy_trajectory": "P(cooperate | state) after the given number of updates",
    "consistency_loss": "squared distance of the final directions from the ones that answer them",
    "theta_initial": "parameters before the first update",
    "theta_final": "parameters after the last update (the last finite ones where diverged)",
    "pickups": "coins of each colour that each player takes with the final policies, in an episode or per step",
    "reward_per_step": "mean reward of a step, undiscounted, on a fresh batch",
    "entropy": "mean entropy of a player's distribution over actions, in nats, on the same batch",
    "value_exact": "what `value` estimates, in closed form",
    "own_fraction": "of the coins a player took on the same batch, those of its own colour",
    "model_error": "KL of the opponents' policies from the models of them, on the states of a fresh batch",
    "model_trust": "factor by which trust in the models multiplies the lookahead rate",
    "shaping_norm": "length of the mean of independent estimates of the shaping term",
    "shaping_sd": "root mean square distance of one estimate of the shaping term from that mean",
    "reward_against": "a player's reward per step, final policy, with a scripted opponent in every other seat",
    "own_fraction_against": "of the coins a player took there, those of its own colour",
    "cooperation_by_history": "of the coins taken after each history of pickups, those of the own colour",
    "diverged_at": "update at which the match stopped being finite; -1 where it did not",
    "value_cooperation": "value when everybody always cooperates",
    "value_defection": "value when everybody always defects",
}
UNFINISHED = -2
"""`diverged_at` of a match that has not come to its end."""
_MATCH_CHUNK = 16384
# Numbers of a piece of an array on disk, and recorded updates in it at most.
_PIECE = 2**21
_UPDATE_CHUNK = 512


class Record:
    """An open record: variables are written for any choice of matches, rows shorter than the record's are padded with
    NaN."""

    def __init__(self, path: Any):
        """Opens one that was created.

        Raises:
          FileNotFoundError: if there is none, or one whose creation was interrupted.
        """
        import zarr

        self.path = path
        self._written: set[str] = set()
        self._forced = BackgroundSync()
        store = tracking_store(path, self._written) if is_local(path) else str(path)
        self._group: Any = zarr.open_group(store, mode="r+", zarr_format=2, use_consolidated=True)

    @classmethod
    def create(
        cls, path: Any, layout: Layout, coordinates: Mapping[str, Any], attributes: Mapping[str, Any]
    ) -> "Record":
        """Creates a record with its coordinates.

        Args:
          path: a folder that does not exist yet.
          layout: sizes and labels.
          coordinates: name to a value per match [matches], or (dimensions, values).
          attributes: of the Dataset.
        """
        import xarray
        import zarr

        coords: dict[str, Any] = {
            "update": np.asarray(layout.updates, np.int64),
            "player": np.arange(layout.players),
        }
        if layout.coin_games:
            coords |= {"colour": np.arange(layout.players)}
        if layout.matrix_games:
            coords |= {"state": np.asarray(layout.states, object)}
            coords |= {"joint_action": np.asarray(layout.joint_actions, object)}
        if layout.opponents:
            coords |= {"opponent": np.asarray(layout.opponents, object)}
        if layout.sampled_coins:
            coords |= {"history": np.asarray(HISTORIES, object)}
        for name, values in coordinates.items():
            dims, array = values if isinstance(values, tuple) else ("match", values)
            array = np.asarray(array)
            coords[name] = (dims, array.astype(object) if array.dtype.kind in "US" else array)
        xarray.Dataset(coords=coords, attrs=dict(attributes)).to_zarr(
            str(path), mode="w-", zarr_format=2, consolidated=False
        )
        group: Any = zarr.open_group(str(path), mode="r+", zarr_format=2)
        sizes = layout.sizes()
        for name, dims in layout.dimensions().items():
            integer = name == "diverged_at"
            array = group.create_array(
                name,
                shape=tuple(sizes[d] for d in dims),
                chunks=_pieces(dims, sizes),
                dtype="int32" if integer else layout.dtype,
                # xarray hides an integer fill value as missing.
                fill_value=None if integer else np.nan,
                attributes={"_ARRAY_DIMENSIONS": list(dims), "description": DESCRIPTIONS.get(name, "")},
            )
            if integer:
                array[:] = UNFINISHED
        # Last, and so the sign that all the rest is there.
        zarr.consolidate_metadata(str(path), zarr_format=2)
        sync_folder(path)
        return cls(path)

    @property
    def attributes(self) -> dict[str, Any]:
        """Of the Dataset."""
        return dict(self._group.attrs)

    def stretch(self) -> int:
        """Recorded updates after which all arrays' pieces are full: what is best written at a time."""
        return max(array.chunks[1] for name, array in self._group.arrays() if self._along_updates(name))

    def match_chunk(self) -> int:
        """Matches of a piece of an array on disk."""
        return self._group["diverged_at"].chunks[0]

    def write(self, indices: np.ndarray, variables: Mapping[str, np.ndarray], first: int | None = None) -> None:
        """Writes variables [matches of `indices`, ...], `indices` ascending; where `first` is given, they are [matches,
        updates, ...] and begin at that recorded update."""
        import zarr

        # Whether a piece holds anything takes as long to find out as to compress it.
        with zarr.config.set({"array.write_empty_chunks": True}):
            for rows, picked in _runs(indices):
                for name, array in variables.items():
                    inner = [slice(0, size) for size in array.shape[1:]]
                    if first is not None:
                        inner[0] = slice(first, first + array.shape[1])
                    self._group[name][(rows, *inner)] = np.asarray(array[picked])
        self._begin_to_force()

    def read(self, name: str, indices: np.ndarray) -> np.ndarray:
        """One variable of some matches, `indices` ascending."""
        return np.concatenate([self._group[name][rows] for rows, _ in _runs(indices)])

    def erase(self, indices: np.ndarray, first: int) -> None:
        """Blanks what variables along updates hold of these matches from a recorded update on."""
        for rows, _ in _runs(indices):
            for name, array in self._group.arrays():
                if self._along_updates(name) and first < array.shape[1]:
                    array[(rows, slice(first, None))] = np.nan
        self._begin_to_force()

    def force(self) -> None:
        """Returns when what was written is on the disk, where that is one of this machine, and outlives it.

        Raises:
          OSError: if it cannot be brought there.
        """
        self._forced.wait()

    def _begin_to_force(self) -> None:
        self._forced.begin([self.path / key for key in sorted(self._written)])
        self._written.clear()

    def _along_updates(self, name: str) -> bool:
        return self._group[name].attrs["_ARRAY_DIMENSIONS"][:2] == ["match", "update"]


def _pieces(dims: Sequence[str], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The shape of an array's pieces on disk: all of a match, and of matches and updates as many as make a few MiB."""
    shape = {name: sizes[name] for name in dims}
    shape["match"] = min(sizes["match"], _MATCH_CHUNK)
    if "update" in shape:
        others = math.prod(size for name, size in shape.items() if name != "update")
        # A power of two, so that every variable's pieces end where those of the longest do.
        fitting = 2 ** math.floor(math.log2(max(1, _PIECE // max(1, others))))
        shape["update"] = min(_UPDATE_CHUNK, fitting)
    return tuple(max(1, shape[name]) for name in dims)


def _runs(indices: np.ndarray) -> list[tuple[slice, slice]]:
    """Ascending indices as stretches without gaps: rows of the record, and the places of these among the indices."""
    if not len(indices):
        return []
    starts = np.flatnonzero(np.diff(indices, prepend=indices[0] - 2) != 1)
    ends = [*starts[1:], len(indices)]
    return [
        (slice(int(indices[a]), int(indices[b - 1]) + 1), slice(int(a), int(b)))
        for a, b in zip(starts, ends, strict=True)
    ]


def spread(per_cell: np.ndarray, matches_per_cell: int) -> np.ndarray:
    """A coordinate over cells as one over matches."""
    return np.repeat(per_cell, matches_per_cell)
