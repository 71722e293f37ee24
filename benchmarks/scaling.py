"""Cost of the command `shaping run` by the number of matches, and of compilation by the number of players.

    python -m benchmarks.scaling                                  # 10^3 to 10^6 matches, then 2 to 6 players
    python -m benchmarks.scaling --matches 1000000 --players      # only the largest

Every row is one process from start to exit, including record, summary and report. Wall time and peak memory are those
of the process, from the operating system; the other times are the `timing` of its summary.json. Compilation is measured
with an empty cache (`--cache` keeps one between the rows).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import cores, describe

PAIR = {
    "game": {"name": "ipd", "discount": 0.96},
    "players": {"rule": "lola", "variant": "original", "step_size": 1.0, "lookahead_rate": 1.0},
}


def group_of(players: int, variant: str) -> dict[str, Any]:
    """A contribution game of `players` LOLA learners."""
    game = {"name": "contribution", "num_players": players, "contribution_factor": 0.6 * players, "discount": 0.96}
    return {"game": game, "players": {"rule": "lola", "variant": variant, "step_size": 1.0, "lookahead_rate": 1.0}}


def run(config: dict[str, Any], folder: Path, cache: Path) -> dict[str, float]:
    """Runs one configuration with the command in a separate process.

    Returns:
      wall_s, cpu_s, peak_gib of the process; compile_s, run_s, match_updates_per_s of its summary.
    """
    folder.mkdir(parents=True)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "shaping.cli", "run", str(path), "--out", str(folder / "out"), "--quiet"]
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }
    begin = time.perf_counter()
    process = subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[1])
    # wait4 gives the resources of this child alone; getrusage(RUSAGE_CHILDREN) gives the largest of all so far.
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    timing = json.loads((folder / "out" / "summary.json").read_text())["timing"]
    return {
        "wall_s": wall,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_gib": used.ru_maxrss / 2**20,
        **{key: timing[key] for key in ("compile_s", "run_s", "match_updates_per_s")},
    }


def table(rows: list[dict[str, Any]], first: tuple[str, ...]) -> str:
    """Rows as Markdown: the columns `first`, followed by what `run` measured."""
    names = (*first, "wall s", "cpu s", "compile s", "run s", "M match-updates/s", "cores busy", "peak GiB")
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for row in rows:
        measured = [row[key] for key in ("wall_s", "cpu_s", "compile_s", "run_s")]
        measured += [row["match_updates_per_s"] / 1e6, row["cpu_s"] / row["wall_s"], row["peak_gib"]]
        cells = [f"{row[key]:,}" if isinstance(row[key], int) else row[key] for key in first]
        lines.append(f"| {' | '.join(cells + [f'{x:.2f}' for x in measured])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matches", type=int, nargs="*", default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument("--players", type=int, nargs="*", default=[2, 3, 4, 5, 6])
    parser.add_argument("--variants", nargs="+", default=["original", "exact"], help="LOLAs compiled for --players")
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--cache", type=Path, help="keep compiled programs here from row to row")
    parser.add_argument("--json", type=Path, help="also write everything measured to this file")
    setup = parser.parse_args()
    result = {"command": f"python -m benchmarks.scaling {' '.join(sys.argv[1:])}".strip(), "machine": describe()}
    print(json.dumps(result, indent=2))
    with tempfile.TemporaryDirectory() as temporary:

        def measure(config: dict[str, Any], name: str) -> dict[str, float]:
            folder = Path(temporary) / name
            return run(config, folder, (setup.cache or folder / "cache").absolute())

        tables = {"matches": [], "players": []}
        for matches in setup.matches:
            config = PAIR | {"matches": matches, "updates": setup.updates, "record_every": setup.updates}
            tables["matches"].append({"matches": matches} | measure(config, f"matches-{matches}"))
        for players in setup.players:
            for variant in setup.variants:
                config = group_of(players, variant) | {"matches": 2 * cores(), "updates": 2}
                row = {"players": players, "variant": variant}
                tables["players"].append(row | measure(config, f"players-{players}-{variant}"))
    for kind, first in (("matches", ("matches",)), ("players", ("players", "variant"))):
        if tables[kind]:
            print(f"\n{table(tables[kind], first)}")
    if setup.json:
        setup.json.write_text(json.dumps(result | tables, indent=2) + "\n")


if __name__ == "__main__":
    main()
