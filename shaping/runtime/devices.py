"""Devices: the settings a process makes for them, and the mesh over which a population is spread."""

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from shaping.config.errors import ConfigError
from shaping.population.compiled_programs import AXIS
from shaping.runtime.failures import reason


def population_mesh() -> Mesh:
    """All devices that JAX finds, along one axis; the devices of a process are next to each other."""
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    # With explicit axes, JAX's default, a scan whose carry starts from a constant raises an error.
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


CPU_FLAG = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion"
"""Makes XLA's CPU compiler compute shared intermediate results once. Without it, programs over scalars take 1.6 times
as long. The option is experimental: on arrays it gains nothing and has been seen to crash."""


def prepare_process() -> None:
    """Makes settings that only a command may make: one CPU device per core, and a persistent compilation cache.

    Must be called before JAX touches a device, and therefore before anybody else's code is imported: a plugin or an
    environment may make arrays during import. Existing environment variables take precedence (JAX_NUM_CPU_DEVICES,
    JAX_COMPILATION_CACHE_DIR). Calling it again changes nothing.
    """
    given = "JAX_NUM_CPU_DEVICES" in os.environ or "xla_force_host_platform" in os.environ.get("XLA_FLAGS", "")
    if not given and jax.config.jax_num_cpu_devices != _usable_cores():  # pyright: ignore[reportAttributeAccessIssue]
        jax.config.update("jax_num_cpu_devices", _usable_cores())
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(base / "shaping" / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def compile_for_scalars() -> None:
    """Sets how XLA compiles for a CPU where every match is computed scalar by scalar; before JAX touches a device.

    An xla_backend_extra_options in XLA_FLAGS is kept.
    """
    if "xla_backend_extra_options" not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {CPU_FLAG}".strip()


def _usable_cores() -> int:
    """The number of cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def check_devices() -> None:
    """Makes JAX look for its devices.

    Raises:
      ConfigError: if it finds none, for example if JAX_PLATFORMS names one that this machine does not have.
    """
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        asked = os.environ.get("JAX_PLATFORMS")
        where = f"JAX_PLATFORMS={asked}: JAX" if asked else "JAX"
        why = f" ({reason(error)[:300]})" if str(error) else ""
        raise ConfigError(f"{where} finds no such device on this machine{why}") from None


def computing_in(precision: str) -> AbstractContextManager[Any]:
    """A context in which arrays are "float32" or "float64"."""
    return jax.enable_x64(True) if precision == "float64" else nullcontext()


def describe_devices() -> str:
    """The number and kind of devices, as text."""
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind}"
