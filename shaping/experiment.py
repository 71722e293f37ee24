"""Experiments from start to report: `run` starts a configuration, `resume` continues an interrupted run."""

import platform
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import jax

from shaping import __version__
from shaping.config.errors import ConfigError
from shaping.config.files import read
from shaping.config.league import is_frozen
from shaping.config.plan import Experiment, plan
from shaping.config.resolved import as_yaml, fingerprint
from shaping.prepared_run import Prepared, prepare
from shaping.results import draw_episode, write_results
from shaping.runtime.curve_log import check_log, open_log
from shaping.runtime.damaged_records import check_files, check_metadata, explaining_damage
from shaping.runtime.devices import computing_in, describe_devices
from shaping.runtime.existing_run import config_of, is_finished, open_record, summary_of
from shaping.runtime.failures import ExhaustedError, is_exhausted, is_out_of_memory, reason
from shaping.runtime.longer_runs import STATES, asked_updates, check_extension, extend, pending_updates
from shaping.runtime.loop import Timing, run_group
from shaping.runtime.processes import agree, check_alike, is_lost, is_main, on_main, several
from shaping.runtime.progress import Progress
from shaping.runtime.record import Record
from shaping.runtime.record_schema import layout, replicate_of
from shaping.runtime.run_store import RunStore, Saving
from shaping.runtime.signals import StoppedError, StopRequest
from shaping.runtime.status import Status, StatusWriter, read_status
from shaping.runtime.storage import folder_at, locked, new_folder, remove, write_whole


def _only_warnings(line: str) -> None:
    if line.startswith("warning: "):
        warnings.warn(line.removeprefix("warning: "), stacklevel=2)


def run(
    source: str | Path | Mapping[str, Any] | Experiment,
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    say: Callable[[str], None] = _only_warnings,
    show_progress: bool = False,
    stop_request: StopRequest | None = None,
    name: str = "run",
) -> Any:
    """Runs a configuration: trains, records, summarises and reports.

    Args:
      source: a YAML file, the name of a shipped configuration, a mapping, or a planned experiment.
      out: the folder to write, new or empty, or the URL of an object store; by default a new folder under `runs/`. In a
        distributed run every process must be given the same folder.
      overrides: `key=value` settings that change a configuration; not for an experiment that is already planned.
      say: receives lines of text: the plan, and what is written where. By default only warnings are printed.
      show_progress: whether to draw a progress bar on standard error.
      stop_request: checked after every segment; once a signal has been received, the run saves and stops.
      name: the name of the new folder under `runs/`, if `source` is not a file.

    Returns:
      The folder, with config.yaml, record.zarr, summary.json, status.json, checkpoint/ and report/index.html; of a
      league of frozen players, what `leagues.league` writes.

    Raises:
      ConfigError: for anything that is not allowed, before anything is computed; also if the folder can no longer be
        written.
      StoppedError: if it was asked to stop; `resume` continues the run.
    """
    began = time.perf_counter()
    stem = Path(source).stem if isinstance(source, str | Path) else name
    raw = source if isinstance(source, Experiment) else read(source, overrides)
    if not isinstance(raw, Experiment) and is_frozen(raw):
        from shaping.leagues.frozen_leagues import run_league

        return run_league(raw, out, stem)
    prepared = prepare(raw)
    if several() and out is None:
        raise ConfigError("--out: needed in a distributed run; all processes must write to the same folder")
    config = prepared.config()

    check_alike("run", str(out), config, _versions())
    check_log(prepared.experiment.top["log"], None if out is None else folder_at(out))
    folder = on_main(lambda: new_folder(out, stem)) or folder_at(out)

    def begin() -> None:
        prepared.check_fits(folder)
        if (folder / "config.yaml").exists():
            raise ConfigError(f"--out {folder}: another process has just started a run in it")
        write_whole(folder / "config.yaml", as_yaml(config))

    return _carry_out(folder, prepared, config, begin, say, show_progress, stop_request or StopRequest(), began)


def resume(
    folder: str | Path,
    say: Callable[[str], None] = _only_warnings,
    show_progress: bool = False,
    stop_request: StopRequest | None = None,
    overrides: Iterable[str] = (),
    experiment: Experiment | None = None,
) -> Any:
    """Continues an interrupted run, or extends a finished one. Nothing that is done is computed again.

    It continues from the newest intact checkpoint, or from the start if there is none, on any number of devices.

    Args:
      folder: the folder of the run.
      say, show_progress, stop_request: as for `run`.
      overrides: `updates=N` extends a finished run to N updates; nothing else can be changed. The result is the same as
        that of a run of this length.
      experiment: the experiment in the folder, if it is already planned.

    Returns:
      The folder, as `run` does.

    Raises:
      ConfigError: if the folder holds no run or a damaged one, if another process is running in it, or if its
        configuration was changed.
      StoppedError: if it was asked to stop.
    """
    began = time.perf_counter()
    place = folder_at(folder)
    if experiment is None and is_frozen(config_of(place)):
        from shaping.leagues.frozen_leagues import resume_league

        return resume_league(place)
    experiment = experiment or planned(place, overrides)
    prepared = prepare(experiment)
    config = prepared.config()
    check_alike("resume", str(place), config, _versions())
    # Populations cannot be extended.
    before, now = config_of(place).get("updates", config.get("updates")), config.get("updates")
    extends = agree([is_main() and (before != now or pending_updates(place) is not None)])[0]
    check_files(place)
    (finished,) = agree([is_main() and is_finished(place)])
    if finished and not extends:
        say(f"{place}: nothing to do, this run is finished")
        return place

    def begin() -> None:
        if not extends:
            return
        pending = pending_updates(place) is not None
        if not pending and not finished:
            raise ConfigError(
                f"{place}: only a finished run can be extended; `shaping resume {place}` finishes it, with its "
                f"{before} updates"
            )
        prepared.check_fits(place)
        if not pending:
            # If anything is damaged, nothing is changed.
            check_metadata(place / "record.zarr", layout(prepared.experiment).dimensions())
        extend(place, list(layout(prepared.experiment).steps), as_yaml(config))

    return _carry_out(place, prepared, config, begin, say, show_progress, stop_request or StopRequest(), began)


def planned(folder: Any, overrides: Iterable[str] = ()) -> Experiment:
    """The experiment in the folder of a run, with the number of updates to which it is to be extended.

    Args:
      folder: the folder of the run.
      overrides: see `resume`.

    Raises:
      ConfigError: if the folder holds none, or it cannot be extended this way.
    """
    place = folder_at(folder)
    raw = config_of(place)
    asked, pending = asked_updates(list(overrides)), pending_updates(place)
    experiment = plan(raw if pending is None else raw | {"updates": pending})
    if asked is not None and experiment.of_populations:
        raise ConfigError(f"--set updates={asked}: a run of populations cannot be extended")
    if asked is None or asked == experiment.top["updates"]:
        return experiment
    check_extension(experiment.top, asked)
    return plan(raw | {"updates": asked})


def _carry_out(
    folder: Any,
    prepared: Prepared,
    config: dict[str, Any],
    begin: Callable[[], None],
    say: Callable[[str], None],
    show_progress: bool,
    stop_request: StopRequest,
    began: float,
) -> Any:
    """Trains what is not trained yet, then summarises and reports. `begin` is called once the folder is locked."""
    experiment, top = prepared.experiment, prepared.experiment.top
    before = read_status(folder)
    status = Status(
        matches=experiment.matches,
        match_updates=experiment.matches * experiment.length,
        counted=replicate_of(experiment).counted,
        chunks=sum(chunk.count for chunk in prepared.chunks),
        processes=jax.process_count(),
        devices=describe_devices(),
        # True unless that checkpoint turns out to be damaged.
        saved_updates=before.saved_updates if before else None,
    )
    with ExitStack() as stack, computing_in(top["precision"]):
        for line in prepared.lines():
            say(line)
        try:
            on_main(lambda: (stack.enter_context(locked(folder)), begin()))
            on_main(lambda: open_record(folder, experiment, config))
            record = Record(folder / "record.zarr")
        except OSError as error:
            kind = ExhaustedError if is_exhausted(error) else ConfigError
            raise kind(f"{folder}: cannot be written: {reason(error)}") from error
        log = None
        if is_main() and top["log"]:
            found = layout(experiment)
            log = open_log(top["log"], folder, found.variables, found.sizes()["player"], found.steps, top["matches"])
        writer, timing = StatusWriter(folder, status, enabled=is_main()), Timing()
        progress = Progress(status.match_updates, None, show_progress and is_main(), status.counted)
        store = RunStore(
            folder,
            record,
            Saving(**top["checkpoint"]),
            list(zip(prepared.chunks, prepared.timetables, strict=True)),
            {"config": fingerprint(config), "versions": _versions() | {"platform": jax.default_backend()}},
            writer,
            progress,
            timing,
            stop_request,
            lambda line: say(f"warning: {line}"),
            log,
        )
        try:
            for number, (group, chunks, table) in enumerate(
                zip(prepared.groups, prepared.chunks, prepared.timetables, strict=True)
            ):
                run_group(number, group, chunks, table, store, progress, timing)
            store.close()
            progress.close()
            on_main(lambda: say(f"report: {_concluded(folder, experiment, timing, began)}"))
        except StoppedError:
            raise
        except BaseException as error:
            if not is_lost(error):
                with suppress(Exception):
                    store.close()
            with suppress(Exception):
                done = {"match_updates_done": progress.done}
                writer.update(at_once=True, state="failed", message=reason(error), **done)
            explained = _explained(error, folder)
            if explained is error:
                raise
            raise explained from error
        writer.update(at_once=True, state="finished", match_updates_done=status.match_updates)
    return folder


def _explained(error: BaseException, folder: Any) -> BaseException:
    """Turns an error of the machine into one line that says what to do; returns any other error unchanged."""
    if isinstance(error, ConfigError) or is_lost(error):
        return error
    continues = f"`shaping resume {folder}` continues the run"
    if is_out_of_memory(error):
        return ConfigError(
            f"{folder}: out of memory: {reason(error)[:300]}; with more memory {continues}; a new run with a smaller "
            "memory_gib or chunk_matches needs less"
        )
    if is_exhausted(error):
        return ExhaustedError(f"{folder}: {reason(error)[:300]}; {continues}")
    if isinstance(error, OSError):
        place = error.filename or folder
        return ConfigError(f"{place}: cannot be read or written: {reason(error)}; once that is corrected, {continues}")
    return error


def _concluded(folder: Any, experiment: Experiment, timing: Timing, began: float) -> Any:
    """Summarises and reports a run whose matches are all final, and deletes what is needed only to continue it."""
    for name in ("running", STATES):
        remove(folder / "checkpoint" / name)
    with explaining_damage(folder / "record.zarr"):
        draw_episode(folder, experiment)
    # If nothing was left to train, the summary already says how long training took.
    keeps_timing = summary_of(folder) is not None and not timing.match_updates
    counted = replicate_of(experiment).counted.replace("-", "_")
    return write_results(folder, None if keeps_timing else _timing(timing, began, counted))


def _versions() -> dict[str, str]:
    return {"shaping": __version__, "jax": jax.__version__}


def _timing(timing: Timing, began: float, counted: str) -> dict[str, Any]:
    rate = timing.match_updates / timing.run_s if timing.run_s else 0.0
    return {
        "compile_s": round(timing.compile_s, 3),
        "run_s": round(timing.run_s, 3),
        "total_s": round(time.perf_counter() - began, 3),
        f"{counted}_per_s": rate,
        "devices": describe_devices(),
        "groups": timing.groups,
        "versions": {"python": platform.python_version(), "jax": jax.__version__},
    }
