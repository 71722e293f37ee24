"""The environment variables that JAX reads: checks their values, and notes those that a run's numbers depend on."""

import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

from shaping.config.errors import ConfigError
from shaping.runtime.failures import reason

MOST_CPU_DEVICES = 1024

_NUMERIC_SETTINGS = (
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_random_seed_offset",
    "jax_default_matmul_precision",
)


def import_jax(environment: Mapping[str, str] = os.environ) -> None:
    """Imports JAX, which reads its environment variables during import.

    Raises:
      ConfigError: if a variable has a value that JAX cannot read, or would misunderstand.
    """
    text = environment.get("JAX_NUM_CPU_DEVICES")
    if text is not None and not (text.isdecimal() and 1 <= int(text[:9]) <= MOST_CPU_DEVICES):
        raise ConfigError(
            f"JAX_NUM_CPU_DEVICES: {text!r} is not allowed; must be a whole number from 1 to {MOST_CPU_DEVICES}, or "
            "unset"
        )
    flags = environment.get("XLA_FLAGS")
    if flags and (told := _unknown_flags(flags)):
        raise ConfigError(f"XLA_FLAGS: {flags!r} is not allowed; XLA says: {told}")
    try:
        importlib.import_module("jax")
    except (ValueError, ImportError, OSError) as error:
        raise ConfigError(f"JAX cannot be imported: {reason(error)}") from None


@cache
def _unknown_flags(flags: str) -> str | None:
    """What XLA says about flags that it does not know; None if it knows them all. Unknown flags would make it end this
    process, so a child process reads them first; only once for the same flags."""
    command = [sys.executable, "-c", "from jaxlib import _jax; _jax.CompileOptions()"]
    environment = {**os.environ, "XLA_FLAGS": flags}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    told = [line.partition("] ")[2] for line in done.stderr.splitlines() if "parse_flags_from_env" in line]
    return told[-1] if done.returncode and told else None


def numeric_settings() -> dict[str, Any]:
    """The settings of JAX that change a run's numbers by more than rounding, or change its random numbers."""
    import jax

    found = {name: getattr(jax.config, name, None) for name in _NUMERIC_SETTINGS}
    return {
        name: value if value is None or isinstance(value, bool | int) else str(value) for name, value in found.items()
    }


def check_numeric_settings(folder: Any, before: Mapping[str, Any]) -> None:
    """Checks that JAX has the settings it had when the run began.

    Args:
      folder: the folder of the run, for the message.
      before: `numeric_settings` at that time.

    Raises:
      ConfigError: names the first setting that differs, and how to set it.
    """
    for name, now in numeric_settings().items():
        if name in before and before[name] != now:
            variable = f"set {name.upper()}={before[name]}" if before[name] is not None else f"unset {name.upper()}"
            raise ConfigError(
                f"{folder}: began with {name} {before[name]} and JAX now has {now}, which gives other numbers; "
                f"{variable}"
            )
