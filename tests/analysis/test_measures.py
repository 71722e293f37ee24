"""Measures over all recorded updates of a match."""

import numpy as np
import pytest

from shaping.analysis.measures import measure
from shaping.analysis.published_table import published_table
from shaping.analysis.record import open_record
from shaping.analysis.report import render
from shaping.analysis.summary import summarise
from shaping.analysis.verify_report import lines

TFT, ALLD = np.array([1, 1, 0, 1, 0.0]), np.zeros(5)
NOT_QUITE = np.array([1, 1, 0.7, 1, 0.0])
UPDATES = 5


def trajectory(*rows):
    """[match, update, player, state] of matches whose players are alike, a row per match of policies by update."""
    return np.array([[[policy, policy] for policy in row] for row in rows])


def cell(rows, **more):
    policies = trajectory(*rows)
    value = np.where((policies[..., 1] > 0.5), -1.0, -2.0)
    return {"policy": policies[:, -1], "value": value, "trajectory": policies, "coordinates": {}} | more


MIDDLE = [ALLD, ALLD, TFT, ALLD, ALLD]
NEVER = [NOT_QUITE] * UPDATES
ALWAYS = [TFT] * UPDATES


def found(run):
    record = open_record(run)
    return measure(record, 0, int(record.starts[-1]), record.shapes[0]).tft_found.tolist()


def test_tft_found_at_any_recorded_update_counts(write_record):
    run = write_record([cell([MIDDLE, NEVER, ALWAYS, [ALLD] * UPDATES])])
    assert found(run) == [1, 0, 1, 0]
    (entry,) = summarise(run)["cells"]
    assert entry["tft_found"] == 0.5


def test_what_an_untrained_policy_happens_to_be_does_not_count(write_record):
    at_the_start = [TFT, ALLD, ALLD, ALLD, ALLD]
    assert found(write_record([cell([at_the_start, ALWAYS])])) == [0, 1]
    untrained = write_record([cell([[TFT]])], "untrained", updates=0)
    assert np.isnan(found(untrained)).all()


def test_one_of_four_probabilities_is_enough_not_to_have_found_it(write_record):
    policies = trajectory(ALWAYS, ALWAYS, ALWAYS, ALWAYS)
    for match, (player, state) in enumerate([(0, 2), (0, 4), (1, 2), (1, 4)]):
        policies[match, :, player, state] = 0.7
    run = write_record([cell([ALWAYS] * 4, trajectory=policies, policy=policies[:, -1])])
    assert found(run) == [0, 0, 0, 0]


def test_in_the_shared_view_player_1_answers_after_dc(write_record):
    policies = trajectory(ALWAYS)
    policies[:, :, 1] = policies[:, :, 1][..., [0, 1, 3, 2, 4]]
    shared = {"state_view": "shared"}
    assert found(write_record([cell([ALWAYS], trajectory=policies)], "shared", attrs=shared)) == [1]
    assert found(write_record([cell([ALWAYS], trajectory=policies)], "own")) == [0]


def test_what_was_found_before_a_match_diverged_counts(write_record):
    run = write_record([cell([MIDDLE, MIDDLE, MIDDLE], diverged_at=np.array([3, 2, -1]))])
    assert found(run) == [1, 0, 1]


def test_where_cooperation_does_not_pay_there_is_nothing_to_find(write_record):
    run = write_record([cell([ALWAYS], vcc=np.array([-2, -2]), vdd=np.array([-1, -1]))])
    assert np.isnan(found(run)).all()
    assert summarise(run)["cells"][0]["tft_found"] is None


def published(write_record, made, metric, value=1.0):
    entry = {"metric": metric, "value": value, "tolerance": 0.1, "source": "S"}
    run = write_record([made], config={"published": [entry]})
    summary = summarise(run)
    return run, summary, summary["published"][0]


def test_a_published_share_of_found_tft_is_compared_with_its_wilson_interval(write_record):
    _, _, got = published(write_record, cell([MIDDLE] * 9 + [NEVER]), "tft_found", 0.85)
    assert got["ours"] == pytest.approx(0.9) and got["verdict"] == "agrees"
    assert got["ours_ci95"] == pytest.approx([0.5958, 0.9821], abs=1e-3)


def test_without_recorded_policies_the_verdict_says_what_is_missing(write_record):
    made = cell([ALWAYS])
    del made["trajectory"]
    run, summary, got = published(write_record, made, "tft_found")
    assert got["verdict"] == "not compared"
    assert got["basis"].startswith("ours is not defined in this cell: tft_found needs `record: [policies]`")
    assert "`record: [policies]`" in render(open_record(run), summary, [])


@pytest.mark.parametrize(
    ("metric", "needs"), [("consistency_loss", "`record: [consistency]`"), ("nash_match", "without a pure equilibrium")]
)
def test_an_undefined_metric_says_what_it_needs(write_record, metric, needs):
    assert needs in published(write_record, cell([ALWAYS]), metric)[2]["basis"]


def test_where_every_match_diverged_the_verdict_says_so(write_record):
    got = published(write_record, cell([ALWAYS], diverged_at=np.zeros(1, int)), "value_mean")[2]
    assert got["basis"] == "every match of ours diverged"


def test_small_consistency_losses_keep_their_digits_in_tables(write_record):
    made = cell([ALWAYS] * 4, consistency=np.full(4, 4.35e-9))
    run, summary, got = published(write_record, made, "consistency_loss", 4.37e-9)
    assert summary["cells"][0]["consistency_loss"] == pytest.approx(4.35e-9)
    row = {"status": "ran", "left_out": 0, "published": [got]}
    assert "4.37e-09" in lines(row)[1] and "4.35e-09" in lines(row)[1]
    assert "4.37e&minus;09" in published_table([got]) and "4.35e&minus;09" in published_table([got])
    text = render(open_record(run), summary, [])
    assert "<th>consistency loss</th>" in text and "<th>TFT found</th>" in text


def test_consistency_losses_of_diverged_matches_are_left_out(write_record):
    made = cell([ALWAYS] * 2, consistency=np.array([1.0, 3.0]), diverged_at=np.array([-1, 2]))
    assert published(write_record, made, "consistency_loss")[1]["cells"][0]["consistency_loss"] == 1.0
