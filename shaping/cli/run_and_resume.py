"""The commands that train: `run` and `resume`, alone or as one of several processes."""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from shaping import exit_statuses as statuses
from shaping.cli.devices import begin, choose_compiler
from shaping.cli.output import OutputError, complain, discard_output, print_lines
from shaping.cli.summary_lines import summary_lines


def run_command(arguments: argparse.Namespace) -> int:
    begin()
    from shaping.config.files import read
    from shaping.config.league import is_frozen
    from shaping.config.plan import plan
    from shaping.experiment import prepare, run
    from shaping.runtime.storage import folder_at

    _join(arguments)
    raw = read(arguments.config, arguments.overrides)
    if is_frozen(raw):
        return _run_league(arguments, raw)
    experiment = plan(raw)
    choose_compiler(experiment)
    if arguments.dry_run:
        prepared = prepare(experiment)
        print_lines(prepared.lines())
        prepared.check_fits(folder_at(arguments.out or "runs"))
        return statuses.FINISHED
    name = Path(arguments.config).stem
    return _carry_out(arguments, lambda **how: run(experiment, arguments.out, name=name, **how))


def _run_league(arguments: argparse.Namespace, raw: Any) -> int:
    """Runs a configuration whose league has frozen players only."""
    from shaping.config.league import normal_frozen
    from shaping.leagues.frozen_leagues import run_league

    if arguments.dry_run:
        told = normal_frozen(raw)["league"]
        print_lines([f"plan: a league of frozen players: {len(told['players'])} runs or files, and {told['against']}"])
        return statuses.FINISHED
    folder = run_league(raw, arguments.out, Path(arguments.config).stem)
    print_lines([f"report: {folder / 'report' / 'index.html'}"])
    return statuses.FINISHED


def resume_command(arguments: argparse.Namespace) -> int:
    begin()
    from shaping.config.errors import ConfigError
    from shaping.config.league import is_frozen
    from shaping.experiment import planned, resume
    from shaping.leagues.frozen_leagues import resume_league
    from shaping.runtime.existing_run import config_of

    _join(arguments)
    if is_frozen(config_of(arguments.folder)):
        if arguments.overrides:
            raise ConfigError("--set: a league of frozen players cannot be extended")
        print_lines([f"report: {resume_league(arguments.folder) / 'report' / 'index.html'}"])
        return statuses.FINISHED
    experiment = planned(arguments.folder, arguments.overrides)
    choose_compiler(experiment)
    return _carry_out(arguments, lambda **how: resume(arguments.folder, experiment=experiment, **how))


def _join(arguments: argparse.Namespace) -> None:
    """Joins the other processes of a distributed run, before a game or a plugin can touch a device."""
    from shaping.config.errors import ConfigError
    from shaping.runtime.processes import join

    where = (arguments.coordinator, arguments.processes, arguments.process)
    if arguments.distributed:
        join(*where)
    elif where != (None, None, None):
        raise ConfigError("--coordinator, --processes, --process: only with --distributed")


def _carry_out(arguments: argparse.Namespace, work: Callable[..., Path]) -> int:
    """Runs or resumes. Only the main process of a distributed run prints."""
    from shaping.runtime.failures import reason
    from shaping.runtime.processes import is_main, several
    from shaping.runtime.signals import StoppedError, StopRequest

    prints = is_main() and not arguments.quiet

    def say(line: str) -> None:
        nonlocal prints
        if line.startswith("warning: ") and is_main():
            complain(line, prefix="")
        elif prints:
            try:
                print_lines([line])
            except OutputError as error:
                # A run of hours must not be lost because one line cannot be printed.
                prints = False
                discard_output()
                if not isinstance(error.__cause__, BrokenPipeError):
                    why = reason(error.__cause__ or error)
                    complain(f"standard output cannot be written ({why}); the run continues without it")

    # Failures are reported in one line; the background threads of these libraries would print pages.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with StopRequest() as stop_request:
        try:
            folder = work(say=say, show_progress=prints, stop_request=stop_request)
        except StoppedError as stopped:
            if is_main():
                complain(str(stopped))
            return statuses.STOPPED
        except Exception as error:
            if not several():
                raise
            _leave(error)
    for line in summary_lines(folder):
        say(line)
    return statuses.FINISHED


def _leave(error: Exception) -> NoReturn:
    """Ends one process of a distributed run, soon. An orderly end would wait for processes that may have gone, or
    that wait for this one."""
    import traceback

    from shaping.config.errors import ConfigError
    from shaping.runtime.checkpoints import barrier
    from shaping.runtime.failures import ExhaustedError
    from shaping.runtime.processes import is_lost, leave_in_order

    if isinstance(error, ConfigError):
        status = statuses.STOPPED if isinstance(error, ExhaustedError) else statuses.REFUSED
        complain(str(error))
        sys.stderr.flush()
        leave_in_order(barrier)
    elif is_lost(error):
        status = statuses.LOST
        complain("another process of this run has ended; `shaping resume DIR` continues the run")
    else:
        status = statuses.FAILED
        traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(status)
