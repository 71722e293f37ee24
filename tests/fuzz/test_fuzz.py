"""A few dozen cases of the fuzzer; `python -m tests.fuzz` tries thousands."""

import shutil
from pathlib import Path

import pytest

import shaping
from tests.fuzz import command_lines, configurations, folders, library


def parts(end, size):
    """The first seed of each part; all but the first part are slow."""
    return [pytest.param(first, marks=[pytest.mark.slow] * (first > 0)) for first in range(0, end, size)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return folders.make_runs(tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("first", parts(48, 24))
def test_a_damaged_folder_is_refused_in_one_line_and_made_no_worse(made, tmp_path, first):
    for seed in range(first, first + 24):
        folders.check_case(seed, *made, tmp_path)


@pytest.mark.parametrize("first", parts(48, 24))
def test_a_command_line_of_any_words_ends_without_a_traceback_and_writes_nothing(tmp_path, first):
    for seed in range(first, first + 24):
        command_lines.check_case(seed, tmp_path)


@pytest.mark.parametrize("first", parts(120, 60))
def test_a_configuration_is_planned_or_refused_in_one_line_and_what_is_written_of_it_is_the_same(first):
    for seed in range(first, first + 60):
        configurations.check_case(seed)


def test_a_wrong_argument_is_refused_in_one_line():
    for seed in range(150):
        library.check_case(seed)


def test_a_healthy_folder_passes_every_command(made, tmp_path):
    runs, replayed = made
    with folders.nothing_computed(replayed):
        for command in folders.commands(runs["finished"])[:3] + folders.commands(runs["finished"])[4:10]:
            status, _, said = folders.ended(command)
            assert status == 0, (command, said)


@pytest.mark.parametrize("name", ["value", "theta_final", "policy", "diverged_at"])
def test_what_is_absent_is_not_called_diverged_by_any_reader(made, tmp_path, name):
    runs, replayed = made
    folder = Path(shutil.copytree(runs["finished"], tmp_path / "run"))
    shutil.rmtree(folder / "record.zarr" / name / "c")
    said = f"{folder}/record.zarr/{name}/c/0"
    with folders.nothing_computed(replayed):
        for command in (["report", folder], ["league", folder], ["replay", folder, "--match", "0"]):
            status, _, line = folders.ended([str(word) for word in command])
            assert status == 2 and line.startswith(f"shaping: {said}") and "is missing" in line, (command, line)
    with pytest.raises(ValueError, match="this piece of the record is missing"):
        shaping.load(folder)


def test_the_fuzzer_notices_a_traceback(made, tmp_path, monkeypatch):
    def broken(folder, *arguments):
        raise KeyError("value")

    monkeypatch.setattr("shaping.results.report", broken)
    monkeypatch.setattr(folders, "commands", lambda folder: [["report", str(folder)]])
    with pytest.raises(AssertionError, match="KeyError"):
        folders.check_case(0, *made, tmp_path)
