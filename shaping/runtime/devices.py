"""The mesh a population is spread over."""

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from shaping.population.program import AXIS


def population_mesh() -> Mesh:
    """All devices JAX finds, in one axis, those of a process side by side."""
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    # Automatic axes: with explicit ones, now the default, a scan whose carry starts from a constant is refused.
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


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


def computing_in(precision: str) -> AbstractContextManager[Any]:
    """A context in which arrays are "float32" or "float64"."""
    return jax.enable_x64(True) if precision == "float64" else nullcontext()


def describe_devices() -> str:
    """For a human: how many devices of which kind."""
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind}"
