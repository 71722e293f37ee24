import numpy as np
import pytest

from shaping.analysis.published import ERRORS, matches_cell
from shaping.analysis.statistics import Z95, wilson_ci95
from shaping.analysis.summary import summarise


def verdict(write_record, entry, n=400, cells=1):
    rng = np.random.default_rng(0)
    value = rng.normal(-1.04, 0.15, size=(n, 1)).repeat(2, axis=1)
    policy = np.broadcast_to([1, 1, 0, 1, 0.0], (n, 2, 5))
    made = [{"policy": policy, "value": value, "coordinates": {"variant": name}} for name in ("LOLA", "NL")[:cells]]
    entry = {"cell": {"variant": "LOLA"}, "metric": "value_mean", "value": -1.06, "source": "S"} | entry
    (got,) = summarise(write_record(made, config={"published": [entry]}))["published"]
    assert all(got[k] == v for k, v in entry.items())
    return got


def test_a_value_within_three_and_a_half_errors_of_the_difference_agrees(write_record):
    got = verdict(write_record, {"sd": 0.19, "runs": 50})
    assert got["verdict"] == "agrees"
    assert got["difference"] == pytest.approx(got["ours"] + 1.06)
    assert got["ours_ci95"][0] < got["ours"] < got["ours_ci95"][1]


def test_a_value_further_off_differs(write_record):
    assert verdict(write_record, {"value": -1.2, "sd": 0.19, "runs": 50})["verdict"] == "differs"


def test_a_stated_tolerance_takes_the_place_of_the_errors(write_record):
    entry = {"value": -1.2, "sd": 0.19, "runs": 50, "tolerance": 0.3}
    got = verdict(write_record, entry)
    assert got["verdict"] == "agrees" and "tolerance" in got["basis"]
    assert verdict(write_record, {"tolerance": 1e-6})["verdict"] == "differs"


def test_a_tolerance_chosen_for_more_matches_is_widened_by_our_error(write_record):
    entry = {"value": -1.06, "tolerance": 1e-6}
    assert verdict(write_record, entry | {"matches": 400})["verdict"] == "differs"
    got = verdict(write_record, entry | {"matches": 2000})
    assert got["verdict"] == "agrees" and "for 2,000 matches" in got["basis"] and "our 400" in got["basis"]
    assert verdict(write_record, entry | {"value": -1.2, "matches": 2000})["verdict"] == "differs"
    assert verdict(write_record, entry | {"matches": 2000}, n=1)["verdict"] == "not compared"


def test_rounding_adds_to_the_errors_of_the_difference_or_stands_with_ours_alone(write_record):
    without = verdict(write_record, {"sd": 0.19, "runs": 50})
    rounded = verdict(write_record, {"sd": 0.19, "runs": 50, "rounding": 0.005})
    assert rounded["limit"] == pytest.approx(without["limit"] + 0.005) and "0.005 for rounding" in rounded["basis"]
    alone = verdict(write_record, {"rounding": 0.005})
    assert 0.005 < alone["limit"] < without["limit"] and "errors of ours and" in alone["basis"]
    assert verdict(write_record, {"value": -1.1, "rounding": 0.005})["verdict"] == "differs"


def test_a_share_of_all_of_few_runs_has_an_error_of_its_own(write_record):
    value = np.full((400, 2), -1.0)
    made = {"policy": np.broadcast_to([1, 1, 0, 1, 0.0], (400, 2, 5)), "value": value, "coordinates": {}}
    entry = {"metric": "cooperative", "value": 1.0, "runs": 20, "source": "S"}
    (got,) = summarise(write_record([made], config={"published": [entry]}))["published"]
    low, _ = wilson_ci95(20, 20)
    assert got["verdict"] == "agrees" and got["limit"] == pytest.approx(ERRORS * (1 - low) / (2 * Z95), rel=0.01)


def test_what_a_row_could_notice_and_could_not_tell_apart_is_said(write_record):
    rng = np.random.default_rng(0)
    policy = np.broadcast_to([1, 1, 0, 1, 0.0], (400, 2, 5))
    means = {"LOLA": -1.05, "SOS": -1.06, "naive": -1.99}
    made = [
        {"policy": policy, "value": rng.normal(m, 0.1, size=(400, 2)), "coordinates": {"variant": n, "a": a}}
        for n, m in means.items()
        for a in (0.1, 0.2)
    ]
    entry = {"cell": {"variant": "LOLA", "a": 0.1}, "metric": "value_mean", "value": -1.05, "runs": 50, "source": "S"}
    (got,) = summarise(write_record(made, config={"published": [entry]}))["published"]
    assert 0 < got["limit"] < 0.1
    # Cells that differ from it in numbers alone are of the same rule.
    assert got["not_distinguished_from"] == ["SOS, a = 0.1", "SOS, a = 0.2"]


@pytest.mark.parametrize("known", [{}, {"sd": 0.19}])
def test_without_a_spread_over_a_known_number_of_runs_there_is_no_verdict(write_record, known):
    assert verdict(write_record, known)["verdict"] == "no uncertainty published"


def test_runs_without_a_spread_are_compared_by_our_own_spread_and_say_so(write_record):
    got = verdict(write_record, {"runs": 50})
    assert got["verdict"] == "agrees" and "as ours" in got["basis"]


def test_a_published_deviation_is_compared_with_the_error_of_a_deviation(write_record):
    assert verdict(write_record, {"metric": "value_sd", "value": 0.17, "runs": 50})["verdict"] == "agrees"
    assert verdict(write_record, {"metric": "value_sd", "value": 0.40, "runs": 50})["verdict"] == "differs"


def test_a_cell_that_is_not_there_or_not_one_is_not_compared(write_record):
    got = verdict(write_record, {"cell": {"variant": "SOS"}})
    assert (got["verdict"], got["basis"], got["ours"]) == ("not compared", "no such cell", None)
    assert "2 cells" in verdict(write_record, {"cell": {}}, cells=2)["basis"]


def test_an_unknown_metric_or_player_is_named(write_record):
    assert "value_men" in verdict(write_record, {"metric": "value_men"})["basis"]
    assert "player 2" in verdict(write_record, {"player": 2})["basis"]


def test_cells_are_found_by_number_and_text():
    coordinates = {"players.all.step_size": 0.1, "variant": "A", "game.discount": 0.96}
    assert matches_cell({"players.*.step_size": 0.1000000001}, coordinates)
    assert not matches_cell({"players.all.step_size": 0.2}, coordinates)
    assert not matches_cell({"variant": "A", "missing": 1}, coordinates)
