"""The cost of saving and recording in a run, and whether segments become slower over time.

    python -m benchmarks.overhead                                  # all three parts, half an hour on two cores
    python -m benchmarks.overhead --parts saving --rounds 2
    python -m benchmarks.overhead --parts growth --segments 100000

Exact LOLA on the iterated prisoner's dilemma, float32, 100,000 matches. Runs that are compared take turns, each as the
command `shaping run` in its own process; `run s` is the `run_s` of its summary, without compilation; wall and cpu
seconds are those of the whole process. Rounds in which other programs used much of the cores are repeated, up to as
many times; the quietest count.

saving     a checkpoint each minute (`checkpoint.every_s: 60`) compared with none, a few minutes each. Because one save
           takes little time compared with the fluctuations of the machine, also the cost of one: the difference between
           runs that save often and never, divided by the number of saves; and, within one process, how long the loop
           pauses for a save and how long it takes until the save is on disk while computing is paused.
recording  `record_every` 1, 10 and 100 compared with only the last update.
growth     one chunk of few matches in 10,000 segments of one update: time per segment, mostly on the host, and resident
           memory, as the run proceeds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import busy_seconds, describe
from benchmarks.scaling import run

ROOT = Path(__file__).parents[1]
PAIR = {
    "game": {"name": "ipd", "discount": 0.96},
    "players": {"rule": "lola", "variant": "exact", "step_size": 1.0, "lookahead_rate": 1.0},
}
NEVER = {"every_s": None, "every_updates": None}


def configuration(matches: int, updates: int, record_every: int | None = None, **saving: Any) -> dict[str, Any]:
    """A run that saves as told, by default never; by default it records only the last update."""
    return PAIR | {
        "matches": matches,
        "updates": updates,
        "record_every": record_every or updates,
        "checkpoint": NEVER | saving,
    }


def in_turn(
    configs: dict[str, dict[str, Any]], setup: argparse.Namespace, base: Path, cache: Path
) -> dict[str, list[dict[str, float]]]:
    """Runs configurations in turn, like `scaling.run`, every other round in reverse order; some rounds again if other
    programs were busy.

    Returns:
      By name what was measured in the quietest rounds, with `record_bytes` on disk and the share `others` of the cores.
    """
    rounds: list[dict[str, dict[str, float]]] = []

    def others(found: dict[str, dict[str, float]]) -> float:
        return max(each["others"] for each in found.values())

    while len(rounds) < 2 * setup.rounds and sum(others(found) <= setup.most for found in rounds) < setup.rounds:
        # Back and forth, so that a machine that becomes slower or faster favours none.
        order = list(configs.items())[:: -1 if len(rounds) % 2 else 1]
        rounds.append({})
        for name, config in order:
            with tempfile.TemporaryDirectory(dir=base) as temporary:
                folder, busy = Path(temporary) / "run", busy_seconds()
                found = run(config, folder, cache)
                elsewhere = max(0.0, busy_seconds() - busy - found["cpu_s"]) / found["wall_s"] / (os.cpu_count() or 1)
                files = [path for path in (folder / "out" / "record.zarr").rglob("*") if path.is_file()]
                size = sum(path.stat().st_size for path in files)
            rounds[-1][name] = found | {"others": elsewhere, "record_bytes": size}
            print(f"  {name}: {found['run_s']:.1f} s, others {elsewhere:.0%}", file=sys.stderr, flush=True)
    chosen = sorted(rounds, key=others)[: setup.rounds]
    return {name: [found[name] for found in chosen] for name in configs}


def inside(part: str, config: dict[str, Any], base: Path, cache: Path) -> dict[str, Any]:
    """Runs one of `saves` and `segments` in a separate process and returns its result."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    spec = json.dumps({"part": part, "config": config})
    command = [sys.executable, "-m", "benchmarks.overhead", "--work", spec]
    with tempfile.TemporaryDirectory(dir=base) as folder:
        command += ["--folder", str(Path(folder) / "out")]
        done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def saves(config: dict[str, Any], folder: str) -> dict[str, Any]:
    """Runs a configuration; seconds that the loop paused for each save, and until the save was on disk."""
    from shaping.experiment import run
    from shaping.runtime.run_store import RunStore

    storage: Any = RunStore
    still, written, save = [], [], storage._save

    def timed(self: Any, *arguments: Any) -> None:
        began = time.perf_counter()
        save(self, *arguments)
        still.append(time.perf_counter() - began)
        self._open().wait()
        written.append(time.perf_counter() - began)

    storage._save = timed
    run(config, folder)
    return {"still_s": still, "written_s": written}


def segments(config: dict[str, Any], folder: str) -> dict[str, Any]:
    """Runs a configuration in segments of one interval; for each but the last, when it was done and MiB in use."""
    from shaping.experiment import run
    from shaping.runtime import chunks
    from shaping.runtime.run_store import RunStore

    storage: Any = RunStore
    times, memory, after = [], [], storage.after_segment
    page = os.sysconf("SC_PAGE_SIZE") / 2**20

    def sampled(self: Any, *arguments: Any) -> None:
        after(self, *arguments)
        times.append(time.perf_counter())
        memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * page)

    chunks._SEGMENT_WORK = 1
    storage.after_segment = sampled
    run(config, folder)
    return {"times": times, "memory_mib": memory}


def spread(numbers: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Median, minimum and maximum."""
    return {"median": float(np.median(numbers)), "low": float(np.min(numbers)), "high": float(np.max(numbers))}


def shown(numbers: Sequence[float] | np.ndarray, form: str = ".3g") -> str:
    """The spread for a table."""
    return "{} ({} to {})".format(*(format(x, form) for x in spread(numbers).values()))


def busy(runs: list[dict[str, float]]) -> str:
    """The share of the cores that other programs used meanwhile."""
    return shown([each["others"] for each in runs], ".0%")


def saving(setup: argparse.Namespace, base: Path, cache: Path) -> dict[str, Any]:
    """The part `saving`, measured and printed."""
    long = configuration(setup.matches, setup.updates)
    names = f"every {setup.every_s:g} s", "never"
    minutes = {names[0]: long | {"checkpoint": NEVER | {"every_s": setup.every_s}}, names[1]: long}
    found = in_turn(minutes, setup, base, cache)
    seconds = {name: np.array([each["run_s"] for each in found[name]]) for name in names}
    ratio = seconds[names[0]] / seconds[names[1]]
    print("\n| checkpoint | run s: median (range) | over never | wall s | cpu s | others |\n" + "|---" * 6 + "|")
    for name in names:
        cells = [name, shown(seconds[name]), shown(ratio, ".3f") if name == names[0] else ""]
        cells += [shown([each[key] for each in found[name]]) for key in ("wall_s", "cpu_s")] + [busy(found[name])]
        print(f"| {' | '.join(cells)} |")

    short = configuration(setup.matches, setup.save_updates)
    often = short | {"checkpoint": NEVER | {"every_updates": max(1, setup.save_updates // (setup.saves + 1))}}
    direct = [inside("saves", often, base, cache) for _ in range(setup.rounds)]
    count = len(direct[0]["still_s"])
    pairs = in_turn({"often": often, "never": short}, setup, base, cache)
    apart = [(a["run_s"] - b["run_s"]) / count for a, b in zip(pairs["often"], pairs["never"], strict=True)]
    # The first save of a process compiles the digests.
    rows = {f"additional time with {count} saves, each": apart}
    rows["pause of the loop, first save of a process"] = [each["still_s"][0] for each in direct]
    rows["pause of the loop, other saves"] = [x for each in direct for x in each["still_s"][1:]]
    rows["until it is on disk, other saves"] = [x for each in direct for x in each["written_s"][1:]]
    print("\n| one save | s: median (range) | share at one a minute |\n|---|---|---|")
    for name, numbers in rows.items():
        print(f"| {name} | {shown(numbers)} | {np.median(numbers) / 60:.2%} |")
    return {"minutes": found, "ratio": ratio.tolist(), "often": pairs, "save_s": apart, "direct": direct}


def recording(setup: argparse.Namespace, base: Path, cache: Path) -> dict[str, Any]:
    """The part `recording`, measured and printed."""
    every = [setup.record_updates, *setup.record_every]
    configs = {str(each): configuration(setup.matches, setup.record_updates, each) for each in every}
    found = in_turn(configs, setup, base, cache)
    without = np.array([each["run_s"] for each in found[str(every[0])]])
    names = (
        "`record_every`",
        "run s: median (range)",
        "relative to the last update alone",
        "cpu s",
        "MB/s recorded",
        "MB on disk",
    )
    print(f"\n| {' | '.join(names)} | others |")
    print("|---" * (len(names) + 1) + "|")
    for name in map(str, every):
        seconds = np.array([each["run_s"] for each in found[name]])
        # Values of two players, four bytes each.
        recorded = 8e-6 * setup.matches * (len(range(0, setup.record_updates, int(name))) + 1)
        disk = np.median([each["record_bytes"] for each in found[name]]) / 1e6
        cells = [name, shown(seconds), shown(seconds / without, ".3f"), shown([each["cpu_s"] for each in found[name]])]
        cells += [shown(recorded / seconds), f"{disk:,.0f}", busy(found[name])]
        print(f"| {' | '.join(cells)} |")
    return found


def growth(setup: argparse.Namespace, base: Path, cache: Path) -> dict[str, Any]:
    """The part `growth`, measured and printed."""
    config = configuration(setup.growth_matches, setup.segments, 1)
    found = inside("segments", config, base, cache)
    taken, memory = np.diff(found["times"]) * 1e3, found["memory_mib"]
    tenth = max(1, len(taken) // 10)
    ends = {"first": taken[:tenth], "last": taken[-tenth:]}
    at = {share: memory[round(share * (len(memory) - 1))] for share in (0.1, 0.5, 1.0)}
    print(f"\n| {len(memory) + 1:,} segments | ms per segment: mean, median |\n|---|---|")
    for name, numbers in ends.items():
        print(f"| {name} tenth | {numbers.mean():.2f}, {np.median(numbers):.2f} |")
    print("\n| after this share of the segments | MiB in use |\n|---|---|")
    for share, mib in at.items():
        print(f"| {share:.0%} | {mib:.1f} |")
    ms = {name: {"mean": float(x.mean()), "median": float(np.median(x))} for name, x in ends.items()}
    return {"segments": len(memory) + 1, "ms": ms, "memory_mib": {f"{share:.0%}": mib for share, mib in at.items()}}


PARTS = {"saving": saving, "recording": recording, "growth": growth}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--most", type=float, default=0.1, help="share of the cores others may use in a round that counts"
    )
    parser.add_argument("--matches", type=int, default=100_000)
    parser.add_argument("--updates", type=int, default=25_000, help="of the runs of a few minutes")
    parser.add_argument("--every-s", type=float, default=60.0, help="seconds between checkpoints in these")
    parser.add_argument("--save-updates", type=int, default=4000, help="of the runs that save often")
    parser.add_argument("--saves", type=int, default=20, help="in these, at most")
    parser.add_argument("--record-updates", type=int, default=2000, help="of the runs that record")
    parser.add_argument("--record-every", type=int, nargs="+", default=[100, 10, 1])
    parser.add_argument("--segments", type=int, default=10_000)
    parser.add_argument("--growth-matches", type=int, default=64)
    parser.add_argument("--cache", type=Path, help="keep compiled programs here")
    parser.add_argument("--json", type=Path, help="also write everything measured to this file")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    setup = parser.parse_args()
    if setup.work:
        from shaping.config import build
        from shaping.config.plan import plan
        from shaping.runtime.devices import compile_for_scalars, prepare_process

        spec = json.loads(setup.work)
        prepare_process()
        if build.unrolled(plan(spec["config"])):
            compile_for_scalars()
        found = {"saves": saves, "segments": segments}[spec["part"]](spec["config"], setup.folder)
        print(json.dumps(found))
        return
    result = {"command": f"python -m benchmarks.overhead {' '.join(sys.argv[1:])}".strip(), "machine": describe()}
    print(json.dumps(result, indent=2), flush=True)
    with tempfile.TemporaryDirectory() as base:
        cache = (setup.cache or Path(base) / "cache").absolute()
        measured = {part: PARTS[part](setup, Path(base), cache) for part in setup.parts}
    if setup.json:
        setup.json.write_text(json.dumps(result | measured, indent=2) + "\n")


if __name__ == "__main__":
    main()
