"""`shaping league --learning`: one run of all pairs, whose values are those of the pairs alone; who shapes whom."""

import json

import numpy as np
import pytest
import xarray

import shaping
from shaping import envs
from shaping.cli import main
from shaping.config.errors import ConfigError
from shaping.config.plan import plan
from tests.runs import undrawn, unrendered

LEARNERS = {"still": {"rule": "naive", "step_size": 0.0}, "naive": {"rule": "naive"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("learning") / "league"
    config = {"game": "ipd", "league": {"learners": LEARNERS}, "matches": 6, "updates": 8}
    with undrawn():
        return shaping.run(config, out=place, say=lambda line: None)


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
        (["--learning", "naive", "--set", "sweep={seed: [1, 2]}"], "sweep: not in a learning league"),
        (["--learning", "FILE"], "league.learners: needed in a learning league"),
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


def test_learners_of_other_seeds_meet_with_what_they_learned(folder):
    with xarray.open_zarr(str(folder / "league.zarr"), consolidated=False, chunks=None) as found:
        league = found.load()
    crossed, final = league["value_crossed"].values, league["value_final"].values
    # Whoever learned together earns what the run says.
    np.testing.assert_allclose(np.moveaxis(np.diagonal(crossed, axis1=2, axis2=3), -1, 2), final, atol=2e-4)
    record = shaping.load(folder).record
    first, second = league["number"].values[0, 1, [4, 2]]
    tables = [record["policy"].values[first, 0], record["policy"].values[second, 1]]
    expected = shaping.league_values(envs.make("ipd"), np.array(tables, float)).value
    np.testing.assert_allclose(crossed[0, 1, 4, 2], [expected[0, 1, 0], expected[1, 0, 1]], atol=1e-6)
    pair = next(one for one in json.loads((folder / "league.json").read_text())["pairs"] if one["column"] == "naive")
    apart = crossed[0, 1, :, :, 0][~np.eye(6, dtype=bool)]
    assert pair["other_seeds"]["mean"] == pytest.approx(apart.mean()) and pair["other_seeds"]["pairs"] == 30


def test_its_configuration_is_all_that_report_needs(folder, capsys):
    before = (folder / "league.json").read_text()
    (folder / "league.json").unlink()
    with unrendered():
        assert main(["report", str(folder), "--pdf"]) == 0
    for name in ("report/outcomes", "league/trajectories"):
        assert (folder / f"{name}.pdf").read_bytes()[:5] == b"%PDF-" and (folder / f"{name}.png").is_file()
    assert (folder / "league.json").read_text() == before
    assert main(["resume", str(folder)]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_an_episode_of_a_run_that_never_played_is_refused(folder, tmp_path, capsys):
    assert main(["replay", str(folder), "--match", "1", "--episode", str(tmp_path / "one.gif")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "nothing was played" in said.err and not (tmp_path / "one.gif").exists()


def test_a_league_can_be_mixed_of_learners_and_frozen_players(tmp_path, without_pictures):
    learners = {"naive": "naive", "tit for tat": {"strategy": "tft"}}
    config = {"league": {"learners": learners}, "matches": 2, "updates": 2}
    league = shaping.run(config, out=tmp_path / "out", say=lambda line: None)
    with xarray.open_zarr(str(league / "league.zarr"), consolidated=False, chunks=None) as found:
        values = found["value"].values
    np.testing.assert_allclose(values[1, 1], -1, atol=1e-6)
    assert np.abs(values[0, 1, -1, 0] - values[0, 1, 0, 0]) > 1e-3


def test_settings_may_differ_against_some_of_the_others():
    lola = {"rule": "lola", "against": {"naive": {"lookahead_rate": 3.0}}}
    planned = plan({"league": {"learners": {"naive": "naive", "LOLA": lola}}})
    rates = [[player.get("lookahead_rate") for player in block.normal["players"]] for block in planned.blocks]
    assert rates == [[None, None], [None, 3.0], [3.0, None], [1.0, 1.0]]
    assert plan(planned.resolved()).resolved() == planned.resolved()


@pytest.mark.parametrize(
    ("league", "beside", "says"),
    [
        (3, {}, "league: 3 is not allowed; must be a mapping with learners"),
        ({"learners": {}}, {}, "league.learners: {} is not allowed"),
        ({"learners": {"a v b": "naive"}}, {}, "names that can be seen, without ' v '"),
        ({"learners": {"a": 3}}, {}, "league.learners.a: 3 is not allowed"),
        ({"learners": {"a": "naive"}, "against": "tft"}, {}, "league.against: unknown key beside learners"),
        ({"learners": {"a": "naive"}}, {"players": "lola"}, "players: not in a learning league"),
        ({"learners": {"a": "lolo"}}, {}, "players.0"),
        ({"learners": {"a": {"rule": "lola", "against": {"b": {}}}}}, {}, "league.learners.a.against.b: unknown key"),
        ({"learners": {"a": {"rule": "lola", "against": {"a": 3}}}}, {}, "against.a: 3 is not allowed"),
    ],
)
def test_a_wrong_league_is_refused_before_anything_is_computed(league, beside, says):
    with pytest.raises(ConfigError) as refused:
        shaping.run({"league": league, **beside}, out="/nonexistent/out")
    assert says in str(refused.value) and "\n" not in str(refused.value)
