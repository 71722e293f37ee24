"""How close a rule comes to the arithmetic limit of the machine: operations of one match-update times match-updates per
second, compared with the peak of a fused multiply-add.

    python -m benchmarks.arithmetic_limit                # exact LOLA
    python -m benchmarks.arithmetic_limit --rules naive taylor

Operations are those of one update of one match of the iterated prisoner's dilemma as a run computes it (both players,
the values, the test for divergence), compiled for a single match with fusion turned off: common subexpressions are
shared and nothing is computed twice. Additions, subtractions, multiplications, divisions and exponentials count one
each; comparisons, selections and changes of sign are listed but do not count. The peak counts two for each
multiply-add. Divisions and exponentials take many times as long as a multiply-add, and few additions can be fused with
a multiplication, so that no program with these operations can reach a ratio of 1.

The program over 8,192 pairs and the peak take turns on all cores within one process; the ratio compares consecutive
turns. It is peak / achieved: how many times faster the limit is. The second ratio is half of it, for a limit at which
every operation is a separate instruction that takes as long as a multiply-add.
"""

import argparse
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.exact_rules import RULES, population, product
from benchmarks.machine import cores, describe, fused_multiply_add

COUNTED = ("add", "subtract", "multiply", "divide", "exponential")
LISTED = ("negate", "compare", "select", "and", "or", "xor")


def operations(rule: str, dtype: Any = np.float32) -> dict[str, int]:
    """How often each operation on scalars occurs in one update of one match, by its name in XLA.

    Operations on arrays and repetitions of a loop are not counted, so this is for rules that use only scalars.
    """
    import jax
    import jax.numpy as jnp

    from shaping.population import match as single
    from shaping.population.memory_layout import take_apart

    def last(tree: Any) -> Any:
        return take_apart(jax.tree.map(lambda leaf: jnp.moveaxis(jnp.asarray(leaf), 0, -1), tree))

    def scalars(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf[..., 0], tree)

    whole = population(np.zeros((2, 1, 5), dtype), rule)(np.arange(1))
    state = jax.vmap(lambda match: single.start(match, dtype))(whole)
    match, state = scalars(last(whole)), scalars(last(state))
    lowered = jax.jit(single.update).lower(match, state, state.learners, jnp.int32(1))
    compiled = lowered.compile(
        compiler_options={"xla_disable_hlo_passes": "fusion,fusion_wrapper,cpu-multi-output-fusion"}
    )
    found = Counter(re.findall(r"= f\d+\[\]\S* ([a-z\-]+)\(", compiled.as_text()))
    found += Counter(re.findall(r"= pred\[\]\S* ([a-z\-]+)\(", compiled.as_text()))
    return dict(found)


def rate(run: Callable[[], Any], seconds: float) -> float:
    """Calls per second."""
    calls, begin = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - begin < seconds:
        run()
        calls += 1
    return calls / (time.perf_counter() - begin)


def spread(numbers: np.ndarray) -> list[float]:
    """Median, minimum and maximum."""
    return [round(float(x), 2) for x in (np.median(numbers), numbers.min(), numbers.max())]


def main() -> None:
    from shaping.runtime.devices import CPU_FLAG

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", nargs="+", default=["exact"], choices=tuple(RULES))
    parser.add_argument("--pairs", type=int, default=8192)
    parser.add_argument("--updates", type=int, default=100, help="in one call")
    parser.add_argument("--block", type=int, help="matches per block (default: as a run chooses it)")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each turn")
    setup = parser.parse_args()
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {CPU_FLAG}".strip()
    theta = np.random.default_rng(0).normal(size=(2, setup.pairs, 5)).astype(np.float32)
    runs = {rule: product(theta, rule, setup.updates, setup.block, cores()) for rule in setup.rules}
    peak, peak_operations = fused_multiply_add(cores())
    for run in (peak, *runs.values()):
        run()
    results: dict[str, Any] = {"machine": describe()}
    for rule, run in runs.items():
        found = operations(rule)
        counted = sum(found.get(name, 0) for name in COUNTED)
        turns = []
        for _ in range(setup.rounds):
            updates = rate(run, setup.seconds) * setup.updates * setup.pairs
            turns.append((updates, counted * updates / 1e9, rate(peak, setup.seconds) * peak_operations / 1e9))
        updates, achieved, best = np.array(turns).T
        ratios = best / achieved
        results[rule] = {
            "operations": {name: found.get(name, 0) for name in (*COUNTED, *LISTED)},
            "counted_a_match_update": counted,
            "million_match_updates_per_s": round(float(np.median(updates)) / 1e6, 2),
            "achieved_gflops": float(f"{np.median(achieved):.3g}"),
            "peak_gflops": float(f"{np.median(best):.3g}"),
            "peak_over_achieved": spread(ratios),
            "unfused_peak_over_achieved": spread(ratios / 2),
        }
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
