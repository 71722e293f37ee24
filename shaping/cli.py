"""The command line: runs commands and prints. Options are in `command_line`; heavy modules are imported when needed.
Each command is a function here, which makes this file longer than others."""

import argparse
import json
import logging
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from shaping import exit_statuses as statuses
from shaping.command_line import parser
from shaping.summary_lines import summary_lines


class _OutputError(Exception):
    """Standard output cannot be written."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status; `shaping.exit_statuses` says what each means."""
    arguments = parser().parse_args(argv)
    from shaping.config.errors import ConfigError, LostError
    from shaping.runtime.failures import ExhaustedError, is_exhausted, is_out_of_memory, reason

    if getattr(arguments, "quiet", False):
        _silence_libraries()
    try:
        _use_plugins(arguments)
        with _naming_damage(arguments):
            status = _HANDLERS[arguments.command](arguments)
        _print_lines([])
        return status
    except ExhaustedError as error:
        if argv is None:
            # Objects that could not be created because files ran out would complain again when they are deleted.
            sys.unraisablehook = lambda unraisable: None
            warnings.simplefilter("ignore")
        _complain(str(error))
        return statuses.STOPPED
    except ConfigError as error:
        _complain(str(error))
        return statuses.REFUSED
    except LostError as error:
        _complain(str(error))
        return statuses.LOST
    except _OutputError as error:
        _discard_output()
        if isinstance(error.__cause__, BrokenPipeError):
            # The reader of the pipe (head, less) has closed it.
            return statuses.FINISHED
        _complain(f"standard output: cannot be written: {reason(error.__cause__ or error)}")
        return statuses.REFUSED
    except KeyboardInterrupt:
        _complain("interrupted")
        return statuses.INTERRUPTED
    except RecursionError:
        _complain("something in a file or on the command line is nested too deeply")
        return statuses.REFUSED
    except Exception as error:
        if is_out_of_memory(error):
            _complain(f"out of memory: {reason(error)[:300]}" if str(error) else "out of memory")
            return statuses.REFUSED
        if is_exhausted(error):
            _complain(reason(error)[:300])
            return statuses.STOPPED
        if isinstance(error, OSError):
            place = f"{str(error.filename)[:200]}: " if error.filename else ""
            _complain(f"{place}{reason(error)[:300]}")
            return statuses.REFUSED
        raise


@contextmanager
def _naming_damage(arguments: argparse.Namespace) -> Iterator[None]:
    """If a command fails that reads the records of other runs, looks for damage in those and reports that instead."""
    places = getattr(arguments, "sources", None) or [getattr(arguments, "source", None)]
    if places == [None]:
        yield
        return
    from shaping.runtime.damaged_records import explaining_damage
    from shaping.runtime.storage import folder_at

    with ExitStack() as stack:
        for place in places:
            record = folder_at(place) / "record.zarr"
            if record.is_dir():
                stack.enter_context(explaining_damage(record))
        yield


def _complain(message: str, prefix: str = "shaping: ") -> None:
    """Prints a line to standard error, if that can be written."""
    with suppress(OSError):
        print(f"{prefix}{message}".encode(errors="backslashreplace").decode(), file=sys.stderr, flush=True)


def _print_lines(lines: Sequence[str]) -> None:
    """Prints to standard output, at once.

    Raises:
      _OutputError: if that cannot be written.
    """
    try:
        for line in lines:
            # A lone surrogate, from a file name for example, cannot be encoded.
            print(line.encode(errors="backslashreplace").decode())
        sys.stdout.flush()
    except OSError as error:
        raise _OutputError from error


def _discard_output() -> None:
    """Discards what is still to be printed, so that Python does not fail on it at exit."""
    # In a test, standard output may not be a file.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _silence_libraries() -> None:
    """Keeps other libraries' warnings off the terminal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _use_plugins(arguments: argparse.Namespace) -> None:
    from shaping.config.errors import ConfigError

    if getattr(arguments, "plugins", []):
        from shaping.plugins import ExtensionError, use_plugin

        _begin()
        try:
            for source in arguments.plugins:
                use_plugin(source)
        except ExtensionError as error:
            raise ConfigError(str(error)) from error


def _run(arguments: argparse.Namespace) -> int:
    _begin()
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
    _choose_compiler(experiment)
    if arguments.dry_run:
        prepared = prepare(experiment)
        _print_lines(prepared.lines())
        prepared.check_fits(folder_at(arguments.out or "runs"))
        return statuses.FINISHED
    name = Path(arguments.config).stem
    return _carry_out(arguments, lambda **how: run(experiment, arguments.out, name=name, **how))


def _run_league(arguments: argparse.Namespace, raw: Any) -> int:
    """Runs a configuration whose league has frozen players only."""
    from shaping.config.league import normal_frozen
    from shaping.leagues import run_league

    if arguments.dry_run:
        told = normal_frozen(raw)["league"]
        _print_lines([f"plan: a league of frozen players: {len(told['players'])} runs or files, and {told['against']}"])
        return statuses.FINISHED
    folder = run_league(raw, arguments.out, Path(arguments.config).stem)
    _print_lines([f"report: {folder / 'report' / 'index.html'}"])
    return statuses.FINISHED


def _resume(arguments: argparse.Namespace) -> int:
    _begin()
    from shaping.config.errors import ConfigError
    from shaping.config.league import is_frozen
    from shaping.experiment import planned, resume
    from shaping.leagues import resume_league
    from shaping.runtime.existing_run import config_of

    _join(arguments)
    if is_frozen(config_of(arguments.folder)):
        if arguments.overrides:
            raise ConfigError("--set: a league of frozen players cannot be extended")
        _print_lines([f"report: {resume_league(arguments.folder) / 'report' / 'index.html'}"])
        return statuses.FINISHED
    experiment = planned(arguments.folder, arguments.overrides)
    _choose_compiler(experiment)
    return _carry_out(arguments, lambda **how: resume(arguments.folder, experiment=experiment, **how))


def _begin() -> None:
    """Imports JAX and decides about devices, before anything else can touch them."""
    from shaping.runtime.environment_variables import import_jax

    import_jax()
    from shaping.runtime.devices import prepare_process

    prepare_process()


def _join(arguments: argparse.Namespace) -> None:
    """Joins the other processes of a distributed run, before a game or a plugin can touch a device."""
    from shaping.config.errors import ConfigError
    from shaping.runtime.processes import join

    where = (arguments.coordinator, arguments.processes, arguments.process)
    if arguments.distributed:
        join(*where)
    elif where != (None, None, None):
        raise ConfigError("--coordinator, --processes, --process: only with --distributed")


def _choose_compiler(experiment: Any) -> None:
    """Decides how XLA compiles, and makes JAX look for its devices."""
    from shaping.config import build
    from shaping.runtime.devices import check_devices, compile_for_scalars

    if build.unrolled(experiment):
        compile_for_scalars()
    check_devices()


def _carry_out(arguments: argparse.Namespace, work: Callable[..., Path]) -> int:
    """Runs or resumes. Only the main process of a distributed run prints."""
    from shaping.runtime.failures import reason
    from shaping.runtime.processes import is_main, several
    from shaping.runtime.signals import StoppedError, StopRequest

    prints = is_main() and not arguments.quiet

    def say(line: str) -> None:
        nonlocal prints
        if line.startswith("warning: ") and is_main():
            _complain(line, prefix="")
        elif prints:
            try:
                _print_lines([line])
            except _OutputError as error:
                # A run of hours must not be lost because one line cannot be printed.
                prints = False
                _discard_output()
                if not isinstance(error.__cause__, BrokenPipeError):
                    why = reason(error.__cause__ or error)
                    _complain(f"standard output cannot be written ({why}); the run continues without it")

    # Failures are reported in one line; the background threads of these libraries would print pages.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with StopRequest() as stop_request:
        try:
            folder = work(say=say, show_progress=prints, stop_request=stop_request)
        except StoppedError as stopped:
            if is_main():
                _complain(str(stopped))
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
    from shaping.runtime.failures import ExhaustedError
    from shaping.runtime.processes import is_lost, leave_in_order

    if isinstance(error, ConfigError):
        status = statuses.STOPPED if isinstance(error, ExhaustedError) else statuses.REFUSED
        _complain(str(error))
        sys.stderr.flush()
        leave_in_order()
    elif is_lost(error):
        status = statuses.LOST
        _complain("another process of this run has ended; `shaping resume DIR` continues the run")
    else:
        status = statuses.FAILED
        traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(status)


def _status(arguments: argparse.Namespace) -> int:
    from shaping.config.errors import ConfigError
    from shaping.runtime.status import describe, read_status
    from shaping.runtime.storage import folder_at

    folder = folder_at(arguments.folder)
    status = read_status(folder)
    if status is None:
        raise ConfigError(f"{folder}: holds no run; it has no readable status.json")
    _print_lines(describe(folder, status))
    return statuses.FINISHED


def _replay(arguments: argparse.Namespace) -> int:
    _begin()
    from shaping.experiment import planned
    from shaping.replayed_matches import lines, replay

    experiment = planned(arguments.folder)
    _choose_compiler(experiment)
    told = lines(replay(arguments.folder, arguments.match, arguments.last, experiment))
    if arguments.episode is not None:
        from shaping.results import load, save_episode_of

        save_episode_of(load(arguments.folder), arguments.match, Path(arguments.episode))
        told.append(f"episode: {arguments.episode}")
    _print_lines(told)
    return statuses.FINISHED


def _report(arguments: argparse.Namespace) -> int:
    _begin()
    from shaping.results import report

    _print_lines([str(report(arguments.folder, arguments.pdf))])
    return statuses.FINISHED


def _league(arguments: argparse.Namespace) -> int:
    _begin()
    if arguments.learning is not None:
        return _learning_league(arguments)
    from shaping.config.errors import ConfigError
    from shaping.leagues import league

    if arguments.overrides:
        raise ConfigError("--set: only with --learning")
    how = (arguments.against, arguments.game, arguments.cells, arguments.per_cell, arguments.out)
    play = (arguments.se, arguments.sampled, arguments.seed, arguments.restarts, arguments.updates)
    _print_lines([str(league(arguments.sources, *how, *play) / "report" / "index.html")])
    return statuses.FINISHED


def _learning_league(arguments: argparse.Namespace) -> int:
    from shaping.config.errors import ConfigError
    from shaping.learning_leagues import learning_league

    if (
        arguments.sources
        or arguments.cells
        or arguments.per_cell
        or arguments.sampled
        or arguments.against != "classic"
    ):
        raise ConfigError("--learning: only with --game, --set and --out; frozen policies are a league of their own")
    folder = learning_league(arguments.learning, arguments.game, arguments.out, arguments.overrides)
    _print_lines([str(folder / "league" / "index.html")])
    return statuses.FINISHED


def _exploit(arguments: argparse.Namespace) -> int:
    _begin()
    from shaping.exploit_run import exploit

    which = (arguments.source, arguments.cells, arguments.per_cell, arguments.out)
    how = (arguments.restarts, arguments.updates, arguments.se, arguments.seed)
    _print_lines([str(exploit(*which, *how) / "report" / "index.html")])
    return statuses.FINISHED


def _analyze(arguments: argparse.Namespace) -> int:
    _begin()
    from shaping.run_analysis import analyze

    folder = analyze(arguments.source, arguments.out, arguments.rounds, arguments.seed)
    _print_lines([str(folder / "report" / "index.html")])
    return statuses.FINISHED


def _compare(arguments: argparse.Namespace) -> int:
    _begin()
    from shaping.comparison import compare

    _print_lines([str(compare(arguments.sources, arguments.out) / "report" / "index.html")])
    return statuses.FINISHED


def _doctor(arguments: argparse.Namespace) -> int:
    del arguments
    from shaping.doctor import lines

    _print_lines(lines())
    return statuses.FINISHED


def _verify(arguments: argparse.Namespace) -> int:
    from shaping.verify import verify

    board = verify(arguments.names, arguments.out, arguments.quick, lambda line: _print_lines([line]))
    return statuses.FAILED if board["total"]["differs"] or board["total"]["failed"] else statuses.FINISHED


def _list(arguments: argparse.Namespace) -> int:
    del arguments
    _begin()
    from shaping.config.files import shipped
    from shaping.config.names import named
    from shaping.config.yaml_text import parse

    lines = []
    for heading, functions in named().items():
        lines.append(f"{heading}:")
        if heading == "strategies":
            names = ", ".join(functions)
            lines += textwrap.fill(names, 120, initial_indent="  ", subsequent_indent="  ").splitlines()
            continue
        for name, function in functions.items():
            lines.append(f"  {name:<28}{_first_line(function)}")
    lines.append("configurations:")
    for name, path in shipped().items():
        title = parse(path.read_text(encoding="utf-8"), name).get("title", "")
        lines.append(f"  {name:<28}{title}")
    _print_lines(lines)
    return statuses.FINISHED


def _schema(arguments: argparse.Namespace) -> int:
    del arguments
    from shaping.config.json_schema import json_schema

    _print_lines([json.dumps(json_schema(), indent=1)])
    return statuses.FINISHED


def _first_line(function: object) -> str:
    if isinstance(function, str):
        return function
    first = " ".join((function.__doc__ or "").strip().partition("\n\n")[0].split())
    return textwrap.shorten(first, 110, placeholder=" ...")


_HANDLERS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "resume": _resume,
    "status": _status,
    "replay": _replay,
    "report": _report,
    "league": _league,
    "exploit": _exploit,
    "analyze": _analyze,
    "compare": _compare,
    "verify": _verify,
    "doctor": _doctor,
    "list": _list,
    "schema": _schema,
}


if __name__ == "__main__":
    sys.exit(main())
