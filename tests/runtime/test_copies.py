"""A record can be copied and converted by the usual tools."""

import importlib.util
import warnings

import numpy as np
import pytest
import xarray

from shaping.runtime.record import Layout, Record
from shaping.variables import CORE, declared


@pytest.fixture
def record(tmp_path):
    """A record with text, numbers, padding and a match that is not finished."""
    labels = {"state": ("start", "CC", "CD", "DC", "DD")}
    made = Layout(3, range(4), np.dtype("float32"), declared(*CORE, "policy"), labels | {"player": range(2)}, 6)
    names = {"variant": np.array(["one", "zwölf", "one"]), "seed": np.arange(3)}
    opened = Record.create(tmp_path / "record.zarr", made, names, {"config": "a: 1", "updates": 3})
    opened.write(np.arange(2), {"value": np.random.default_rng(0).random((2, 4, 2), np.float32)}, first=0)
    opened.write(np.arange(2), {"diverged_at": np.array([-1, 2], np.int32)})
    opened.force()
    return opened.path


def assert_equal(one, other):
    xarray.testing.assert_equal(one, other)
    assert one.attrs == other.attrs and all(one[name].attrs == other[name].attrs for name in one.data_vars)


def test_xarray_copies_it_whole_and_reads_it_without_a_warning(record, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = xarray.open_zarr(record)
        loaded = found.load()
    assert loaded.diverged_at.values.tolist() == [-1, 2, -2] and loaded.variant.values.tolist()[1] == "zwölf"
    with warnings.catch_warnings():
        # Of metadata in one place, which zarr gives whatever it is that xarray copies.
        warnings.filterwarnings("ignore", "Consolidated metadata")
        found.to_zarr(tmp_path / "copy.zarr")
    with xarray.open_zarr(tmp_path / "copy.zarr") as copy:
        assert_equal(copy.load(), loaded)


def test_it_becomes_a_table_of_pandas(record):
    table = xarray.open_zarr(record)[["value"]].to_dataframe()
    assert len(table) == 3 * 4 * 2 and set(table.columns) == {"value", "variant", "seed"}


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf", "scipy"])
def test_it_becomes_a_netcdf_file(record, tmp_path, engine):
    if importlib.util.find_spec({"netcdf4": "netCDF4"}.get(engine, engine)) is None:
        pytest.skip(f"{engine} is not installed")
    found = xarray.open_zarr(record).load()
    found.to_netcdf(tmp_path / "record.nc", engine=engine)
    with xarray.open_dataset(tmp_path / "record.nc", engine=engine) as copy:
        np.testing.assert_array_equal(copy.value, found.value)
        assert copy.variant.values.tolist() == found.variant.values.tolist()
        assert copy.value.attrs["description"] == found.value.attrs["description"]
