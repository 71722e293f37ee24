"""A run that is stopped and resumed equals one that was not stopped.

It is one claim with many ways to be stopped, which makes this file longer than others.
"""

import gc
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray
import yaml
from jax.experimental.compilation_cache import compilation_cache

import shaping
from shaping.config.errors import ConfigError
from shaping.runtime.record import Record
from shaping.runtime.run_store import RunStore
from shaping.runtime.status import read_status
from shaping.runtime.storage import locked
from tests.interrupting import CONFIG, assert_same, finals, newest, stopped
from tests.runs import played


@pytest.fixture(scope="module", autouse=True)
def quick(tmp_path_factory):
    """Programs are compiled once, and no pictures drawn."""
    from shaping.analysis import report

    def without_pictures(directory, *arguments):
        page = directory / "report" / "index.html"
        page.parent.mkdir(exist_ok=True)
        page.write_text("")
        return page

    before = jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("cache")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    compilation_cache.reset_cache()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write_report", without_pictures)
        yield
    # Tasks that orbax left behind with damaged checkpoints complain as they go: here, not when Python ends.
    gc.collect()
    jax.config.update("jax_compilation_cache_dir", before[0])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", before[1])
    compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Never interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return shaping.run(CONFIG, folder)


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory):
    return stopped(CONFIG, tmp_path_factory.mktemp("stopped") / "run", 6)


@pytest.fixture
def half(stopped_once, tmp_path):
    """Stopped within its second chunk, after two of its checkpoints."""
    return Path(shutil.copytree(stopped_once, tmp_path / "half"))


def test_checkpoints_final_states_and_status_are_there_when_it_stops(half):
    assert [int(p.name) for p in sorted((half / "checkpoint" / "running").iterdir(), key=lambda p: int(p.name))]
    assert len(finals(half)) == 1
    status = read_status(half)
    assert (status.state, status.chunks_done, status.matches_done) == ("stopped", 1, 7)
    assert status.saved_updates > 0 and "SIGTERM" in status.message
    with xarray.open_zarr(half / "record.zarr") as record:
        ended = record.diverged_at.values
    assert (ended[:7] != -2).all() and (ended[7:] == -2).all()


def test_a_status_is_there_while_programs_are_compiled(half, tmp_path, monkeypatch):
    from shaping.runtime import loop

    seen = []

    def look(*arguments):
        seen.append(read_status(folder))
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "compile_programs", look)
    saved = read_status(half).saved_updates
    folder = tmp_path / "new"
    with pytest.raises(KeyboardInterrupt):
        shaping.run(CONFIG, folder)
    folder = half
    with pytest.raises(KeyboardInterrupt):
        shaping.resume(folder)
    begun, resumed = seen
    assert (begun.state, begun.matches_done, begun.saved_updates) == ("running", 0, None)
    assert (resumed.state, resumed.matches_done, resumed.saved_updates) == ("running", 7, saved)


def test_a_run_that_is_resumed_is_the_same_bit_for_bit(whole, half):
    said = []
    assert shaping.resume(half, said.append) == half
    assert not [line for line in said if line.startswith("warning")]
    assert_same(whole, half)
    assert not (half / "checkpoint" / "running").exists()
    said = []
    shaping.resume(half, say=said.append)
    assert said == [f"{half}: nothing to do, this run is finished"]


def test_float64_comes_back_as_float64(tmp_path):
    raw = CONFIG | {"precision": "float64", "sweep": {}, "updates": 9}
    whole, said = shaping.run(raw, tmp_path / "whole"), []
    shaping.resume(stopped(raw, tmp_path / "run", 2), said.append)
    assert not [line for line in said if line.startswith("warning")]
    assert not jax.config.jax_enable_x64
    assert_same(whole, tmp_path / "run")


def test_it_does_not_matter_how_often_it_is_interrupted(whole, tmp_path):
    folder = stopped(CONFIG, tmp_path / "run", 1, 1, 2, 1, 1)
    assert_same(whole, shaping.resume(folder))


def test_a_run_without_a_checkpoint_starts_over(whole, half):
    for part in ("checkpoint", "record.zarr"):
        for path in sorted((half / part).rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        (half / part).rmdir()
    assert_same(whole, shaping.resume(half))


def test_rows_beyond_the_checkpoint_are_erased_before_it_goes_on(half, monkeypatch):
    status = read_status(half)
    with xarray.open_zarr(half / "record.zarr") as record:
        assert np.isfinite(record.value.values[7:12, : status.saved_updates // 2]).all()
    group = Record(half / "record.zarr")
    group.write(np.arange(7, 12), {"value": np.full((5, 2, 2), 9.0, np.float32)}, first=status.saved_updates // 2)
    seen = []

    def look(self, chunk, interval, states, written):
        with xarray.open_zarr(half / "record.zarr") as record:
            seen.append(record.value.values[7:12])
        raise KeyboardInterrupt

    monkeypatch.setattr(RunStore, "after_segment", look)
    with pytest.raises(KeyboardInterrupt):
        shaping.resume(half)
    assert np.isnan(seen[0][:, status.saved_updates // 2 :]).all()


@pytest.mark.parametrize("record_every", [16, pytest.param(1, marks=pytest.mark.slow)])
def test_segments_within_an_interval_change_nothing(tmp_path, record_every):
    raw = {"game": {"name": "stag_hunt", "horizon": 1}, "matches": 4, "updates": 16, "record_every": record_every}
    raw |= {"precision": "float64"}
    at_once = shaping.run(raw, tmp_path / "once")
    cut = shaping.run(raw | {"checkpoint": {"every_updates": 7}}, tmp_path / "cut")
    xarray.testing.assert_allclose(
        played(at_once).drop_attrs(deep=False), played(cut).drop_attrs(deep=False), rtol=1e-12, atol=0
    )


@pytest.mark.slow
def test_a_recurrent_run_is_the_same_bit_for_bit(tmp_path):
    raw = {
        "game": {"name": "coin_game"},
        "policy": {"kind": "gru"},
        "players": {"rule": "ppo", "step_size": 0.01},
        "optimizer": "adam",
        "objective": {"kind": "dice", "batch": 4, "horizon": 8, "baseline": "critic"},
        "matches": 2,
        "updates": 6,
        "record_every": 2,
        "checkpoint": {"every_updates": 2, "every_s": None},
    }
    whole = shaping.run(raw, tmp_path / "whole")
    assert_same(whole, shaping.resume(stopped(raw, tmp_path / "run", 1, 1)))


# Damage.


def data_files(checkpoint):
    return sorted((p for p in checkpoint.rglob("d/*") if p.is_file()), key=lambda p: -p.stat().st_size)


def flip(checkpoint):
    for path in data_files(checkpoint):
        raw = bytearray(path.read_bytes())
        for place in range(len(raw) // 4, len(raw), max(1, len(raw) // 8)):
            raw[place] ^= 1
        path.write_bytes(raw)


def truncate(checkpoint):
    for path in data_files(checkpoint):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def lose(checkpoint):
    for path in data_files(checkpoint):
        path.unlink()


def lose_metadata(checkpoint):
    (checkpoint / "_CHECKPOINT_METADATA").unlink()


def alter_metadata(checkpoint):
    path = checkpoint / "_CHECKPOINT_METADATA"
    text = path.read_text()
    assert '"updates": 1' in text or '"updates": 4' in text or '"updates": 8' in text, text
    path.write_text(text.replace('"updates": ', '"updates": 1'))


def empty(checkpoint):
    for path in sorted(checkpoint.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()


# Orbax leaves files open where it cannot read them.
left_open = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@left_open
@pytest.mark.parametrize(
    "harm",
    [flip, alter_metadata, empty]
    + [pytest.param(harm, marks=pytest.mark.slow) for harm in (truncate, lose, lose_metadata)],
)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_taken(whole, half, harm):
    damaged = newest(half)
    others = sorted(int(p.name) for p in damaged.parent.iterdir() if p != damaged)
    harm(damaged)
    said = []
    shaping.resume(half, say=said.append)
    (warning,) = [line for line in said if line.startswith("warning")]
    assert f"checkpoint {damaged} is damaged" in warning and str(others[-1]) in warning
    assert (half / "checkpoint" / "damaged" / f"{damaged.name}-0").is_dir()
    assert_same(whole, half)


@left_open
def test_where_every_checkpoint_is_damaged_the_chunk_starts_over(whole, half):
    for checkpoint in list((half / "checkpoint" / "running").iterdir()):
        flip(checkpoint)
    said = []
    shaping.resume(half, say=said.append)
    warnings = [line for line in said if line.startswith("warning")]
    # Those of the chunk before are of no interest.
    assert len(warnings) >= 2 and all("is damaged" in line for line in warnings)
    assert len(list((half / "checkpoint" / "damaged").iterdir())) == len(warnings)
    assert_same(whole, half)


def test_a_bit_of_the_state_flipped_in_storage_is_noticed_though_it_reads_well(half):
    """Uncompressed, a flipped bit would be read back as another number."""
    from shaping.runtime import checkpoints, digests

    found = []
    genuine = digests.digests

    def bent(tree, matches, mesh):
        told = genuine(tree, matches, mesh)
        found.append(told)
        return told if len(found) > 1 else {path: [x ^ 1 for x in blocks] for path, blocks in told.items()}

    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "digests", bent)
        shaping.resume(half, say=said.append)
    assert any("differs in matches 0 to" in line for line in said)


# Refusals: one line, and nothing is touched.


def state_of(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and p.name != "status.json"}


def test_a_changed_configuration_is_refused_and_named(half):
    path = half / "config.yaml"
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(config | {"updates": 40}))
    before = state_of(half)
    with pytest.raises(ConfigError, match=r"config.yaml: updates was 15 when the run began and is 40 now; change it"):
        shaping.resume(half)
    config["sweep"]["players.*.lookahead_rate"][0] = 2.0
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match=r"sweep.players.\*.lookahead_rate.0 was 1e\+38 when"):
        shaping.resume(half)
    assert {p: t for p, t in state_of(half).items() if p != path} == {p: t for p, t in before.items() if p != path}


def test_how_often_to_save_may_be_changed(whole, half):
    path = half / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["checkpoint"]["keep"] = 1
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    assert_same(whole, shaping.resume(half))


def test_a_checkpoint_of_another_configuration_is_refused(half, tmp_path):
    other = stopped(CONFIG | {"seed": 5}, tmp_path / "other", 6)
    for checkpoint in (half / "checkpoint" / "running").iterdir():
        empty(checkpoint)
        checkpoint.rmdir()
    newest(other).rename(half / "checkpoint" / "running" / newest(other).name)
    with pytest.raises(ConfigError, match="belongs to another configuration"):
        shaping.resume(half)


def test_run_on_an_interrupted_folder_says_how_to_go_on(half):
    before = state_of(half)
    with pytest.raises(ConfigError, match=f"holds a run that was interrupted; `shaping resume {half}` continues it"):
        shaping.run(CONFIG, half)
    assert state_of(half) == before


def test_a_folder_without_a_run_and_one_in_use_are_refused(tmp_path, half):
    with pytest.raises(ConfigError, match="holds no run; it has no config.yaml"):
        shaping.resume(tmp_path / "nothing")
    with locked(half), pytest.raises(ConfigError, match="another process is running in it"):
        shaping.resume(half)


def test_checkpoints_without_their_record_are_refused(half):
    (half / "record.zarr").rename(half / "elsewhere")
    with pytest.raises(ConfigError, match="checkpoints but no complete record.zarr"):
        shaping.resume(half)


def test_a_plan_larger_than_the_disk_is_refused_before_anything_is_computed(tmp_path):
    raw = {"matches": 10**6, "updates": 10**6, "chunk_matches": 1000}
    with pytest.raises(ConfigError, match=r"too small: .* free, the run takes up to .* \(record .*, final states .*"):
        shaping.run(raw, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] in ([], [".lock"])


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        shaping.run(CONFIG, tmp_path / "file" / "run")


@pytest.mark.parametrize("place", ["http://x/run", "ftp://x", "gs:/x/run", "file:/x"])
def test_stores_that_are_not_known_are_refused(place):
    with pytest.raises(ConfigError, match=r"unknown kind of store; allowed: a local folder, or gs://, s3://"):
        shaping.run(CONFIG, place)


def test_a_disk_that_fills_up_ends_it_with_one_line_and_it_can_go_on(whole, tmp_path, monkeypatch):
    from shaping.runtime import record

    calls = []
    genuine = record.Record.write

    def write(self, *arguments, **named):
        calls.append(arguments)
        if len(calls) == 9:
            raise OSError(28, "No space left on device")
        return genuine(self, *arguments, **named)

    folder = tmp_path / "run"
    monkeypatch.setattr(record.Record, "write", write)
    with pytest.raises(ConfigError, match=f"{folder}: cannot be written: No space left on device; nothing that was"):
        shaping.run(CONFIG, folder)
    assert read_status(folder).state == "failed"
    monkeypatch.undo()
    assert_same(whole, shaping.resume(folder))


@pytest.mark.parametrize("mistake", [TypeError("unsupported operand"), ValueError("shapes (3,) and (4,) not alike")])
def test_a_mistake_of_ours_is_not_told_as_a_disk_that_cannot_be_written(tmp_path, monkeypatch, mistake):
    from shaping.runtime import record

    def write(self, *arguments, **named):
        raise mistake

    monkeypatch.setattr(record.Record, "write", write)
    with pytest.raises(type(mistake), match=str(mistake)[:7]):
        shaping.run(CONFIG, tmp_path / "run")
    assert read_status(tmp_path / "run").state == "failed"
