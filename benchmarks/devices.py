"""Weak scaling over devices: twice the matches on two devices, compared with what the machine's cores can do at all.

    python -m benchmarks.devices                                   # one and two host devices
    python -m benchmarks.devices --devices 1 2 4 8 --rounds 9      # on a machine with as many cores

Exact LOLA on the iterated prisoner's dilemma, float32, in the loop that every run uses, with a fixed number of matches
on each device and only the last values recorded. What cores that share memory, caches and a hypervisor could reach is
measured in the same rounds: as many independent processes with one device each, every one pinned to its own core, are
compared with a single one. With rates R(k) of all devices together and C(k) of all processes together, from the start
of the first to the end of the last, the efficiency of k devices is

    (R(k) / R(1)) / (C(k) / C(1)).

Contenders are processes that wait while others are measured, and take turns. Rounds in which other programs used much
of the cores are repeated, up to a limit; the quietest rounds count.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import busy_seconds, cores, describe

ROOT = Path(__file__).parents[1]
TRIES = 6
"""The most rounds that are tried for each round that counts."""


class Turns:
    """A `shaping.runtime.loop.RunStorage` that keeps nothing, begins a chunk when it is told to, and reports how long
    the chunk took."""

    def __init__(self, wait: Callable[[], None], say: Callable[[float, float], None]):
        """`wait` returns when a chunk may begin; `say` receives its begin and end, by the machine's clock."""
        self._wait, self._say, self._began = wait, say, 0.0

    def is_finished(self, chunk: Any) -> bool:
        return False

    def resume(self, chunk: Any, like: Any) -> None:
        self._wait()
        self._began = time.clock_gettime(time.CLOCK_MONOTONIC)

    def write(self, chunk: Any, variables: Any) -> None:
        pass

    def append(self, chunk: Any, first: int, rows: Any) -> None:
        pass

    def after_segment(self, chunk: Any, interval: int, states: Any, written: Any) -> None:
        pass

    def finish(self, chunk: Any, states: Any) -> None:
        # The values of the last update have been fetched, so everything has been computed.
        self._say(self._began, time.clock_gettime(time.CLOCK_MONOTONIC))


def work(spec: dict[str, Any]) -> None:
    """A contender: one chunk per turn; it begins a turn for each line it reads, and answers with a line."""
    if spec["core"] is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {spec["core"]})
    os.environ["JAX_NUM_CPU_DEVICES"] = str(spec["devices"])
    from shaping.config import build
    from shaping.config.plan import plan
    from shaping.runtime.devices import compile_for_scalars, prepare_process

    matches = spec["matches"] * spec["devices"]
    config = {
        "game": {"name": "ipd", "discount": 0.96},
        "players": {"rule": "lola", "variant": "exact", "step_size": 1.0, "lookahead_rate": 1.0},
        "matches": matches * spec["turns"],
        "chunk_matches": matches,
        "updates": spec["updates"],
        "record_every": spec["updates"],
    }
    prepare_process()
    if build.unrolled(plan(config)):
        compile_for_scalars()
    from shaping.experiment import prepare
    from shaping.runtime.loop import Timing, run_group
    from shaping.runtime.progress import Progress

    prepared = prepare(config)
    (group,), (chunks,), (timetable,) = prepared.groups, prepared.chunks, prepared.timetables

    def wait() -> None:
        print(json.dumps({"ready": True}), flush=True)
        if not sys.stdin.readline():
            sys.exit(0)

    def say(began: float, ended: float) -> None:
        print(json.dumps({"began": began, "ended": ended, "cpu_s": time.process_time()}), flush=True)

    progress = Progress(matches * spec["turns"] * spec["updates"], enabled=False)
    run_group(0, group, chunks, timetable, Turns(wait, say), progress, Timing())


class Worker:
    """A contender in a process of its own."""

    def __init__(self, spec: dict[str, Any]):
        self.updates = spec["matches"] * spec["devices"] * spec["updates"]
        command = [sys.executable, "-m", "benchmarks.devices", "--work", json.dumps(spec)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)
        self._cpu_s = 0.0

    def read(self) -> dict[str, Any]:
        """The next message.

        Raises:
          SystemExit: if the process has ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a contender ended with status {self._process.wait()}")
        return json.loads(line)

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def end(self) -> tuple[float, float, float]:
        """When its turn began and ended, and the processor seconds it used."""
        found = self.read()
        cpu, self._cpu_s = found["cpu_s"] - self._cpu_s, found["cpu_s"]
        return found["began"], found["ended"], cpu

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def turn(workers: list[Worker]) -> dict[str, float]:
    """Ready workers do one turn simultaneously; match-updates per second of all together, and cores they kept busy."""
    for worker in workers:
        worker.begin()
    ends = [worker.end() for worker in workers]
    seconds = max(ended for _, ended, _ in ends) - min(began for began, _, _ in ends)
    return {
        "rate": sum(worker.updates for worker in workers) / seconds,
        "cores": sum(cpu for _, _, cpu in ends) / seconds,
        "seconds": seconds,
    }


def measure(setup: argparse.Namespace) -> list[dict[str, Any]]:
    """Rounds of every contender: rates `shared` by k devices and `apart` in k processes; a first turn warms up."""
    # Rounds may be repeated; a process may take part in one round for every number; and the last chunk is never begun.
    turns = 2 + TRIES * setup.rounds * len(setup.devices)
    size = {"matches": setup.matches, "updates": setup.updates, "turns": turns}
    shared = {k: [Worker(size | {"devices": k, "core": None})] for k in setup.devices}
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(cores()))
    held = [available[place % len(available)] for place in range(max(setup.devices))]
    apart = [Worker(size | {"devices": 1, "core": core}) for core in held]
    everybody = [worker for workers in (*shared.values(), apart) for worker in workers]
    rounds = []
    try:
        for worker in everybody:
            worker.read()
        for workers in (*shared.values(), apart):
            turn(workers)
            for worker in workers:
                worker.read()
        for _ in range(TRIES * setup.rounds):
            began, busy = time.perf_counter(), busy_seconds()
            found: dict[str, Any] = {"shared": {}, "apart": {}}
            for k in setup.devices:
                for kind, workers in (("shared", shared[k]), ("apart", apart[:k])):
                    found[kind][k] = turn(workers)
                    for worker in workers:
                        worker.read()
            own = sum(each["cores"] * each["seconds"] for kind in ("shared", "apart") for each in found[kind].values())
            available_s = (time.perf_counter() - began) * (os.cpu_count() or 1)
            found["others"] = max(0.0, busy_seconds() - busy - own) / available_s
            rounds.append(found)
            print(f"  others {found['others']:.0%}", file=sys.stderr, flush=True)
            if sum(each["others"] <= setup.most for each in rounds) == setup.rounds:
                break
    finally:
        for worker in everybody:
            worker.close()
    return rounds


def spread(numbers: Any) -> dict[str, float]:
    """Median, minimum and maximum."""
    return {"median": float(np.median(numbers)), "low": float(np.min(numbers)), "high": float(np.max(numbers))}


def summarise(rounds: list[dict[str, Any]], setup: argparse.Namespace) -> list[dict[str, Any]]:
    """For every number of devices, rates and ratios over the quietest rounds."""
    chosen = sorted(rounds, key=lambda found: found["others"])[: setup.rounds]
    first, rows = setup.devices[0], []
    for k in setup.devices:
        row: dict[str, Any] = {"devices": k, "others": spread([found["others"] for found in chosen])}
        growth = {}
        for kind in ("shared", "apart"):
            growth[kind] = np.array([found[kind][k]["rate"] / found[kind][first]["rate"] for found in chosen])
            row[kind] = {name: spread([found[kind][k][name] for found in chosen]) for name in ("rate", "cores")}
            row[kind]["growth"] = spread(growth[kind])
        rows.append(row | {"efficiency": spread(growth["shared"] / growth["apart"])})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""

    def shown(numbers: dict[str, float], scale: float = 1.0) -> str:
        return "{median:.3g} ({low:.3g} to {high:.3g})".format(**{k: v / scale for k, v in numbers.items()})

    lines = [
        "| devices, processes | devices: million match-updates/s | over the first | cores busy "
        "| processes: million match-updates/s | over the first | cores busy | efficiency |",
        "|" + "---|" * 8,
    ]
    for row in rows:
        cells = [str(row["devices"])]
        for kind in ("shared", "apart"):
            found = row[kind]
            cells += [shown(found["rate"], 1e6), shown(found["growth"]), f"{found['cores']['median']:.2f}"]
        lines.append(f"| {' | '.join([*cells, shown(row['efficiency'])])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2], help="host devices; the first is compared to")
    parser.add_argument("--matches", type=int, default=8192, help="on each device")
    parser.add_argument("--updates", type=int, default=1500, help="of a turn")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--most", type=float, default=0.1, help="share of the cores others may use in a round that counts"
    )
    parser.add_argument("--json", type=Path, help="also write everything measured to this file")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    setup = parser.parse_args()
    if setup.work:
        work(json.loads(setup.work))
        return
    result = {"command": f"python -m benchmarks.devices {' '.join(sys.argv[1:])}".strip(), "machine": describe()}
    print(json.dumps(result, indent=2), flush=True)
    rounds = measure(setup)
    rows = summarise(rounds, setup)
    print(f"\n{table(rows)}")
    others = rows[0]["others"]
    print(f"\nothers used {others['low']:.0%} to {others['high']:.0%} of the cores in the {setup.rounds} rounds shown")
    if setup.json:
        setup.json.write_text(json.dumps(result | {"rounds": rounds, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
