"""Summaries, figures and pages of runs whose returns are sampled.

One kind of record goes through all of them, which makes this file longer than others.
"""

import base64
import re

import numpy as np
import pytest

from shaping.analysis.diagnosis_figures import READING
from shaping.analysis.figures import draw
from shaping.analysis.matches_over_updates import SEEDS, trace
from shaping.analysis.published import METRICS, known_metrics
from shaping.analysis.record import Shape, open_record
from shaping.analysis.report import render, write_report
from shaping.analysis.shown_cells import measured_cells, select_cells
from shaping.analysis.statistics import mean_ci95, wilson_ci95
from shaping.analysis.summary import summarise
from shaping.analysis.sweep_figures import sweep_figures

N, UPDATES = 6, 5
TFT = np.array([1, 1, 0, 1, 0.0])


def over_updates(last, n=N):
    """[match, update, player] that grows to `last` [match, player] or what broadcasts to it."""
    growing = np.linspace(0.5, 1, UPDATES)[None, :, None]
    return growing * np.broadcast_to(np.asarray(last, float), (n, 2))[:, None]


def matrix(n=N, play=None, **more):
    value = np.random.default_rng(0).uniform(-2, -1, size=(n, UPDATES, 2))
    measured = {"reward_per_step": value - 0.1, "entropy": over_updates(0.5, n), "value_exact": value + 0.01}
    base = {"policy": np.broadcast_to(TFT, (n, 2, 5)).copy(), "value": value, "coordinates": {}}
    return base | {"play": measured | (play or {})} | more


def coins(own, n=N, play=None, **more):
    """A Coin Game whose players take this share of their own colour, [match, player] or what broadcasts to it."""
    own = np.broadcast_to(np.asarray(own, float), (n, 2))
    measured = {
        "reward_per_step": over_updates(0.1, n),
        "own_fraction": np.repeat(own[:, None], UPDATES, axis=1),
        "pickups": np.full((n, 2, 2), 3.0),
        "theta_initial": np.zeros((n, 2, 1)),
        "cooperation_by_history": np.linspace(0, 1, 9) * np.ones((n, 2, 1)),
        "reward_against": np.array([0.2, -0.3, 0.1]) + 0.01 * np.arange(n)[:, None, None] * np.ones((1, 2, 1)),
        "own_fraction_against": np.array([0.9, 0.4, 0.8]) * np.ones((n, 2, 1)),
    }
    nothing = {"policy": np.full((n, 2, 5), np.nan), "payoffs": np.full((2, 4), np.nan)}
    base = nothing | {"value": np.zeros((n, UPDATES, 2)), "coordinates": {}}
    return base | {"play": measured | (play or {})} | more


def exact(n=N, **more):
    made = matrix(n, **more)
    del made["play"]
    return made


def pictures(run):
    found = draw(open_record(run), summarise(run))
    assert all(p.png.startswith(b"\x89PNG") and p.caption.endswith(".") for p in found)
    return {p.name: p for p in found}


def test_what_was_measured_at_the_last_update_is_averaged_with_its_interval(write_record):
    error = 10.0 ** -np.arange(N)[:, None] * [1, 2]
    (entry,) = summarise(write_record([matrix(play={"model_error": over_updates(error)})]))["cells"]
    assert entry["model_error"] == pytest.approx(error.mean(axis=0), rel=1e-6)
    assert entry["model_error_ci95"][1] == pytest.approx(
        (0, mean_ci95(error[:, 1])[1]), rel=1e-4
    )  # cut at 0, as declared
    assert entry["entropy"] == [0.5, 0.5] and entry["entropy_ci95"] == [[0.5, 0.5]] * 2
    assert entry["value_exact"] == pytest.approx(np.add(entry["value_mean"], 0.01), abs=1e-6)
    assert entry["tft_match"] == 1 and entry["cooperative"] is not None
    assert "shaping_norm" not in entry and "own_colour_found" not in entry


def test_opponents_and_histories_are_named_and_hold_one_number_a_player(write_record):
    (entry,) = summarise(write_record([coins(0.9)]))["cells"]
    assert list(entry["reward_against"]) == ["ALLC", "ALLD", "TFT"]
    assert entry["reward_against"]["ALLD"] == pytest.approx([-0.275] * 2, abs=1e-6)
    low, high = entry["reward_against_ci95"]["ALLD"][1]
    assert -0.3 <= low < -0.275 < high <= -0.25
    assert entry["own_fraction_against"]["TFT"] == pytest.approx([0.8] * 2)
    assert entry["cooperation_by_history"]["SS"] == [0, 0] and entry["cooperation_by_history"]["DD"] == [1, 1]
    assert entry["cooperation_by_history_ci95"]["CC"] == [[0.5, 0.5]] * 2


def test_own_colour_is_what_play_showed_and_else_what_was_picked_up(write_record):
    own = np.full((N, 2), 0.9)
    own[0] = np.nan
    (entry,) = summarise(write_record([coins(own)]))["cells"]
    # Half the pickups of the first match are of the own colour.
    assert entry["own_fraction"] == pytest.approx([(5 * 0.9 + 0.5) / 6] * 2, abs=1e-6)


def test_the_matches_that_found_their_own_colour_are_those_above_six_tenths_in_the_mean_over_players(write_record):
    own = np.array([[0.9, 0.4], [0.9, 0.2], [0.7, 0.6], [0.6, 0.59], [1, 1], [0.5, 0.5]])
    (entry,) = summarise(write_record([coins(own)]))["cells"]
    assert entry["own_colour_found"] == 0.5
    assert entry["own_colour_found_ci95"] == pytest.approx(wilson_ci95(3, 6))


def test_a_match_in_which_nobody_takes_a_coin_has_not_found_its_own_colour(write_record):
    own = np.full((N, 2), 1.0)
    own[0] = np.nan
    pickups = np.full((N, 2, 2), 3.0)
    pickups[0] = 0
    (entry,) = summarise(write_record([coins(own, play={"pickups": pickups})]))["cells"]
    assert entry["own_colour_found"] == pytest.approx(5 / 6) and entry["own_fraction"] == [1, 1]


def test_a_player_without_a_model_or_a_history_that_never_came_up_is_null(write_record):
    by_history = np.full((N, 2, 9), 0.5)
    by_history[:, 0, 4] = np.nan
    play = {"cooperation_by_history": by_history, "model_error": over_updates([np.nan, 0.2])}
    (entry,) = summarise(write_record([coins(0.9, play=play)]))["cells"]
    assert entry["cooperation_by_history"]["CC"] == [None, 0.5]
    assert entry["cooperation_by_history_ci95"]["CC"][0] == [None, None]
    assert entry["model_error"][0] is None and entry["model_error"][1] == pytest.approx(0.2)


def test_diverged_matches_are_left_out_of_what_play_showed(write_record):
    reward = over_updates(np.arange(N)[:, None] * [1.0, 1.0])
    reward[0] = np.nan
    made = coins(0.9, play={"reward_per_step": reward}, diverged_at=np.array([0, -1, -1, -1, -1, 4]))
    (entry,) = summarise(write_record([made]))["cells"]
    assert entry["reward_per_step"] == [2.5, 2.5] and entry["finite"] == 4


def test_exact_cells_of_a_mixed_record_have_null_and_others_what_they_have_alone(write_record):
    cells = [
        exact(coordinates={"variant": "e"}),
        matrix(coordinates={"variant": "s"}),
        coins(0.9, coordinates={"variant": "c"}),
    ]
    first, second, third = summarise(write_record(cells))["cells"]
    assert first["reward_per_step"] == [None, None] and first["own_colour_found"] is None
    assert first["reward_against"]["ALLC"] == [None, None] and first["cooperative"] is not None
    alone = summarise(write_record([matrix()], "alone"))["cells"][0]
    assert second["reward_per_step_ci95"] == pytest.approx(np.array(alone["reward_per_step_ci95"]), rel=1e-6)
    assert second["own_colour_found"] is None and third["own_colour_found"] == 1
    assert third["cooperative"] is None and third["tft_match"] is None


def test_an_exact_record_has_no_keys_of_play(write_record):
    (entry,) = summarise(write_record([exact()]))["cells"]
    assert not {"reward_per_step", "entropy", "reward_against", "own_colour_found"} & set(entry)


@pytest.mark.parametrize(
    ("metric", "value"), [("own_colour_found", 1), ("reward_per_step", 0.1), ("own_fraction", 0.9)]
)
def test_published_values_of_play_are_compared(write_record, metric, value):
    entry = {"metric": metric, "value": value, "tolerance": 1e-3, "source": "S"}
    (got,) = summarise(write_record([coins(0.9)], config={"published": [entry]}))["published"]
    assert got["verdict"] == "agrees" and got["ours"] == pytest.approx(value)
    apart = entry | {"value": value / 2}
    (got,) = summarise(write_record([coins(0.9)], "apart", config={"published": [apart]}))["published"]
    assert got["verdict"] == "differs"


@pytest.mark.parametrize("metric", ["own_colour_found", "reward_per_step"])
def test_a_published_value_of_what_the_record_lacks_is_not_compared_and_says_so(write_record, metric):
    entry = {"metric": metric, "value": 1, "tolerance": 1e-3, "source": "S"}
    (got,) = summarise(write_record([exact()], config={"published": [entry]}))["published"]
    assert got["verdict"] == "not compared" and f"this record has no {metric}; it has value_mean" in got["basis"]


def test_every_variable_along_updates_is_a_metric_and_so_is_what_follows_from_it():
    assert known_metrics([]) == METRICS
    assert known_metrics(["apples", "own_fraction"]) == (*METRICS, "apples", "own_fraction", "own_colour_found")
    assert known_metrics(["pickups"])[-2:] == ("own_fraction", "own_colour_found")


def test_a_variable_nobody_here_has_heard_of_is_averaged_drawn_tabulated_explained_and_compared(
    write_record, unrendered
):
    apples = over_updates(np.linspace(1, 2, N)[:, None] * [1.0, 3.0])
    entry = {"metric": "apples", "player": 1, "value": 4.5, "tolerance": 0.01, "source": "S"}
    run = write_record([matrix(play={"apples": apples})], config={"published": [entry]})
    summary = summarise(run)
    (cell,) = summary["cells"]
    assert cell["apples"] == pytest.approx([1.5, 4.5]) and cell["apples_ci95"][0][0] < 1.5 < cell["apples_ci95"][0][1]
    assert summary["published"][0]["verdict"] == "agrees"
    assert summary["variables"]["apples"]["label"] == "apples eaten"
    found = pictures(run)
    assert "Apples eaten: apples a player eats a step." in found["play_curves"].caption
    text = render(open_record(run), summary, [])
    assert "<th>apples eaten</th>" in text and "Apples eaten: apples a player eats a step." in text


def test_a_record_that_declares_nothing_opens_and_shows_nothing_of_play(write_record, unrendered):
    run = write_record([matrix(play={"apples": over_updates(1.0)})], declare=False)
    summary = summarise(run)
    assert summary["variables"] == {} and "apples" not in summary["cells"][0]
    assert "play_curves" not in pictures(run) and "<h2>Play" not in render(open_record(run), summary, [])


def test_what_is_known_at_the_end_alone_has_a_column_and_no_curve(write_record, unrendered):
    made = matrix()
    made["play"] = {"own_fraction": np.full((N, UPDATES, 2), np.nan)}
    made["play"]["own_fraction"][:, -1] = 0.7
    run = write_record([made])
    assert "play_curves" not in pictures(run)
    assert "<th>own colour</th>" in render(open_record(run), summarise(run), [])


def test_more_variables_than_fit_beside_each_other_get_a_second_picture(write_record, unrendered):
    play = {"apples": over_updates(1.0), "own_fraction": over_updates(0.5)}
    found = pictures(write_record([matrix(play=play)]))
    assert {"play_curves", "play_curves_2"} <= set(found)
    assert "V_CC" not in found["play_curves_2"].caption


def test_what_scripts_earn_is_marked_beside_the_reward_and_stands_in_a_table_of_welfare(write_record, unrendered):
    scripted = np.array([1.0, -0.5, 0.25]) * np.ones((N, 2, 1))
    run = write_record([matrix(play={"scripted_reward_per_step": scripted})])
    summary = summarise(run)
    assert "everybody plays the script" in pictures(run)["play_curves"].caption
    text = render(open_record(run), summary, [])
    welfare = text[text.index("<h2>Welfare") : text.index("<h2>Timing") if "<h2>Timing" in text else None]
    assert "<th>learned</th><th>ALLC</th>" in welfare
    assert re.search(r"<td[^>]*>1.000</td><td[^>]*>&minus;0.500</td>", welfare)
    assert "<h2>Against" not in text


def test_states_that_no_match_came_to_leave_the_shape_of_policies_as_it_is(write_record, unrendered):
    made = matrix()
    made["policy"][0] = np.nan
    made["policy"][:, :, 4] = np.nan
    run = write_record([made])
    assert open_record(run).shapes == (Shape(2, 5, "own"),)
    assert summarise(run)["cells"][0]["tft_match"] is None
    assert "policies" in pictures(run)


def test_a_scripted_last_seat_counts_where_the_first_match_diverged_at_once(write_record):
    theta = np.full((N, 2, 1), np.nan)
    theta[:, 0] = 0
    made = matrix(payoffs=np.full((2, 4), np.nan), play={"theta_initial": theta})
    made["diverged_at"] = np.where(np.arange(N) == 0, 0, -1)
    made["policy"] = np.full_like(made["policy"], np.nan)
    assert open_record(write_record([made])).shapes[0].players == 2


def test_where_payoffs_are_not_known_only_strategies_that_need_none_are_near(write_record):
    made = matrix(payoffs=np.full((2, 4), np.nan), play={"theta_initial": np.zeros((N, 2, 1))})
    (entry,) = summarise(write_record([made]))["cells"]
    assert entry["nearest_strategy"]["TFT"] == 1 and entry["nearest_strategy"]["generous TFT"] == 0


def test_a_trace_is_the_mean_over_matches_that_did_not_diverge(write_record):
    made = matrix(diverged_at=np.array([3, -1, -1, -1, -1, -1]))
    made["play"]["model_error"] = over_updates(np.arange(N)[:, None] * [1.0, np.nan])
    record = open_record(write_record([made]))
    found = trace(record, 0, "model_error")
    assert found is not None
    assert found.mean[-1, 0] == pytest.approx(3) == found.mean[-1, -1] and np.isnan(found.mean[-1, 1])
    assert found.error[-1, 0] == pytest.approx(np.std(np.arange(1, N), ddof=1) / np.sqrt(N - 1))
    assert found.each.shape == (N - 1, UPDATES, 3)
    assert trace(record, 0, "shaping_sd") is None


def test_at_most_thirty_matches_are_drawn_one_by_one_and_the_caption_says_so(write_record, unrendered):
    run = write_record([matrix(40)])
    found = trace(open_record(run), 0, "value")
    assert found is not None and len(found.each) == SEEDS == 30
    assert "the first 30 of a cell" in pictures(run)["play_curves"].caption


def test_sampled_cells_have_figures_of_play_beside_those_of_all_cells(write_record):
    found = pictures(write_record([matrix(coordinates={"variant": "a"}), coins(0.9, coordinates={"variant": "b"})]))
    assert set(found) == {
        "learning_curves",
        "play_curves",
        "by_history_cooperation_by_history",
        "outcomes",
        "policies",
        "strategies",
    }
    caption = found["play_curves"].caption
    assert "the exact value, which play estimates" in caption and "Own colour:" in caption and "V_CC" in caption


def test_exact_cells_have_no_row_among_the_figures_of_play(write_record, unrendered):
    both = write_record([exact(coordinates={"variant": "e"}), matrix(coordinates={"variant": "s"})])
    summary = summarise(both)
    assert measured_cells(summary) == [1]
    chosen = select_cells(summary["cells"], among=[1])
    assert chosen.cells == (1,) and chosen.names == ("s",)
    assert "play_curves" in pictures(both)
    assert "play_curves" not in pictures(write_record([exact()], "alone"))


def test_models_and_shaping_terms_are_drawn_where_they_were_recorded(write_record, request):
    play = {"model_error": over_updates(0.1), "model_trust": over_updates(1.0)}
    # A mean length of 0 has no logarithm.
    norm = over_updates([0.1, np.nan])
    norm[:, 2] = 0
    play |= {"shaping_norm": norm, "shaping_sd": over_updates([1.0, np.nan])}
    run = write_record([matrix(play=play, coordinates={"variant": v}) for v in ("plain", "remedy")])
    found = pictures(run)
    assert {"model_errors", "shaping_terms"} <= set(found) and "Right:" in found["model_errors"].caption
    request.getfixturevalue("unrendered")
    trusted = matrix(play={"model_error": over_updates(0.1), "model_trust": np.ones((N, UPDATES, 2))})
    assert "Right:" not in pictures(write_record([trusted], "trusted"))["model_errors"].caption
    text = render(open_record(run), summarise(run), list(found.values()))
    assert text.count(READING.split("'")[0]) == 1


def test_players_that_end_up_unequal_have_lines_of_their_own(write_record, unrendered):
    made = coins(0.5)
    made["value"] = over_updates([1.0, -1.0]) + 0.01 * np.random.default_rng(0).normal(size=(N, UPDATES, 2))
    record = open_record(write_record([made]))
    value, reward = trace(record, 0, "value"), trace(record, 0, "reward_per_step")
    assert value is not None and value.unequal and reward is not None and not reward.unequal
    assert "play_curves" in pictures(record.directory)


@pytest.mark.parametrize("n", [1, pytest.param(N, marks=pytest.mark.slow)])
def test_a_record_of_play_in_which_everything_diverged_still_has_a_report(write_record, n):
    play = {"reward_per_step": np.full((n, UPDATES, 2), np.nan)}
    made = coins(np.nan, n, play=play | {"pickups": np.full((n, 2, 2), np.nan)}, diverged_at=np.zeros(n, int))
    run = write_record([made])
    assert write_report(run).exists()
    assert summarise(run)["cells"][0]["own_colour_found"] is None


def test_sweeps_of_sampled_coin_games_are_drawn_by_own_colour(write_record, unrendered):
    line = [coins(a, coordinates={"a": a}) for a in (0.1, 0.5, 0.9)]
    (picture,) = sweep_figures(summarise(write_record(line, "line")))
    assert "own colour" in picture.caption
    grid = [coins(a, coordinates={"a": a, "b": b}) for a in (0.1, 0.5, 0.9) for b in (1, 2)]
    (picture,) = sweep_figures(summarise(write_record(grid, "grid")))
    assert picture.name == "map_a_b" and "own colour" in picture.caption


def test_the_page_has_tables_of_play_and_of_scripted_opponents(write_record):
    run = write_record([exact(coordinates={"variant": "e"}), coins(0.9, coordinates={"variant": "<c>"})])
    text = render(open_record(run), summarise(run), [])
    play = text[text.index("<h2>Play</h2>") : text.index("<h2>Against")]
    assert "own colour found" in play and "100.0&nbsp;%" in play and "&lt;c&gt;" in play
    assert "model error" not in play and ">e<" not in play
    against = text[text.index("<h2>Against") :]
    assert "reward against ALLD" in against and "own colour against TFT" in against and "&minus;0.275" in against
    alone = write_record([exact()], "alone")
    assert "<h2>Play" not in render(open_record(alone), summarise(alone), [])


def test_an_episode_in_the_folder_is_embedded_in_the_page(write_record):
    run = write_record([coins(0.9)])
    assert "image/gif" not in render(open_record(run), summarise(run), [])
    (run / "episode.gif").write_bytes(b"GIF89a and more")
    text = render(open_record(run), summarise(run), [])
    assert f'src="data:image/gif;base64,{base64.b64encode(b"GIF89a and more").decode()}"' in text
    assert "episode.gif" in text
