"""Commands on damaged folders. Nothing is trained: the command stops where training would begin."""

import contextlib
import shutil
from pathlib import Path
from random import Random
from unittest import mock

import shaping
from shaping import experiment, replayed_matches
from shaping.runtime.signals import StoppedError
from tests.fuzz.checking import contents, ended, nothing_written
from tests.fuzz.damages import damage
from tests.interrupting import stopped

CONFIG = {
    "game": {"name": "stag_hunt", "horizon": 1},
    "players": {"rule": "naive"},
    "matches": 4,
    "updates": 6,
    "record_every": 2,
    "checkpoint": {"every_updates": 2, "every_s": None},
}


def make_runs(folder):
    """A finished run and one that was stopped, and what a replay of the first finds."""
    finished = shaping.run(CONFIG, folder / "finished")
    half = stopped(CONFIG, folder / "half", 2)
    found = []
    genuine = replayed_matches._again

    def kept(*arguments):
        found.append(genuine(*arguments))
        return found[-1]

    with mock.patch.object(replayed_matches, "_again", kept):
        shaping.replay(finished, 0)
    return {"finished": finished, "half": half}, found[0]


@contextlib.contextmanager
def nothing_computed(replayed):
    """Neither trains nor draws; a replay finds what was found before."""

    def cut_off(*arguments):
        raise StoppedError("training would begin here")

    with (
        mock.patch.object(experiment, "run_group", cut_off),
        mock.patch.object(replayed_matches, "_again", lambda *arguments: replayed),
        mock.patch("shaping.analysis.figures.draw", lambda *arguments: []),
        mock.patch("shaping.runtime.devices.prepare_process", lambda: None),
        mock.patch("shaping.runtime.devices.compile_for_scalars", lambda: None),
    ):
        yield


def commands(folder):
    """Command lines that use the folder of a run."""
    return [
        ["status", str(folder)],
        ["resume", str(folder)],
        ["resume", str(folder), "--quiet"],
        ["resume", str(folder), "--set", "updates=8"],
        ["report", str(folder)],
        ["replay", str(folder), "--match", "0"],
        ["replay", str(folder), "--match", "3", "--last", str(10**30)],
        ["league", str(folder), "--out", str(folder / "league")],
        ["analyze", str(folder), "--out", str(folder / "analysis")],
        ["run", str(folder / "config.yaml"), "--dry-run"],
        ["run", str(folder / "config.yaml"), "--out", str(folder)],
    ]


def check_case(seed, runs, replayed, scratch):
    """Damages a copy of a run and tries a command on it.

    Args:
      seed: of the case.
      runs, replayed: of `make_runs`.
      scratch: a folder that is empty before and after.

    Raises:
      AssertionError: tells what was done, and what went wrong.
    """
    random = Random(seed)
    place = Path(scratch) / "place"
    folder = Path(shutil.copytree(random.choice(list(runs.values())), place / "run"))
    elsewhere = Path(scratch) / "elsewhere"
    elsewhere.mkdir()
    done = damage(folder, random)
    command = random.choice(commands(folder))
    before = contents(folder)
    try:
        with nothing_computed(replayed), nothing_written(elsewhere):
            status, _, said = ended(command)
        assert [path.name for path in place.iterdir()] == ["run"]
        if status == 2:
            assert contents(folder) == before, f"made worse: {said}"
    except AssertionError as failure:
        raise AssertionError(f"case {seed}: {done}; {command[0]} {command[2:]}: {failure}") from failure
    finally:
        shutil.rmtree(place)
        shutil.rmtree(elsewhere)
