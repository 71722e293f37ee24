"""Everything that a checkpoint refers to is on disk before the checkpoint is written."""

import os
from pathlib import Path

import numpy as np
import pytest

from shaping.runtime import checkpoints
from shaping.runtime.fsync import BackgroundSync, sync_files, sync_folder
from shaping.runtime.record import Layout, Record
from shaping.variables import CORE, declared


@pytest.fixture
def forced(monkeypatch):
    """Files and folders in the order in which they are forced to the disk."""
    seen = []
    genuine = os.fsync

    def sync(descriptor):
        seen.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        genuine(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    return seen


pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="files are told by their descriptors")


def test_files_are_forced_and_then_the_folders_they_stand_in(tmp_path, forced):
    (tmp_path / "a").mkdir()
    files = [tmp_path / "a" / "one", tmp_path / "two", tmp_path / "a" / "gone"]
    for path in files[:2]:
        path.write_text("")
    sync_files(files)
    assert forced == [*files[:2], tmp_path, tmp_path / "a"]
    forced.clear()
    sync_folder(tmp_path)
    assert set(forced) == {*files[:2], tmp_path, tmp_path / "a"}


def test_waiting_tells_of_what_could_not_be_forced(tmp_path, monkeypatch):
    def sync(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", sync)
    (tmp_path / "one").write_text("")
    background = BackgroundSync()
    background.begin([tmp_path / "one"])
    with pytest.raises(OSError, match="Input/output"):
        background.wait()
    background.wait()


def test_every_piece_of_a_record_that_was_written_or_erased_is_forced(tmp_path, forced):
    layout = Layout(10, range(7), np.dtype("float32"), declared(*CORE), {"player": range(2)}, 5)
    record = Record.create(tmp_path / "record.zarr", layout, {"seed": np.zeros(10, int)}, {"config": "a: 1"})
    there = {path for path in record.path.rglob("*") if path.is_file()}
    assert there <= set(forced) and record.path / "zarr.json" in there

    forced.clear()
    record.write(np.arange(3), {"value": np.ones((3, 2, 2), np.float32)}, first=0)
    record.write(np.arange(3), {"diverged_at": np.full(3, -1, np.int32)})
    record.force()
    pieces = [record.path / "value/c/0/0/0", record.path / "diverged_at/c/0"]
    assert all(path.exists() for path in pieces) and set(pieces) <= set(forced)

    forced.clear()
    record.erase(np.arange(3), 0)
    record.force()
    # What holds nothing any more is no file any more; its folder tells.
    assert not pieces[0].exists() and pieces[0].parent in forced


def test_a_record_is_forced_before_a_checkpoint_and_before_a_final_state(tmp_path, monkeypatch):
    import shaping

    order = []
    for owner, name in ((Record, "force"), (checkpoints.RollingCheckpoints, "save"), (checkpoints, "save")):
        genuine = getattr(owner, name)

        def told(*arguments, _genuine=genuine, _name=name, **named):
            order.append(_name)
            return _genuine(*arguments, **named)

        monkeypatch.setattr(owner, name, told)
    config = {"game": {"name": "stag_hunt", "horizon": 1}, "matches": 3, "updates": 3}
    shaping.run(config | {"checkpoint": {"every_updates": 1, "every_s": None}}, tmp_path / "run")
    assert order == ["force", "save"] * 3
