"""The command line: parse, call, print. Nothing heavy is imported before it is needed."""

import argparse
import json
import logging
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from shaping import exit_statuses as statuses


class _OutputError(Exception):
    """Standard output cannot be written."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status; `shaping.exit_statuses` says what each means."""
    arguments = _parser().parse_args(argv)
    from shaping.config.errors import ConfigError, LostError
    from shaping.runtime.failures import ExhaustedError, is_exhausted, is_out_of_memory, reason

    if getattr(arguments, "quiet", False):
        _silence_libraries()
    try:
        _use_plugins(arguments)
        status = arguments.handler(arguments)
        _print_lines([])
        return status
    except ExhaustedError as error:
        if argv is None:
            # Objects that could not be set up for want of files complain once more when they are deleted.
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
            # The reader of a pipe (head, less) has seen enough.
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
    """Sends what is still to be printed nowhere, so that Python does not fail on it as it ends."""
    # In a test it may be no file.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _silence_libraries() -> None:
    """Keeps other libraries' warnings off the terminal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shaping",
        description="Opponent shaping at population scale.",
        epilog="\n".join(statuses.lines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"shaping {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="train the population of a configuration, record it and report on it")
    run.add_argument("config", help="a YAML file, or the name of a shipped configuration (see `shaping list`)")
    run.add_argument("--out", metavar="DIR", help="folder to write, new or empty (default: a new one under runs/)")
    run.add_argument(
        "--set",
        metavar="KEY=VALUE",
        dest="overrides",
        action="append",
        default=[],
        help="override a key, e.g. matches=100",
    )
    run.add_argument("--dry-run", action="store_true", help="check the configuration, show the plan and stop")
    run.add_argument("--quiet", action="store_true", help="print warnings and errors only")
    run.set_defaults(handler=_run)

    _add_distributed(run)

    resume = commands.add_parser("resume", help="continue a run that was interrupted, or extend one that is finished")
    resume.add_argument("folder", metavar="DIR", help="the folder of the run")
    resume.add_argument(
        "--set",
        metavar="updates=N",
        dest="overrides",
        action="append",
        default=[],
        help="extend a finished run to N updates",
    )
    resume.add_argument("--quiet", action="store_true", help="print warnings and errors only")
    resume.set_defaults(handler=_resume)
    _add_distributed(resume)

    status = commands.add_parser("status", help="show how far a run is: done, failed, rate, time left")
    status.add_argument("folder", metavar="DIR", help="the folder of the run")
    status.set_defaults(handler=_status)

    replay = commands.add_parser("replay", help="replay one match of a run, alone, update by update")
    replay.add_argument("folder", metavar="DIR", help="the folder of the run")
    replay.add_argument("--match", metavar="M", type=int, required=True, help="its number, as summary.json lists it")
    replay.add_argument("--last", metavar="N", type=int, default=20, help="how many updates to show (default: 20)")
    replay.set_defaults(handler=_replay)

    report = commands.add_parser("report", help="write summary and report anew from a record")
    report.add_argument("folder", metavar="DIR", help="the folder of a run")
    report.set_defaults(handler=_report)

    verify = commands.add_parser("verify", help="recompute published results and print ours beside them")
    verify.add_argument("names", metavar="NAME", nargs="*", help="a shipped configuration (default: all with such)")
    verify.add_argument("--quick", action="store_true", help="a shorter check: fewer matches or variants")
    verify.add_argument("--out", metavar="DIR", help="folder to write, new or empty (default: a new one under runs/)")
    verify.set_defaults(handler=_verify)

    doctor = commands.add_parser("doctor", help="show versions, devices, settings, paths, and what is odd about them")
    doctor.set_defaults(handler=_doctor)

    listing = commands.add_parser("list", help="games, rules, learners, policies and shipped configurations")
    listing.set_defaults(handler=_list)

    schema = commands.add_parser("schema", help="print the JSON Schema of configurations, for editors")
    schema.set_defaults(handler=_schema)
    for command in (run, resume, replay, verify, listing, schema):
        command.add_argument(
            "--plugin",
            metavar="MODULE_OR_FILE",
            dest="plugins",
            action="append",
            default=[],
            help="a module or .py file that adds RULES, LEARNERS, ENVIRONMENTS or POLICIES, for this command",
        )
    return parser


def _use_plugins(arguments: argparse.Namespace) -> None:
    from shaping.config.errors import ConfigError

    if getattr(arguments, "plugins", []):
        from shaping.extensions import ExtensionError, use_plugin

        try:
            for source in arguments.plugins:
                use_plugin(source)
        except ExtensionError as error:
            raise ConfigError(str(error)) from error


def _add_distributed(parser: argparse.ArgumentParser) -> None:
    several = parser.add_argument_group("distributed runs: several processes, each started with the same command")
    several.add_argument("--distributed", action="store_true", help="join them; enough on SLURM, GKE and TPU pods")
    several.add_argument("--coordinator", metavar="HOST:PORT", help="elsewhere: the address of process 0")
    several.add_argument("--processes", metavar="N", type=int, help="elsewhere: how many processes there are")
    several.add_argument("--process", metavar="I", type=int, help="elsewhere: the number of this process, from 0")


def _run(arguments: argparse.Namespace) -> int:
    _import_jax()
    from shaping.config.files import read
    from shaping.config.plan import plan
    from shaping.experiment import prepare, run

    experiment = plan(read(arguments.config, arguments.overrides))
    _prepare_process(arguments, experiment)
    if arguments.dry_run:
        _print_lines(prepare(experiment).lines())
        return statuses.FINISHED
    name = Path(arguments.config).stem
    return _carry_out(arguments, lambda **how: run(experiment, arguments.out, name=name, **how))


def _resume(arguments: argparse.Namespace) -> int:
    _import_jax()
    from shaping.experiment import planned, resume

    experiment = planned(arguments.folder, arguments.overrides)
    _prepare_process(arguments, experiment)
    return _carry_out(arguments, lambda **how: resume(arguments.folder, experiment=experiment, **how))


def _import_jax() -> None:
    from shaping.runtime.environment import import_jax

    import_jax()


def _prepare_process(arguments: argparse.Namespace, experiment: Any) -> None:
    """Decides what must be decided before JAX touches a device: its devices, and whether to join other processes."""
    from shaping.config.errors import ConfigError
    from shaping.runtime.devices import check_devices
    from shaping.runtime.processes import join

    where = (arguments.coordinator, arguments.processes, arguments.process)
    if not arguments.distributed and where != (None, None, None):
        raise ConfigError("--coordinator, --processes, --process: only with --distributed")
    _prepare_devices(experiment)
    if arguments.distributed:
        join(*where)
    check_devices()


def _prepare_devices(experiment: Any) -> None:
    from shaping.config import build
    from shaping.runtime.devices import prepare_process

    prepare_process(build.unrolled(experiment))


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
                # Hours of training are worth more than a line about them.
                prints = False
                _discard_output()
                if not isinstance(error.__cause__, BrokenPipeError):
                    why = reason(error.__cause__ or error)
                    _complain(f"standard output cannot be written ({why}); the run continues without it")

    # Failures are reported in one line; the libraries' own threads would fill pages.
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
    for line in _summary_lines(folder):
        say(line)
    return statuses.FINISHED


def _leave(error: Exception) -> NoReturn:
    """Ends one process of a distributed run at once. An orderly end would wait for processes that may have gone, or
    that wait for this one."""
    import traceback

    from shaping.config.errors import ConfigError
    from shaping.runtime.failures import ExhaustedError
    from shaping.runtime.processes import is_lost

    if isinstance(error, ConfigError):
        status = statuses.STOPPED if isinstance(error, ExhaustedError) else statuses.REFUSED
        _complain(str(error))
    elif is_lost(error):
        status = statuses.LOST
        _complain("another process of this run has gone; `shaping resume DIR` continues the run")
    else:
        status = statuses.FAILED
        traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(status)


def _status(arguments: argparse.Namespace) -> int:
    from shaping.config.errors import ConfigError
    from shaping.runtime.folders import folder_at
    from shaping.runtime.status import describe, read_status

    folder = folder_at(arguments.folder)
    status = read_status(folder)
    if status is None:
        raise ConfigError(f"{folder}: holds no run; it has no status.json that can be read")
    _print_lines(describe(folder, status))
    return statuses.FINISHED


def _replay(arguments: argparse.Namespace) -> int:
    _import_jax()
    from shaping.experiment import planned
    from shaping.rerun import lines, replay
    from shaping.runtime.devices import check_devices

    experiment = planned(arguments.folder)
    _prepare_devices(experiment)
    check_devices()
    _print_lines(lines(replay(arguments.folder, arguments.match, arguments.last, experiment)))
    return statuses.FINISHED


def _report(arguments: argparse.Namespace) -> int:
    _import_jax()
    from shaping.results import report

    _print_lines([str(report(arguments.folder))])
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
    _import_jax()
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
            lines.append(f"  {name:<22}{_first_line(function)}")
    lines.append("configurations:")
    for name, path in shipped().items():
        title = parse(path.read_text(encoding="utf-8"), name).get("title", "")
        lines.append(f"  {name:<22}{title}")
    _print_lines(lines)
    return statuses.FINISHED


def _schema(arguments: argparse.Namespace) -> int:
    del arguments
    from shaping.config.json_schema import json_schema

    _print_lines([json.dumps(json_schema(), indent=1)])
    return statuses.FINISHED


_SHARES = ("cooperative", "tft_match", "tft_found", "nash_match")


def _summary_lines(folder: Path) -> list[str]:
    """A line for each of the first cells; the report has the rest."""
    from shaping.runtime.run_folder import summary_of

    summary = summary_of(folder)
    lines = []
    if summary is None:
        return lines
    for cell in summary["cells"][:12]:
        name = ", ".join(str(v) if k == "variant" else f"{k}={_short(v)}" for k, v in cell["coordinates"].items())
        values = " ".join("-" if v is None else f"{v:.3f}" for v in cell["value_mean"])
        shares = [f"{k} {cell[k]:.0%}" for k in _SHARES if cell.get(k) is not None]
        shares += [f"{k} {cell[k]:.3g}" for k in ("consistency_loss",) if cell.get(k) is not None]
        declared = summary.get("variables", {})
        # The one measure that the environment itself would show.
        of_environment = [v for v, a in declared.items() if a.get("source") == "environment" and not a.get("axis")]
        shown = [v for v in of_environment if declared[v].get("showcase")] or of_environment[:1]
        for measure in shown:
            each = cell.get(measure) or []
            if any(one is not None for one in each):
                values_each = " ".join("-" if one is None else f"{one:.3g}" for one in each)
                shares.append(f"{declared[measure]['label']} {values_each}")
        if cell["diverged"]:
            shares.append(f"diverged {cell['diverged']:.1%} (median update {cell['diverged_at_median']:g})")
        lines.append(f"  {name or 'all matches':<40} value {values}  {'  '.join(shares)}")
    hidden = len(summary["cells"]) - 12
    if hidden > 0:
        lines.append(f"  ... and {hidden} more cells in {folder / 'summary.json'}")
    timing = summary["timing"]
    if timing is None:
        return lines
    lines.append(
        f"compiled in {timing['compile_s']:.1f} s, ran in {timing['run_s']:.1f} s: "
        f"{timing['match_updates_per_s'] / 1e6:.2f} M match-updates/s on {timing['devices']}"
    )
    return lines


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _first_line(function: object) -> str:
    if isinstance(function, str):
        return function
    first = " ".join((function.__doc__ or "").strip().partition("\n\n")[0].split())
    return textwrap.shorten(first, 110, placeholder=" ...")


def _version() -> str:
    from shaping import __version__

    return __version__


if __name__ == "__main__":
    sys.exit(main())
