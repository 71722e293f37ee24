"""The commands by name: each is a function of the parsed options that prints and returns an exit status. Heavy modules
are imported when needed."""

import argparse
import json
import textwrap
from collections.abc import Callable
from pathlib import Path

from shaping import exit_statuses as statuses
from shaping.cli.devices import begin, choose_compiler
from shaping.cli.output import print_lines
from shaping.cli.run_and_resume import resume_command, run_command


def _status(arguments: argparse.Namespace) -> int:
    from shaping.config.errors import ConfigError
    from shaping.runtime.status import describe, read_status
    from shaping.runtime.storage import folder_at

    folder = folder_at(arguments.folder)
    status = read_status(folder)
    if status is None and (folder / "config.yaml").is_file():
        from shaping.config.league import is_frozen
        from shaping.runtime.existing_run import config_of

        if is_frozen(config_of(folder)):
            from shaping.leagues.frozen_leagues import league_status

            print_lines(league_status(folder))
            return statuses.FINISHED
    if status is None:
        raise ConfigError(f"{folder}: holds no run; it has no readable status.json")
    print_lines(describe(folder, status))
    return statuses.FINISHED


def _replay(arguments: argparse.Namespace) -> int:
    begin()
    from shaping.experiment import planned
    from shaping.replayed_matches import lines, replay

    experiment = planned(arguments.folder)
    choose_compiler(experiment)
    told = lines(replay(arguments.folder, arguments.match, arguments.last, experiment))
    if arguments.episode is not None:
        from shaping.results import load, save_episode_of

        save_episode_of(load(arguments.folder), arguments.match, Path(arguments.episode))
        told.append(f"episode: {arguments.episode}")
    print_lines(told)
    return statuses.FINISHED


def _report(arguments: argparse.Namespace) -> int:
    begin()
    from shaping.results import report

    print_lines([str(report(arguments.folder, arguments.pdf))])
    return statuses.FINISHED


def _league(arguments: argparse.Namespace) -> int:
    begin()
    if arguments.learning is not None:
        return _learning_league(arguments)
    from shaping.config.errors import ConfigError
    from shaping.leagues.frozen_leagues import league

    if arguments.overrides:
        raise ConfigError("--set: only with --learning")
    how = (arguments.against, arguments.game, arguments.cells, arguments.per_cell, arguments.out)
    play = (arguments.se, arguments.sampled, arguments.seed, arguments.restarts, arguments.updates)
    print_lines([str(league(arguments.sources, *how, *play) / "report" / "index.html")])
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
    print_lines([str(folder / "league" / "index.html")])
    return statuses.FINISHED


def _atlas(arguments: argparse.Namespace) -> int:
    begin()
    from shaping.atlases.policy_atlas import atlas

    which = (arguments.sources, arguments.against, arguments.game, arguments.cells, arguments.per_cell, arguments.out)
    names = ("strategies", "tables", "objective", "method", "clusters", "snapshots", "episodes", "rounds", "updates")
    how = {name: getattr(arguments, name) for name in (*names, "dimension", "window", "seed")}
    print_lines([str(atlas(*which, **how) / "report" / "index.html")])
    return statuses.FINISHED


def _exploit(arguments: argparse.Namespace) -> int:
    begin()
    from shaping.leagues.exploit_run import exploit

    which = (arguments.source, arguments.cells, arguments.per_cell, arguments.out)
    how = (arguments.restarts, arguments.updates, arguments.se, arguments.seed, arguments.by)
    print_lines([str(exploit(*which, *how) / "report" / "index.html")])
    return statuses.FINISHED


def _analyze(arguments: argparse.Namespace) -> int:
    begin()
    from shaping.run_analysis import analyze

    folder = analyze(arguments.source, arguments.out, arguments.rounds, arguments.seed)
    print_lines([str(folder / "report" / "index.html")])
    return statuses.FINISHED


def _compare(arguments: argparse.Namespace) -> int:
    begin()
    from shaping.comparison import compare

    print_lines([str(compare(arguments.sources, arguments.out) / "report" / "index.html")])
    return statuses.FINISHED


def _doctor(arguments: argparse.Namespace) -> int:
    del arguments
    from shaping.doctor import lines

    print_lines(lines())
    return statuses.FINISHED


def _verify(arguments: argparse.Namespace) -> int:
    from shaping.verify import verify

    board = verify(arguments.names, arguments.out, arguments.quick, lambda line: print_lines([line]))
    return statuses.FAILED if board["total"]["differs"] or board["total"]["failed"] else statuses.FINISHED


def _list(arguments: argparse.Namespace) -> int:
    del arguments
    begin()
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
    print_lines(lines)
    return statuses.FINISHED


def _schema(arguments: argparse.Namespace) -> int:
    del arguments
    from shaping.config.json_schema import json_schema

    print_lines([json.dumps(json_schema(), indent=1)])
    return statuses.FINISHED


def _first_line(function: object) -> str:
    if isinstance(function, str):
        return function
    first = " ".join((function.__doc__ or "").strip().partition("\n\n")[0].split())
    return textwrap.shorten(first, 110, placeholder=" ...")


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": run_command,
    "resume": resume_command,
    "status": _status,
    "replay": _replay,
    "report": _report,
    "league": _league,
    "atlas": _atlas,
    "exploit": _exploit,
    "analyze": _analyze,
    "compare": _compare,
    "verify": _verify,
    "doctor": _doctor,
    "list": _list,
    "schema": _schema,
}
