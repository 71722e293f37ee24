"""Experiments from start to report: `run` for a configuration, `train` for objects in a program, `load` for what was
run."""

import json
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml

from envs import MatrixGame
from shaping.analysis.published import METRICS
from shaping.config import build
from shaping.config.checks import check_number
from shaping.config.coin import is_coin
from shaping.config.errors import ConfigError, not_allowed
from shaping.config.files import read
from shaping.config.game import is_matrix
from shaping.config.normal import LIMITS
from shaping.config.objective import is_sampled
from shaping.config.plan import Experiment, plan
from shaping.learners import Learner, gradient_learner
from shaping.objectives import Analytic
from shaping.objectives.exact_coin import ExactCoinGame
from shaping.objectives.memory_one import form_of
from shaping.objectives.sampled_game import SampledGame
from shaping.policies import Policy, tabular
from shaping.population.match import Match, MatchState
from shaping.rules import Rule
from shaping.runtime import checkpoints
from shaping.runtime.contents import attributes, coordinates, histories, layout
from shaping.runtime.devices import describe_devices
from shaping.runtime.episode import best_match, save_episode
from shaping.runtime.loop import Chunks, Group, Timing, cut, run_group
from shaping.runtime.progress import Progress, size_of
from shaping.runtime.record import DIMENSIONS, Record


@dataclass(frozen=True)
class Prepared:
    """An experiment with its groups cut into chunks: everything known before the first update."""

    experiment: Experiment
    groups: tuple[Group, ...]
    chunks: tuple[Chunks, ...]

    def lines(self) -> list[str]:
        """The plan, for a human."""
        top = self.experiment.top
        cells, matches = self.experiment.cells, self.experiment.matches
        text = [
            f"plan: {cells:,} cell{'s' * (cells != 1)} x {top['matches']:,} matches = {matches:,} matches, "
            f"{top['updates']:,} updates each, {top['precision']}, {describe_devices()}"
        ]
        for number, (group, chunk) in enumerate(zip(self.groups, self.chunks, strict=True)):
            rules = ", ".join(self._rules(group))
            text.append(
                f"  group {number + 1} of {len(self.groups)}: {len(group.indices):,} matches ({rules}) "
                f"in {chunk.count} "
                f"chunk{'s' * (chunk.count != 1)} of {chunk.size:,}, about {chunk.bytes / 2**20:,.0f} MiB each, "
                f"{size_of(chunk.match_bytes)} a match"
            )
        return text

    def _rules(self, group: Group) -> list[str]:
        per_cell = self.experiment.top["matches"]
        own = {int(cell) for cell in np.unique(group.indices // per_cell)}
        found = {}
        for block in self.experiment.blocks:
            if not own.isdisjoint(block.cells):
                seats = [" ".join(p[k] for k in ("rule", "variant") if k in p) for p in block.normal["players"]]
                found[seats[0] if len(set(seats)) == 1 else " v ".join(seats)] = None
        return list(found)


def prepare(raw: Mapping[str, Any]) -> Prepared:
    """Checks a configuration and lays out its groups and chunks; computes nothing.

    Raises:
      ConfigError: one line for the first thing that is not allowed.
    """
    experiment = plan(raw)
    top = experiment.top
    for place, entry in enumerate(top["published"]):
        if entry["metric"] not in METRICS:
            raise not_allowed(f"published.{place}.metric", entry["metric"], f"one of {', '.join(METRICS)}", METRICS)
    with _precision(top["precision"]):
        groups = []
        for blocks in build.groups(experiment):

            def matches_of(indices: np.ndarray, blocks: Any = blocks) -> Match:
                return build.matches_of(experiment, blocks, indices)

            # Where games of both kinds stand side by side, those with policies have theirs recorded.
            matrix = is_matrix(blocks[0].normal["game"])
            extras = tuple(extra for extra in top["record"] if matrix or extra != "policies")
            groups.append(Group(build.group_indices(experiment, blocks), matches_of, extras))
        memory = top["memory_gib"] * 2**30
        devices = jax.device_count()
        chunks = [cut(g, top["updates"], top["record_every"], memory, devices) for g in groups]
    return Prepared(experiment, tuple(groups), tuple(chunks))


def run(
    source: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    say: Callable[[str], None] = lambda line: None,
    show_progress: bool = False,
) -> Path:
    """Runs a configuration: trains, records, summarises and reports.

    Args:
      source: a YAML file, the bare name of a shipped configuration, or a mapping.
      out: the folder to write, new or empty; by default a new one under `runs/`.
      overrides: `key=value` settings on top of the configuration.
      say: receives lines for a human: the plan, what is written where.
      show_progress: whether to draw a progress bar on standard error.

    Returns:
      The folder, with config.yaml, record.zarr, summary.json, checkpoint/ and report/index.html.

    Raises:
      ConfigError: for anything that is not allowed, before any compute.
    """
    began = time.perf_counter()
    prepared = prepare(read(source, overrides))
    experiment = prepared.experiment
    top = experiment.top
    stem = Path(source).stem if isinstance(source, str | Path) else "run"
    folder = new_folder(out, stem)
    config = yaml.safe_dump(_plain(experiment.resolved()), sort_keys=False, allow_unicode=True)
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    for line in prepared.lines():
        say(line)

    with _precision(top["precision"]):
        record = Record(
            folder / "record.zarr", layout(experiment), coordinates(experiment), attributes(experiment, config)
        )
        timing = Timing()
        progress = Progress(experiment.matches * top["updates"], enabled=show_progress)
        for number, (group, chunks) in enumerate(zip(prepared.groups, prepared.chunks, strict=True)):
            place = folder / "checkpoint" / f"group-{number}"

            def keep(indices: np.ndarray, states: MatchState, place: Path = place) -> None:
                checkpoints.save(place / f"matches-{indices[0]}-{indices[-1]}", states)

            run_group(group, top["updates"], top["record_every"], chunks, record.write, keep, progress, timing)
        progress.close()
    _draw_episode(folder, experiment)
    from shaping.analysis.report import write_report
    from shaping.analysis.summary import summarise

    summarise(folder, timing=_timing(timing, began))
    say(f"report: {write_report(folder)}")
    return folder


def _draw_episode(folder: Path, experiment: Experiment) -> None:
    """Where boards were played, an episode of the match that learned most, as episode.gif."""
    blocks = [b for b in experiment.blocks if is_sampled(b.normal) and is_coin(b.normal["game"])]
    if not blocks:
        return
    per_cell = experiment.top["matches"]
    run = load(folder)
    played = [m for b in blocks for m in range(b.cells.start * per_cell, b.cells.stop * per_cell)]
    chosen = best_match(run.record, played)
    (block,) = [b for b in blocks if chosen // per_cell in b.cells]
    with _precision(experiment.top["precision"]):
        match = jax.tree.map(lambda leaf: leaf[0], build.matches_of(experiment, [block], np.array([chosen])))
        thetas = [jax.tree.map(jax.numpy.asarray, theta) for _, theta in run.policies(chosen)]
        save_episode(folder / "episode.gif", match.form, match.game.game, thetas, jax.random.key(0))


def report(folder: str | Path) -> Path:
    """Makes summary and report again from the record alone; returns the report's path.

    Raises:
      ConfigError: if the folder holds no record.
    """
    folder = Path(folder)
    if not (folder / "record.zarr").is_dir():
        raise ConfigError(f"{folder}: holds no record.zarr; give the folder of a run")
    from shaping.analysis.report import write_report
    from shaping.analysis.summary import summarise

    summarise(folder)
    return write_report(folder)


def train(
    game: MatrixGame | Analytic | ExactCoinGame | SampledGame,
    players: Sequence[Learner | Rule] | Learner | Rule,
    matches: int = 100,
    updates: int = 100,
    seed: int = 0,
    record_every: int = 1,
    precision: str = "float32",
    parameters: Any = None,
    policy: Policy | None = None,
) -> Any:
    """Trains a population of independent matches and returns its record, in memory.

    Args:
      game: a matrix game, an analytic game of the user's own, an exact Coin Game (`shaping.exact_coin_game`), or any
        game whose returns are sampled (`shaping.sampled`).
      players: one learner (or update rule, with step size 1 and N(0, 1) start) per seat, or one for all seats.
      matches: how many matches, at least 1.
      updates: updates of each, at least 0.
      seed: of the initial parameters, as in a configuration.
      record_every: updates from one recorded value to the next.
      precision: "float32" or "float64".
      parameters: the numbers of an analytic game, any pytree, its own defaults if None; or of an exact Coin Game or a
        sampled game.
      policy: of every seat of a matrix game; `shaping.tabular` with one logit a state if None.

    Returns:
      An `xarray.Dataset` with the variables of a record.

    Raises:
      ConfigError: for a number out of its range, as many players as the game has no seats for, or a policy that does
        not fit the game.
    """
    for key, value in (("matches", matches), ("updates", updates), ("seed", seed), ("record_every", record_every)):
        check_number(key, value, LIMITS[key], integer=True)
    if precision not in ("float32", "float64"):
        raise not_allowed("precision", precision, "float32 or float64", ("float32", "float64"))
    if not isinstance(game, MatrixGame | Analytic | ExactCoinGame | SampledGame):
        wanted = "a MatrixGame (envs.make), an Analytic game, or what exact_coin_game or sampled returns"
        raise not_allowed("game", game, wanted)
    if isinstance(game, ExactCoinGame | SampledGame) and parameters is None:
        raise ConfigError("parameters: needed; exact_coin_game and sampled return them beside the game")
    if isinstance(game, MatrixGame):
        policies = (policy or tabular(game.num_states),) * game.num_players
        try:
            form: Any = form_of(game, policies)
        except ValueError as error:
            raise ConfigError(f"policy: {error}") from None
    elif policy is not None:
        raise ConfigError("policy: leave it out; an analytic game is played with the parameters, any other has its own")
    else:
        form = game
    seats = len(form.policies)
    each = [players] * seats if isinstance(players, Learner | Rule) else list(players)
    if len(each) != seats:
        raise ConfigError(f"players: {len(each)} given; the game has {seats} seats")
    learners = tuple(p if isinstance(p, Learner) else gradient_learner(p) for p in each)

    with _precision(precision):
        if isinstance(game, MatrixGame):
            numbers = game.default_params
        else:
            numbers = game.default_parameters if parameters is None and isinstance(game, Analytic) else parameters

        def matches_of(indices: np.ndarray) -> Match:
            def spread_over(leaf: Any) -> np.ndarray:
                array = np.asarray(leaf)
                array = array if array.dtype.kind in "iub" and isinstance(leaf, jax.Array) else array.astype(precision)
                return np.broadcast_to(array, (len(indices), *array.shape))

            settings = jax.tree.map(spread_over, Match((), (), numbers, learners, form))
            return settings.replace(seed=np.full(len(indices), seed, np.int32), number=indices.astype(np.int32))

        group = Group(np.arange(matches), matches_of)
        collected: list[dict[str, np.ndarray]] = []
        run_group(
            group,
            updates,
            record_every,
            cut(group, updates, record_every, 2**31, jax.device_count()),
            lambda indices, variables: collected.append(variables),
            lambda indices, states: None,
            Progress(matches * updates, enabled=False),
            Timing(),
        )
    variables = {name: np.concatenate([part[name] for part in collected]) for name in collected[0]}
    return _dataset(game, form.policies[0], variables, [*range(0, updates, record_every), updates])


def _dataset(
    game: MatrixGame | Analytic | ExactCoinGame | SampledGame,
    policy: Policy,
    variables: Mapping[str, np.ndarray],
    recorded: Sequence[int],
) -> Any:
    import xarray

    dims = dict(DIMENSIONS)
    coords: dict[str, Any] = {"update": recorded}
    if isinstance(game, MatrixGame):
        states = histories(game.joint_action_labels, policy.rounds) if game.horizon != 1 else ["start"]
        coords |= {"state": states, "joint_action": list(game.joint_action_labels)}
        about = {"state_view": game.state_view}
    else:
        about = {}
    if isinstance(game, SampledGame):
        coords |= {"opponent": [name for name, _ in game.opponents]} if game.opponents else {}
    if not isinstance(game, MatrixGame) or variables["theta_final"].shape[-1] != variables["policy"].shape[-1]:
        dims |= {"theta_initial": ("match", "player", "parameter"), "theta_final": ("match", "player", "parameter")}
    return xarray.Dataset({k: (dims[k], v) for k, v in variables.items()}, coords, about)


@dataclass(frozen=True)
class Run:
    """What a finished run left behind.

    Attributes:
      folder: where.
      config: the resolved configuration.
      record: the `xarray.Dataset` of the record, lazily read.
    """

    folder: Path
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

    folder = Path(folder)
    if not (folder / "record.zarr").is_dir() or not (folder / "config.yaml").is_file():
        raise ConfigError(f"{folder}: holds no run; it needs config.yaml and record.zarr")
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return Run(folder, config, xarray.open_zarr(folder / "record.zarr"))


def _precision(precision: str) -> AbstractContextManager[Any]:
    return jax.enable_x64(True) if precision == "float64" else nullcontext()


def new_folder(out: str | Path | None, stem: str) -> Path:
    """Makes the folder `out`, which must be new or empty; without one the next of runs/STEM-1, runs/STEM-2, ...

    Raises:
      ConfigError: if it is neither, or cannot be written.
    """
    if out is None:
        base = Path("runs")
        number = 1 + max(
            (int(p.name.rsplit("-", 1)[1]) for p in base.glob(f"{stem}-*") if p.name.rsplit("-", 1)[1].isdigit()),
            default=0,
        )
        folder = base / f"{stem}-{number}"
    else:
        folder = Path(out)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"--out {folder}: exists and is not an empty folder; nothing was written")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {folder}: cannot be written: {error.strerror or error}") from None
    return folder


def _timing(timing: Timing, began: float) -> dict[str, Any]:
    rate = timing.match_updates / timing.run_s if timing.run_s else 0.0
    return {
        "compile_s": round(timing.compile_s, 3),
        "run_s": round(timing.run_s, 3),
        "total_s": round(time.perf_counter() - began, 3),
        "match_updates_per_s": rate,
        "devices": describe_devices(),
        "groups": timing.groups,
        "versions": {"python": platform.python_version(), "jax": jax.__version__},
    }


def _plain(tree: Any) -> Any:
    return json.loads(json.dumps(tree, default=lambda x: x.tolist() if hasattr(x, "tolist") else str(x)))
