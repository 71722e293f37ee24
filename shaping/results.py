"""What a run left behind: read it, report on it, draw an episode of it."""

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from shaping.config import build
from shaping.config.errors import ConfigError
from shaping.config.league import learners_of
from shaping.config.plan import Experiment, plan
from shaping.learning_league_results import write_learning_league
from shaping.policies import Policy
from shaping.population.population_programs import Population
from shaping.runtime.damaged_records import check_files, check_metadata, explaining_damage
from shaping.runtime.devices import computing_in
from shaping.runtime.episode_animation import best_match, save_episode
from shaping.runtime.existing_run import config_of, summary_of
from shaping.runtime.storage import folder_at


@dataclass(frozen=True)
class Run:
    """What a finished run left behind.

    Attributes:
      folder: where it is.
      config: the resolved configuration.
      record: the record as an `xarray.Dataset`, read lazily.
    """

    folder: Any
    config: dict[str, Any]
    record: Any

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {self.record.sizes['match']:,} matches)"

    @cached_property
    def experiment(self) -> Experiment:
        """The planned experiment."""
        return plan(self.config)

    def match(self, number: int) -> Any:
        """The settings of one `Match`, or `Population`: its game, the game's numbers, and its learners."""
        return _match(self.experiment, range(self.experiment.matches)[number])

    def settings(self, match: int) -> dict[str, Any]:
        """The configuration of one match in normal form, without swept numbers."""
        cell = match // self.experiment.top["matches"]
        return next(block.normal for block in self.experiment.blocks if cell in block.cells)

    def learns(self, match: int, seat: int) -> bool:
        """Whether a player learns over the run; otherwise it follows a strategy, or starts anew with every trial."""
        player = self.settings(match)["players"][seat]
        return "strategy" not in player and not player.get("within")

    def policies(self, match: int) -> list[tuple[Policy, Any]]:
        """The trained policies of one match: for each seat, or for each learner of a population, the policy and its
        final parameters."""
        chosen = self.match(match)
        rows = self.record["theta_final"].isel(match=match).values
        if isinstance(chosen, Population):
            types = self.record["type_final"].isel(match=match).values
            policies = [chosen.rules.policy_of(int(kind)) for kind in types]
        else:
            policies = chosen.game.policies
        found = []
        for policy, row in zip(policies, rows, strict=False):
            # A scripted policy may need numbers of its environment.
            scripted = not jax.tree.leaves(policy.shapes)
            own = policy.for_params(getattr(chosen.params, "env", None)) if scripted else parameters_of(policy, row)
            found.append((policy, own))
        return found


def parameters_of(policy: Policy, row: np.ndarray) -> Any:
    """A row of a record's parameters, which may be padded, as the policy's own."""
    leaves, structure = jax.tree.flatten(policy.shapes)
    ends = np.cumsum([leaf.size for leaf in leaves], dtype=int)
    return structure.unflatten(
        [row[end - leaf.size : end].reshape(leaf.shape) for end, leaf in zip(ends, leaves, strict=True)]
    )


def load(folder: str | Path) -> Run:
    """Opens a run: its configuration, its record, and its trained policies.

    Raises:
      ConfigError: if the folder holds no run, or a piece of its record is missing.
    """
    place = folder_at(folder)
    if not (place / "record.zarr").is_dir() or not (place / "config.yaml").exists():
        raise ConfigError(f"{place}: holds no run; it needs config.yaml and record.zarr")
    config = config_of(place)
    check_metadata(place / "record.zarr")
    return Run(place, config, open_whole(place / "record.zarr"))


def open_whole(path: Any) -> Any:
    """A record as an `xarray.Dataset`, read lazily.

    Raises:
      ConfigError: if a piece of it is missing, which would read as NaN, as matches that diverged do.
    """
    import xarray

    from shaping.analysis.damaged_files import absent_piece

    with explaining_damage(path):
        # Without dask even if it is installed: dask's arrays cannot be grouped by a variable.
        found = xarray.open_zarr(str(path), chunks=None)
        absent = absent_piece(path, found)
    if absent:
        raise ConfigError(absent)
    return found


def report(folder: str | Path, pdfs: bool = False) -> Any:
    """Writes summary and report of a run, a league or an atlas again, from its record alone; returns the report's path.

    Args:
      folder: its folder.
      pdfs: whether every figure is written as a PDF too, beside its PNG.

    Raises:
      ConfigError: if the folder holds no record, or one of its files is damaged.
    """
    place = folder_at(folder)
    for alone in ("league.zarr", "atlas.zarr"):
        if (place / alone).is_dir() and not (place / "record.zarr").exists():
            return _report_alone(place, alone, pdfs)
    if not (place / "record.zarr").is_dir():
        raise ConfigError(f"{place}: holds no record.zarr; give the folder of a run")
    check_files(place)
    if (place / "config.yaml").exists():
        config_of(place)
    check_metadata(place / "record.zarr")
    return write_results(place, pdfs=pdfs)


def _report_alone(place: Any, alone: str, pdfs: bool) -> Any:
    """Writes summary and report of a league of frozen players, or of an atlas."""
    from shaping.analysis.atlas.report import write_atlas
    from shaping.analysis.damaged_files import DamagedRecordError
    from shaping.analysis.league_report import write_league

    check_files(place)
    try:
        return (write_league if alone == "league.zarr" else write_atlas)(place, pdfs)
    except DamagedRecordError as error:
        raise ConfigError(str(error)) from error


def write_results(folder: Any, timing: dict[str, Any] | None = None, pdfs: bool = False) -> Any:
    """Writes summary and report from the record in a folder, and the results of a learning league; returns the report's
    path. A summary that cannot be read is replaced.

    Args:
      folder: the folder of the run.
      timing: what the run measured about itself; None keeps what the summary says.
      pdfs: see `report`.

    Raises:
      ConfigError: if a file of the record is damaged.
    """
    from shaping.analysis.damaged_files import DamagedRecordError
    from shaping.analysis.report import write_report
    from shaping.analysis.summary import summarise

    if summary_of(folder) is None and (folder / "summary.json").is_file():
        (folder / "summary.json").unlink()
    try:
        with explaining_damage(folder / "record.zarr"):
            summarise(folder, timing=timing)
            page = write_report(folder, pdfs)
            names = learners_of(config_of(folder)) if (folder / "config.yaml").exists() else []
            if names:
                write_learning_league(folder, open_whole(folder / "record.zarr"), names, pdfs)
            return page
    except DamagedRecordError as error:
        raise ConfigError(str(error)) from error


def draw_episode(folder: Any, experiment: Experiment) -> None:
    """Writes episode.gif: where games are played step by step, one episode of one match. The match is the one in which
    the variable that its game declares as its showcase is highest at the end. Matches of games with a different
    showcase than the first game's are left out, because they cannot be compared with it."""
    if experiment.of_populations:
        return
    per_cell, blocks, showcase = experiment.top["matches"], [], None
    for block in experiment.blocks:
        match = _match(experiment, block.cells.start * per_cell)
        if match.game.episode(match.params) is None:
            continue
        own = next((name for name, one in match.game.variables.items() if one.showcase), "value")
        showcase = showcase or own
        blocks += [block] * (own == showcase)
    if not blocks:
        return
    run = load(folder)
    played = [m for b in blocks for m in range(b.cells.start * per_cell, b.cells.stop * per_cell)]
    save_episode_of(run, best_match(run.record[showcase], played), folder / "episode.gif")


def save_episode_of(run: Run, number: int, file: Any) -> None:
    """Writes one episode of the final policies of a match as an animated GIF.

    Raises:
      ConfigError: nothing was played in its run, or the file cannot be written.
    """
    if run.experiment.of_populations:
        raise ConfigError(f"--episode: {run.folder} holds populations; allowed: runs of matches")
    with computing_in(run.experiment.top["precision"]):
        match = run.match(number)
        episode = match.game.episode(match.params)
        if episode is None:
            raise ConfigError(
                f"--episode: match {number} learned in closed form, so nothing was played; allowed: runs whose "
                "objective is sampled"
            )
        thetas = [jax.tree.map(jax.numpy.asarray, theta) for _, theta in run.policies(number)]
        # The library that writes it can only write local files.
        with tempfile.TemporaryDirectory() as place:
            path = save_episode(Path(place) / "episode.gif", episode, thetas, jax.random.key(0))
            try:
                file.write_bytes(path.read_bytes())
            except OSError as error:
                raise ConfigError(f"{file}: cannot be written: {error.strerror}") from None


def _match(experiment: Experiment, number: int) -> Any:
    """The settings of one match of an experiment."""
    cell = number // experiment.top["matches"]
    (block,) = [block for block in experiment.blocks if cell in block.cells]
    return jax.tree.map(lambda leaf: leaf[0], build.matches_of(experiment, [block], np.array([number])))
