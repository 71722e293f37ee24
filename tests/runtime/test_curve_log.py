"""What a run logs as it goes: means by cell, once each, whatever is written again after an interruption."""

import csv
import importlib
import struct
import sys

import numpy as np
import pytest

from shaping.config.errors import ConfigError
from shaping.runtime.curve_log import check_log, open_log
from shaping.variables import declared

UPDATES, PER_CELL = [0, 10, 20, 25], 4


def opened(folder, kinds=("csv",)):
    variables = declared("value", "reward_per_step", "theta_final")
    return open_log(kinds, folder, variables, 2, UPDATES, PER_CELL)


def values(indices, first, count):
    """[matches, rows, players]: 100 match + update + player / 10."""
    update = np.array(UPDATES[first : first + count])
    return 100.0 * indices[:, None, None] + update[None, :, None] + np.array([0.0, 0.1])


def read(folder):
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_is_the_mean_of_a_cell_s_matches_without_those_that_diverged(tmp_path):
    log, indices = opened(tmp_path), np.arange(2, 10)  # half of cell 0, all of cell 1, half of cell 2
    rows = values(indices, 1, 2)
    rows[0] = np.nan  # match 2
    rows[2:6, 1] = np.nan  # all of cell 1 at update 20
    log.append(indices, 1, {"value": rows, "policy_trajectory": np.zeros((8, 2, 2, 5))})
    log.close()
    found = read(tmp_path)
    assert [(row["cell"], row["first_match"], row["matches"], row["update"]) for row in found] == [
        (cell, first, matches, update)
        for update in ("10", "20")
        for cell, first, matches in (("0", "2", "2"), ("1", "4", "4"), ("2", "8", "2"))
    ]
    assert [row["value.0"] for row in found] == ["310.0", "560.0", "860.0", "320.0", "", "870.0"]
    assert float(found[1]["value.1"]) == pytest.approx(560.1)
    assert {row["reward_per_step.0"] for row in found} == {""}
    assert "theta_final.0" not in found[0]


def test_what_is_done_again_after_an_interruption_stands_there_once(tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    for folder, stops in ((whole, False), (tmp_path, True)):
        log = opened(folder)
        for indices in (np.arange(0, 8), np.arange(8, 12)):
            log.append(indices, 0, {"value": values(indices, 0, 2)})
            log.append(indices, 2, {"value": values(indices, 2, 2)})
        log.close()
        if stops:
            with (folder / "log.csv").open("a") as file:
                file.write("2,8,4,2")  # killed within a line
            log = opened(folder)
            log.erase(np.arange(8, 12), 1)
            log.append(np.arange(8, 12), 1, {"value": values(np.arange(8, 12), 1, 3)})
            log.close()
    assert (tmp_path / "log.csv").read_text() == (whole / "log.csv").read_text()


def test_tensorboard_has_a_curve_for_every_cell_and_player(tmp_path):
    pytest.importorskip("tensorboardX")
    log, indices = opened(tmp_path, ("tensorboard", "csv")), np.arange(0, 6)
    log.append(indices, 0, {"value": values(indices, 0, 2)})
    log.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    data, found = events.read_bytes(), {}
    Event = importlib.import_module("tensorboardX.proto.event_pb2").Event
    while data:  # length, its checksum, the event, its checksum
        (size,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + size])
        found |= {(one.tag, event.step): one.simple_value for one in event.summary.value}
        data = data[16 + size :]
    assert found["value/cell-0/player-1", 10] == pytest.approx(160.1)
    assert found["value/cell-1-from-match-4/player-0", 0] == pytest.approx(450)
    assert len(found) == 2 * 2 * 2 and (tmp_path / "log.csv").exists()


def test_a_missing_package_and_an_object_store_are_told_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(
        ConfigError, match=r"log: tensorboard needs the package tensorboardX.*pip install shaping\[log\]"
    ):
        check_log(["tensorboard"])
    check_log(["csv"], tmp_path)
    with pytest.raises(ConfigError, match="log: .* is in an object store"):
        check_log(["csv"], "gs://bucket/run")
