"""Speed of the package on an accelerator, and checks of what only an accelerator can get wrong, in one command. Takes
less than ten minutes and prints a table for README.md; `--json` writes all results.

    python -m benchmarks.accelerator --json accelerator.json
    JAX_PLATFORMS=cpu python -m benchmarks.accelerator --small     # a minute or two: tests the script itself

Each row is a program of a run, with all its matches in parallel. Its match-updates per second are compared with two
ceilings. Arithmetic: the operations of an update, counted in its jaxpr (one per number for an addition and the like,
two per multiplication for a matrix product, loops as often as they run), relative to a chain of fused multiply-adds on
the same device. Bandwidth: the memory traffic that is unavoidable (settings and state of every match read once per
call, the state written back), relative to adding one to a large array. The larger share is the nearer ceiling.

The checks compare with NumPy in float64, or with the same program on this machine's processor.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.machine import describe
from shaping import envs
from shaping.experiment import prepare
from shaping.objectives.exact_matrix import ExactMatrixGame
from shaping.objectives.rollout import begin_stream, play_step
from shaping.policies import coin_table, tabular
from shaping.population import compiled_programs
from shaping.population import match as single
from shaping.runtime.devices import population_mesh

COUNTED = {"add", "sub", "mul", "div", "exp", "log", "log1p", "tanh", "logistic", "max", "min", "rsqrt", "sqrt", "erf"}
COUNTED |= {"reduce_sum", "reduce_max", "cumsum", "integer_pow", "pow", "threefry2x32"}
EXACT = {
    "naive": {"rule": "naive"},
    "LOLA original": {"rule": "lola"},
    "LOLA exact": {"rule": "lola", "variant": "exact"},
    "SOS": {"rule": "sos"},
}
DICE = {"rule": "lola", "variant": "exact", "lookahead_rate": 0.3, "step_size": 0.2}


@dataclass
class Row:
    """A program.

    Attributes:
      name: of it.
      matches: side by side.
      rate: match-updates (or steps of an environment) a second, the best of the rounds.
      operations: of one of them.
      bytes: that one of them moves through memory at least.
      compile_s: until it was ready.
    """

    name: str
    matches: int
    rate: float
    operations: int
    bytes: float
    compile_s: float


def operations(function: Callable[..., Any], *arguments: Any) -> int:
    """Arithmetic operations of a call, from its jaxpr; loops of a number that only the run knows count once."""
    return _counted(jax.make_jaxpr(function)(*arguments).jaxpr)


def _counted(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        inner = [_counted(body) for value in equation.params.values() for body in _bodies(value)]
        size = max(
            (math.prod(v.aval.shape) for v in (*equation.invars, *equation.outvars) if hasattr(v, "aval")), default=1
        )
        if equation.primitive.name == "scan":
            total += equation.params["length"] * sum(inner)
        elif equation.primitive.name == "cond":
            total += max(inner)
        elif equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(shape[axis] for axis in contracted)
        elif inner:
            total += sum(inner)
        elif equation.primitive.name in COUNTED:
            total += size
    return total


def _bodies(value: Any) -> list[Any]:
    """The jaxprs in a parameter of an equation."""
    if isinstance(value, tuple | list):
        return [body for part in value for body in _bodies(part)]
    value = getattr(value, "jaxpr", value)
    return [value] if hasattr(value, "eqns") else []


def best(call: Callable[[], Any], seconds: float) -> float:
    """The shortest time of a call, over so many seconds and three calls at least."""
    found, stop = [], time.perf_counter() + seconds
    while len(found) < 3 or time.perf_counter() < stop:
        began = time.perf_counter()
        jax.block_until_ready(call())
        found.append(time.perf_counter() - began)
    return min(found)


def ceilings(numbers: int, seconds: float) -> dict[str, float]:
    """Operations and bytes a second that one device reaches at its best."""
    chain, x = 64, jnp.ones(numbers, jnp.float32)

    def fused(x: jax.Array) -> jax.Array:
        def sweep(_: Any, several: list[jax.Array]) -> list[jax.Array]:
            for _ in range(chain):
                several = [a * 0.999 + 0.001 for a in several]
            return several

        return sum(jax.lax.fori_loop(0, 16, sweep, [x * (1 + k) for k in range(4)]), start=jnp.zeros_like(x))

    compute, copy, large = jax.jit(fused), jax.jit(lambda x: x + 1), jnp.ones(16 * numbers, jnp.float32)
    jax.block_until_ready((compute(x), copy(large)))
    return {
        "operations_per_s": 2 * numbers * 4 * chain * 16 / best(lambda: compute(x), seconds),
        "bytes_per_s": 2 * large.nbytes / best(lambda: copy(large), seconds),
    }


def population(name: str, configuration: Mapping[str, Any], matches: int, updates: int, seconds: float) -> Row:
    """The segment program of a configuration, on all devices."""
    (group,), (chunks,) = (
        (prepared := prepare({**configuration, "matches": matches, "updates": updates})).groups,
        prepared.chunks,
    )
    devices, mesh = jax.device_count(), population_mesh()
    block = chunks.block if jax.default_backend() == "cpu" else -(-matches // devices)
    padded = -(-matches // (devices * block)) * devices * block
    loaded = group.matches_of(np.minimum(np.arange(padded), matches - 1))
    loaded = jax.device_put(loaded, compiled_programs.population_sharding(mesh))
    began = time.perf_counter()
    table = compiled_programs.Timetable(updates, updates, 1)
    start, segment = (
        compiled_programs.start_program(mesh, np.float32),
        compiled_programs.segment_program(mesh, table, block),
    )
    window: Any = compiled_programs.segment_at(table, 0)
    states = jax.block_until_ready(segment(loaded, start(loaded), window))[0]
    ready = time.perf_counter() - began
    moved = sum(leaf.nbytes for leaf in jax.tree.leaves((loaded, states, states))) / padded

    def call() -> Any:
        nonlocal states
        states, rows = segment(loaded, states, window)
        return states, rows

    rate = padded * updates / best(call, seconds)
    first = jax.tree.map(lambda leaf: leaf[0], group.template())
    state: Any = single.start(first, np.float32)
    counted = operations(single.update, first, state, state.learners, jnp.int32(1))
    return Row(name, matches, rate, counted, moved / updates, ready)


def coin_steps(batch: int, steps: int, seconds: float) -> Row:
    """Steps of the Coin Game, dialect pola, between tables of logits."""
    env = envs.make("coin_game", dialect="pola")
    policies, params = [coin_table(env, seat) for seat in (0, 1)], env.default_params
    thetas = [policy.init(jax.random.key(seat), jnp.float32(1)) for seat, policy in enumerate(policies)]

    def one(key: jax.Array, before: Any, number: jax.Array) -> tuple[Any, jax.Array]:
        after, played = play_step(env, policies, thetas, params, key, before, number)
        return after, played.rewards

    def play(keys: jax.Array, before: Any) -> Any:
        def step(states: Any, number: jax.Array) -> tuple[Any, jax.Array]:
            states, rewards = jax.vmap(one, (0, 0, None))(keys, states, number)
            return states, jnp.sum(rewards)

        return jax.lax.scan(step, before, jnp.arange(steps))

    keys = jax.random.split(jax.random.key(0), batch)
    begin = jax.jit(jax.vmap(lambda key: begin_stream(env, policies, params, key)))(keys)
    began, run = time.perf_counter(), jax.jit(play)
    jax.block_until_ready(run(keys, begin))
    ready = time.perf_counter() - began
    counted = operations(one, keys[0], jax.tree.map(lambda leaf: leaf[0], begin), jnp.int32(0))
    moved = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(begin) if hasattr(leaf, "nbytes")) / batch
    return Row("Coin Game steps", batch, batch * steps / best(lambda: run(keys, begin), seconds), counted, moved, ready)


def rows(small: bool, seconds: float) -> list[Row]:
    """Everything that is measured; `small` on a few matches, to try the script."""
    few, pairs, many = (64, 2, 256) if small else (65_536, 256, 1_000_000)
    sizes = {"batch": 8, "horizon": 10} if small else {"batch": 128, "horizon": 150}
    short = {"batch": 4, "horizon": 6} if small else {"batch": 64, "horizon": 50}
    measure: Mapping[str, Any] = {"kind": "dice", "evaluation": 1}
    found = [
        population(name, {"players": player}, few, 2 if small else 100, seconds)
        for name, player in (list(EXACT.items())[:1] if small else EXACT.items())
    ]
    dice = {"players": DICE, "optimizer": "adam"}
    gru = {"game": {"name": "coin_game", "dialect": "pola"}, "policy": {"kind": "gru", "units": 16}}
    found.append(coin_steps(few, 4 if small else 50, seconds))
    found.append(population("LOLA-DiCE, tables", dice | {"objective": {**measure, **sizes}}, pairs, 1, seconds))
    found.append(population("LOLA-DiCE, GRU", dice | gru | {"objective": {**measure, **short}}, pairs, 1, seconds))
    million = population(
        "LOLA exact, a million", {"players": EXACT["LOLA exact"], "memory_gib": 64.0}, many, 10, seconds
    )
    return [*found, million]


def checks() -> dict[str, str]:
    """Checks what only an accelerator can get wrong; "" if it is right, otherwise a description of the error."""
    found, host = {}, jax.devices("cpu")[0]
    form = ExactMatrixGame(3, None, "own", (tabular(9),) * 3)
    params = envs.make("contribution", num_players=3).default_params
    thetas = [jnp.asarray(np.random.default_rng(seat).normal(size=9), jnp.float32) for seat in range(3)]

    def everything(params: Any, thetas: Any) -> list[jax.Array]:
        objective = form.objective(params)
        return [objective(thetas)[0], *jax.grad(lambda ts: objective.of(0, ts))(list(thetas))]

    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), (params, thetas))
        with jax.default_device(host):
            exactly = jax.jit(everything)(*wide)
        double = jax.jit(everything)(*wide)
        found["float64 agrees with the processor"] = _far(double, exactly, 1e-10)
    found["float32 keeps its digits (no shortened products)"] = _far(jax.jit(everything)(params, thetas), exactly, 3e-4)

    (group,) = prepare({"players": DICE, "objective": {"kind": "dice", "batch": 8, "horizon": 5}, "matches": 1}).groups
    one = jax.tree.map(lambda leaf: leaf[0], group.template())

    def stepped(match: Any) -> Any:
        return [state.theta for state in single.moved(match, single.start(match, np.float32).learners, jnp.int32(0))]

    here, again = (jax.jit(stepped)(one) for _ in range(2))
    with jax.default_device(host):
        there = jax.jit(stepped)(one)
    found["an update of play is that of the processor"] = _far(here, there, 1e-4)
    found["the same program gives the same bits"] = _far(here, again, 0.0)
    return found


def _far(found: Any, wanted: Any, tolerance: float) -> str:
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
    off = max(float(np.max(np.abs(np.asarray(a, float) - np.asarray(b, float)) / (1 + np.abs(b)))) for a, b in pairs)
    return "" if off <= tolerance else f"off by {off:.2g}, allowed {tolerance:.2g}"


def table(found: list[Row], limits: Mapping[str, float]) -> list[str]:
    """The rows in Markdown."""
    lines = ["| program | matches | millions a second | of arithmetic | of bandwidth | ready after |", "|---" * 6 + "|"]
    for row in found:
        arithmetic = row.rate * row.operations / limits["operations_per_s"]
        bandwidth = row.rate * row.bytes / limits["bytes_per_s"]
        shares = f"{100 * arithmetic:.2g} % | {100 * bandwidth:.2g} %"
        lines.append(f"| {row.name} | {row.matches:,} | {row.rate / 1e6:.3g} | {shares} | {row.compile_s:.1f} s |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--small", action="store_true", help="few matches: try the script where there is no accelerator"
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--json", type=Path, help="write everything here")
    arguments = parser.parse_args()
    devices, began = jax.devices(), time.perf_counter()
    limits = ceilings(2**12 if arguments.small else 2**22, arguments.seconds)
    each = jax.device_count()
    limits = {name: each * value for name, value in limits.items()}
    print(f"{each} x {devices[0].device_kind}: {limits['operations_per_s'] / 1e12:.3g} Tflop/s elementwise, ", end="")
    print(f"{limits['bytes_per_s'] / 1e9:.4g} GB/s", flush=True)
    result = rows(arguments.small, arguments.seconds)
    print("\n".join(table(result, limits)), flush=True)
    checked = checks()
    for name, wrong in checked.items():
        print(f"{name}: {wrong or 'yes'}")
    seconds = time.perf_counter() - began
    print(f"{seconds:.0f} s")
    if arguments.json:
        told = {
            "machine": describe(),
            "devices": [d.device_kind for d in devices],
            "limits": limits,
            "seconds": seconds,
        }
        told |= {"rows": [asdict(row) for row in result], "checks": checked}
        arguments.json.write_text(json.dumps(told, indent=2))
    if any(checked.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
