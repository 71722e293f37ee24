"""What has to be decided before JAX looks for its devices. JAX is imported here, when it is needed."""

from typing import Any


def begin() -> None:
    """Imports JAX and decides about devices, before anything else can touch them."""
    from shaping.runtime.environment_variables import import_jax

    import_jax()
    from shaping.runtime.devices import prepare_process

    prepare_process()


def choose_compiler(experiment: Any) -> None:
    """Decides how XLA compiles, and makes JAX look for its devices."""
    from shaping.config import build
    from shaping.runtime.devices import check_devices, compile_for_scalars

    if build.unrolled(experiment):
        compile_for_scalars()
    check_devices()
