"""`shaping league`: its folder holds exact values under the right names, and bad input is refused in one line."""

import json

import numpy as np
import pytest
import xarray

import shaping
from shaping import envs
from shaping.cli import main
from shaping.config.errors import ConfigError
from shaping.leagues import cells
from shaping.objectives.played_league_values import sampled_values
from shaping.runtime.storage import remove

pytestmark = pytest.mark.usefixtures("without_pictures")
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


FROZEN = {"game": "ipd", "seed": 3, "league": {"against": "allc,alld,tft", "sampled": True, "standard_error": 0.5}}


@pytest.fixture
def parts_of_two(monkeypatch):
    """Parts of two pairs; returns how many pairs were played in each, and where to stop."""
    played, stop = [], []

    def play(game, players, error, pairs, seed):
        if len(played) in stop:
            raise KeyboardInterrupt
        played.append(int(pairs.sum()))
        return sampled_values(game, players, error, pairs, seed)

    monkeypatch.setattr(cells, "_PART", 2)
    monkeypatch.setattr(cells, "sampled_values", play)
    return played, stop


def test_an_interrupted_league_goes_on_where_it_was(parts_of_two, tmp_path, capsys):
    played, stop = parts_of_two
    whole = opened(shaping.run(FROZEN, out=tmp_path / "whole"))
    assert played == [2, 2, 2, 2, 1] and whole["episodes"].values.min() >= 128
    played.clear()
    stop.append(3)
    with pytest.raises(KeyboardInterrupt):
        shaping.run(FROZEN, out=tmp_path / "cut")
    assert len(list((tmp_path / "cut" / "parts").glob("*.npz"))) == 3
    assert main(["status", str(tmp_path / "cut")]) == 0
    told = capsys.readouterr().out
    assert "league of frozen players, stopped" in told and "kept: 3 played" in told and "shaping resume" in told
    # A part that was cut off while it was written is played again.
    (tmp_path / "cut" / "parts" / next(iter((tmp_path / "cut" / "parts").glob("play-1*"))).name).write_bytes(b"PK")
    played.clear()
    stop.clear()
    assert main(["resume", str(tmp_path / "cut")]) == 0
    assert played == [2, 2, 1]
    for name in ("value", "standard_error", "cooperation", "episodes"):
        np.testing.assert_array_equal(opened(tmp_path / "cut")[name], whole[name])
    assert not (tmp_path / "cut" / "parts").exists()
    assert main(["resume", str(tmp_path / "cut")]) == 0 and played == [2, 2, 1]
    assert main(["status", str(tmp_path / "cut")]) == 0
    assert "finished" in (told := capsys.readouterr().out) and "9 of 3 players; 9 were played" in told


def test_run_and_report_know_a_league_of_frozen_players(run, tmp_path, capsys):
    league = {"players": [str(run)], "cells": [1], "per_cell": 1, "against": "tft"}
    (tmp_path / "league.yaml").write_text(json.dumps({"title": "Three", "league": league}))
    out = tmp_path / "out"
    assert main(["run", str(tmp_path / "league.yaml"), "--set", "league.per_cell=2", "--out", str(out)]) == 0
    assert opened(out)["row"].values.tolist() == ["naive/2/0", "naive/2/1", "naive/3/0", "naive/3/1", "tft"]
    summary = (out / "summary.json").read_text()
    (out / "summary.json").unlink()
    assert main(["report", str(out)]) == 0 and (out / "summary.json").read_text() == summary
    assert main(["resume", str(out), "--set", "updates=3"]) == 2
    assert main(["replay", str(out), "--match", "0"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and "frozen players" in told[0] and "frozen players have no updates" in told[1]


def test_a_damaged_league_is_named_in_one_line(tmp_path, capsys):
    folder = shaping.league(against="tft,alld", out=tmp_path / "out")
    next(path for path in (folder / "league.zarr" / "value").rglob("0") if path.is_file()).write_bytes(b"x")
    assert main(["report", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "league.zarr" in error and error.count("\n") == 1
    remove(folder / "league.zarr" / "value")
    assert main(["report", str(folder)]) == 2
    assert "has no value" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"league": {"against": "nobody"}}, "'nobody' is not allowed"),
        ({"league": {"agianst": "tft"}}, "league.agianst: unknown key; allowed"),
        ({"league": {"per_cell": 0}}, "league.per_cell: 0"),
        ({"league": {"players": 3.5}}, "league.players: 3.5 is not allowed"),
        ({"league": {"standard_error": 0}}, "league.standard_error: 0"),
        ({"league": {}, "matches": 3}, "matches: unknown key where a league has frozen players only"),
        ({"league": {}, "seed": -1}, "seed: -1"),
        ({"league": {}, "game": {"name": "ipd", "num_actions": 3}}, "game"),
    ],
)
def test_a_wrong_league_is_refused_in_one_line(config, says, tmp_path):
    with pytest.raises(ConfigError) as refused:
        shaping.run(config, out=tmp_path / "out")
    assert says in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()
