"""Rounds per second: recurrent shapers of tabular learners in the repeated prisoner's dilemma, against Pax's design.

    python -m benchmarks.sampled_trials --population 64 --rounds 5

All contenders evaluate one generation of an evolution strategy: a population of GRU policies, each against some
opponents in some streams, over trials of some episodes between which opponents learn. Those of `ours` are naive
learners, as in `shaper_ipd`; those of `pax` (`reference_trials_pax`) learn by PPO, two epochs of four minibatches, as
Pax's do; those of `pax:naive` take one gradient step. A round is one step of one stream. Contenders take turns;
processor seconds count what other processes on the machine do not change. The peak of memory is that of the process, so
ask for it with one contender at a time; with `--chunk` a population of ours is evaluated in parts.
"""

import argparse
import json
import math
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

import shaping
from benchmarks.machine import describe
from benchmarks.reference_trials_pax import generation, shaper
from shaping import envs
from shaping.learners.es import fitness_of
from shaping.objectives.objective import Objective
from shaping.policies.placeholder import placeholder_policy
from shaping.population.trial_play import trial_sampler
from shaping.rules.search import in_chunks, normals

UNITS = 16


def ours(sizes: argparse.Namespace) -> Callable[[int], Any]:
    """Evaluates a generation with a seed."""
    ipd, tables = envs.make("ipd"), (shaping.tabular(5),) * 2
    game, params = shaping.sampled(ipd, tables, batch=sizes.streams, horizon=sizes.horizon, discount=1.0)
    learner = shaping.gradient_learner(shaping.naive(), 1.0)
    meta = shaping.meta_game(game, params, [None, learner], sizes.episodes)
    seen, does = meta.stream_observations, meta.stream_actions
    policy = shaping.network(seen, does, hidden=(), recurrent="gru", units=UNITS)
    policies = (policy, placeholder_policy(seen, does))
    theta = policy.init(jax.random.key(0), jnp.float32(1))
    flat, unflatten = ravel_pytree(theta)

    def evaluate(key: jax.Array) -> Any:
        sampler = trial_sampler(meta, policies, meta.default_params, 1.0, sizes.opponents)
        objective = Objective(lambda *_: ((), None), sampler=sampler)
        noise = 0.1 * normals(key, sizes.population, flat)

        def of(number: jax.Array) -> jax.Array:
            return fitness_of(objective, [unflatten(flat + noise[number]), ()], (0,), key)

        return in_chunks(of, sizes.population, sizes.chunk)

    compiled = jax.jit(evaluate)
    return lambda seed: jax.block_until_ready(compiled(jax.random.key(seed)))


def pax(sizes: argparse.Namespace, epochs: int = 2, minibatches: int = 4) -> Callable[[int], Any]:
    """Likewise, in Pax's design."""
    counts = (sizes.opponents, sizes.streams, sizes.episodes, sizes.horizon, UNITS, epochs, minibatches)
    fitness = jax.jit(generation(*counts))
    population = jax.vmap(lambda key: shaper(UNITS, key))(jax.random.split(jax.random.key(0), sizes.population))
    return lambda seed: jax.block_until_ready(fitness(population, jax.random.key(seed)))


CONTENDERS = {"ours": ours, "pax": pax, "pax:naive": lambda sizes: pax(sizes, 1, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {"population": 64, "opponents": 4, "streams": 4, "episodes": 20, "horizon": 10, "rounds": 5}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--chunk", type=int)
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    steps = math.prod(getattr(given, name) for name in list(sizes)[:5])
    contenders = {name: CONTENDERS[name](given) for name in given.contenders}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for number in range(1 + given.rounds):
        for name, run in contenders.items():
            began, busy = time.perf_counter(), time.process_time()
            run(number)
            # The first round compiles.
            if number:
                found[name].append((time.perf_counter() - began, time.process_time() - busy))
    print("| contender | rounds/s | range | rounds per processor second |")
    print("|---|---|---|---|")
    rows = {}
    for name, times in found.items():
        rates = [steps / wall for wall, _ in times]
        busy = steps / statistics.median(second for _, second in times)
        rows[name] = {"rounds_per_s": statistics.median(rates), "range": [min(rates), max(rates)], "per_cpu_s": busy}
        print(f"| {name} | {statistics.median(rates):,.0f} | {min(rates):,.0f} to {max(rates):,.0f} | {busy:,.0f} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of the process: {peak:.2f} GiB")
    if given.json:
        given.json.write_text(json.dumps({"machine": describe(), "rows": rows, "peak_gib": peak}, indent=1))


if __name__ == "__main__":
    main()
