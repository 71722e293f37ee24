import json

import numpy as np
import pytest

from shaping.analysis.statistics import mean_ci95
from shaping.analysis.summary import summarise

TFT = np.array([1, 1, 0, 1, 0.0])
PENNIES = np.array([[1, -1, -1, 1], [-1, 1, 1, -1]], float)


def policies(row, n):
    return np.broadcast_to(np.asarray(row, float), (n, 2, 5)).copy()


def cell(n=20, row=TFT, value=-1.0, **more):
    spread = 0.01 * np.arange(n)[:, None] * [1, -1]
    return {"policy": policies(row, n), "value": value + spread, "coordinates": {}} | more


def test_a_cell_of_tft_pairs_is_summarised(write_record):
    run = write_record([cell()])
    summary = summarise(run, timing={"run_s": 1.0})
    (entry,) = summary["cells"]
    assert entry["coordinates"] == {} and entry["drawn"] == {}
    assert (entry["matches"], entry["finite"], entry["diverged"]) == (20, 20, 0)
    assert entry["tft_match"] == pytest.approx(1) and entry["cooperative"] == 1
    assert entry["nash_match"] is None and entry["diverged_at_median"] is None
    assert entry["nearest_strategy"]["TFT"] == 1
    assert entry["nearest_strategy"]["extortionate_chi_mean"] is None
    x = (-1.0 + 0.01 * np.arange(20)).astype(np.float32).astype(float)
    assert entry["value_mean"][0] == pytest.approx(x.mean(), abs=1e-9)
    assert entry["value_sd"][0] == pytest.approx(x.std(ddof=1), rel=1e-6)
    assert entry["value_ci95"][0] == pytest.approx(mean_ci95(x)[:2], rel=1e-6)
    assert entry["ci_method"] == "bootstrap_t"
    assert json.loads((run / "summary.json").read_text()) == summary


def test_the_summary_is_strict_json_and_the_same_at_every_making(write_record):
    run = write_record([cell(row=np.full(5, 0.5), value=np.nan)])
    summarise(run, timing={"run_s": 2.0})
    first = (run / "summary.json").read_bytes()
    assert b"NaN" not in first
    summarise(run)  # keeps the timing
    assert (run / "summary.json").read_bytes() == first


def test_diverged_matches_are_left_out_of_means_and_counted(write_record):
    diverged = np.where(np.arange(20) < 5, 3, -1)
    diverged[0] = 1
    both = np.concatenate([policies(np.zeros(5), 5), policies(TFT, 15)])
    run = write_record([cell(policy=both, diverged_at=diverged)])
    (entry,) = summarise(run)["cells"]
    assert (entry["matches"], entry["finite"]) == (20, 15)
    assert entry["diverged"] == 0.25 and entry["diverged_at_median"] == 3
    assert entry["tft_match"] == pytest.approx(1)
    assert entry["nearest_strategy"]["TFT"] == 1
    assert entry["value_mean"][0] == pytest.approx(-1 + 0.01 * np.arange(5, 20).mean(), abs=1e-6)


def test_a_cell_in_which_all_diverged_is_all_null(write_record):
    run = write_record([cell(), cell(diverged_at=np.zeros(20, int))])
    entry = summarise(run)["cells"][1]
    assert entry["finite"] == 0 and entry["diverged"] == 1
    assert entry["value_mean"] == [None, None] and entry["value_ci95"] == [[None, None]] * 2
    assert entry["cooperative"] is None and entry["tft_match"] is None and entry["nearest_strategy"] is None


def test_swept_keys_are_coordinates_and_drawn_ones_are_given_by_their_range(write_record):
    n = 20
    draws = np.linspace(0.1, 0.9, n)
    cells = [
        cell(coordinates={"variant": v, "players.all.step_size": s, "game.discount": draws})
        for v in ("A", "B")
        for s in (0.5, 1.0)
    ]
    summary = summarise(write_record(cells))
    assert [c["cell"] for c in summary["cells"]] == [0, 1, 2, 3]
    assert list(summary["cells"][2]["coordinates"]) == ["variant", "players.all.step_size"]
    assert summary["cells"][2]["coordinates"] == {"variant": "B", "players.all.step_size": 0.5}
    assert summary["cells"][0]["drawn"] == {"game.discount": {"min": 0.1, "max": 0.9}}


def test_the_seed_is_a_coordinate_only_where_it_is_swept(write_record):
    plain = summarise(write_record([cell(), cell()], name="plain"))
    assert "seed" not in plain["cells"][0]["coordinates"]
    swept = summarise(write_record([cell(coordinates={"seed": 0}), cell(coordinates={"seed": 1})], name="swept"))
    assert swept["cells"][1]["coordinates"] == {"seed": 1}


def test_two_and_three_players_stand_side_by_side_in_padded_rows(write_record):
    n = 20
    three = {
        "policy": np.full((n, 3, 9), 0.5),
        "value": np.ones((n, 3)),
        "payoffs": np.array([[1.0] + [0] * 7] * 3),
        "coordinates": {"variant": "three"},
    }
    first, second = summarise(write_record([cell(coordinates={"variant": "two"}), three]))["cells"]
    assert len(first["value_mean"]) == 2 and first["tft_match"] == pytest.approx(1)
    assert len(second["value_mean"]) == 3 and second["cooperative"] == 1
    assert second["tft_match"] is None and second["nearest_strategy"] is None


def test_a_one_shot_game_has_values_and_a_nash_match_but_no_tft_match(write_record):
    pennies = {
        "policy": np.full((10, 2, 1), 0.5),
        "value": np.zeros((10, 2)),
        "payoffs": PENNIES,
        "coordinates": {},
    }
    (entry,) = summarise(write_record([pennies], attrs={"horizon": 1}))["cells"]
    assert entry["tft_match"] is None and entry["cooperative"] is None
    assert entry["nash_match"] == 1 and entry["value_mean"] == [0, 0]


def test_the_view_of_each_cell_is_read_where_it_is_swept(write_record):
    joint = np.stack([TFT, TFT[[0, 1, 3, 2, 4]]])
    shared = {"policy": np.repeat(joint[None], 20, 0), "coordinates": {"policy.state_view": "shared"}}
    run = write_record([cell(coordinates={"policy.state_view": "own"}), cell() | shared])
    assert [c["tft_match"] for c in summarise(run)["cells"]] == pytest.approx([1, 1])


def test_many_cells_give_what_each_gives_alone(write_record):
    rng = np.random.default_rng(0)
    cells = [
        {"policy": rng.uniform(size=(30, 2, 5)), "value": rng.normal(size=(30, 2)), "coordinates": {"a": i}}
        for i in range(12)
    ]
    together = summarise(write_record(cells, name="together"))["cells"]
    alone = summarise(write_record([cells[7]], name="alone"))["cells"][0]
    for key, value in together[7].items():
        if key == "value_ci95":
            assert np.array(value) == pytest.approx(np.array(alone[key]), rel=1e-6)
        elif key not in ("cell", "coordinates") and not key.endswith("ci95"):
            assert value == alone[key], key


def test_no_record_is_said_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no record"):
        summarise(tmp_path)
