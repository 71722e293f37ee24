"""Match-updates per second of rules on exact returns: LOLA compared with the same rule plainly written in jax and
PyTorch, and every rule compared with itself on plain returns, in one run.

    python -m benchmarks.exact_rules                                         # exact LOLA and its two references
    python -m benchmarks.exact_rules --rules original taylor naive           # also other rules of this package
    python -m benchmarks.exact_rules --contenders --rules sos cgd --plain    # each against itself on plain returns

Two players of an iterated prisoner's dilemma, both updated, one lookahead, discount 0.96, step size and lookahead rate
1, logits drawn from N(0, 1), the same for all. Each contender is a separate process that is asked in turn for one
round, so that whatever else happens on the machine affects all alike; a ratio compares consecutive rounds, and rounds
in which other processes were busy are repeated. Our program does what a run does (values, means over the run, tests for
divergence); the references only do the updates. A contender that is not ready within the limit is left out and reported
as such.
"""

import argparse
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import busy_seconds, busy_share, cores, describe

PAYOFFS = [[-1, -3, 0, -2], [-1, 0, -3, -2]]
DISCOUNT, LOOKAHEAD_RATE, STEP_SIZE = 0.96, 1.0, 1.0
REFERENCES = ("jax", "torch")
RULES = {
    "exact": ("lola", {"variant": "exact", "lookahead_rate": LOOKAHEAD_RATE}),
    "original": ("lola", {"variant": "original"}),
    "taylor": ("lola", {"variant": "taylor"}),
    "naive": ("naive", {}),
    "lookahead": ("lookahead", {}),
    "extragradient": ("extragradient", {}),
    "consensus": ("consensus", {}),
    "sga": ("sga", {}),
    "sos": ("sos", {}),
    "cgd": ("cgd", {}),
    "lss": ("lss", {}),
    "hola": ("hola", {"order": 2}),
}
"""Contenders by name: the rule and its settings; rates have their default of 1."""
# Without this flag the batched LAPACK calls of the jax reference may deadlock on a machine with few cores.
LAPACK_FLAG = "--xla_cpu_enable_concurrency_optimized_scheduler=false"


def population(theta: np.ndarray, rule: str) -> Callable[[np.ndarray], Any]:
    """A function from match indices to the settings of those matches, leaves [matches, ...]; they start from `theta`
    [2, pairs, 5]."""
    import jax

    from shaping import envs
    from shaping.learners import gradient_learner, values
    from shaping.objectives import ExactMatrixGame
    from shaping.policies import tabular
    from shaping.population.match import Match
    from shaping.rules import named_rules

    name, settings = RULES[rule]
    game = envs.make("ipd", discount=DISCOUNT)
    assert np.array_equal(np.reshape(game.payoffs, (2, 4)), PAYOFFS)

    def matches_of(indices: np.ndarray) -> Match:
        def stacked(leaf: Any) -> np.ndarray:
            return np.broadcast_to(np.asarray(leaf, theta.dtype), (len(indices), *np.shape(leaf)))

        learner = jax.tree.map(stacked, gradient_learner(named_rules()[name](**settings), STEP_SIZE))
        learners = tuple(
            learner.replace(
                settings=learner.settings.replace(common=learner.settings.common.replace(initial=values(own[indices])))
            )
            for own in theta
        )
        form = ExactMatrixGame(2, None, "own", (tabular(5),) * 2)
        numbers = indices.astype(np.int32)
        return Match(numbers * 0, numbers, jax.tree.map(stacked, game.default_params), learners, form)

    return matches_of


def product(theta: np.ndarray, rule: str, updates: int, block: int | None, devices: int) -> Callable[[], np.ndarray]:
    """A function that runs all updates from `theta` [2, pairs, 5] through the compiled population program.

    The population is cut as a run would cut it, unless `block`, the matches of a block, is given.
    """
    import jax

    jax.config.update("jax_num_cpu_devices", devices)
    from shaping.population import compiled_programs
    from shaping.runtime.chunks import Group, cut
    from shaping.runtime.devices import population_mesh

    pairs = theta.shape[1]
    matches_of = population(theta, rule)
    chunks = cut(Group(np.arange(pairs), matches_of), updates, updates, 2**31, devices)
    block = block or chunks.block
    padded = -(-pairs // (devices * block)) * devices * block
    mesh = population_mesh()
    matches = matches_of(np.minimum(np.arange(padded), pairs - 1))
    matches = jax.device_put(matches, compiled_programs.population_sharding(mesh))
    start = compiled_programs.start_program(mesh, theta.dtype)
    timetable = compiled_programs.Timetable(updates, updates, 1)
    segment, window = (
        compiled_programs.segment_program(mesh, timetable, block),
        compiled_programs.segment_at(timetable, 0),
    )

    def run() -> np.ndarray:
        states, _ = segment(matches, start(matches), window)
        return np.stack([learner.theta for learner in states.learners])[:, :pairs]

    return run


def contender(name: str, theta: np.ndarray, updates: int, setup: argparse.Namespace) -> Callable[[], np.ndarray]:
    """The function that a contender repeats in its rounds."""
    kind, _, rule = name.partition(":")
    if kind == "product":
        return product(theta, rule, updates, setup.block, setup.devices)
    if kind == "torch":
        from benchmarks.reference_torch import contender as make

        return make(theta, PAYOFFS, DISCOUNT, LOOKAHEAD_RATE, STEP_SIZE, updates)
    from benchmarks import reference_jax
    from shaping.rules import named_rules

    def ascent(theta: Any) -> Any:
        if not rule:
            return reference_jax.directions(theta, PAYOFFS, DISCOUNT, LOOKAHEAD_RATE)
        factory, settings = RULES[rule]
        return reference_jax.rule_directions(named_rules()[factory](**settings), theta, PAYOFFS, DISCOUNT)

    return reference_jax.contender(theta, ascent, STEP_SIZE, updates)


def work(name: str, setup: argparse.Namespace) -> None:
    """The process of one contender: prints a line of JSON when it is ready, and another for every line it is sent."""
    if setup.precision == "float64" and name != "torch":
        import jax

        jax.config.update("jax_enable_x64", True)
    theta = np.random.default_rng(0).normal(size=(2, setup.pairs, 5)).astype(setup.precision)
    step = contender(name, theta, 1, setup)() - theta
    begin = time.perf_counter()
    run = contender(name, theta, setup.updates, setup)
    final = run()
    ready = {"first_call_s": time.perf_counter() - begin, "final_mean": float(final.mean())}
    print(json.dumps(ready | {"direction": (step / STEP_SIZE)[:, : setup.compared].tolist()}), flush=True)
    for _ in sys.stdin:
        busy, own = busy_seconds(), time.process_time()
        calls, begin = 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - begin < setup.seconds:
            run()
            calls += 1
        seconds = time.perf_counter() - begin
        others = (busy_seconds() - busy) - (time.process_time() - own)
        rate = calls * setup.updates * setup.pairs / seconds
        print(json.dumps({"rate": rate, "others": max(0.0, others / seconds / cores())}), flush=True)


@dataclass
class Worker:
    """A contender's process, restarted if it exceeds the time limit; one that never becomes ready is left out."""

    name: str
    limit: float
    hung: int = 0
    ready: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        from shaping.runtime.devices import CPU_FLAG

        environment = dict(os.environ)
        # What the command sets for itself. Exact LOLA in plain jax is also a little faster with it; consensus crashes.
        own = [LAPACK_FLAG] * self.name.startswith("jax")
        own += [CPU_FLAG] * (self.name == "jax" or self.name.startswith("product"))
        environment["XLA_FLAGS"] = " ".join([environment.get("XLA_FLAGS", ""), *own]).strip()
        command = [sys.executable, "-m", "benchmarks.exact_rules", "--worker", self.name, *sys.argv[1:]]
        self.process = subprocess.Popen(
            command,
            env=environment,
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.ready = self._answer() or self.ready

    def round(self) -> dict[str, float]:
        """One round: match-updates per second, and the share of the cores that other processes used; NaN if it hung."""
        if self.process is None and self.ready:
            self.start()
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()
        return (self.process and self._answer()) or {"rate": float("nan"), "others": 0.0}

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answer(self) -> dict[str, Any] | None:
        """The next line; None if the process hung (it is then killed)."""
        assert self.process is not None and self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], self.limit)[0]:
            self.hung += 1
            self.stop()
            return None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the contender {self.name} ended with status {self.process.wait()}")
        return json.loads(line)


def measure(setup: argparse.Namespace) -> dict[str, Any]:
    """All contenders, in rounds that alternate between them."""
    machine = describe()
    workers = [Worker(name, setup.limit) for name in setup.contenders]
    for rule in setup.rules:
        workers.append(Worker(f"product:{rule}", setup.limit))
        if setup.plain:
            workers.append(Worker(f"jax:{rule}", setup.limit))
    try:
        for worker in workers:
            worker.start()
        kept, discarded, deadline = [], 0, time.perf_counter() + setup.patience
        # When patience runs out, three rounds are enough, and any round counts.
        while len(kept) < (setup.rounds if time.perf_counter() < deadline else min(3, setup.rounds)):
            while busy_share(0.3) > setup.quiet and time.perf_counter() < deadline:
                time.sleep(0.3)
            answers = [worker.round() for worker in workers]
            if max(answer["others"] for answer in answers) <= setup.quiet or time.perf_counter() > deadline:
                kept.append(answers)
            else:
                discarded += 1
    finally:
        for worker in workers:
            worker.stop()
    rates = np.array([[answer["rate"] for answer in answers] for answers in kept]).T
    by_name = dict(zip([worker.name for worker in workers], zip(workers, rates, strict=True), strict=True))
    rows = []
    for worker, own in zip(workers, rates, strict=True):
        row: dict[str, Any] = {"contender": worker.name, "match_updates_per_s": _spread(own), "hung": worker.hung}
        row |= {key: worker.ready.get(key) for key in ("first_call_s", "final_mean")}
        kind, _, rule = worker.name.partition(":")
        if kind != "product":
            product, product_rates = by_name[f"product:{rule or 'exact'}"]
            row["product_over_this"] = _spread(product_rates / own)
            if worker.ready and product.ready:
                expected = np.array(product.ready["direction"])
                difference = np.abs(np.array(worker.ready["direction"]) - expected) / (1 + np.abs(expected))
                row["direction_difference"] = float(difference.max())
        rows.append(row | {"rounds": own.tolist()})
    return {
        "command": f"python -m benchmarks.exact_rules {' '.join(sys.argv[1:])}".strip(),
        "machine": machine,
        "others": _spread([answer["others"] for answers in kept for answer in answers]),
        "discarded_rounds": discarded,
        "limit_s": setup.limit,
        "results": rows,
    }


def _spread(numbers: Any) -> dict[str, float]:
    """Median, minimum and maximum without rounds that hung; NaN if all did."""
    if np.isnan(numbers).all():
        return dict.fromkeys(("median", "low", "high"), float("nan"))
    return {
        "median": float(np.nanmedian(numbers)),
        "low": float(np.nanmin(numbers)),
        "high": float(np.nanmax(numbers)),
    }


def table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = [
        "| contender | million match-updates/s: median (range) | product / this: median (range) "
        "| largest difference in direction |",
        "|---|---|---|---|",
    ]
    for row in result["results"]:
        if row["first_call_s"] is None:
            lines.append(f"| {row['contender']} | not ready within {result['limit_s']:g} s | | |")
            continue
        rate = {key: value / 1e6 for key, value in row["match_updates_per_s"].items()}
        cells = [row["contender"], f"{rate['median']:.3g} ({rate['low']:.3g} to {rate['high']:.3g})", "", ""]
        if "direction_difference" in row:
            ratio = row["product_over_this"]
            cells[2] = f"{ratio['median']:.1f} ({ratio['low']:.1f} to {ratio['high']:.1f})"
            cells[3] = f"{row['direction_difference']:.1e}"
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contenders", nargs="*", default=["product:exact", *REFERENCES], metavar="NAME",
                        help="product:exact first, then any of jax and torch")  # fmt: skip
    parser.add_argument(
        "--rules", nargs="*", default=[], choices=tuple(RULES), help="other rules of this package to measure"
    )
    parser.add_argument("--plain", action="store_true", help="also measure each of them on plain JAX returns")
    parser.add_argument("--pairs", type=int, default=8192)
    parser.add_argument("--updates", type=int, default=100, help="updates from the start in one call")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0, help="calls are repeated for so long in a round")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds until a contender counts as hung")
    parser.add_argument("--quiet", type=float, default=0.15,
                        help="a round counts if other processes used at most this share of the cores")  # fmt: skip
    parser.add_argument(
        "--patience", type=float, default=600.0, help="seconds to wait for quiet rounds; later ones count as they are"
    )
    parser.add_argument("--precision", choices=("float32", "float64"), default="float32")
    parser.add_argument("--block", type=int, help="matches per block of this package (default: as a run chooses it)")
    parser.add_argument("--devices", type=int, default=2, help="devices of the product, one per core")
    parser.add_argument("--compared", type=int, default=512, help="pairs whose first directions are compared")
    parser.add_argument("--json", type=Path, help="also write everything measured to this file")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    setup = parser.parse_args()
    if setup.worker:
        work(setup.worker, setup)
        return
    result = measure(setup)
    print(json.dumps({key: result[key] for key in ("command", "machine", "others", "discarded_rounds")}, indent=2))
    print(table(result))
    if setup.json:
        setup.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
