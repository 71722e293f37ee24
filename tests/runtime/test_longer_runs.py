"""A finished run that is extended equals a run of that length from the start."""

import shutil
from pathlib import Path

import pytest

import shaping
from shaping.config.errors import ConfigError
from shaping.runtime import longer_runs
from shaping.runtime.signals import StoppedError
from shaping.runtime.status import read_status
from tests.interrupting import CONFIG, StopAfter, assert_same

SAMPLED = {
    "game": "ipd",
    "players": {"rule": "lola", "variant": "exact", "opponent_model": True, "step_size": 0.3},
    "optimizer": "adam",
    "objective": {"kind": "dice", "batch": 4, "horizon": 6, "baseline": "critic"},
    "matches": 3,
}


pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return shaping.run(CONFIG | {"updates": 43}, tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return shaping.run(CONFIG | {"updates": 20}, tmp_path_factory.mktemp("short") / "run")


@pytest.fixture
def between(tmp_path):
    """A run that ends between two records."""
    return shaping.run(CONFIG | {"updates": 5}, tmp_path / "between")


@pytest.fixture
def short(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "short"))


def test_a_run_that_is_extended_is_the_same_bit_for_bit(whole, short):
    said = []
    shaping.resume(short, said.append, overrides=["updates=43"])
    assert not [line for line in said if line.startswith("warning")]
    assert_same(whole, short)
    assert sorted(path.name for path in (short / "checkpoint").iterdir()) == ["group-0"]
    assert not (short / "extension.json").exists() and read_status(short).state == "finished"
    said = []
    shaping.resume(short, said.append, overrides=["updates=43"])
    assert said == [f"{short}: nothing to do, this run is finished"]


@pytest.mark.slow
@pytest.mark.parametrize("record_every", [1, 20])
def test_a_sampled_run_too(tmp_path, record_every):
    raw = SAMPLED | {"record_every": record_every}
    whole = shaping.run(raw | {"updates": 43}, tmp_path / "whole")
    folder = shaping.run(raw | {"updates": 20}, tmp_path / "run")
    assert_same(whole, shaping.resume(folder, overrides=["updates=43"]))


def test_what_is_done_is_not_done_again(short, monkeypatch):
    from shaping.runtime import loop

    trained = []
    monkeypatch.setattr(loop.Timing, "match_updates", property(lambda self: 1, lambda self, n: trained.append(n)))
    shaping.resume(short, overrides=["updates=22"])
    # Each of 12 matches has 2 updates left, in a segment of 4 of which 2 are masked.
    assert sum(number - 1 for number in trained[1:] if number > 1) == 12 * 2


def test_an_extension_that_is_stopped_and_resumed_is_the_same(whole, short):
    with pytest.raises(StoppedError):
        shaping.resume(short, overrides=["updates=43"], stop_request=StopAfter(2))
    with pytest.raises(ConfigError, match="only a finished run can be extended"):
        shaping.resume(short, overrides=["updates=44"])
    with pytest.raises(StoppedError):
        shaping.resume(short, stop_request=StopAfter(5))
    assert_same(whole, shaping.resume(short))


@pytest.mark.parametrize("step", ["_grow", pytest.param("remove", marks=pytest.mark.slow)])
def test_an_extension_that_is_killed_as_it_begins_goes_on(whole, between, monkeypatch, step):
    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(longer_runs, step, killed)
    with pytest.raises(KeyboardInterrupt):
        shaping.resume(between, overrides=["updates=43"])
    monkeypatch.undo()
    assert_same(whole, shaping.resume(between))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("updates=19", "updates: 19 is not allowed; must be at least 20"),
        ("updates=x", "updates: 'x' is not allowed; must be a whole number"),
        ("matches=30", "--set matches=30: only updates can be set for a run that has begun"),
        ("updates=10000000000", "updates"),
    ],
)
def test_what_cannot_be_extended_is_refused_and_nothing_changed(short, override, message):
    before = {path: path.read_bytes() for path in short.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=message):
        shaping.resume(short, overrides=[override])
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_curves_of_a_run_that_is_extended_after_it_was_killed_as_that_began_are_those_of_a_whole_one(
    tmp_path, monkeypatch
):
    raw = CONFIG | {"log": ["csv"]}
    whole = shaping.run(raw | {"updates": 43}, tmp_path / "whole")
    folder = shaping.run(raw | {"updates": 5}, tmp_path / "run")
    test_an_extension_that_is_killed_as_it_begins_goes_on(whole, folder, monkeypatch, "remove")
    ours, theirs = (sorted((place / "log.csv").read_text().splitlines()) for place in (folder, whole))
    assert ours == theirs


@pytest.mark.slow
def test_a_sampled_run_that_ends_between_two_records_too(tmp_path):
    raw = SAMPLED | {"record_every": 3, "checkpoint": {"every_updates": 2, "every_s": None}}
    whole = shaping.run(raw | {"updates": 11}, tmp_path / "whole")
    folder = shaping.run(raw | {"updates": 4}, tmp_path / "run")
    shaping.resume(folder, overrides=["updates=8"])
    assert_same(whole, shaping.resume(folder, overrides=["updates=11"]))


@pytest.mark.slow
def test_only_a_finished_run_is_extended(tmp_path):
    with pytest.raises(StoppedError):
        shaping.run(CONFIG | {"updates": 24}, tmp_path / "run", stop_request=StopAfter(2))
    with pytest.raises(ConfigError, match="only a finished run can be extended"):
        shaping.resume(tmp_path / "run", overrides=["updates=44"])
