"""The commands and their options, for argparse; `commands` carries them out."""

import argparse

from shaping import exit_statuses as statuses


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    found = argparse.ArgumentParser(
        prog="shaping",
        description="Opponent shaping at population scale.",
        epilog="\n".join(statuses.lines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("--version", action="version", version=f"shaping {_version()}")
    commands = found.add_subparsers(dest="command", required=True, metavar="COMMAND")

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
    _add_distributed(resume)

    status = commands.add_parser("status", help="show how far a run is: done, failed, rate, time left")
    status.add_argument("folder", metavar="DIR", help="the folder of the run")

    replay = commands.add_parser("replay", help="replay one match of a run, alone, update by update")
    replay.add_argument("folder", metavar="DIR", help="the folder of the run")
    replay.add_argument("--match", metavar="M", type=int, required=True, help="its number, as summary.json lists it")
    replay.add_argument("--last", metavar="N", type=int, default=20, help="how many updates to show (default: 20)")

    replay.add_argument("--episode", metavar="FILE.gif", help="also draw an episode of its final policies")

    report = commands.add_parser("report", help="write the summary and the report again, from a record")
    report.add_argument("folder", metavar="DIR", help="the folder of a run, a league or an atlas")
    report.add_argument("--pdf", action="store_true", help="also write every figure as a PDF, beside its PNG")

    league = commands.add_parser(
        "league", help="frozen policies, everyone against everyone: values, ranks, best responses"
    )
    league.add_argument("sources", metavar="RUN_OR_FILE", nargs="*", help="runs, and .json or .npy files of P(C)")
    league.add_argument(
        "--against", metavar="NAMES", default="classic", help="classic (the default), all, none, or names with commas"
    )
    league.add_argument("--game", metavar="GAME", help="a name, or a YAML file with the key game (default: the runs')")
    league.add_argument(
        "--cell", metavar="CELL", dest="cells", action="append", default=[], help="of runs: a number, or KEY=VALUE"
    )
    league.add_argument("--per-cell", metavar="N", type=int, help="matches per cell of a run (default: all)")
    league.add_argument(
        "--se", metavar="E", type=float, default=0.01, help="the standard error of values that are measured in play"
    )
    league.add_argument(
        "--learning",
        metavar="NAMES_OR_FILE",
        help="rules that learn against each other: names with commas, or a YAML file with league.learners",
    )
    league.add_argument(
        "--set", metavar="KEY=VALUE", dest="overrides", action="append", default=[], help="with --learning: see run"
    )
    league.add_argument("--sampled", action="store_true", help="play everything, also what could be exact")
    league.add_argument("--seed", metavar="N", type=int, default=0, help="seed of the play (default: 0)")
    league.add_argument(
        "--restarts", metavar="N", type=int, default=0, help="learn best responses that are not exact, from N starts"
    )
    league.add_argument("--updates", metavar="N", type=int, default=200, help="updates from each start (default: 200)")
    league.add_argument("--out", metavar="DIR", help="folder to write, new or empty (default: a new one under runs/)")

    atlas = commands.add_parser("atlas", help="a map of policies, by representations learned from how they play")
    atlas.add_argument("sources", metavar="RUN_OR_FILE", nargs="*", help="runs, and .json or .npy files of P(C)")
    atlas.add_argument(
        "--against", metavar="NAMES", default="random", help="whom they play with: random (the default), or strategies"
    )
    atlas.add_argument("--game", metavar="GAME", help="a name, or a YAML file with the key game (default: the runs')")
    atlas.add_argument(
        "--cell", metavar="CELL", dest="cells", action="append", default=[], help="of runs: a number, or KEY=VALUE"
    )
    atlas.add_argument("--per-cell", metavar="N", type=int, help="matches per cell of a run (default: all)")
    atlas.add_argument("--strategies", metavar="NAMES", help="named strategies on the map (default: well-known ones)")
    atlas.add_argument("--tables", metavar="N", type=int, default=0, help="random memory-one tables on the map")
    atlas.add_argument(
        "--objective", metavar="NAME", default="both", help="imitation, identification or both (default)"
    )
    atlas.add_argument("--map", metavar="METHOD", dest="method", default="umap", help="umap (default), tsne or pca")
    atlas.add_argument("--clusters", metavar="N", type=int, default=12, help="number of clusters (default: 12)")
    atlas.add_argument("--snapshots", metavar="N", type=int, default=11, help="times of a run on the map (default: 11)")
    atlas.add_argument("--episodes", metavar="N", type=int, default=20, help="episodes of each policy (default: 20)")
    atlas.add_argument("--rounds", metavar="N", type=int, default=50, help="maximum rounds of an episode (default: 50)")
    atlas.add_argument("--updates", metavar="N", type=int, default=4000, help="updates of the encoder (default: 4000)")
    atlas.add_argument("--dimension", metavar="N", type=int, default=32, help="dimension of embeddings (default: 32)")
    atlas.add_argument("--window", metavar="N", type=int, default=2, help="steps read at a time (default: 2)")
    atlas.add_argument("--seed", metavar="N", type=int, default=0, help="seed of play and training (default: 0)")
    atlas.add_argument("--out", metavar="DIR", help="folder to write, new or empty (default: a new one under runs/)")

    exploit = commands.add_parser("exploit", help="best responses to every final policy of a run, exact or learned")
    exploit.add_argument("source", metavar="RUN", help="the folder of a run of a game for two players")
    exploit.add_argument(
        "--cell", metavar="CELL", dest="cells", action="append", default=[], help="a number, or KEY=VALUE"
    )
    exploit.add_argument("--per-cell", metavar="N", type=int, help="matches per cell (default: all)")
    exploit.add_argument("--restarts", metavar="N", type=int, default=4, help="starts for each response (default: 4)")
    exploit.add_argument(
        "--by", metavar="NAME", default="ppo", help="who learns responses: ppo, es or both (default: ppo)"
    )
    exploit.add_argument("--updates", metavar="N", type=int, default=200, help="updates from each start (default: 200)")
    exploit.add_argument("--se", metavar="E", type=float, default=0.01, help="standard error of values that are played")
    exploit.add_argument("--seed", metavar="N", type=int, default=0, help="seed of learned responses (default: 0)")
    exploit.add_argument("--out", metavar="DIR", help="folder to write, new or empty (default: a new one under runs/)")

    analyze = commands.add_parser("analyze", help="what cooperation in a run is made of, and where it begins")
    analyze.add_argument("source", metavar="RUN", help="the folder of a finished run")
    analyze.add_argument("--rounds", metavar="K", type=int, help="play, and count P(C) after histories of K rounds")
    analyze.add_argument("--seed", metavar="N", type=int, default=0, help="of that play (default: 0)")
    analyze.add_argument("--out", metavar="DIR", help="folder to write, new or empty (default: a new one under runs/)")

    compare = commands.add_parser("compare", help="runs of one game side by side, and how they differ")
    compare.add_argument("sources", metavar="RUN", nargs="+", help="folders of finished runs, two or more")
    compare.add_argument("--out", metavar="DIR", help="folder to write, new or empty (default: a new one under runs/)")

    verify = commands.add_parser("verify", help="recompute published results and compare them with ours")
    verify.add_argument(
        "names", metavar="NAME", nargs="*", help="a shipped configuration (default: all with published values)"
    )
    verify.add_argument("--quick", action="store_true", help="a shorter check: fewer matches or variants")
    verify.add_argument("--out", metavar="DIR", help="folder to write, new or empty (default: a new one under runs/)")

    commands.add_parser("doctor", help="show versions, devices, settings and paths, and anything unusual about them")

    listing = commands.add_parser("list", help="list games, rules, learners, policies and shipped configurations")

    schema = commands.add_parser("schema", help="print the JSON Schema of configurations, for editors")
    for command in (run, resume, replay, league, atlas, exploit, analyze, compare, verify, listing, schema):
        command.add_argument(
            "--plugin",
            metavar="MODULE_OR_FILE",
            dest="plugins",
            action="append",
            default=[],
            help="a module or .py file that adds RULES, LEARNERS, ENVIRONMENTS or POLICIES, for this command",
        )
    return found


def _add_distributed(parser: argparse.ArgumentParser) -> None:
    several = parser.add_argument_group("distributed runs: several processes, each started with the same command")
    several.add_argument(
        "--distributed", action="store_true", help="join them; on SLURM, GKE and TPU pods this is enough"
    )
    several.add_argument("--coordinator", metavar="HOST:PORT", help="elsewhere: the address of process 0")
    several.add_argument("--processes", metavar="N", type=int, help="elsewhere: how many processes there are")
    several.add_argument("--process", metavar="I", type=int, help="elsewhere: the number of this process, from 0")


def _version() -> str:
    from shaping import __version__

    return __version__
