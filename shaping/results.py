"""What a run left behind: read it back, report on it, show an episode of it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from shaping.config import build
from shaping.config.coin import is_coin
from shaping.config.errors import ConfigError
from shaping.config.objective import is_sampled
from shaping.config.plan import Experiment, plan
from shaping.policies import Policy
from shaping.runtime.damage import check_files, check_metadata, explaining_damage
from shaping.runtime.devices import computing_in
from shaping.runtime.episode import best_match, save_episode
from shaping.runtime.folders import folder_at
from shaping.runtime.run_folder import config_of, summary_of


@dataclass(frozen=True)
class Run:
    """What a finished run left behind.

    Attributes:
      folder: where.
      config: the resolved configuration.
      record: the `xarray.Dataset` of the record, lazily read.
    """

    folder: Any
    config: dict[str, Any]
    record: Any

    def policies(self, match: int) -> list[tuple[Policy, Any]]:
        """The trained policies of one match: for each seat the policy and its final parameters."""
        experiment = plan(self.config)
        cell = range(experiment.matches)[match] // experiment.top["matches"]
        (block,) = [block for block in experiment.blocks if cell in block.cells]
        found = []
        for seat, row in enumerate(self.record["theta_final"].isel(match=match).values[: len(block.normal["players"])]):
            policy = build.policy_of(block.normal, seat)
            leaves, structure = jax.tree.flatten(policy.shapes)
            ends = np.cumsum([leaf.size for leaf in leaves])
            parts = [p.reshape(x.shape) for p, x in zip(np.split(row[: ends[-1]], ends[:-1]), leaves, strict=True)]
            found.append((policy, structure.unflatten(parts)))
        return found


def load(folder: str | Path) -> Run:
    """Opens a run: its configuration, its record, and its trained policies.

    Raises:
      ConfigError: if the folder holds no run.
    """
    import xarray

    place = folder_at(folder)
    if not (place / "record.zarr").is_dir() or not (place / "config.yaml").exists():
        raise ConfigError(f"{place}: holds no run; it needs config.yaml and record.zarr")
    config = config_of(place)
    check_metadata(place / "record.zarr")
    return Run(place, config, xarray.open_zarr(str(place / "record.zarr")))


def report(folder: str | Path) -> Any:
    """Makes summary and report again from the record alone; returns the report's path.

    Raises:
      ConfigError: if the folder holds no record.
    """
    place = folder_at(folder)
    if not (place / "record.zarr").is_dir():
        raise ConfigError(f"{place}: holds no record.zarr; give the folder of a run")
    from shaping.analysis.report import write_report
    from shaping.analysis.summary import summarise

    check_files(place)
    config_of(place)
    check_metadata(place / "record.zarr")
    if summary_of(place) is None and (place / "summary.json").is_file():
        # It cannot be read, and is written anew.
        (place / "summary.json").unlink()
    with explaining_damage(place / "record.zarr"):
        summarise(place)
        return write_report(place)


def draw_episode(folder: Any, experiment: Experiment) -> None:
    """Where boards were played, an episode of the match that learned most, as episode.gif."""
    blocks = [b for b in experiment.blocks if is_sampled(b.normal) and is_coin(b.normal["game"])]
    if not blocks:
        return
    per_cell = experiment.top["matches"]
    run = load(folder)
    played = [m for b in blocks for m in range(b.cells.start * per_cell, b.cells.stop * per_cell)]
    chosen = best_match(run.record, played)
    (block,) = [b for b in blocks if chosen // per_cell in b.cells]
    with computing_in(experiment.top["precision"]):
        match = jax.tree.map(lambda leaf: leaf[0], build.matches_of(experiment, [block], np.array([chosen])))
        thetas = [jax.tree.map(jax.numpy.asarray, theta) for _, theta in run.policies(chosen)]
        # The library that writes it knows local files alone.
        with tempfile.TemporaryDirectory() as place:
            path = save_episode(Path(place) / "episode.gif", match.game, match.params.env, thetas, jax.random.key(0))
            (folder / "episode.gif").write_bytes(path.read_bytes())
