"""Trials per second: a shaper of naive learners on the exact prisoner's dilemma, against the published design.

    python -m benchmarks.trials --trials 4096 --rounds 5

Both play the same batches: 100 inner updates, a shaper with one tanh layer of 256 units that draws its next policy, a
naive learner of step size 1 opposite. `reference_trials_torch` is that of Lu et al. (2022). Nobody is trained: what is
measured is how fast experience is made. Contenders take turns; processor seconds count what other processes on the
machine do not change.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import shaping
from benchmarks.machine import describe
from shaping import envs
from shaping.objectives.exact_matrix import exact_matrix_game
from shaping.policies.placeholder import placeholder_policy
from shaping.population.trial_play import trial_sampler

UPDATES, HIDDEN = 100, 256
# On a machine that other programs use, more threads wait for each other for most of the time.
THREADS = 1


def ours(trials: int) -> Callable[[int], Any]:
    """Plays a batch with a seed."""
    ipd = envs.make("ipd")
    game = exact_matrix_game(ipd, (shaping.tabular(5),) * 2)
    naive = shaping.gradient_learner(shaping.naive(), 1.0)
    meta = shaping.meta_game(game, ipd.default_params, [None, naive], UPDATES)
    policy = shaping.network(meta.stream_observations, meta.stream_actions, hidden=(HIDDEN,))
    policies = (policy, placeholder_policy(meta.stream_observations, meta.stream_actions))
    thetas = [policy.init(jax.random.key(0), jnp.float32(1)), ()]

    def play(thetas: Any, key: jax.Array) -> Any:
        sampler = trial_sampler(meta, policies, meta.default_params, 1.0, trials)
        batch = sampler.play(thetas, key)
        return batch.observations, batch.actions, sampler.read(0, thetas[0], batch)[0], batch.rewards

    compiled = jax.jit(play)
    return lambda seed: jax.block_until_ready(compiled(thetas, jax.random.key(seed)))


def reference(trials: int, lean: bool = False) -> Callable[[int], Any]:
    """Likewise, in PyTorch."""
    from benchmarks.reference_trials_torch import Actor, play, torch

    torch.set_num_threads(THREADS)
    actor = Actor(HIDDEN, lean)

    def run(seed: int) -> Any:
        torch.manual_seed(seed)
        return play(actor, trials, UPDATES)

    return run


CONTENDERS = {"ours": ours, "torch": reference, "torch:lean": partial(reference, lean=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    contenders = {name: CONTENDERS[name](arguments.trials) for name in arguments.contenders}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for number in range(1 + arguments.rounds):
        for name, run in contenders.items():
            began, busy = time.perf_counter(), time.process_time()
            run(number)
            # The first round compiles.
            if number:
                found[name].append((time.perf_counter() - began, time.process_time() - busy))
    print("| contender | trials/s | range | trials per processor second |")
    print("|---|---|---|---|")
    rows = {}
    for name, times in found.items():
        rates = [arguments.trials / wall for wall, _ in times]
        busy = arguments.trials / statistics.median(second for _, second in times)
        rows[name] = {"trials_per_s": statistics.median(rates), "range": [min(rates), max(rates)], "per_cpu_s": busy}
        print(f"| {name} | {statistics.median(rates):,.0f} | {min(rates):,.0f} to {max(rates):,.0f} | {busy:,.0f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
