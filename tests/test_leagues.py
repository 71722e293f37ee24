"""`shaping league`: its folder holds exact values under the right names, and bad input is refused in one line."""

import json

import numpy as np
import pytest
import xarray

import shaping
from shaping import envs
from shaping.cli import main

CONFIG = {"game": "ipd", "players": {"rule": "naive"}, "sweep": {"game.noise": [0.0, 0.1]}, "matches": 2, "updates": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return shaping.run(CONFIG, out=tmp_path_factory.mktemp("league") / "naive", show_progress=False)


def opened(folder):
    with xarray.open_zarr(str(folder / "league.zarr"), consolidated=False, chunks=None) as league:
        return league.load()


def test_named_strategies_alone_earn_what_the_library_says(tmp_path, capsys):
    assert main(["league", "--against", "TFT,alld,wsls", "--game", "chicken", "--out", str(tmp_path / "out")]) == 0
    league = opened(tmp_path / "out")
    assert league["row"].values.tolist() == league["column"].values.tolist() == ["TFT", "alld", "wsls"]
    expected = shaping.league_values(envs.make("chicken"), ["tft", "alld", "wsls"])
    np.testing.assert_allclose(league["value"].values, expected.value, atol=1e-12)
    np.testing.assert_allclose(league["cooperation"].values, expected.cooperation, atol=1e-12)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    best = max(summary["players"], key=lambda row: row["value_mean"])
    assert best == summary["players"][0] and summary["game"]["game"] == "chicken"
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "League of 3" in page and "TFT" in page
    assert capsys.readouterr().out.strip().endswith("index.html")


def test_learners_of_a_cell_meet_the_classics_in_the_game_of_that_cell(run, tmp_path):
    folder = shaping.league([run], cells=["game.noise=0.1"], per_cell=1, out=tmp_path / "out")
    league = opened(folder)
    assert league["row"].values.tolist()[:3] == ["naive/2/0", "naive/2/1", "allc"]
    assert league.sizes["row"] == 9
    record = shaping.load(run).record
    # The two learners against each other, as the record says they ended.
    played = record["value"].values[2, -1]
    np.testing.assert_allclose(league["value"].values[0, 1, 0], played[0], atol=1e-5)
    np.testing.assert_allclose(league["value"].values[1, 0, 1], played[1], atol=1e-5)
    assert league.attrs["noise"] == [0.1, 0.1] and league.attrs["discount"] == 0.96
    assert league["match"].values.tolist()[:3] == [2, 2, -1]


def test_the_extortioner_is_that_of_the_games_payoffs(tmp_path):
    game = {"name": "ipd", "reward": 3, "sucker": 0, "temptation": 5, "punishment": 1}
    league = opened(shaping.league(against="extortionate,random", game=game, out=tmp_path / "out"))
    expected = shaping.strategy("extortionate", reward=3, sucker=0, temptation=5, punishment=1)
    values = shaping.league_values(envs.make(**game), [np.asarray(expected[1], float), "random"])
    np.testing.assert_allclose(league["value"].values[0, 1], values.value[0, 1], atol=1e-6)
    without = shaping.league(game="chicken", out=tmp_path / "chicken")
    assert "extortionate" not in opened(without)["row"].values


def test_policies_of_files_play_too(tmp_path):
    (tmp_path / "two.json").write_text(json.dumps({"mine": [1, 1, 0, 1, 0], "yours": [0.5] * 21}))
    np.save(tmp_path / "many.npy", np.zeros((2, 5)))
    files = [tmp_path / "two.json", tmp_path / "many.npy"]
    league = opened(shaping.league(files, against="tft", out=tmp_path / "out"))
    assert league["row"].values.tolist() == ["mine", "yours", "0", "1", "tft"]
    np.testing.assert_allclose(league["value"].values[0], league["value"].values[4], atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--against", "nobody"], "'nobody' is not allowed"),
        (["--against", "none"], "no players"),
        (["--against", "tft,tft"], "two players are called 'tft'"),
        (["--game", "contribution"], None),
        (["--game", "chicken", "--against", "extortionate"], "--against extortionate: payoffs are"),
        (["RUN"], "its matches play 2 games; allowed: one, chosen by --cell"),
        (["RUN", "--cell", "7"], "--cell 7: "),
        (["RUN", "--cell", "colour=red"], "KEY of "),
        (["RUN", "--cell", "game.noise=0.7"], "no match of"),
        (["RUN", "--per-cell", "0"], "--per-cell 0: allowed: 1 or more"),
        (["FOLDER"], "holds no run"),
        (["FOLDER/words.json"], "cannot be read"),
        (["FOLDER/short.json"], "'short' is no policy"),
    ],
)
def test_bad_input_is_refused_in_one_line(run, tmp_path, capsys, arguments, says):
    place = tmp_path / "folder"
    place.mkdir()
    (place / "words.json").write_text("words")
    (place / "short.json").write_text('{"short": [1, 2]}')
    given = [each.replace("RUN", str(run)).replace("FOLDER", str(place)) for each in arguments]
    status = main(["league", *given, "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    if says is None:
        assert status == 0  # the contribution game has two players
        return
    assert status == 2 and says in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
