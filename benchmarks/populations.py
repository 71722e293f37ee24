"""Generations per second of populations that meet: a million exact LOLA learners with a new partner in every
generation, the cost of a new partner compared with the same one, and how the cost grows with the population.

    python -m benchmarks.populations                        # a million, 100 generations
    python -m benchmarks.populations --sizes 1000 10000 100000 1000000 --generations 20
    python -m benchmarks.populations --encounter 10 --pairings fixed well_mixed

Iterated prisoner's dilemma, discount 0.96, memory one, LOLA `taylor` at step size and lookahead rate 1. Each case runs
in its own process, with the device count and flags of the command; cases take turns. The difference between a long and
a short run is measured, both with compiled programs, in wall time and in processor time; on a busy machine only the
latter is meaningful.
"""

import argparse
import json
import subprocess
import sys


def case(size: int, generations: int, encounter: int, pairing: str) -> dict[str, float]:
    """One population, in this process."""
    import resource
    import time

    from shaping.runtime.devices import compile_for_scalars, prepare_process

    prepare_process()
    compile_for_scalars()
    import shaping
    from shaping import envs

    game, rule = envs.make("ipd", discount=0.96), shaping.lola("taylor")

    def spent(count: int) -> tuple[float, float]:
        wall, processor = time.perf_counter(), time.process_time()
        shaping.evolve(game, rule, size, count, encounter=encounter, pairing=pairing)
        return time.perf_counter() - wall, time.process_time() - processor

    # The first run of a length compiles its programs.
    short, long = ([spent(count), spent(count)][1] for count in (5, 5 + generations))
    wall, processor = (b - a for a, b in zip(short, long, strict=True))
    return {
        "wall_s": wall,
        "processor_s": processor,
        "updates_per_s": size * generations * encounter / wall,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main() -> None:
    """Prints a row for every case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--generations", type=int, default=100)
    parser.add_argument("--encounter", type=int, default=1)
    parser.add_argument("--pairings", nargs="+", default=["well_mixed"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(case(int(given.case[0]), given.generations, given.encounter, given.case[1])))
        return
    print("| learners | pairing | encounter | generations | wall s | processor s | million updates/s | peak GiB |")
    print("|---|---|---|---|---|---|---|---|")
    for _ in range(given.rounds):
        for size in given.sizes:
            for pairing in given.pairings:
                own = ["--generations", str(given.generations), "--encounter", str(given.encounter)]
                command = [sys.executable, "-m", "benchmarks.populations", "--case", str(size), pairing, *own]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                row = json.loads(done.stdout.splitlines()[-1])
                print(
                    f"| {size:,} | {pairing} | {given.encounter} | {given.generations} | {row['wall_s']:.2f} | "
                    f"{row['processor_s']:.2f} | {row['updates_per_s'] / 1e6:.2f} | {row['peak_gib']:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
