import io
import itertools
import shutil

import numpy as np
import pytest
import xarray

from shaping.analysis.axes import cell_name, scale, spread, sweep_axes, value_name, wrapped
from shaping.analysis.curve_figures import _names, _parts, curve
from shaping.analysis.figures import draw
from shaping.analysis.match_figures import _shown_states, _state_label, outcomes, policies
from shaping.analysis.matches_over_updates import Trace, trace
from shaping.analysis.play_figures import _seats
from shaping.analysis.published_table import published_table
from shaping.analysis.record import Shape, open_record
from shaping.analysis.report import render
from shaping.analysis.shown_cells import select_cells
from shaping.analysis.summary import summarise
from shaping.analysis.sweep_figures import _point, sweep_figures
from shaping.analysis.verify_report import lines

PENNIES = np.array([[1, -1, -1, 1], [-1, 1, 1, -1]], float)


def cell(players=2, states=5, n=6, seed=0, **more):
    rng = np.random.default_rng(seed)
    base = {"policy": rng.uniform(size=(n, players, states)), "coordinates": {}}
    base["value"] = rng.uniform(-2, -1, size=(n, 5, players))
    if players != 2:
        base["payoffs"] = rng.normal(size=(players, 2**players))
    return base | more


def drawn(run):
    pictures = draw(open_record(run), summarise(run))
    for picture in pictures:
        assert picture.png.startswith(b"\x89PNG") and picture.caption.endswith(".")
    return {p.name: p for p in pictures}


@pytest.mark.parametrize("players", [2, 6, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3))])
def test_figures_for_any_number_of_players(write_record, players):
    names = drawn(write_record([cell(players, 1 + 2**players, n=3)]))
    assert {"learning_curves", "outcomes", "policies"} <= set(names)
    assert ("strategies" in names) == (players == 2)


def test_every_figure_draws_the_interval_that_is_in_the_table(write_record):
    skewed = -1 - np.random.default_rng(0).exponential(size=(3, 9, 5, 2)).cumsum(axis=2)
    run = write_record([cell(value=v, n=9, coordinates={"game.noise": 0.1 * k}) for k, v in enumerate(skewed)])
    summary = summarise(run)
    theirs, record = summary["cells"][1], open_record(run)
    assert theirs["ci_method"] == "bootstrap_t"
    one, along = curve(record, 1), trace(record, 1, "value")
    assert along is not None
    for seat, ends in enumerate(theirs["value_ci95"]):
        assert ends[1] - theirs["value_mean"][seat] < 0.95 * (theirs["value_mean"][seat] - ends[0])
        assert (one.low[-1, seat], one.high[-1, seat]) == pytest.approx(tuple(ends))
        assert (along.low[-1, seat], along.high[-1, seat]) == pytest.approx(tuple(ends))
        assert _point([theirs], "value_mean", seat) == pytest.approx((theirs["value_mean"][seat], *ends))


def test_figures_of_one_shot_constant_sum_and_diverged_cells_side_by_side(write_record):
    zero = np.random.default_rng(0).normal(size=(6, 1)) * [1, -1]
    names = drawn(
        write_record(
            [
                cell(states=1, coordinates={"variant": "one-shot"}),
                cell(value=zero, payoffs=PENNIES, coordinates={"variant": "pennies"}),
                cell(diverged_at=np.zeros(6, int), coordinates={"variant": "diverged"}),
                cell(3, 9, coordinates={"variant": "three"}),
            ]
        )
    )
    assert "constant" in names["outcomes"].caption and "standard deviation" in names["learning_curves"].caption


def test_a_record_in_which_everything_diverged_still_draws(write_record):
    grid = itertools.product((0.1, 1.0), (1, 2))
    cells = [cell(diverged_at=np.zeros(6, int), coordinates={"a": a, "b": b}) for a, b in grid]
    assert "map_a_b" in drawn(write_record(cells))


def test_a_single_match_draws(write_record):
    assert drawn(write_record([cell(n=1)]))


def test_three_numeric_axes_give_a_map_for_each_pair(write_record, unrendered):
    cells = [
        cell(n=2, coordinates={"a": a, "b": b, "c": c, "variant": v})
        for a in (0.1, 1.0, 10.0)
        for b in (1, 2)
        for c in (0.0, 0.5)
        for v in ("x", "y")
    ]
    pictures = sweep_figures(summarise(write_record(cells)))
    assert [p.name for p in pictures] == ["map_a_b", "map_a_c", "map_b_c"]


def test_one_numeric_axis_gives_lines_and_seeds_are_averaged(write_record):
    cells = [cell(seed=s, coordinates={"a": a, "seed": s}) for a in (0.1, 1.0, 10.0) for s in (0, 1)]
    pictures = sweep_figures(summarise(write_record(cells)))
    assert [p.name for p in pictures] == ["over_a"]


def test_more_cells_than_fit_are_chosen_and_said_so(write_record, unrendered):
    cells = [cell(n=2, seed=i, coordinates={"a": float(i)}) for i in range(30)]
    run = write_record(cells)
    summary = summarise(run)
    chosen = select_cells(summary["cells"])
    assert len(chosen.cells) == 10 and "of the 30 cells" in chosen.note
    picture = outcomes(open_record(run), summary, chosen)
    assert picture is not None and "of the 30 cells" in picture.caption


def test_the_learning_curve_is_the_mean_over_finite_matches(write_record):
    made = cell(n=9, diverged_at=np.where(np.arange(9) == 4, 2, -1))
    c = curve(open_record(write_record([made])), 0)
    value = np.delete(made["value"], 4, axis=0)
    assert c.finite == 8
    assert c.mean[:, 1] == pytest.approx(value[:, :, 1].mean(axis=0), abs=1e-6)
    assert c.sd[:, -1] == pytest.approx(value.mean(axis=2).std(axis=0, ddof=1), rel=1e-5)


def test_pictures_are_the_same_bytes_at_every_drawing(write_record):
    import matplotlib.image

    run = write_record([cell()])
    summary = summarise(run)
    first, second = (outcomes(open_record(run), summary, select_cells(summary["cells"])) for _ in range(2))
    assert first is not None and first == second
    height, width = matplotlib.image.imread(io.BytesIO(first.png)).shape[:2]
    # Of a quarter of the dots each way (conftest.py).
    assert width <= 1400 / 4 and height < 3000 / 4


def test_axes_that_move_together_are_one():
    cells = [{"coordinates": {"a": a, "b": 2 * a, "c": c, "d": 7}} for a in (1.0, 2.0, 3.0) for c in (0, 1)]
    first, second = sweep_axes(cells)
    assert (first.key, first.tied, first.values) == ("a", ("b",), (1.0, 2.0, 3.0))
    assert second.key == "c"
    assert cell_name(cells[0], [first, second]) == "a = 1, c = 0"


def test_values_that_print_alike_get_as_many_digits_as_tell_neighbours_apart():
    values = (0.9, 0.99999, 0.999999)
    assert [value_name(v, values) for v in values] == ["0.9", "0.99999", "0.999999"]
    assert value_name(0.1 + 1e-12, (0.1, 0.1 + 1e-12)) == "0.100000000001" and value_name(2 / 3) == "0.667"
    assert value_name(0.9999, (1, 0.9999)) == "0.9999"


def test_cells_at_discounts_that_print_alike_are_told_apart_wherever_they_are_named(write_record):
    discounts = (0.99999, 0.999999)
    cells = [cell(coordinates={"game.discount": d}) for d in discounts]
    entries = [{"cell": {"game.discount": d}, "metric": "value_mean", "value": -1.5, "source": "S"} for d in discounts]
    run = write_record(cells, config={"published": entries})
    summary = summarise(run)
    assert select_cells(summary["cells"]).names == ("discount = 0.99999", "discount = 0.999999")
    text = render(open_record(run), summary, [])
    page = published_table(summary["published"])
    board = "\n".join(lines({"status": "ran", "left_out": 0, "published": summary["published"]}))
    for place in (text, page, board):
        assert "0.99999<" in place or "0.99999 " in place
        assert "0.999999" in place


def test_spacing_is_recognised():
    assert scale(np.logspace(-1, 1, 5)) == "log"
    assert scale([0.5, 1.0, 1.5]) == "linear"
    assert scale([0, 0.1, 1, 10]) == scale([1, 2]) == "uneven"


def test_names_are_broken_after_commas():
    assert wrapped("alpha = 1, beta = 2, gamma = 3", 20) == "alpha = 1, beta = 2,\ngamma = 3"
    assert spread(13, 3) == [0, 6, 12] and spread(2, 5) == [0, 1]


def analytic(run):
    """The record without what only matrix games have, as a run of an analytic game leaves it."""
    with xarray.open_zarr(run / "record.zarr", consolidated=False) as record:
        kept = record.load()[["value", "value_trajectory_mean", "diverged_at"]]
    kept["theta_initial"] = (("match", "player", "parameter"), np.zeros((kept.sizes["match"], kept.sizes["player"], 1)))
    shutil.rmtree(run / "record.zarr")
    kept.drop_encoding().to_zarr(run / "record.zarr", consolidated=False, zarr_format=2)
    return run


def test_an_analytic_game_has_curves_and_outcomes_and_no_policies(write_record, unrendered):
    names = drawn(analytic(write_record([cell(coordinates={"variant": name}) for name in "ab"])))
    assert set(names) == {"learning_curves", "outcomes"}


def policies_of(run):
    summary = summarise(run)
    found = policies(open_record(run), summary, select_cells(summary["cells"]))
    assert found is not None
    return found


def test_cells_without_policies_have_no_row_among_the_policies(write_record):
    nothing = np.full((6, 2, 5), np.nan)
    run = write_record([cell(policy=nothing, coordinates={"variant": "none"}), cell(coordinates={"variant": "some"})])
    alone = write_record([cell(coordinates={"variant": "some"})], "alone")
    both, one = (policies_of(place).png for place in (run, alone))
    # Width and height stand in the first bytes of a PNG.
    assert both[16:24] == one[16:24]


def test_longer_memories_show_the_histories_in_which_all_rounds_were_the_same(write_record):
    run = write_record([cell(states=5, coordinates={"variant": "short"})], "short")
    shape = open_record(run).shapes[0]
    for states, last in ((21, [0, 5, 10, 15, 20]), (85, [0, 21, 42, 63, 84])):
        longer = Shape(2, states, "own")
        assert _shown_states(longer) == last
        assert [_state_label(longer, s) for s in last] == ["start", *(f"always {a}" for a in ("CC", "CD", "DC", "DD"))]
    assert [_state_label(shape, s) for s in _shown_states(shape)][1:] == [
        f"after {a}" for a in ("CC", "CD", "DC", "DD")
    ]


def test_learning_curves_have_at_most_seven_lines_in_a_panel_and_name_what_their_cells_share():
    grid = itertools.product([0.1, 1.0, 10.0], [0.9, 0.96, 0.99], ["steady", "trembling"])
    cells = [{"coordinates": {"game.step": s, "game.discount": d, "rate": 1 / d, "variant": v}} for s, d, v in grid]
    coordinates, axes = [c["coordinates"] for c in cells], sweep_axes(cells)
    parts = _parts(coordinates, list(range(18)), axes)
    assert sorted(i for part in parts for i in part) == list(range(18)) and [len(p) for p in parts] == [6, 6, 6]
    title, labels = _names(coordinates, parts[0], axes)
    assert title == "step = 0.1" and len(set(labels)) == 6
    assert labels[0] == "discount = 0.9 (rate = 1.11), steady"


def test_the_caption_of_learning_curves_names_only_players_that_there_are(write_record, unrendered):
    unequal = np.random.default_rng(0).normal(size=(9, 5, 2)) * 0.01 + [0, 1]
    caption = drawn(write_record([cell(value=unequal, n=9)]))["learning_curves"].caption
    assert "dashed player 1" in caption and "player 2" not in caption


def test_where_one_gains_what_the_other_loses_a_player_is_drawn_instead_of_the_mean():
    along = np.sin(np.arange(40.0)).reshape(4, 10)
    ways = {"zero sum": [along, -along, 0 * along], "other": [along, along**2, (along + along**2) / 2]}
    expected = {"zero sum": [0], "other": [-1]}
    for name, columns in ways.items():
        each = np.stack(columns, axis=-1)
        mean = np.zeros((10, 3))
        assert _seats(Trace(np.arange(10), each, mean, mean + 1, mean - 1, mean + 1)) == expected[name]
