"""A match that is rerun alone gives the same result as among the others."""

import numpy as np
import pytest

import shaping
from shaping.cli import main
from shaping.config.errors import ConfigError
from tests.interrupting import stopped
from tests.runs import played, summary

pytestmark = pytest.mark.usefixtures("without_pictures")
# Of closed form, because it compiles fastest.
CONFIG = {
    "game": "tandem",
    "players": [{"rule": "lola", "variant": "original"}, {"rule": "naive"}],
    "matches": 7,
    "updates": 30,
    "record_every": 7,
    "chunk_matches": 8,
    "checkpoint": {"every_updates": 10, "every_s": None},
    "sweep": {"players.*.step_size": [0.1, 1e38]},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return shaping.run(CONFIG, tmp_path_factory.mktemp("run") / "run")


@pytest.mark.parametrize("match", [0, 5])
def test_a_match_is_replayed_bit_for_bit(run, match):
    found = shaping.replay(run, match, last=100)
    record = played(run)
    assert found.difference == 0 and found.recorded == found.diverged_at == -1 and found.broken == ()
    assert found.steps["update"].values.tolist() == list(range(30))
    np.testing.assert_array_equal(found.steps.theta.values[-1], record.theta_final.values[match])
    at = [0, 7, 14, 21, 28]
    np.testing.assert_array_equal(found.steps.value.sel(update=at), record.value.sel(update=at).values[match])
    # A step leads from what was before to what is after.
    theta = np.concatenate([record.theta_initial.values[match][None], found.steps.theta.values])
    lengths = np.linalg.norm(np.diff(theta.astype(np.float64), axis=0), axis=-1)
    np.testing.assert_allclose(found.steps.step.values, lengths, rtol=1e-12)


def test_a_match_that_failed_is_replayed_to_its_failure_and_says_what_broke(run):
    failed = summary(run)["failed"]
    assert failed["matches"] == len(failed["listed"]) > 0
    one = failed["listed"][0]
    found = shaping.replay(run, one["match"], last=3)
    assert found.diverged_at == found.recorded == one["diverged_at"]
    assert found.difference == 0
    assert found.broken and all(name == "value" or name.startswith("player ") for name in found.broken)
    assert np.isfinite(found.steps.theta.values).all()
    assert {name: found.settings[name] for name in one["settings"]} == one["settings"]
    assert one["settings"] == {"players.all.step_size": 1e38}


def test_failed_matches_are_counted_and_listed_with_their_settings(run):
    record = played(run)
    expected = np.flatnonzero(record.diverged_at.values >= 0)
    failed = summary(run)["failed"]
    assert failed["matches"] == len(expected)
    assert [one["match"] for one in failed["listed"]] == expected.tolist()
    for one in failed["listed"]:
        match = one["match"]
        assert one["diverged_at"] == record.diverged_at.values[match]
        assert (one["cell"], one["match_in_cell"]) == divmod(match, 7)
    page = (run / "report" / "index.html").read_text()
    assert "Matches that failed" in page and f"--match {expected[0]}" in page


def test_the_command_prints_settings_steps_and_what_broke(run, capsys, monkeypatch):
    monkeypatch.setattr("shaping.runtime.devices.prepare_process", lambda: None)
    monkeypatch.setattr("shaping.runtime.devices.compile_for_scalars", lambda: None)
    match = summary(run)["failed"]["listed"][0]["match"]
    assert main(["replay", str(run), "--match", str(match), "--last", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"match {match}: cell 1,") and "players.*.step_size 1e+38" in lines[0]
    assert lines[-3].startswith("stopped being finite at update ")
    assert lines[-1] == "as recorded, bit for bit"
    assert main(["replay", str(run), "--match", "0", "--last", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and lines[-2] == "stayed finite to the end"


@pytest.mark.parametrize("match", [-1, 14])
def test_a_match_that_is_not_there_is_refused(run, match):
    with pytest.raises(ConfigError, match=f"--match: .*{match}.* 0 to 13"):
        shaping.replay(run, match)


def test_a_match_of_a_run_that_goes_on_can_be_replayed_and_reported_on(tmp_path):
    folder = stopped(CONFIG, tmp_path / "run", 6)
    assert shaping.replay(folder, 13).recorded is None
    assert shaping.replay(folder, 0).difference == 0
    page = shaping.report(folder)
    first, second = summary(folder)["cells"]
    assert (first["unfinished"], first["finite"]) == (0, 7)
    assert second["unfinished"] == 6 and second["diverged"] <= 1 / 7
    assert "6 matches are not finished yet" in page.read_text()


@pytest.mark.slow
def test_sampled_matches_are_replayed_bit_for_bit(tmp_path):
    raw = {
        "game": "ipd",
        "players": {"rule": "naive"},
        "objective": {"kind": "dice", "batch": 4, "horizon": 6},
        "matches": 3,
        "updates": 7,
        "record_every": 3,
        "checkpoint": {"every_updates": 2, "every_s": None},
    }
    folder = shaping.run(raw, tmp_path / "run")
    found = shaping.replay(folder, 2, last=100)
    assert found.difference == 0
    measured = played(folder).value.sel(update=[0, 3, 6]).values[2]
    np.testing.assert_array_equal(found.steps.value.sel(update=[0, 3, 6]), measured)
    assert np.isnan(found.steps.value.sel(update=[1, 2, 4, 5])).all()
