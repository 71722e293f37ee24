"""Settings every test runs under.

jax keeps compiled programs between runs only where the environment sets JAX_COMPILATION_CACHE_DIR.
jax_debug_key_reuse stays off: an objective promises the same batch for the same key, and tests hold it to
that.
"""

import jax
import pytest

# Before the first use of a device: two devices on any machine, so that sharding over a mesh is always tested.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_legacy_prng_key", "error")
# XLA reads its flags once, here: not those that the first command called by a test chooses for its own process, which
# may suit scalars alone (see `shaping.runtime.devices.CPU_FLAG`).
jax.devices()


@pytest.fixture
def x64():
    """float64 for the length of one test; arrays that the test makes outside of it keep float32."""
    with jax.enable_x64(True):
        yield
