"""Populations that meet, beside other ways to compute the same: NumPy, Axelrod-Python and EGTtools.

    python -m benchmarks.population_references --rounds 3 --reference-python /path/with/axelrod/and/egttools/bin/python
    python -m benchmarks.population_references --tasks stag_hunt rock_paper_scissors --cores 1 --threads 1

Contenders take turns, each in its own process; processor time and wall time are in seconds. Tasks:

    stag_hunt            20,000 LOLA learners in a one-shot stag hunt, a new partner at each of 1,000 steps
                         (Bouteiller et al. 2024, arXiv 2410.17466), beside the same written plainly in NumPy
    rock_paper_scissors  likewise in rock-paper-scissors
    moran                Moran processes among TFT, ALLC and ALLD, 20 players, to fixation, beside Axelrod's
                         MoranProcess
    fixation             how often one of 100 takes over by pairwise comparison, 10,000 runs, beside EGTtools

Ours is the difference between a long run and a short one, both with compiled programs; the time to compile is given
apart. References repeat less if they are slow, and their time is multiplied.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.evolution import in_a_process, medians

SIZE, STEPS = 20_000, 1000
STAG_HUNT = [[1.8, 0.0], [1.0, 1.0]]
ROCK_PAPER_SCISSORS = [[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]
PROCESSES = 2000
RUNS = 10_000


def ours(task: str) -> dict[str, float]:
    """The time of the steps, and of compilation."""
    from shaping.runtime.devices import compile_for_scalars, prepare_process

    prepare_process()
    if task in ("stag_hunt", "rock_paper_scissors"):
        compile_for_scalars()
    import shaping
    from shaping import envs

    if task in ("stag_hunt", "rock_paper_scissors"):
        matrix = STAG_HUNT if task == "stag_hunt" else ROCK_PAPER_SCISSORS
        turned = [list(column) for column in zip(*matrix, strict=True)]
        game = envs.make("matrix_game", horizon=1, payoffs=[matrix, turned])
        learner = shaping.gradient_learner(shaping.lola("taylor"), 1.0, initial=shaping.uniform(1.0))

        def run(long: bool) -> Any:
            return shaping.evolve(game, learner, SIZE, 100 + STEPS * long)

        return _difference(run)
    if task == "moran":
        game = envs.make("ipd", horizon=100, discount=1.0, reward=3.0, sucker=0.0, temptation=5.0, punishment=1.0)
        # At this intensity fitness is the score itself.
        own = shaping.selection("birth_death", intensity=1e6, events=20, payoff="expected", fitness="linear")
        types, shares = {"tft": "tft", "allc": "allc", "alld": "alld"}, {"tft": 0.4, "allc": 0.3, "alld": 0.3}
        return _difference(_until_fixed(game, types, 20, shares, own, PROCESSES))
    game = envs.make("matrix_game", horizon=1, payoffs=[[[1.9, -0.1], [0.2, 0.1]], [[1.9, 0.2], [-0.1, 0.1]]])
    own = shaping.selection("fermi", intensity=0.1, events=1000, payoff="expected")
    types, shares = {"first": "allc", "second": "alld"}, {"first": 0.01, "second": 0.99}
    return _difference(_until_fixed(game, types, 100, shares, own, RUNS))


def _until_fixed(game: Any, types: Any, size: int, shares: Any, own: Any, matches: int) -> Callable[[bool], Any]:
    import shaping

    def run(long: bool) -> Any:
        settings = {"shares": shares, "selection": own, "matches": matches, "until": "fixation"}
        return shaping.evolve(game, types, size, 100_000 if long else 8, **settings)

    return run


def _difference(run: Callable[[bool], Any]) -> dict[str, float]:
    times = []
    for long in (False, False, True, True):
        cpu, clock = time.process_time(), time.perf_counter()
        found = run(long)
        times.append((time.process_time() - cpu, time.perf_counter() - clock))
    first = float(found.share[:, -1, 0].mean())
    return {
        "processor_s": times[3][0] - times[1][0],
        "clock_s": times[3][1] - times[1][1],
        "compiling_s": times[0][0],
        "first_type": first,
    }


# What a reference does, as its own program: `run` is timed and returns the share that the first type won, `factor` is
# how much less it does.
_MATRICES = """
import numpy as np
A, size, steps = np.array({matrix}), {size}, 100
factor = {steps} / steps
generator = np.random.default_rng(0)

def along(x, v):  # the derivative of a softmax, times v
    return x * (v - np.sum(x * v, axis=1, keepdims=True))

def run():
    theta = generator.uniform(-1, 1, (size, len(A)))
    for _ in range(steps):
        partner = np.empty(size, int)
        order = generator.permutation(size)
        partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
        x = np.exp(theta - theta.max(axis=1, keepdims=True))
        x /= x.sum(axis=1, keepdims=True)
        y = x[partner]
        ours, theirs = along(y, x @ A), along(y, x @ A.T)  # d V_i / d theta_j, d V_j / d theta_j
        shaping = along(y, theirs) @ A.T + along(y, ours) @ A
        theta = theta + along(x, y @ A.T + shaping)
    return float('nan')
"""
REFERENCES = {
    "stag_hunt": _MATRICES.format(matrix=STAG_HUNT, size=SIZE, steps=STEPS),
    "rock_paper_scissors": _MATRICES.format(matrix=ROCK_PAPER_SCISSORS, size=SIZE, steps=STEPS),
    "moran": f"""
import axelrod
repeats = 10
factor = {PROCESSES} / repeats
def run():
    won = 0
    for seed in range(repeats):
        players = [axelrod.TitForTat() for _ in range(8)]
        players += [axelrod.Cooperator() for _ in range(6)] + [axelrod.Defector() for _ in range(6)]
        process = axelrod.MoranProcess(players, turns=100, seed=seed)
        process.play()
        won += process.winning_strategy_name == 'Tit For Tat'
    return won / repeats
""",
    "fixation": f"""
import numpy as np
from egttools.games import Matrix2PlayerGameHolder
from egttools.numerical import PairwiseComparisonNumerical
process = PairwiseComparisonNumerical(100, Matrix2PlayerGameHolder(2, np.array([[1.9, -.1], [.2, .1]])), 1000)
factor = 1
run = lambda: process.estimate_fixation_probability(0, 1, {RUNS}, 10**7, .1)
""",
}
_TIMED = """
import json, time
{setup}
cpu, clock = time.process_time(), time.perf_counter()
first = run()
cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
print(json.dumps(dict(processor_s=cpu * factor, clock_s=clock * factor, first_type=first)))
"""


def main() -> None:
    """Prints a line for every task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=REFERENCES, default=list(REFERENCES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of linear algebra")
    parser.add_argument("--cores", type=int, default=0, help="that each contender may use; 0 for all")
    parser.add_argument("--reference-python", default=sys.executable, help="one that has Axelrod and EGTtools")
    parser.add_argument("--limit", type=float, default=600, help="seconds a contender may take")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(ours(given.one)))
        return
    if given.cores:
        # Contenders inherit it, and this package then has as many devices.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
    for task in given.tasks:
        contenders = {
            "this package": [sys.executable, "-m", "benchmarks.population_references", "--one", task],
            "reference": [given.reference_python, "-c", _TIMED.format(setup=REFERENCES[task])],
        }
        rows: dict[str, list[dict[str, float] | None]] = {name: [] for name in contenders}
        for _ in range(given.rounds):
            for name, command in contenders.items():
                rows[name].append(in_a_process(command, given.threads, given.limit))
        pairs = [
            (a, b)
            for a, b in zip(rows["this package"], rows["reference"], strict=True)
            if a is not None and b is not None
        ]
        ratios = {
            key: round(statistics.median(b[key] / a[key] for a, b in pairs), 1)
            for key in ("processor_s", "clock_s")
            if pairs
        }
        print(
            json.dumps({"task": task} | {name: medians(found) for name, found in rows.items()} | {"ratio": ratios}),
            flush=True,
        )


if __name__ == "__main__":
    main()
