"""Rows reach the record in whole chunks, and none is lost."""

import json

import numpy as np
import pytest

from shaping.runtime.damaged_records import is_whole
from shaping.runtime.record import Layout, Record
from shaping.runtime.record_buffer import Rows
from shaping.variables import CORE, VARIABLES, declared


def layout(matches, updates):
    names = (*CORE, "policy", "policy_trajectory")
    labels = {"state": ("start", "CC", "CD", "DC", "DD")}
    return Layout(matches, range(updates), np.dtype("float32"), declared(*names), labels | {"player": range(2)}, 5)


INDICES = np.array([3, 4, 7])


@pytest.mark.parametrize("sizes", [[1] * 11, [4, 4, 3], [11], [2, 9], [5, 1, 5]])
def test_rows_are_handed_on_in_whole_pieces_and_in_order(sizes):
    written = []

    def write(indices, variables, first):
        assert indices is INDICES
        written.append((first, variables["x"]))

    rows, at = Rows(write, 4), 0
    everything = np.random.default_rng(0).normal(size=(3, 11, 2))
    for size in sizes:
        rows.append(INDICES, at, {"x": everything[:, at : at + size]})
        at += size
    assert all(first % 4 == 0 and array.shape[1] % 4 == 0 for first, array in written)
    rows.flush(INDICES)
    rows.flush(INDICES)
    assert [first for first, _ in written] == np.cumsum([0, *(x.shape[1] for _, x in written[:-1])]).tolist()
    np.testing.assert_array_equal(np.concatenate([x for _, x in written], axis=1), everything)


def test_what_is_known_at_the_end_alone_comes_with_the_last_row():
    written = []
    rows = Rows(lambda indices, variables, first: written.append((first, variables)), 4)
    rows.append(INDICES, 0, {"x": np.zeros((3, 6, 2))})
    rows.append(INDICES, 6, {"x": np.ones((3, 1, 2)), "y": np.ones((3, 1, 2))})
    rows.flush(INDICES)
    seen = [(first, "".join(sorted(found)), found["x"].shape[1]) for first, found in written]
    assert seen == [(0, "x", 4), (4, "x", 2), (6, "xy", 1)]


def test_every_array_says_what_it_is(record):
    arrays = {name: x for name, x in record._group.arrays() if "description" in x.attrs}
    assert set(arrays) == {*CORE, "policy", "policy_trajectory"}
    for name, array in arrays.items():
        said = dict(array.attrs)
        assert array.metadata.dimension_names == VARIABLES[name].dims
        assert said == VARIABLES[name].attributes() and said["description"]
    policy, value = arrays["policy"].attrs, arrays["value"].attrs
    assert (policy["low"], policy["high"]) == (0, 1) and not {"low", "high"} & set(value)


@pytest.fixture
def record(tmp_path):
    return Record.create(tmp_path / "record.zarr", layout(10, 7), {"seed": np.zeros(10, int)}, {"config": "a: 1"})


def test_a_record_is_written_from_any_update_on_read_and_erased(record):
    values = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    record.write(INDICES, {"value": values}, first=2)
    again = Record(record.path)
    assert again.attributes["config"] == "a: 1"
    found = again.read("value", INDICES)
    np.testing.assert_array_equal(found[:, 2:6], values)
    assert np.isnan(found[:, :2]).all() and np.isnan(found[:, 6]).all()
    record.write(np.arange(10), {"value": np.ones((10, 7, 2), np.float32)}, first=0)
    record.erase(INDICES, 3)
    found = again.read("value", np.arange(10))
    assert np.isnan(found[INDICES, 3:]).all()
    assert (np.delete(found, INDICES, axis=0) == 1).all() and (found[:, :3] == 1).all()


def test_whoever_writes_and_whoever_reads_mean_the_same_by_unfinished():
    from shaping.analysis import record as reading
    from shaping.runtime import record as writing

    assert reading.UNFINISHED == writing.UNFINISHED


def test_matches_are_unfinished_until_their_end_is_written(record):
    assert record.read("diverged_at", np.arange(10)).tolist() == [-2] * 10
    record.write(INDICES, {"diverged_at": np.array([-1, 5, -1], np.int32)})
    assert record.read("diverged_at", np.arange(10)).tolist() == [-2, -2, -2, -1, 5, -2, -2, -1, -2, -2]


def test_pieces_of_a_record_on_disk_are_a_few_mib_whatever_its_size(tmp_path):
    for matches, updates in ((10, 5), (20_000, 100_000)):
        path = tmp_path / str(matches)
        record = Record.create(path, layout(matches, updates), {}, {})
        arrays = dict(record._group.arrays())
        assert all(np.prod(x.chunks) <= 2**21 for x in arrays.values())
        ends = {name: arrays[name].chunks[1] for name in ("value", "policy_trajectory")}
        assert ends["value"] % ends["policy_trajectory"] == 0 and record.rows_per_write() == ends["value"]


def test_a_record_whose_creation_was_interrupted_does_not_open(record):
    place = record.path / "zarr.json"
    assert is_whole(record.path)
    told = json.loads(place.read_text())
    del told["consolidated_metadata"]
    place.write_text(json.dumps(told))
    with pytest.raises((FileNotFoundError, ValueError)):
        Record(record.path)
    assert not is_whole(record.path)
