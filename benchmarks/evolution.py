"""Evolution, leagues and best responses at scale, compared with OpenSpiel, EGTtools and Axelrod-Python where they are
installed.

python -m benchmarks.evolution --rounds 3 --json evolution.json

Contenders take turns, each in its own process. Both processor time and wall time are reported in seconds, because other
programs on a shared machine change the latter. References that are not installed in this Python can be run by another
one (`--reference-python`), which needs nothing from this package. Peak memory is that of the process.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe

ROOT = Path(__file__).parents[1]


def payoffs(strategies: int) -> np.ndarray:
    return np.random.default_rng(0).random((strategies, strategies))


def policies(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 5))


def ours(task: str, size: int) -> Callable[[], Any]:
    """The function to measure, with its inputs made and everything imported."""
    from shaping import envs, evolution
    from shaping.objectives.best_responses import best_responses
    from shaping.objectives.league_values import league_values

    game = envs.make("ipd")
    if task == "alpha_rank":
        given = payoffs(size)
        return lambda: evolution.alpha_rank(given, 0.1, 20)
    if task == "alpha_rank_global":
        given = payoffs(size)
        return lambda: evolution.alpha_rank(given, 0.1, 20, "global")
    if task == "round_robin":
        return round_robin(size)
    if task == "alpha_rank_defaults":
        given = payoffs(size)
        return lambda: evolution.alpha_rank(given)
    if task == "fixation":
        given = payoffs(size)
        return lambda: evolution.stationary_distribution(given, 100, 1.0)
    if task == "league":
        given = policies(size)
        return lambda: league_values(game, given)
    if task == "best_responses":
        given = policies(size)
        return lambda: best_responses(game, given)
    raise ValueError(task)


# Ours, and the class in Axelrod-Python.
STRATEGIES = {
    "allc": "Cooperator",
    "alld": "Defector",
    "tft": "TitForTat",
    "suspicious_tft": "SuspiciousTitForTat",
    "anti_tft": "AntiTitForTat",
    "bully": "Bully",
    "grudger": "Grudger",
    "wsls": "WinStayLoseShift",
    "win_shift_lose_stay": "WinShiftLoseStay",
    "alternator": "Alternator",
    "tf2t": "TitFor2Tats",
    "two_tits_for_tat": "TwoTitsForTat",
    "hard_tft": "HardTitForTat",
    "hard_tf2t": "HardTitFor2Tats",
    "contrite_tft": "ContriteTitForTat",
    "soft_grudger": "SoftGrudger",
    "prober": "Prober",
    "prober_2": "Prober2",
    "prober_3": "Prober3",
}
TURNS, NOISE = 200, 0.01


def round_robin(repetitions: int) -> Callable[[], Any]:
    """A tournament of all pairs, played turn by turn with mistakes; compiled beforehand. Machines are certain of what
    they do, so nothing but mistakes is drawn."""
    import jax
    import jax.numpy as jnp

    from shaping import envs
    from shaping.policies import stack_automata

    game = envs.make("ipd", noise=NOISE)
    params = game.default_params
    policy, machines = stack_automata(list(STRATEGIES))
    pairs = np.repeat(np.stack(np.triu_indices(len(STRATEGIES)), axis=1), repetitions, axis=0)

    def match(pair: Any, key: Any) -> Any:
        players = [jax.tree.map(lambda leaf, i=i: leaf[i], machines) for i in pair]

        def turn(carry: Any, time: Any) -> tuple[Any, None]:
            seen, state, memories, scores = carry
            chosen = [policy.apply(*given) for given in zip(players, seen, memories, strict=True)]
            actions = jnp.stack([distribution.mode() for distribution, _ in chosen])
            seen, state, rewards, *_ = game.step(jax.random.fold_in(key, time), state, actions, params)
            return (seen, state, [memory for _, memory in chosen], scores + rewards), None

        start = (*game.reset(key, params), [policy.start(()), policy.start(())], jnp.zeros(2))
        return jax.lax.scan(turn, start, jnp.arange(TURNS))[0][3]

    @jax.jit
    def tournament(key: Any) -> Any:
        return jax.vmap(match)(jnp.asarray(pairs), jax.random.split(key, len(pairs)))

    jax.block_until_ready(tournament(jax.random.key(0)))
    return lambda: jax.block_until_ready(tournament(jax.random.key(1)))


# What a reference does, as its own program: `size` is given, `run` is timed.
REFERENCES = {
    "alpha_rank": """
from open_spiel.python.egt import alpharank
given = np.random.default_rng(0).random((size, size))
run = lambda: alpharank.compute([given], m=20, alpha=.1, use_local_selection_model=True)
""",
    "alpha_rank_global": """
from open_spiel.python.egt import alpharank
given = np.random.default_rng(0).random((size, size))
run = lambda: alpharank.compute([given], m=20, alpha=.1, use_local_selection_model=False)
""",
    "round_robin": f"""
import axelrod
names = {list(STRATEGIES.values())}
players = [getattr(axelrod, name)() for name in names]
tournament = axelrod.Tournament(players, turns={TURNS}, repetitions=size, noise={NOISE}, seed=1)
run = lambda: tournament.play(progress_bar=False)
""",
    "fixation": """
from egttools.analytical import PairwiseComparison
from egttools.games import Matrix2PlayerGameHolder
from egttools.utils import calculate_stationary_distribution
game = Matrix2PlayerGameHolder(size, np.random.default_rng(0).random((size, size)))
process = PairwiseComparison(100, game)
run = lambda: calculate_stationary_distribution(
    np.asarray(process.calculate_transition_and_fixation_matrix_sml(1.0)[0]).T)
""",
}
TASKS = {
    "alpha_rank": 1000,
    "alpha_rank_defaults": 10_000,
    "alpha_rank_global": 100,
    "round_robin": 50,
    "fixation": 20,
    "league": 4096,
    "best_responses": 100_000,
}
_TIMED = """
import json, resource, sys, time
import numpy as np
size = int(sys.argv[1])
{setup}
cpu, clock = time.process_time(), time.perf_counter()
run()
print(json.dumps(dict(processor_s=time.process_time() - cpu, clock_s=time.perf_counter() - clock,
                      peak_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)))
"""


def timed(run: Callable[[], Any]) -> dict[str, float]:
    cpu, clock = time.process_time(), time.perf_counter()
    run()
    return {
        "processor_s": time.process_time() - cpu,
        "clock_s": time.perf_counter() - clock,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def in_a_process(command: list[str], threads: int, limit: float) -> dict[str, float] | None:
    """What a contender prints; None if it cannot run here."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def medians(rows: list[dict[str, float] | None]) -> dict[str, float] | None:
    found = [row for row in rows if row]
    return {key: round(statistics.median(row[key] for row in found), 4) for key in found[0]} if found else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="sizes times this, to try it out")
    parser.add_argument("--threads", type=int, default=2, help="of linear algebra")
    parser.add_argument("--reference-python", default=sys.executable, help="one that has the references")
    parser.add_argument("--limit", type=float, default=600, help="seconds a contender may take")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("TASK", "SIZE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(timed(ours(arguments.one[0], int(arguments.one[1])))))
        return
    results = []
    for task in arguments.tasks:
        size = max(4, int(TASKS[task] * arguments.scale))
        contenders = {"this package": [sys.executable, "-m", "benchmarks.evolution", "--one", task, str(size)]}
        if task in REFERENCES:
            program = _TIMED.format(setup=REFERENCES[task])
            contenders["reference"] = [arguments.reference_python, "-c", program, str(size)]
        rows: dict[str, list[dict[str, float] | None]] = {name: [] for name in contenders}
        for _ in range(arguments.rounds):
            for name, command in contenders.items():
                rows[name].append(in_a_process(command, arguments.threads, arguments.limit))
        row = {"task": task, "size": size} | {name: medians(found) for name, found in rows.items()}
        results.append(row)
        print(json.dumps(row), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe(), "results": results}, indent=2))


if __name__ == "__main__":
    main()
