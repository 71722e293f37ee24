"""Folders of runs: where they may be, how they are locked, how files are written."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from shaping.config.errors import ConfigError
from shaping.runtime.checkpoints import _absolute
from shaping.runtime.status import Status, StatusWriter, describe, read_status
from shaping.runtime.storage import folder_at, is_local, is_locked, locked, remove, sweep_up, write_whole


def test_local_folders_are_paths_and_urls_of_files_too(tmp_path):
    assert folder_at("runs/x") == Path("runs/x") and folder_at(tmp_path) == tmp_path
    assert folder_at(f"file://{tmp_path}/x") == tmp_path / "x"
    assert is_local(tmp_path)


def test_buckets_stay_urls_for_those_who_write_to_them():
    epath = pytest.importorskip("etils.epath")
    bucket = epath.Path("gs://bucket/run")
    assert not is_local(bucket) and _absolute(bucket / "checkpoint") == "gs://bucket/run/checkpoint"
    assert _absolute(Path("x")) == str(Path("x").resolve())


@pytest.mark.skipif(find_spec("gcsfs") is not None, reason="the package is here")
def test_a_store_whose_package_is_missing_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="gs://bucket/run: cannot be reached: .*gcsfs"):
        folder_at("gs://bucket/run")


def test_files_are_written_whole_and_what_is_left_of_others_is_swept_up(tmp_path):
    write_whole(tmp_path / "a.json", "one")
    write_whole(tmp_path / "a.json", "two")
    assert (tmp_path / "a.json").read_text() == "two" and [p.name for p in tmp_path.iterdir()] == ["a.json"]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "0.0.x.partial").write_text("half")
    sweep_up(tmp_path)
    assert not list((tmp_path / "deep").iterdir())
    remove(tmp_path / "deep")
    remove(tmp_path / "not there")
    assert not (tmp_path / "deep").exists()


def test_a_folder_is_guarded_while_a_run_is_in_it(tmp_path):
    assert is_locked(tmp_path) is None
    with locked(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(ConfigError, match="another process"), locked(tmp_path):
            pass
    assert is_locked(tmp_path) is False


def test_a_status_tells_running_from_killed_and_how_to_go_on(tmp_path):
    assert read_status(tmp_path) is None
    status = Status(matches=10, match_updates=1000, chunks=2)
    with locked(tmp_path):
        StatusWriter(tmp_path, status, enabled=True).update(at_once=True, match_updates_done=250, rate=50.0)
        seen = read_status(tmp_path)
        assert seen.state == "running" and seen.started and seen.updated
        text = "\n".join(describe(tmp_path, seen))
        assert "running, 25.0% of 1 k match-updates" in text and "0:15 left" in text
    seen = read_status(tmp_path)
    assert seen.state == "killed"
    assert f"`shaping resume {tmp_path}` continues it" in "\n".join(describe(tmp_path, seen))
    StatusWriter(tmp_path, status, enabled=True).update(at_once=True, state="finished")
    assert "resume" not in "\n".join(describe(tmp_path, read_status(tmp_path)))


def test_only_the_main_process_writes_a_status(tmp_path):
    StatusWriter(tmp_path, Status(), enabled=False).update(at_once=True)
    assert not list(tmp_path.iterdir())
