"""Runs in separate processes: killed, asked to stop, moved to other devices."""

import os
import signal
import time

import numpy as np
import pytest
import yaml

import shaping
from shaping.runtime.signals import StoppedError, StopRequest
from shaping.runtime.status import read_status
from tests.interrupting import CONFIG, StopAfter, assert_same, command, newest, python, started
from tests.runs import played, summary

pytestmark = pytest.mark.usefixtures("without_pictures")
LONG = CONFIG | {
    "matches": 12,
    "updates": 30_000,
    "record_every": 100,
    "chunk_matches": 24,
    "checkpoint": {"every_updates": 2000},
}


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    raise AssertionError("it did not happen")


def commands(*lines):
    """A process that carries out commands one after the other: it takes longer to start than to train."""
    lines = [[str(word) for word in words] for words in lines]
    return started(f"from shaping.cli import main\nprint('ended with', [main(words) for words in {lines!r}])")


@pytest.fixture(scope="module")
def long_config(tmp_path_factory):
    path = tmp_path_factory.mktemp("long") / "long.yaml"
    path.write_text(yaml.safe_dump(LONG))
    return path


def has_checkpoint(folder):
    running = folder / "checkpoint" / "running"
    return lambda: running.is_dir() and any(p.name.isdigit() for p in running.iterdir())


def test_killed_it_goes_on_and_asked_to_stop_it_saves(long_config, tmp_path):
    folder = tmp_path / "run"
    process = command("run", long_config, "--out", folder)
    wait_for(has_checkpoint(folder), process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    status = read_status(folder)
    assert status.state == "killed"

    before = newest(folder).name
    process = commands(
        ["resume", folder],
        ["status", folder],
        # The command compiles both runs, the continued one and the one in a single go, so that their bits are the same.
        ["resume", folder],
        ["run", long_config, "--out", tmp_path / "whole"],
    )
    wait_for(lambda: newest(folder).name != before, process)
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=120)
    assert "ended with [75, 0, 0, 0]" in out, (out, error)
    assert "SIGTERM: saving at the end of this segment" in error
    assert f"`shaping resume {folder}` continues it" in error and "Traceback" not in error + out
    assert f"{folder}: stopped" in out and "continues it" in out and "warning" not in error + out
    assert_same(tmp_path / "whole", folder)


def test_a_second_signal_ends_it_at_once(long_config, tmp_path):
    folder = tmp_path / "run"
    process = command("run", long_config, "--out", folder, "--set", "checkpoint.every_updates=30000")
    wait_for(lambda: (folder / "status.json").exists(), process)
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGUSR1)
    _, error = process.communicate(timeout=60)
    # Of two signals that wait together, the system chooses the order.
    assert process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGUSR1) and "ended at once" in error


def carry_on(runs, place, places):
    """Begins runs of (configuration, folder), continues them, or finishes them in the last place."""
    for config, folder in runs:
        stops, said = StopRequest() if place + 1 == places else StopAfter(1), []
        try:
            if place == 0:
                shaping.run(config, folder, say=said.append, stop_request=stops)
            else:
                shaping.resume(folder, said.append, stop_request=stops)
            stopped = False
        except StoppedError:
            stopped = True
        assert stopped == (place + 1 < places), folder
        assert not [line for line in said if line.startswith("warning")], said


ELSEWHERE = """
    from tests.test_killed import carry_on
    carry_on({runs!r}, {place}, {places})
"""


def on_changing_devices(devices, *runs):
    """Runs of (configuration, folder), each begun, continued and finished on these numbers of devices; on two, which
    tests have, in this process."""
    runs = [(config, str(folder)) for config, folder in runs]
    for place, count in enumerate(devices):
        if count == 2:
            carry_on(runs, place, len(devices))
        else:
            python(ELSEWHERE.format(runs=runs, place=place, places=len(devices)), count)


@pytest.mark.parametrize(
    ("devices", "tolerances"),
    [
        ((2, 4), {"float64": 1e-9}),
        pytest.param((1, 4, 2), {"float64": 1e-9, "float32": 5e-5}, marks=pytest.mark.slow),
    ],
    ids=["float64", "both precisions"],
)
def test_one_run_on_changing_devices_is_the_run_on_two(tmp_path, devices, tolerances):
    config = CONFIG | {"chunk_matches": 24, "sweep": {}, "matches": 13, "updates": 20}
    on_changing_devices(
        devices, *((config | {"precision": precision}, tmp_path / precision) for precision in tolerances)
    )
    for precision, tolerance in tolerances.items():
        whole = played(shaping.run(config | {"precision": precision}, tmp_path / f"whole {precision}"))
        ours = played(tmp_path / precision)
        np.testing.assert_array_equal(ours.theta_initial, whole.theta_initial, precision)
        np.testing.assert_allclose(ours.value, whole.value, rtol=0, atol=tolerance, err_msg=precision)
        np.testing.assert_array_equal(ours.diverged_at, whole.diverged_at, precision)
        assert summary(tmp_path / precision)["cells"][0]["matches"] == 13, precision


@pytest.mark.slow
def test_statistics_at_the_end_do_not_depend_on_devices_but_for_sampling(tmp_path):
    config = {
        "game": "ipd",
        "players": {"rule": "lola", "variant": "exact"},
        "matches": 400,
        "updates": 200,
        "record_every": 50,
        "checkpoint": {"every_updates": 50, "every_s": None},
    }
    whole = shaping.run(config, tmp_path / "whole")
    on_changing_devices((1, 4, 2), (config, tmp_path / "run"))
    (ours,), (theirs,) = (summary(place)["cells"] for place in (tmp_path / "run", whole))
    # The same matches: their mean wanders by less than the error of a mean over other ones.
    error = np.array(theirs["value_sd"]) / 20
    assert np.all(np.abs(np.array(ours["value_mean"]) - theirs["value_mean"]) < error)
    assert theirs["cooperative_ci95"][0] < ours["cooperative"] < theirs["cooperative_ci95"][1]
    assert ours["diverged"] == theirs["diverged"] == 0
