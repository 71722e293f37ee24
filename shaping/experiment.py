"""Experiments from start to report: `run` for a configuration, `resume` for one that was interrupted."""

import platform
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from shaping import __version__
from shaping.analysis.published import METRICS
from shaping.config import build
from shaping.config.errors import ConfigError, not_allowed, shown
from shaping.config.files import parse, read
from shaping.config.plan import Experiment, plan
from shaping.config.resolved import as_yaml, fingerprint, first_difference, fixed, plain_data
from shaping.population.match import Match
from shaping.population.program import Timetable
from shaping.results import draw_episode
from shaping.runtime.chunks import Chunks, Group, cut, timetable
from shaping.runtime.devices import computing_in, describe_devices
from shaping.runtime.folders import check_space, folder_at, guarded, new_folder, reason, remove, sweep_up, write_whole
from shaping.runtime.loop import Timing, run_group
from shaping.runtime.processes import agree, check_alike, is_main, on_main, several
from shaping.runtime.progress import Progress, size_of
from shaping.runtime.record import Record
from shaping.runtime.record_schema import attributes, coordinates, layout
from shaping.runtime.run_store import RunKeeper, Saving
from shaping.runtime.signals import StoppedError, Stops
from shaping.runtime.status import Status, StatusWriter, read_status


@dataclass(frozen=True)
class Prepared:
    """An experiment with its groups cut into chunks and segments: everything known before the first update."""

    experiment: Experiment
    groups: tuple[Group, ...]
    chunks: tuple[Chunks, ...]
    timetables: tuple[Timetable, ...]

    def config(self) -> dict[str, Any]:
        """The resolved configuration, chunks included, as plain data."""
        sizes = [chunks.size for chunks in self.chunks]
        return plain_data(self.experiment.resolved() | {"chunk_matches": sizes})

    def bytes(self) -> dict[str, int]:
        """What the run takes on disk, by what it is, if nothing can be compressed."""
        final = sum(len(group.indices) * c.state_bytes for group, c in zip(self.groups, self.chunks, strict=True))
        # One more than is kept: the oldest goes when the newest is there.
        rolling = (self.experiment.top["checkpoint"]["keep"] + 1) * max(c.padded * c.state_bytes for c in self.chunks)
        record = layout(self.experiment, self.templates()).bytes()
        return {"record": record, "final states": final, "checkpoints": rolling}

    def templates(self) -> list[Match]:
        """A match of every group."""
        return [group.template() for group in self.groups]

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
    with computing_in(top["precision"]):
        groups = []
        for blocks in build.groups(experiment):

            def matches_of(indices: np.ndarray, blocks: Any = blocks) -> Match:
                return build.matches_of(experiment, blocks, indices)

            # Where games of several kinds stand side by side, those of tables have their policies recorded.
            indices = build.group_indices(experiment, blocks)
            tabular = matches_of(indices[:1]).game.tabular
            extras = tuple(extra for extra in top["record"] if tabular or extra != "policies")
            groups.append(Group(indices, matches_of, extras))
        memory, devices = top["memory_gib"] * 2**30, jax.device_count()
        updates, record_every = top["updates"], top["record_every"]
        sizes = top["chunk_matches"]
        sizes = sizes if isinstance(sizes, list) else [sizes] * len(groups)
        if len(sizes) != len(groups):
            raise not_allowed(
                "chunk_matches", sizes, f"one number, or a list of {len(groups)}: one for every group of the plan"
            )
        chunks = [cut(g, updates, record_every, memory, devices, n) for g, n in zip(groups, sizes, strict=True)]
        every = top["checkpoint"]["every_updates"]
        tables = [timetable(g, c, updates, record_every, every) for g, c in zip(groups, chunks, strict=True)]
    return Prepared(experiment, tuple(groups), tuple(chunks), tuple(tables))


def _only_warnings(line: str) -> None:
    if line.startswith("warning: "):
        warnings.warn(line.removeprefix("warning: "), stacklevel=2)


def run(
    source: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    say: Callable[[str], None] = _only_warnings,
    show_progress: bool = False,
    stops: Stops | None = None,
) -> Any:
    """Runs a configuration: trains, records, summarises and reports.

    Args:
      source: a YAML file, the bare name of a shipped configuration, or a mapping.
      out: the folder to write, new or empty, or a URL of a store; by default a new folder under `runs/`. Where several
        processes run, all must be given the same.
      overrides: `key=value` settings on top of the configuration.
      say: receives lines for a human: the plan, what is written where; by default warnings alone are heard.
      show_progress: whether to draw a progress bar on standard error.
      stops: asked between segments whether to save and stop; never, if None.

    Returns:
      The folder, with config.yaml, record.zarr, summary.json, status.json, checkpoint/ and report/index.html.

    Raises:
      ConfigError: for anything that is not allowed, before any compute; and where the folder can no longer be written.
      StoppedError: when it was asked to stop; `resume` goes on.
    """
    began = time.perf_counter()
    prepared = prepare(read(source, overrides))
    if several() and out is None:
        raise ConfigError("--out: needed where several processes run; all must write to the same folder")
    stem = Path(source).stem if isinstance(source, str | Path) else "run"
    config = prepared.config()

    check_alike("run", str(out), config, _versions())
    folder = on_main(lambda: new_folder(out, stem)) or folder_at(out)

    def begin() -> None:
        check_space(folder, prepared.bytes())
        if (folder / "config.yaml").exists():
            raise ConfigError(f"--out {folder}: another process has just begun a run in it")
        write_whole(folder / "config.yaml", as_yaml(config))

    return _carry_out(folder, prepared, config, begin, say, show_progress, stops or Stops(), began)


def resume(
    folder: str | Path,
    say: Callable[[str], None] = _only_warnings,
    show_progress: bool = False,
    stops: Stops | None = None,
) -> Any:
    """Goes on with a run that was interrupted, from its newest checkpoint that is whole, or from the start if it has
    none; on any number of devices. What is finished is not done again.

    Args:
      folder: of the run.
      say, show_progress, stops: as for `run`.

    Returns:
      The folder, as `run`.

    Raises:
      ConfigError: if the folder holds no run, another process runs in it, or its configuration was changed.
      StoppedError: when it was asked to stop.
    """
    began = time.perf_counter()
    place = folder_at(folder)
    prepared = prepare(config_of(place))
    config = prepared.config()
    check_alike("resume", str(place), config, _versions())
    (finished,) = agree([is_main() and _is_finished(place)])
    if finished:
        say(f"{place}: nothing to do, this run is finished")
        return place
    return _carry_out(place, prepared, config, lambda: None, say, show_progress, stops or Stops(), began)


def _is_finished(folder: Any) -> bool:
    status = read_status(folder)
    left = (folder / "summary.json", folder / "report" / "index.html")
    return status is not None and status.state == "finished" and all(path.exists() for path in left)


def _carry_out(
    folder: Any,
    prepared: Prepared,
    config: dict[str, Any],
    begin: Callable[[], None],
    say: Callable[[str], None],
    show_progress: bool,
    stops: Stops,
    began: float,
) -> Any:
    """Everything after the folder is there, whether or not some of it was done before; `begin` is called when nobody
    else can be in it."""
    experiment, top = prepared.experiment, prepared.experiment.top
    before = read_status(folder)
    status = Status(
        matches=experiment.matches,
        match_updates=experiment.matches * top["updates"],
        chunks=sum(chunk.count for chunk in prepared.chunks),
        processes=jax.process_count(),
        devices=describe_devices(),
        # Until it is looked for.
        saved_updates=before.saved_updates if before else None,
    )
    with ExitStack() as stack, computing_in(top["precision"]):
        try:
            on_main(lambda: (stack.enter_context(guarded(folder)), begin()))
            for line in prepared.lines():
                say(line)
            record = _opened_record(folder, prepared, config)
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be written: {reason(error)}") from error
        writer, timing = StatusWriter(folder, status, enabled=is_main()), Timing()
        progress = Progress(status.match_updates, enabled=show_progress and is_main())
        try:
            keeper = RunKeeper(
                folder,
                record,
                Saving(**top["checkpoint"]),
                list(zip(prepared.chunks, prepared.timetables, strict=True)),
                {"config": fingerprint(config), "versions": _versions()},
                writer,
                progress,
                timing,
                stops,
                lambda line: say(f"warning: {line}"),
            )
            for number, (group, chunks, table) in enumerate(
                zip(prepared.groups, prepared.chunks, prepared.timetables, strict=True)
            ):
                run_group(number, group, chunks, table, keeper, progress, timing)
            keeper.close()
            progress.close()
            on_main(lambda: say(f"report: {_concluded(folder, experiment, timing, began)}"))
        except StoppedError:
            raise
        except BaseException as error:
            with suppress(Exception):
                done = {"match_updates_done": progress.done}
                writer.update(at_once=True, state="failed", message=reason(error), **done)
            if isinstance(error, OSError):
                how = f"when that is mended, `shaping resume {folder}` goes on"
                raise ConfigError(f"{folder}: cannot be read or written: {reason(error)}; {how}") from error
            raise
        writer.update(at_once=True, state="finished", match_updates_done=status.match_updates)
    return folder


def _opened_record(folder: Any, prepared: Prepared, config: dict[str, Any]) -> Record:
    """The record of a run, created where there is none yet.

    Raises:
      ConfigError: if it is the record of another configuration, or lost.
    """
    path, experiment = folder / "record.zarr", prepared.experiment

    def open_or_create() -> None:
        sweep_up(path)
        try:
            known = parse(Record(path).attributes["config"])
        except (FileNotFoundError, KeyError, ValueError):
            if (folder / "checkpoint").exists():
                raise ConfigError(
                    f"{folder}: holds checkpoints but no whole record.zarr; put it back, or run its config.yaml anew"
                ) from None
            remove(path)
            text = as_yaml(config)
            matches = prepared.templates()
            about = attributes(experiment, matches, text)
            Record.create(path, layout(experiment, matches), coordinates(experiment), about)
            return
        changed = first_difference(fixed(known), fixed(config))
        if changed:
            key, before, now = changed
            raise ConfigError(
                f"{folder / 'config.yaml'}: {key} was {shown(before)} when the run began and is {shown(now)} now; "
                "put it back, or run the new configuration into a folder of its own"
            )

    on_main(open_or_create)
    return Record(path)


def _concluded(folder: Any, experiment: Experiment, timing: Timing, began: float) -> Any:
    """Summary and report of a run whose matches are all final; what was kept to go on with is no longer needed."""
    remove(folder / "checkpoint" / "running")
    draw_episode(folder, experiment)
    from shaping.analysis.report import write_report
    from shaping.analysis.summary import summarise

    # Where nothing was left to train, what took the time was told before.
    told = (folder / "summary.json").exists() and not timing.match_updates
    summarise(folder, timing=None if told else _timing(timing, began))
    return write_report(folder)


def config_of(folder: Any) -> dict[str, Any]:
    """The configuration in the folder of a run, as it stands there.

    Raises:
      ConfigError: if there is none, or it cannot be read.
    """
    folder = folder_at(folder)
    path = folder / "config.yaml"
    if not path.exists():
        raise ConfigError(f"{folder}: holds no run; it has no config.yaml")
    raw = parse(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values, not {shown(raw)}")
    return raw


def _versions() -> dict[str, str]:
    return {"shaping": __version__, "jax": jax.__version__}


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
