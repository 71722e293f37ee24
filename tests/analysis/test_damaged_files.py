"""Damaged folders: one line names the damaged file, and the command makes nothing worse."""

import json
import shutil

import numpy as np
import pytest

from shaping.analysis.damaged_files import DamagedRecordError
from shaping.analysis.record import open_record
from shaping.analysis.report import write_report
from shaping.analysis.summary import summarise

pytestmark = pytest.mark.usefixtures("without_pictures")


def cell(n=4, **more):
    policy = np.broadcast_to([1, 1, 0, 1, 0.0], (n, 2, 5)).copy()
    value = np.random.default_rng(0).uniform(-2, -1, size=(n, 5, 2))
    return {"policy": policy, "value": value, "coordinates": {}, "play": {"reward_per_step": value}} | more


def truncated(path):
    path.write_bytes(path.read_bytes()[:7])


def declare(path, **attributes):
    place = path / "zarr.json"
    told = json.loads(place.read_text())
    told["attributes"] |= attributes
    place.write_text(json.dumps(told))


def replaced_by_a_folder(path):
    path.unlink()
    path.mkdir()


DEEP = "[" * 900 + "]" * 900
DAMAGES = {
    "a piece of the values is missing": ("value/c/0/0/0", lambda r: (r / "record.zarr/value/c/0/0/0").unlink()),
    "a piece of what play showed is missing": (
        "reward_per_step/c/0/0/0",
        lambda r: (r / "record.zarr/reward_per_step/c/0/0/0").unlink(),
    ),
    "which matches diverged is missing": ("diverged_at/c/0", lambda r: (r / "record.zarr/diverged_at/c/0").unlink()),
    "a piece is truncated": ("policy/c/0/0/0", lambda r: truncated(r / "record.zarr/policy/c/0/0/0")),
    "a coordinate's piece is truncated": ("match_in_cell", lambda r: truncated(r / "record.zarr/match_in_cell/c/0")),
    "the values are gone": ("has no value", lambda r: shutil.rmtree(r / "record.zarr/value")),
    "a coordinate is gone": ("has no seed", lambda r: shutil.rmtree(r / "record.zarr/seed")),
    "a variable has no metadata": ("has no value", lambda r: (r / "record.zarr/value/zarr.json").unlink()),
    "metadata are no JSON": ("record.zarr", lambda r: (r / "record.zarr/value/zarr.json").write_text("{")),
    "the record is empty": (
        "record.zarr: cannot be opened",
        lambda r: (shutil.rmtree(r / "record.zarr"), (r / "record.zarr").mkdir()),
    ),
    "a range is text": ("low of reward_per_step", lambda r: declare(r / "record.zarr/reward_per_step", low="wide")),
    "a label is a number": ("label of reward_per_step", lambda r: declare(r / "record.zarr/reward_per_step", label=3)),
    "the configuration is not UTF-8": ("config.yaml", lambda r: (r / "config.yaml").write_bytes(b"title: \xff\xfe")),
    "the configuration is a folder": ("config.yaml", lambda r: replaced_by_a_folder(r / "config.yaml")),
    "the configuration is nested deep": ("config.yaml", lambda r: (r / "config.yaml").write_text(DEEP)),
    "the configuration is a list": ("not a mapping", lambda r: (r / "config.yaml").write_text("[1]")),
    "published is text": ("published is 'x'", lambda r: (r / "config.yaml").write_text("published: x")),
    "a published value lacks its metric": (
        "published.0",
        lambda r: (r / "config.yaml").write_text("published: [{value: 1}]"),
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_told_in_a_line_that_names_the_file(write_record, name):
    said, damage = DAMAGES[name]
    run = write_record([cell()])
    summarise(run)
    damage(run)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    for reader in (summarise, write_report):
        with pytest.raises(DamagedRecordError) as told:
            reader(run)
        assert said in str(told.value) and "\n" not in str(told.value) and len(str(told.value)) < 600
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    "garbage",
    [b"\xff", b"{}", b"[" * 10_000, *(pytest.param(text, marks=pytest.mark.slow) for text in (b"garbage", b"[1, 2]"))],
)
def test_a_summary_that_cannot_be_read_is_made_again(write_record, garbage):
    run = write_record([cell()])
    cells = summarise(run)["cells"]
    (run / "summary.json").write_bytes(garbage)
    write_report(run)
    assert json.loads((run / "summary.json").read_text())["cells"] == cells


def test_what_is_absent_is_not_called_diverged_and_what_diverged_is_not_called_absent(write_record):
    everything = write_record([cell(diverged_at=np.zeros(4, int))], "diverged")
    (everything / "record.zarr/value/c/0/0/0").unlink()  # a copy leaves out a piece that holds nothing
    assert summarise(everything)["cells"][0]["diverged"] == 1
    some = write_record([cell(diverged_at=np.array([0, -1, -1, -1]))], "some")
    (some / "record.zarr/value/c/0/0/0").unlink()
    with pytest.raises(DamagedRecordError, match=r"value/c/0/0/0: this piece of the record is missing"):
        open_record(some)


def test_pieces_of_matches_that_still_run_are_not_missed(write_record):
    run = write_record([cell(diverged_at=np.full(4, -2))])
    (run / "record.zarr/value/c/0/0/0").unlink()
    (run / "record.zarr/value_trajectory_mean/c/0/0").unlink()
    assert summarise(run)["cells"][0]["unfinished"] == 4


def test_values_that_are_not_there_are_counted_apart_from_matches_that_diverged(write_record):
    value = np.random.default_rng(0).uniform(-2, -1, size=(4, 5, 2))
    value[3] = np.nan
    run = write_record([cell(value=value, diverged_at=np.array([2, -1, -1, -1]))])
    text = write_report(run).read_text()
    assert "1 match diverged and is left out" in text and "1 match is without a value in the record" in text


def test_a_record_without_matches_has_a_summary_and_a_report(write_record):
    import xarray

    run = write_record([cell()])
    with xarray.open_zarr(run / "record.zarr", consolidated=False) as record:
        nothing = record.load().isel(match=slice(0, 0)).drop_encoding()
    shutil.rmtree(run / "record.zarr")
    nothing.to_zarr(run / "record.zarr", zarr_format=3, consolidated=False)
    assert summarise(run)["cells"] == []
    assert write_report(run).exists()
