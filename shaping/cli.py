"""The command line: parse, call, print. Nothing heavy is imported before it is needed."""

import argparse
import json
import logging
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0, 2 for anything the user can mend, 75 where a run was stopped, saved
    and can be resumed, or 1 where `verify` finds ours unlike the published."""
    arguments = _parser().parse_args(argv)
    from shaping.config.errors import ConfigError, LostError
    from shaping.runtime.signals import LOST

    try:
        _use_plugins(arguments)
        return arguments.handler(arguments)
    except ConfigError as error:
        print(f"shaping: {error}", file=sys.stderr)
        return 2
    except LostError as error:
        print(f"shaping: {error}", file=sys.stderr)
        return LOST
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone: nothing to say, and nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("shaping: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="shaping", description="Opponent shaping at population scale.")
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
    run.add_argument("--quiet", action="store_true", help="no plan, no progress bar")
    run.set_defaults(handler=_run)

    _add_distributed(run)

    resume = commands.add_parser("resume", help="go on with a run that was interrupted, from its newest checkpoint")
    resume.add_argument("folder", metavar="DIR", help="the folder of the run")
    resume.add_argument("--quiet", action="store_true", help="no plan, no progress bar")
    resume.set_defaults(handler=_resume)
    _add_distributed(resume)

    status = commands.add_parser("status", help="how far a run is: done, failed, rate, time left")
    status.add_argument("folder", metavar="DIR", help="the folder of the run")
    status.set_defaults(handler=_status)

    replay = commands.add_parser("replay", help="run one match of a run again, alone, update by update")
    replay.add_argument("folder", metavar="DIR", help="the folder of the run")
    replay.add_argument("--match", metavar="M", type=int, required=True, help="its number, as summary.json lists it")
    replay.add_argument("--last", metavar="N", type=int, default=20, help="how many updates to show (default: 20)")
    replay.set_defaults(handler=_replay)

    report = commands.add_parser("report", help="make summary and report again from a record")
    report.add_argument("folder", metavar="DIR", help="the folder of a run")
    report.set_defaults(handler=_report)

    verify = commands.add_parser("verify", help="recompute published results and print ours beside them")
    verify.add_argument("names", metavar="NAME", nargs="*", help="a shipped configuration (default: all with such)")
    verify.add_argument("--quick", action="store_true", help="a shorter check: fewer matches or variants")
    verify.add_argument("--out", metavar="DIR", help="folder to write, new or empty (default: a new one under runs/)")
    verify.set_defaults(handler=_verify)

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
    several = parser.add_argument_group("several processes, each started with the same command")
    several.add_argument("--distributed", action="store_true", help="join them; on SLURM, GKE and TPU pods that is all")
    several.add_argument("--coordinator", metavar="HOST:PORT", help="elsewhere: where process 0 is to be reached")
    several.add_argument("--processes", metavar="N", type=int, help="how many there are")
    several.add_argument("--process", metavar="I", type=int, help="the number of this one, from 0")


def _run(arguments: argparse.Namespace) -> int:
    from shaping.config.files import read
    from shaping.experiment import prepare, run

    raw = read(arguments.config, arguments.overrides)
    _prepare_process(arguments, raw)
    if arguments.dry_run:
        for line in prepare(raw).lines():
            print(line)
        return 0
    return _carry_out(arguments, lambda **how: run(arguments.config, arguments.out, arguments.overrides, **how))


def _resume(arguments: argparse.Namespace) -> int:
    from shaping.experiment import config_of, resume

    _prepare_process(arguments, config_of(arguments.folder))
    return _carry_out(arguments, lambda **how: resume(arguments.folder, **how))


def _prepare_process(arguments: argparse.Namespace, raw: dict[str, Any]) -> None:
    """What has to be decided before JAX touches a device: devices, and whether others are to be joined."""
    from shaping.config.errors import ConfigError
    from shaping.runtime.processes import join

    where = (arguments.coordinator, arguments.processes, arguments.process)
    if not arguments.distributed and where != (None, None, None):
        raise ConfigError("--coordinator, --processes, --process: only with --distributed")
    _prepare_devices(raw)
    if arguments.distributed:
        join(*where)


def _prepare_devices(raw: dict[str, Any]) -> None:
    from shaping.config import build
    from shaping.config.plan import plan
    from shaping.runtime.devices import prepare_process

    prepare_process(build.unrolled(plan(raw)))


def _carry_out(arguments: argparse.Namespace, work: Callable[..., Path]) -> int:
    """Runs or resumes; all but the main process are silent."""
    from shaping.runtime.processes import is_main, several
    from shaping.runtime.signals import STOPPED, StoppedError, Stops

    talks = is_main() and not arguments.quiet

    def say(line: str) -> None:
        if is_main() and (talks or line.startswith("warning: ")):
            print(line, file=sys.stderr if line.startswith("warning: ") else sys.stdout, flush=True)

    # What fails is said in one line; the libraries' own threads would fill pages.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with Stops() as stops:
        try:
            folder = work(say=say, show_progress=talks, stops=stops)
        except StoppedError as stopped:
            if is_main():
                print(f"shaping: {stopped}", file=sys.stderr)
            return STOPPED
        except Exception as error:
            if not several():
                raise
            _leave(error)
    if talks:
        for line in _summary_lines(folder):
            print(line)
    return 0


def _leave(error: Exception) -> NoReturn:
    """Ends one of several processes at once: an orderly end waits for others, which may be gone or wait for it."""
    import traceback

    from shaping.config.errors import ConfigError
    from shaping.runtime.processes import is_lost
    from shaping.runtime.signals import LOST

    status = 2 if isinstance(error, ConfigError) else LOST if is_lost(error) else 1
    if status == LOST:
        print("shaping: another process of this job is gone; `shaping resume DIR` goes on", file=sys.stderr)
    elif status == 2:
        print(f"shaping: {error}", file=sys.stderr)
    else:
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
    for line in describe(folder, status):
        print(line)
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    from shaping.experiment import config_of
    from shaping.rerun import lines, replay

    _prepare_devices(config_of(arguments.folder))
    for line in lines(replay(arguments.folder, arguments.match, arguments.last)):
        print(line)
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from shaping.results import report

    print(report(arguments.folder))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from shaping.verify import verify

    board = verify(arguments.names, arguments.out, arguments.quick, lambda line: print(line, flush=True))
    return 1 if board["total"]["differs"] or board["total"]["failed"] else 0


def _list(arguments: argparse.Namespace) -> int:
    del arguments
    from shaping.config.files import shipped
    from shaping.config.names import named
    from shaping.config.yaml_text import parse

    for heading, functions in named().items():
        print(f"{heading}:")
        if heading == "strategies":
            print(textwrap.fill(", ".join(functions), 120, initial_indent="  ", subsequent_indent="  "))
            continue
        for name, function in functions.items():
            print(f"  {name:<22}{_first_line(function)}")
    print("configurations:")
    for name, path in shipped().items():
        title = parse(path.read_text(encoding="utf-8"), name).get("title", "")
        print(f"  {name:<22}{title}")
    return 0


def _schema(arguments: argparse.Namespace) -> int:
    del arguments
    from shaping.config.json_schema import json_schema

    print(json.dumps(json_schema(), indent=1))
    return 0


_SHARES = ("cooperative", "tft_match", "tft_found", "nash_match")


def _summary_lines(folder: Path) -> list[str]:
    """A few lines per cell; the report has the rest."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    lines = []
    for cell in summary["cells"][:12]:
        name = ", ".join(str(v) if k == "variant" else f"{k}={_short(v)}" for k, v in cell["coordinates"].items())
        values = " ".join("-" if v is None else f"{v:.3f}" for v in cell["value_mean"])
        shares = [f"{k} {cell[k]:.0%}" for k in _SHARES if cell.get(k) is not None]
        shares += [f"{k} {cell[k]:.3g}" for k in ("consistency_loss",) if cell.get(k) is not None]
        if any(share is not None for share in cell["own_fraction"]):
            own = " ".join("-" if share is None else f"{share:.0%}" for share in cell["own_fraction"])
            shares.append(f"own colour {own}")
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
    return (function.__doc__ or "").strip().partition("\n")[0]


def _version() -> str:
    from shaping import __version__

    return __version__


if __name__ == "__main__":
    sys.exit(main())
