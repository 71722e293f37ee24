"""Describes the machine of a measurement: processor, load, versions, and how fast its cores can multiply and add.

python -m benchmarks.machine
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGES = ("jax", "jaxlib", "numpy", "optax", "torch")


def describe() -> dict[str, Any]:
    """Processor, cores this process may use, memory in GiB, one-minute load, versions, date (UTC)."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
    }


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_seconds() -> float:
    """Processor seconds that all processes of this machine have used since it started; 0 if there is no /proc/stat."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _, _, interrupt, soft_interrupt = map(int, stat.read_text().split(maxsplit=8)[1:8])
    return (user + nice + system + interrupt + soft_interrupt) / os.sysconf("SC_CLK_TCK")


def busy_share(seconds: float) -> float:
    """The share of this machine's processor time in use, measured while this process sleeps."""
    before = busy_seconds()
    time.sleep(seconds)
    return (busy_seconds() - before) / seconds / (os.cpu_count() or 1)


def arithmetic_peak(cores: int, seconds: float = 0.5) -> dict[str, float]:
    """Float32 operations per second on all cores, in GFLOP/s, the best of several short measurements.

    Returns:
      elementwise: `fused_multiply_add`.
      matrix_product: 1,536 x 1,536, the rate of the best-tuned code on the processor.
    """
    results = {}
    for name, make in (("elementwise", fused_multiply_add), ("matrix_product", _matrix_product)):
        run, operations = make(cores)
        run()
        best, stop = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < stop:
            start = time.perf_counter()
            run()
            best = min(best, time.perf_counter() - start)
        results[name] = round(operations / best / 1e9, 1)
    return results


def fused_multiply_add(cores: int) -> tuple[Callable[[], Any], int]:
    """A function that does x <- a x + b on all cores, and the float32 operations of a call, two for each such step.

    There are eight independent chains for each of 4,096 numbers per core, which stay in cache: the most that an
    elementwise program over a population could reach.
    """
    import jax

    width, independent, chain, sweeps = 4096, 8, 32, 500

    def fused(x: jax.Array) -> jax.Array:
        def sweep(_: Any, x: jax.Array) -> jax.Array:
            several = [x * (1 + k) for k in range(independent)]
            for _ in range(chain):
                several = [x * 0.999 + 0.001 for x in several]
            return sum(several[1:], start=several[0])

        return jax.lax.fori_loop(0, sweeps, sweep, x)

    return _on_all_cores(fused, (width,), cores), cores * 2 * width * independent * chain * sweeps


def _matrix_product(cores: int) -> tuple[Callable[[], Any], int]:
    size = 1536
    return _on_all_cores(lambda x: x @ x, (size, size), cores), cores * 2 * size**3


def _on_all_cores(function: Callable[..., Any], shape: tuple[int, ...], cores: int) -> Callable[[], Any]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_num_cpu_devices", cores)
    mesh = jax.make_mesh((cores,), ("core",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("core"))
    x = jax.device_put(jnp.ones((cores, *shape), jnp.float32), spread)
    compiled = jax.jit(jax.shard_map(jax.vmap(function), mesh=mesh, in_specs=spread.spec, out_specs=spread.spec))
    return lambda: jax.block_until_ready(compiled(x))


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each of the two peaks")
    seconds = parser.parse_args().seconds
    machine = describe()
    print(json.dumps(machine | {"gflops_float32": arithmetic_peak(machine["cores"], seconds)}, indent=2))


if __name__ == "__main__":
    main()
