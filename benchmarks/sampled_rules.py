"""LOLA-DiCE on sampled play: updates per second compared with PyTorch, plain JAX and OpenSpiel, the cost of many pairs
at once, and the memory of an update.

    python -m benchmarks.sampled_rules                          # every part
    python -m benchmarks.sampled_rules --parts A --contenders jax torch openspiel:policy
    python -m benchmarks.sampled_rules --parts B --pairs 64 --block 1

    A  the iterated prisoner's dilemma, one pair, compared with the references
    B  the same game, several pairs at once, in units of the time of one pair
    C  the Coin Game (dialect `pola`) with recurrent policies (GRU, 16 units), by the number of pairs
    D  one pair of C: memory and time with derivatives stored or recomputed, in one slice or four, for one lookahead and
       for three, next to the memory that a run expects

    Both players are updated by Adam, step size 0.2, lookahead rate 0.3, float32; a batch of play is 128 games of 150
    rounds (A, B) or 64 of 50 steps (C, D), with baseline leave_one_out. An update of this package is one of the segment
    program that a run executes; a call measures values once, on a single game. Memory is what the compiled program
    allocates on each device, without its arguments and results.

    Each contender is a separate process that is asked in turn for one round; a ratio compares consecutive rounds, and
    rounds in which other processes were busy are repeated. OpenSpiel compiles DiCE's objective again at every update,
    which is most of its time; it has fewer rounds (`--slow-rounds`), each in a new process, and this package's rounds
    are repeated alongside. References that are not installed are left out.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import busy_seconds, busy_share, cores, describe

ROOT = Path(__file__).parents[1]
REFERENCES = {
    "jax": ("optax",),
    "torch": ("torch",),
    "torch:1": ("torch",),
    "openspiel:policy": ("open_spiel", "haiku", "rlax"),
    "openspiel:epoch": ("open_spiel", "haiku", "rlax"),
}
"""The references of part A, and the modules that each needs. `torch:1` has one thread, `torch` all of them."""
TARGETS = {"torch": 50, "torch:1": 50, "openspiel:policy": 500, "openspiel:epoch": 500}
TARGET_PAIRS = {64: "below 64, aim 40"}
SIZES = {"ipd": (128, 150), "coin": (64, 50)}
"""Games (streams) in a batch of play, and their steps."""
GAMES: dict[str, dict[str, Any]] = {
    "ipd": {"game": "ipd"},
    "coin": {"game": {"name": "coin_game", "dialect": "pola"}, "policy": {"kind": "gru", "units": 16}},
}


def configuration(spec: dict[str, Any]) -> dict[str, Any]:
    """The configuration with which a user would run a contender `product`."""
    lola = {"rule": "lola", "variant": "exact", "lookahead_rate": 0.3, "step_size": 0.2}
    estimator = {key: spec[key] for key in ("slices", "rematerialise") if key in spec}
    sizes = {"batch": spec["batch"], "horizon": spec["horizon"], "evaluation": 1}
    return GAMES[spec["game"]] | {
        "players": lola | {"lookaheads": spec.get("lookaheads", 1)},
        "optimizer": "adam",
        "objective": {"kind": "dice"} | sizes | estimator,
        "matches": spec["pairs"],
        "updates": spec["updates"],
    }


def product(spec: dict[str, Any]) -> tuple[Callable[[float], float], dict[str, Any]]:
    """This package: a function from seconds to updates per second of one pair, and what its program needs."""
    os.environ["JAX_NUM_CPU_DEVICES"] = str(spec["devices"])
    from shaping.runtime.devices import population_mesh, prepare_process

    prepare_process()
    import jax

    from shaping.experiment import prepare
    from shaping.population import compiled_programs

    prepared = prepare(configuration(spec))
    (group,), (chunks,) = prepared.groups, prepared.chunks
    assert chunks.count == 1, "the pairs of one contender must fit one chunk"
    block, pairs, updates = spec.get("block") or chunks.block, spec["pairs"], spec["updates"]
    padded = -(-pairs // (spec["devices"] * block)) * spec["devices"] * block
    mesh = population_mesh()
    matches = group.matches_of(np.minimum(np.arange(padded), pairs - 1))
    matches = jax.device_put(matches, compiled_programs.population_sharding(mesh))
    start = compiled_programs.start_program(mesh, np.float32)
    timetable = compiled_programs.Timetable(updates, updates, 1)
    segment, window = (
        compiled_programs.segment_program(mesh, timetable, block),
        compiled_programs.segment_at(timetable, 0),
    )
    compiled = segment.lower(matches, start(matches), window).compile()  # type: ignore[attr-defined]

    def call() -> None:
        jax.block_until_ready(compiled(matches, start(matches), window))

    call()
    template = group.template()
    lookaheads = max(learner.lookaheads for learner in template.learners)
    memory = {
        "temporary_bytes": compiled.memory_analysis().temp_size_in_bytes,
        "expected_bytes": template.game.working_bytes(4, lookaheads),
    }
    return _repeated(call, updates * pairs), memory | {"block": block, "padded": padded}


def reference(spec: dict[str, Any]) -> tuple[Callable[[float], float], dict[str, Any]]:
    """The same for a reference."""
    kind, _, part = spec["kind"].partition(":")
    sizes = spec["batch"], spec["horizon"], 1
    if kind == "openspiel":
        script = [sys.executable, str(ROOT / "benchmarks" / "reference_dice_openspiel.py"), "--part", part]
        script += ["--batch", str(spec["batch"]), "--horizon", str(spec["horizon"])]

        def rate(seconds: float) -> float:
            done = subprocess.run([*script, "--seconds", str(seconds)], stdout=subprocess.PIPE, check=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            return found["updates"] / found["seconds"]

        return rate, {}
    if kind == "torch":
        from benchmarks.reference_dice_torch import make, torch

        if part:
            torch.set_num_threads(int(part))
    else:
        from benchmarks.reference_dice_jax import make
    update = make(*sizes)
    update()
    return _repeated(update, 1), {}


def _repeated(call: Callable[[], Any], updates: int) -> Callable[[float], float]:
    """Repeats calls of `updates` each, for so many seconds and at least once; returns updates per second."""

    def rate(seconds: float) -> float:
        calls, begin = 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - begin < seconds:
            call()
            calls += 1
        return calls * updates / (time.perf_counter() - begin)

    return rate


def work(spec: dict[str, Any]) -> None:
    """The process of one contender: prints a line of JSON when it is ready, and another for every line it is sent."""
    begin = time.perf_counter()
    rate, ready = (product if spec["kind"] == "product" else reference)(spec)
    print(json.dumps(ready | {"first_call_s": time.perf_counter() - begin}), flush=True)
    for _ in sys.stdin:
        # Child processes count too: OpenSpiel is one.
        busy, own, begin = busy_seconds(), sum(os.times()[:4]), time.perf_counter()
        found = rate(spec["seconds"])
        seconds, used = time.perf_counter() - begin, sum(os.times()[:4]) - own
        others = max(0.0, (busy_seconds() - busy - used) / seconds / cores())
        print(json.dumps({"rate": found, "others": others, "cpu_s": used / (found * seconds)}), flush=True)


@dataclass
class Worker:
    """A contender's process."""

    spec: dict[str, Any]
    process: subprocess.Popen[str]
    ready: dict[str, Any]

    @classmethod
    def started(cls, spec: dict[str, Any]) -> "Worker":
        """A process that is ready."""
        command = [sys.executable, "-m", "benchmarks.sampled_rules", "--worker", json.dumps(spec)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        worker = cls(spec, process, {})
        worker.ready = worker.answer()
        return worker

    def round(self) -> dict[str, float]:
        """One round: updates per second, the share of the cores that other processes used, and processor seconds per
        update."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the contender {self.spec} ended with status {self.process.wait()}")
        return json.loads(line)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def interleaved(specs: Sequence[dict[str, Any]], rounds: int, setup: argparse.Namespace) -> dict[str, Any]:
    """All contenders in rounds that alternate between them.

    Returns:
      rows, one per contender: its `spec`, what it reported when `ready`, `rate` and `cpu_s` [rounds]; others, the
      largest share of the cores that other processes used, [rounds]; discarded, how many rounds were discarded because
      of that.
    """
    workers: list[Worker] = []
    try:
        for spec in specs:
            workers.append(Worker.started(spec | {"seconds": setup.seconds}))
        kept, discarded, deadline = [], 0, time.perf_counter() + setup.patience
        while len(kept) < rounds:
            while busy_share(0.3) > setup.quiet and time.perf_counter() < deadline:
                time.sleep(0.3)
            answers = [worker.round() for worker in workers]
            # When patience runs out any round counts.
            if max(answer["others"] for answer in answers) <= setup.quiet or time.perf_counter() > deadline:
                kept.append(answers)
            else:
                discarded += 1
    finally:
        for worker in workers:
            worker.stop()
    rows = [
        {"spec": worker.spec, "ready": worker.ready}
        | {name: [answers[i][name] for answers in kept] for name in ("rate", "cpu_s")}
        for i, worker in enumerate(workers)
    ]
    others = [max(answer["others"] for answer in answers) for answers in kept]
    return {"rows": rows, "others": others, "discarded": discarded}


def specs_of(part: str, setup: argparse.Namespace) -> list[list[dict[str, Any]]]:
    """The contenders of a part, in sets that alternate; part A's second set has the slow ones."""
    game = "ipd" if part in "AB" else "coin"
    batch, horizon = (given or own for given, own in zip((setup.batch, setup.horizon), SIZES[game], strict=True))
    common = {"game": game, "batch": batch, "horizon": horizon, "block": setup.block}
    work = batch * horizon * (1 if game == "ipd" else 30)

    def ours(pairs: int, devices: int, **others: Any) -> dict[str, Any]:
        updates = int(np.clip(2_000_000 // (work * pairs), 2, 100))
        return common | {"kind": "product", "pairs": pairs, "devices": devices, "updates": updates} | others

    if part == "A":
        there = [name for name in setup.contenders if all(map(importlib.util.find_spec, REFERENCES[name]))]
        sets = [[name for name in there if ("openspiel" in name) == slow] for slow in (False, True)]
        return [[ours(1, 1), *(common | {"kind": name} for name in names)] for names in sets if names]
    if part == "D":
        cases = [(k, anew, slices) for k in setup.lookaheads for anew in (False, True) for slices in (1, 4)]
        return [[ours(1, 1, lookaheads=k, rematerialise=anew, slices=n) for k, anew, n in cases]]
    several = setup.pairs or ((1, 4, 16, 64) if part == "B" else (1, 16, 256))
    return [[ours(1, 1), *(ours(pairs, setup.devices) for pairs in several)]]


def spread(numbers: Any) -> dict[str, float]:
    """Median, minimum and maximum."""
    return {"median": float(np.median(numbers)), "low": float(np.min(numbers)), "high": float(np.max(numbers))}


def shown(numbers: Any) -> str:
    """The same, as text."""
    return "{median:.3g} ({low:.3g} to {high:.3g})".format(**spread(numbers))


def table(part: str, found: dict[str, Any]) -> str:
    """One set of a part as a Markdown table."""
    head = {
        "A": "contender | updates/s: median (range) | this package / it: median (range) | target | cpu ms",
        "B": "pairs, devices | ms per update of all: median (range) | relative to one pair | best | target | cpu ms",
        "C": "pairs, devices | block | updates/s of a pair: median (range) | MiB per device | MiB per pair",
        "D": "lookaheads | recomputed | slices | MiB | expected MiB | expected / MiB | ms per update: median (range)",
    }[part].split(" | ")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    base = np.array(found["rows"][0]["rate"])
    for row in found["rows"]:
        spec, ready, rates = row["spec"], row["ready"], np.array(row["rate"])
        mib, expected = (ready.get(key, 0) / 2**20 for key in ("temporary_bytes", "expected_bytes"))
        pairs, cpu = spec.get("pairs", 1), f"{1e3 * min(row['cpu_s']) * spec.get('pairs', 1):.3g}"
        place, times = f"{pairs}, {spec.get('devices')}", 1e3 * pairs / rates
        if part == "A":
            name = spec["kind"]
            ours = name == "product"
            cells = [name, shown(rates), "" if ours else shown(base / rates), str(TARGETS.get(name, ""))]
            # For OpenSpiel this would include its start and its first updates.
            cells.append("" if "openspiel" in name else cpu)
        elif part == "B":
            best = f"{times.min() * base.max() / 1e3:.3g}"
            cells = [place, shown(times), shown(times * base / 1e3), best, TARGET_PAIRS.get(pairs, ""), cpu]
        elif part == "C":
            cells = [place, str(ready["block"]), shown(rates), f"{mib:.1f}", f"{mib / ready['block']:.1f}"]
        else:
            choices = [str(spec[key]) for key in ("lookaheads", "rematerialise", "slices")]
            cells = [*choices, f"{mib:.1f}", f"{expected:.1f}", f"{expected / mib:.2f}", shown(times)]
        lines.append(f"| {' | '.join(cells)} |")
    busy = spread(found["others"])
    return "\n".join(lines) + (
        f"\nOther processes used {busy['median']:.0%} ({busy['low']:.0%} to {busy['high']:.0%}) of the cores; "
        f"{found['discarded']} rounds discarded."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=list("ABCD"), choices=list("ABCD"))
    parser.add_argument("--contenders", nargs="*", default=list(REFERENCES), choices=list(REFERENCES), help="of A")
    parser.add_argument("--pairs", nargs="+", type=int, help="of B and C (default: 1 4 16 64, and 1 16 256)")
    parser.add_argument("--lookaheads", nargs="+", type=int, default=[1, 3], help="of D")
    parser.add_argument("--batch", type=int, help="games of a batch of play (default: as above)")
    parser.add_argument("--horizon", type=int, help="steps of a game (default: as above)")
    parser.add_argument("--block", type=int, help="matches of a block (default: as a run chooses it)")
    parser.add_argument("--devices", type=int, default=2, help="devices of B and C, one per core")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow-rounds", type=int, default=3, help="rounds of OpenSpiel")
    parser.add_argument("--seconds", type=float, default=1.0, help="calls are repeated for so long in a round")
    parser.add_argument("--quiet", type=float, default=0.15,
                        help="a round counts if other processes used at most this share of the cores")  # fmt: skip
    parser.add_argument("--patience", type=float, default=300.0,
                        help="seconds to wait for quiet rounds of a part; later ones count as they are")  # fmt: skip
    parser.add_argument("--json", type=Path, help="also write everything measured to this file")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    setup = parser.parse_args()
    if setup.worker:
        work(json.loads(setup.worker))
        return
    result: dict[str, Any] = {"command": f"python -m benchmarks.sampled_rules {' '.join(sys.argv[1:])}".strip()}
    result["machine"] = describe()
    print(json.dumps(result, indent=2), flush=True)
    for part in setup.parts:
        result[part] = []
        for specs in specs_of(part, setup):
            slow = any(spec["kind"].startswith("openspiel") for spec in specs)
            result[part].append(interleaved(specs, setup.slow_rounds if slow else setup.rounds, setup))
            print(f"\n{part}\n{table(part, result[part][-1])}", flush=True)
    if setup.json:
        setup.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
