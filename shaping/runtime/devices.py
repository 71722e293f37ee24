"""The mesh a population is spread over."""

import os
from pathlib import Path

import jax
from jax.sharding import AxisType, Mesh

from shaping.population.program import AXIS


def population_mesh() -> Mesh:
    """All devices JAX finds, in one axis."""
    # Automatic axes: with explicit ones, now the default, a scan whose carry starts from a constant is refused.
    return jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))


CPU_FLAG = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion"
"""Without it XLA's CPU compiler computes what several results share once for each of them: programs over scalars take
1.6 times as long. It is experimental there: on arrays it gains nothing, and has been seen to abort."""


def prepare_process(scalars: bool = False) -> None:
    """What only a command may decide: one host device per core on the CPU, how XLA compiles for it, and a persistent
    compilation cache.

    Must run before JAX touches a device. An existing choice (JAX_NUM_CPU_DEVICES, xla_backend_extra_options in
    XLA_FLAGS, JAX_COMPILATION_CACHE_DIR) is kept.

    Args:
      scalars: whether every match will be computed scalar by scalar.
    """
    if scalars and "xla_backend_extra_options" not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {CPU_FLAG}".strip()
    if "JAX_NUM_CPU_DEVICES" not in os.environ and "xla_force_host_platform" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", _usable_cores())
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(base / "shaping" / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def describe_devices() -> str:
    """For a human: how many devices of which kind."""
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind}"
