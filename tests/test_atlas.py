"""`shaping atlas`: who is on the map, what its folder holds, and refusals in one line."""

import io
import json

import numpy as np
import pytest
import xarray
from PIL import Image

import shaping
from shaping import representations
from shaping.analysis.atlas.clusters import clustered
from shaping.analysis.atlas.extortion import extortion
from shaping.analysis.atlas.film import film
from shaping.atlases.players import of_sources
from shaping.cli import main
from shaping.config.errors import ConfigError
from shaping.policies.zero_determinant import extortionate

pytest.importorskip("sklearn")
pytestmark = pytest.mark.usefixtures("without_pictures")
SMALL = {"episodes": 4, "rounds": 10, "updates": 2, "method": "pca", "clusters": 3}
RUN = {"game": "ipd", "players": {"rule": "naive"}, "matches": 2, "updates": 4, "record": ["policies"]}
PAYOFFS = (-1.0, -3.0, 0.0, -2.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return shaping.run(RUN, out=tmp_path_factory.mktemp("run") / "naive", show_progress=False)


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    return shaping.atlas([run], tables=10, snapshots=3, out=tmp_path_factory.mktemp("atlas") / "atlas", **SMALL)


def opened(folder):
    with xarray.open_zarr(str(folder / "atlas.zarr"), consolidated=False, chunks=None) as atlas:
        return atlas.load()


def test_learners_are_on_the_map_as_they_were_at_the_recorded_updates(folder):
    atlas = opened(folder)
    names, when = [str(name) for name in atlas["name"].values], atlas["when"].values
    of_run = [i for i, name in enumerate(names) if name.startswith("naive/")]
    assert sorted(when[of_run].tolist()) == [0] * 4 + [2] * 4 + [4] * 4
    one = [i for i in of_run if names[i].split("@")[0] == "naive/1/0"]
    assert len(set(atlas["track"].values[one].tolist())) == 1 and len(set(atlas["track"].values[of_run].tolist())) == 4
    first, last = (next(i for i in one if when[i] == time) for time in (0, 4))
    embedding = atlas["embedding"].values
    moved = np.linalg.norm(embedding[last] - embedding[first])
    np.testing.assert_allclose(atlas["drift"].values[[first, last]], [0, moved], rtol=1e-5)
    assert np.isnan(atlas["drift"].values[names.index("alld")])


def test_earlier_policies_are_those_that_the_run_recorded(run):
    found, _ = of_sources([str(run)], (), None, 3)
    record = shaping.load(run).record["policy_trajectory"]
    for one in found:
        recorded = record.sel(update=one.when).isel(match=one.player.match, player=one.player.seat)
        np.testing.assert_allclose(one.player.behaviour, recorded.values, atol=1e-6)
    assert len(found) == 12


def test_a_named_strategy_is_nearest_to_itself_and_its_table_is_what_it_plays(folder):
    atlas = opened(folder)
    at = [str(name) for name in atlas["name"].values].index("alld")
    assert str(atlas["nearest"].values[at, 0]) == "alld" and atlas["nearest_distance"].values[at, 0] < 1e-3
    # It never sees CC and CD, as it never cooperates: one half there. Of the rest it has seen some.
    table = atlas["table"].values[at]
    np.testing.assert_allclose(table[[1, 2]], 0.5)
    assert np.all(table[[0, 3, 4]] < 0.2) and atlas["cooperation"].values[at] == 0


def test_the_encoder_of_a_folder_gives_its_embeddings_again(folder, tmp_path):
    encoder = representations.load(folder / "encoder.msgpack")
    representations.save(encoder, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (folder / "encoder.msgpack").read_bytes()
    with pytest.raises(ValueError, match="is no encoder"):
        representations.load(folder / "summary.json")


def test_the_report_of_an_atlas_can_be_written_again(folder):
    before = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").unlink()
    assert shaping.report(folder) == folder / "report" / "index.html"
    after = json.loads((folder / "summary.json").read_text())
    assert after == before and sum(one["policies"] for one in after["clusters"]) == after["policies"]
    assert [one["when"] for one in after["drift"]] == [0, 2, 4]


@pytest.mark.slow
def test_policies_of_populations_are_followed_along_generations(tmp_path):
    types = {"naive": {"share": 0.5, "rule": "naive"}, "tft": {"share": "rest", "strategy": "tft"}}
    config = {"game": "ipd", "population": {"size": 4, "types": types}, "generations": 2, "matches": 1}
    config |= {"record": ["policies"]}
    run = shaping.run(config, out=tmp_path / "run", show_progress=False)
    found, [(_, game)] = of_sources([str(run)], (), None, 3)
    assert sorted(one.when for one in found) == [0] * 4 + [1] * 4 + [2] * 4
    assert {one.player.rule for one in found if one.track < 2} == {"naive"} and game["payoffs"].shape == (2, 4)
    tft = next(one.player for one in found if one.player.rule == "tft")
    np.testing.assert_allclose(tft.behaviour, [1, 1, 0, 1, 0])


def test_clusters_are_named_after_the_strategies_that_they_are_near():
    spots = np.array([[0.0, 0], [10, 0], [0, 10]])
    points = np.concatenate([spots, *[spot + 0.01 * np.arange(8)[:, None] for spot in spots], spots[:1] + [[3.0, 3]]])
    found = clustered(points, [0, 1, 2], ["alld", "tft", "wsls"], 4, spread=0.5)
    assert sorted(found.names) == ["ALLD", "ALLD-like", "TFT", "WSLS"] and sorted(found.sizes) == [1, 9, 9, 9]
    assert found.names[found.number[-1]] == "ALLD-like" and found.names[found.number[1]] == "TFT"


def test_extortioners_are_found_with_their_factor_and_others_are_far():
    tables = np.array([extortionate(3.0), extortionate(1.5), [1, 1, 0, 1, 0], [1, 1, 1, 1, 1], [np.nan] * 5], float)
    distance, factor = extortion(tables, PAYOFFS)
    assert np.all(distance[:2] < 0.02) and np.all(distance[2:4] > 0.08) and np.isnan(distance[4])
    np.testing.assert_allclose(factor[:2], [3, 1.5], rtol=0.1)
    assert np.isnan(extortion(tables, (1.0, 2.0, 3.0, 4.0))[0]).all()


def test_a_film_has_a_frame_for_each_time_and_they_differ():
    places, when, track = np.random.default_rng(0).normal(size=(9, 2)), np.repeat([0, 5, 9], 3), np.tile(range(3), 3)
    shot = film("drift", "Drift", places, when, track, ["#0072B2"] * 9, [(0, 0, "TFT")], [("#0072B2", "TFT")], "update")
    with Image.open(io.BytesIO(shot.png)) as found:
        assert found.n_frames == 3
        frames = []
        for number in range(3):
            found.seek(number)
            frames.append(np.asarray(found.convert("RGB"), int))
    assert np.abs(frames[0] - frames[2]).sum() > 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--against", "nobody"], "--against"),
        (["--against", ""], "--against"),
        (["--strategies", "nobody"], "--strategies"),
        (["--strategies", "none"], "no players"),
        (["--strategies", "tft"], "three or more"),
        (["--map", "globe"], "--map"),
        (["--objective", "fame"], "--objective"),
        (["--episodes", "5"], "--episodes"),
        (["--clusters", "0"], "--clusters"),
        (["--tables", "-1"], "--tables"),
        (["--game", "cournot", "--tables", "2"], "--tables"),
        (["nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_refused_in_one_line(arguments, told, tmp_path, capsys):
    assert main(["atlas", *arguments, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.strip()
    assert told in said and "\n" not in said and not (tmp_path / "out").exists()


def test_a_game_of_one_round_is_refused():
    with pytest.raises(ConfigError, match="one round"):
        shaping.atlas(game={"name": "ipd", "horizon": 1})
