"""Optional parts of a record: policies at every recorded update, and consistency losses."""

import json

import numpy as np
import pytest
import xarray

import shaping
from shaping.population.compiled_programs import Timetable
from shaping.runtime import chunks


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


pytestmark = pytest.mark.usefixtures("without_pictures")
# One-shot, because it compiles fastest.
CONFIG = {
    "game": {"name": "stag_hunt", "horizon": 1},
    "players": {"rule": "naive", "step_size": 0.5},
    "precision": "float64",
    "matches": 3,
    "updates": 10,
    "record": ["policies"],
    "seed": 2,
}


def played(folder, **changes):
    with xarray.open_zarr(shaping.run(CONFIG | changes, folder) / "record.zarr") as record:
        return record.load()


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    return played(tmp_path_factory.mktemp("every") / "run")


def test_the_policies_of_the_first_and_the_last_update_are_the_initial_and_the_final_ones(every):
    assert every.policy_trajectory.dims == ("match", "update", "player", "state")
    assert every.policy_trajectory.shape == (3, 11, 2, 1)
    np.testing.assert_allclose(every.policy_trajectory[:, 0], sigmoid(every.theta_initial), rtol=1e-12)
    np.testing.assert_array_equal(every.policy_trajectory[:, -1], every.policy)
    np.testing.assert_allclose(every.policy, sigmoid(every.theta_final), rtol=1e-12)
    assert "consistency_loss" not in every, "nobody asked for it"


def test_policies_in_between_are_those_a_shorter_run_ends_with(every, tmp_path):
    shorter = played(tmp_path / "run", updates=4)
    np.testing.assert_allclose(every.policy_trajectory.sel(update=4), shorter.policy, rtol=1e-12)


@pytest.mark.parametrize(
    ("record_every", "updates"), [(4, [0, 4, 8, 10]), pytest.param(99, [0, 10], marks=pytest.mark.slow)]
)
def test_policies_recorded_now_and_then_are_some_of_those_recorded_always(every, tmp_path, record_every, updates):
    seldom = played(tmp_path / "run", record_every=record_every)
    assert seldom["update"].values.tolist() == updates
    np.testing.assert_allclose(seldom.policy_trajectory, every.policy_trajectory.sel(update=updates), rtol=1e-12)
    np.testing.assert_allclose(seldom.value, every.value.sel(update=updates), rtol=1e-12)


def test_several_segments_and_chunks_record_the_same_policies(every, tmp_path, monkeypatch):
    tables = []

    def kept(*arguments):
        tables.append(Timetable(*arguments))
        return tables[-1]

    monkeypatch.setattr(chunks, "_SEGMENT_WORK", 12)
    monkeypatch.setattr(chunks, "Timetable", kept)
    cut = played(tmp_path / "run", memory_gib=1e-5, record_every=3)
    assert all(table.segments > 1 for table in tables)
    np.testing.assert_allclose(cut.policy_trajectory, every.policy_trajectory.sel(update=[0, 3, 6, 9, 10]), rtol=1e-12)


def test_without_updates_there_is_one_policy(tmp_path):
    record = played(tmp_path / "run", updates=0)
    assert record.policy_trajectory.shape == (3, 1, 2, 1)
    np.testing.assert_allclose(record.policy_trajectory[:, 0], sigmoid(record.theta_initial), rtol=1e-12)


def test_of_a_match_that_diverges_the_last_finite_policies_are_recorded_on(tmp_path):
    players = {"rule": "lola", "lookahead_rate": 1e38, "step_size": 1e6}
    record = played(tmp_path / "run", players=players, precision="float32")
    lost = np.flatnonzero(record.diverged_at >= 0)
    assert lost.size
    for match in lost:
        policies = record.policy_trajectory.values[match, int(record.diverged_at[match]) - 1 :]
        np.testing.assert_array_equal(policies, np.broadcast_to(record.policy.values[match], policies.shape))


def test_games_of_two_sizes_pad_the_policies_of_the_smaller(tmp_path):
    games = {"two": {"name": "ipd", "horizon": 2}, "three": {"name": "contribution", "num_players": 3, "horizon": 1}}
    variants = {name: {"game": game} for name, game in games.items()}
    raw = {key: value for key, value in CONFIG.items() if key != "game"} | {"variants": variants, "updates": 2}
    with xarray.open_zarr(shaping.run(raw, tmp_path / "run") / "record.zarr") as opened:
        record = opened.load()
    assert (
        np.isfinite(record.policy_trajectory).sum(("player", "state")).values.tolist() == [[10] * 3] * 3 + [[3] * 3] * 3
    )


@pytest.mark.slow
def test_records_without_extras_have_neither(tmp_path):
    record = played(tmp_path / "run", record=[], updates=1)
    assert not {"policy_trajectory", "consistency_loss"} & set(record.data_vars)


def test_the_consistency_loss_of_final_directions_is_in_record_and_summary(tmp_path):
    """LOLA exact on tandem at lookahead rate 1: 128 everywhere (Willi et al. 2022, COLA, Table 1a)."""
    config = {
        "game": "tandem",
        "players": {"rule": "lola", "variant": "exact", "step_size": 0.0},
        "record": ["consistency"],
        "published": [{"metric": "consistency_loss", "value": 128.0, "tolerance": 1e-6}],
    }
    folder = tmp_path / "run"
    record = played(folder, **config)
    assert record.consistency_loss.dims == ("match",) and "policy_trajectory" not in record
    np.testing.assert_allclose(record.consistency_loss, 128, rtol=1e-10)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["cells"][0]["consistency_loss"] == pytest.approx(128)
    assert summary["published"][0]["verdict"] == "agrees"
