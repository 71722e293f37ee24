"""Checkpoints of long runs, and of other versions."""

import os
import tempfile
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from shaping.config.errors import ConfigError
from shaping.population.compiled_programs import population_sharding
from shaping.runtime import checkpoints
from shaping.runtime.checkpoints import RollingCheckpoints
from shaping.runtime.devices import population_mesh


@pytest.fixture
def mesh():
    return population_mesh()


@pytest.fixture
def state(mesh):
    leaves = {"theta": jnp.arange(4.0), "key": jax.random.split(jax.random.key(0), 4)}
    return jax.device_put(leaves, population_sharding(mesh))


def resources():
    """Open files, threads and temporary files of this process."""
    return len(os.listdir("/proc/self/fd")), threading.active_count(), len(os.listdir(tempfile.gettempdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted there")
def test_many_checkpoints_leave_no_open_files_threads_or_temporary_files(tmp_path, state, mesh, monkeypatch):
    # Other processes write to the usual folder of temporary files.
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    rolling = RollingCheckpoints(tmp_path / "running", 3)
    counted = []
    for number in range(25):
        rolling.save(number, state, 4, mesh, {})
        if number in (4, 24):
            rolling.wait()
            counted.append(resources())
    assert counted[1] == counted[0]
    assert rolling.numbers == [22, 23, 24] and len(list((tmp_path / "running").iterdir())) == 3
    rolling.close()
    assert resources()[0] <= counted[0][0]


def test_saving_does_not_wait_until_the_checkpoint_is_written(tmp_path, state, mesh, monkeypatch):
    rolling = RollingCheckpoints(tmp_path / "running", 3)
    waited = []
    rolling.save(0, state, 4, mesh, {})
    pending = rolling._pending

    class Noting:
        def result(self):
            waited.append(pending.result())

    rolling._pending = Noting()
    assert not waited
    rolling.save(1, state, 4, mesh, {})
    assert len(waited) == 1
    rolling.close()


def test_a_checkpoint_that_could_not_be_written_is_noticed_at_the_next(tmp_path, state, mesh):
    rolling = RollingCheckpoints(tmp_path / "running", 3)

    class Failed:
        def result(self):
            raise OSError(28, "No space left on device")

    rolling._pending = Failed()
    with pytest.raises(OSError, match="No space"):
        rolling.save(1, state, 4, mesh, {})
    rolling.close()


def test_a_checkpoint_in_another_layout_is_refused_with_the_way_out(tmp_path, state, mesh, monkeypatch):
    monkeypatch.setattr(checkpoints, "LAYOUT", 1)
    checkpoints.save(tmp_path / "state", state, 4, mesh, {})
    monkeypatch.undo()
    with pytest.raises(ConfigError, match=r"state: was written in checkpoint layout 1, .* reads layout 2; resume with"):
        checkpoints.is_saved(tmp_path / "state")
    checkpoints.save(tmp_path / "state", state, 4, mesh, {})
    assert checkpoints.is_saved(tmp_path / "state")
