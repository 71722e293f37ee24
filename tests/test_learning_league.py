"""`shaping league --learning`: one run of all pairs, whose values are those of the pairs alone; who shapes whom."""

import json

import numpy as np
import pytest
import xarray

import shaping
from shaping import envs
from shaping.cli import main

LEARNERS = {"still": {"rule": "naive", "step_size": 0.0}, "naive": {"rule": "naive"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("learning") / "league"
    return shaping.learning_league({"game": "ipd", "learners": LEARNERS, "matches": 6, "updates": 8}, out=place)


def test_every_pair_has_the_values_that_it_has_alone(folder):
    with xarray.open_zarr(str(folder / "league.zarr"), consolidated=False, chunks=None) as found:
        league = found.load()
    assert league["row"].values.tolist() == league["column"].values.tolist() == ["still", "naive"]
    still = shaping.gradient_learner(shaping.naive(), step_size=0.0)
    alone = shaping.train(envs.make("ipd"), [still, shaping.naive()], matches=6, updates=8)
    expected = alone["value"].mean("match").values
    np.testing.assert_allclose(league["value"].values[0, 1], expected, atol=2e-5)
    np.testing.assert_allclose(league["value_final"].values[0, 1], alone["value"].values[:, -1], atol=2e-4)
    assert np.all(league["low"].values <= league["value"].values + 1e-6)


def test_the_summary_says_who_shapes_whom(folder):
    summary = json.loads((folder / "league.json").read_text())
    assert summary["baseline"] == "still" and len(summary["pairs"]) == 4
    pairs = {(one["row"], one["column"]): one for one in summary["pairs"]}
    assert "gain" not in pairs["still", "naive"]
    with xarray.open_zarr(str(folder / "league.zarr"), consolidated=False, chunks=None) as league:
        final = league["value_final"].values
    gain = pairs["naive", "still"]["gain"]
    # Against a player that never moves, one that learns gains on what it would earn if it did not move either.
    assert gain["mean"] == pytest.approx((final[1, 0, :, 0] - final[0, 0, :, 0]).mean()) and gain["ci95"][0] > 0
    page = (folder / "league" / "index.html").read_text()
    assert "naive shapes still" in page and "Learning league of 2" in page


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--learning", "lolo"], "--learning lolo: no such rule or learner"),
        (["--learning", "naive,naive"], "a name is there twice"),
        (["--learning", "naive", "--against", "tft"], "--learning: only with --game"),
        (["--learning", "naive", "--set", "variants={}"], "variants: not in a learning league"),
        (["--learning", "FILE"], "learners: needed in a learning league"),
        (["--set", "matches=3"], "--set: only with --learning"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path, capsys, arguments, says):
    (tmp_path / "bare.yaml").write_text("game: ipd\n")
    given = [each.replace("FILE", str(tmp_path / "bare.yaml")) for each in arguments]
    status = main(["league", *given, "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert status == 2 and says in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
