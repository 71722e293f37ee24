"""Records whose metadata or pieces were damaged, without a run."""

import json

import numpy as np
import pytest

from shaping.config.errors import ConfigError
from shaping.runtime.damaged_records import check_metadata, explaining_damage
from shaping.runtime.record import Layout, Record
from shaping.variables import declared
from shaping.zarr_chunks import undecodable


@pytest.fixture
def record(tmp_path):
    variables = declared("value", "theta_initial", "theta_final", "diverged_at")
    layout = Layout(3, [0, 5], np.dtype("float32"), variables, {"player": range(2)}, parameters=4)
    along = np.zeros(3, int)
    coordinates = {"cell": along, "match_in_cell": np.arange(3), "seed": along}
    made = Record.create(tmp_path / "record.zarr", layout, coordinates, {"config": "updates: 5", "updates": 5})
    made.write(np.arange(3), {"value": np.ones((3, 2, 2), np.float32)}, first=0)
    made.force()
    return made.path


@pytest.mark.parametrize("key", ["kind", "node_type"])
def test_metadata_that_only_its_library_refuses_is_told_in_one_line(record, key):
    check_metadata(record)
    file = record / "zarr.json"
    found = json.loads(file.read_text())
    (found["consolidated_metadata"] if key == "kind" else found)[key] = {"a": 1}
    file.write_text(json.dumps(found))
    with pytest.raises(ConfigError, match=r"record.zarr/zarr.json: cannot be read \(.*a.*\); restore it") as told:
        check_metadata(record)
    assert "\n" not in str(told.value)


def test_the_piece_that_cannot_be_decoded_is_named(record):
    assert undecodable(record) is None
    (piece,) = [path for path in (record / "value").rglob("*") if path.is_file() and path.name != "zarr.json"]
    piece.write_bytes(piece.read_bytes()[:-3])
    assert (undecodable(record) or [None])[0] == piece
    with pytest.raises(ConfigError, match=f"{piece}: cannot be read"), explaining_damage(record):
        raise ValueError("a library did not say which file")
