"""Several processes give the same results as one process with as many devices.

Starting a process takes longer than what it does here, so each set of processes carries out several commands.
"""

import json
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from shaping.cli import main
from shaping.runtime.status import read_status
from tests.interrupting import assert_same, command, started

CONFIG = {
    "game": {"name": "stag_hunt", "horizon": 1},
    "players": {"rule": "naive"},
    "matches": 30,
    "updates": 60,
    "record_every": 3,
    "record": ["policies"],
    "chunk_matches": 37,
    "sweep": {"players.*.step_size": [1.0, 1e38]},
    "checkpoint": {"every_updates": 30, "every_s": None},
}
POPULATIONS = {
    "game": {"name": "stag_hunt", "horizon": 1},
    "population": {
        "size": 8,
        "types": {"fast": {"share": 0.5, "rule": "naive"}, "slow": {"rule": "naive", "step_size": 0.3}},
        "selection": {"kind": "fermi", "rate": 0.5},
    },
    "generations": 6,
    "matches": 10,
    "record": ["types"],
    "checkpoint": {"every_updates": 3, "every_s": None},
}
LONG = CONFIG | {
    "precision": "float64",
    "updates": 400_000,
    "record_every": 1000,
    "checkpoint": {"every_updates": 20_000, "every_s": None},
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def together(count, *arguments):
    """The same command in several processes that find each other."""
    where = ["--distributed", "--coordinator", f"localhost:{free_port()}", "--processes", count]
    return [command(*arguments, *where, "--process", process) for process in range(count)]


def ended(processes, seconds=240):
    """Exit statuses and what was said on standard error."""
    try:
        said = [process.communicate(timeout=seconds)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], said


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "short.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    return path


@pytest.fixture(scope="module")
def long_config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "long.yaml"
    path.write_text(yaml.safe_dump(LONG))
    return path


COMMANDS = """
    import json, sys
    import jax
    from shaping.cli import main, run_and_resume
    from shaping.runtime import processes

    def stay(error):
        raise error

    # A process can join others once, and the first error ends it.
    joined, join, leave = [], processes.join, run_and_resume._leave
    processes.join = lambda *where: joined or joined.append(join(*where))
    commands = json.loads(sys.argv[1])
    devices = jax.devices
    for number, arguments in enumerate(commands):
        jax.devices = devices
        if arguments[0] == "uneven":
            arguments = arguments[1:]
            jax.devices = lambda: [*devices(), devices()[-1]]
        run_and_resume._leave = stay if number + 1 < len(commands) else leave
        print("end with", main(arguments), flush=True)
        print("end of a command", file=sys.stderr, flush=True)
"""


def carried_out(commands, devices):
    """One process for each of the lists of commands, all of one distributed run; they carry out their commands one
    after the other. Before a command that starts with the word uneven, the last process counts one device more.

    Returns:
      Per command, the exit statuses of the processes and what they said on standard error.
    """
    where = ["--distributed", "--coordinator", f"localhost:{free_port()}", "--processes", len(commands)]
    processes = []
    for number, own in enumerate(commands):
        arguments = [[str(word) for word in [*words, *where, "--process", number]] for words in own]
        processes.append(started(COMMANDS, json.dumps(arguments), devices=devices))
    try:
        outputs = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    found = []
    for process, (out, error) in zip(processes, outputs, strict=True):
        statuses = [int(line.split()[-1]) for line in out.splitlines() if line.startswith("end with")]
        # The last command may have ended the process.
        statuses += [process.returncode] * (len(commands[0]) - len(statuses))
        found.append(list(zip(statuses, error.split("end of a command\n"), strict=False)))
    return [tuple(zip(*each, strict=True)) for each in zip(*found, strict=True)]


class Told(NamedTuple):
    """What commands of one process and of two did: statuses and standard error."""

    alone: list
    together: list


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def told(config, where):
    """One process with two devices and two with one each, which also try what is refused."""
    populations = where / "populations.yaml"
    populations.write_text(yaml.safe_dump(POPULATIONS))
    (where / "used").mkdir()
    (where / "used" / "file").write_text("")

    def runs(name):
        return [
            ["run", config, "--out", where / name],
            ["run", populations, "--out", where / f"populations of {name}"],
        ]

    def refused(process):
        return [
            ["run", config],
            ["run", config, "--out", where / "used"],
            ["run", config, "--out", where / "run", "--set", f"seed={process}"],
            ["uneven", "run", config, "--out", where / "run"],
        ]

    return Told(carried_out([runs("one")], 2), carried_out([runs("several") + refused(n) for n in range(2)], 1))


def test_one_process_can_be_a_distributed_run(told):
    assert [statuses for statuses, _ in told.alone] == [(0,), (0,)], told.alone


def test_several_processes_leave_what_one_process_leaves(told, where):
    assert told.together[0][0] == (0, 0), told.together[0]
    assert_same(where / "one", where / "several")
    assert read_status(where / "several").processes == 2


def test_populations_of_several_processes_are_those_of_one(told, where):
    assert told.together[1][0] == (0, 0), told.together[1]
    assert_same(where / "populations of one", where / "populations of several")


@pytest.mark.slow
def test_four_processes_leave_what_one_process_leaves(config, tmp_path):
    statuses, said = ended([command("run", config, "--out", tmp_path / "one", devices=8)])
    assert statuses == [0], said
    statuses, said = ended(together(4, "run", config, "--out", tmp_path / "several"))
    assert statuses == [0] * 4, said
    assert_same(tmp_path / "one", tmp_path / "several")
    assert read_status(tmp_path / "several").processes == 4


def after(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end and process.poll() is None, process.communicate()
        time.sleep(0.1)


def saved(folder):
    running = folder / "checkpoint" / "running"
    return running.is_dir() and any(path.name.isdigit() for path in running.iterdir())


@pytest.mark.slow
def test_a_signal_to_one_process_stops_and_saves_all_and_another_number_goes_on(long_config, tmp_path):
    folder = tmp_path / "run"
    processes = together(2, "run", long_config, "--out", folder)
    after(lambda: saved(folder), processes[0])
    processes[1].send_signal(signal.SIGTERM)
    statuses, said = ended(processes)
    assert statuses == [75, 75], said
    assert read_status(folder).state == "stopped"
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    statuses, said = ended(together(4, "resume", folder))
    assert statuses == [0] * 4 and not any("warning" in text for text in said), said
    # Resumed on as many devices as it began with, it is the same bit for bit.
    statuses, said = ended([command("resume", copy, devices=4)])
    assert statuses == [0] and "warning" not in said[0], said
    statuses, said = ended([command("run", long_config, "--out", tmp_path / "whole", devices=4)])
    assert statuses == [0], said
    assert_same(tmp_path / "whole", copy)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_where_one_process_is_killed_the_other_ends_within_two_minutes_and_resume_works(victim, long_config, tmp_path):
    folder = tmp_path / "run"
    processes = together(2, "run", long_config, "--out", folder)
    after(lambda: saved(folder), processes[0])
    processes[victim].kill()
    began = time.monotonic()
    statuses, said = ended(processes, seconds=120)
    assert time.monotonic() - began < 120
    assert statuses[1 - victim] not in (0, 75)
    assert "another" in said[1 - victim] or "Terminating process" in said[1 - victim]
    statuses, said = ended([command("resume", folder, devices=4)])
    assert statuses == [0] and "warning" not in said[0], said
    statuses, said = ended([command("run", long_config, "--out", tmp_path / "whole", devices=4)])
    assert_same(tmp_path / "whole", folder)


def part_of_one_process(checkpoint):
    for path in (checkpoint / "state" / "ocdbt.process_1" / "d").iterdir():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.slow
def test_where_one_process_cannot_read_its_part_all_take_the_checkpoint_before(long_config, tmp_path):
    folder = tmp_path / "run"
    # With few matches, everything would be in the part of a checkpoint that the processes share.
    settings = {"matches": 20_000, "chunk_matches": 40_000, "updates": 4000, "checkpoint.every_updates": 500}
    flags = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    processes = together(2, "run", long_config, "--out", folder, *flags)
    after(lambda: saved(folder), processes[0])
    processes[0].send_signal(signal.SIGTERM)
    statuses, said = ended(processes)
    assert statuses == [75, 75], said
    running = [path for path in (folder / "checkpoint" / "running").iterdir() if path.name.isdigit()]
    damaged = max(running, key=lambda path: int(path.name))
    part_of_one_process(damaged)
    statuses, said = ended(together(2, "resume", folder))
    assert statuses == [0, 0], said
    assert f"{damaged} is damaged" in said[0] and said[0].count("warning") == 1


def test_processes_that_are_about_to_do_different_things_are_refused(told, where):
    statuses, said = told.together[4]
    assert statuses == (2, 2)
    assert all("process 1 has another command, configuration, folder or versions" in text for text in said)
    assert not (where / "run").exists()


def test_what_several_processes_need_is_said_in_one_line(told, config, capsys):
    assert main(["run", str(config), "--processes", "2"]) == 2
    assert "--coordinator, --processes, --process: only with --distributed" in capsys.readouterr().err
    statuses, said = told.together[2]
    assert statuses == (2, 2)
    assert all("--out: needed in a distributed run" in text for text in said)
    statuses, said = told.together[3]
    assert statuses == (2, 2)
    assert "exists and is not an empty folder" in said[0] and "the main process ended with an error" in said[1]


UNEVEN = "process 1 has 2 devices and process 0 has 1; all must have the same number"


def test_processes_count_each_others_devices_before_anything_is_computed(told, where):
    statuses, said = told.together[5]
    assert statuses == (2, 2), said
    assert all(UNEVEN in text for text in said) and not (where / "run").exists()


@pytest.mark.slow
def test_processes_with_different_numbers_of_devices_are_refused_before_anything_is_computed(config, tmp_path):
    where = ["--distributed", "--coordinator", f"localhost:{free_port()}", "--processes", 2]
    processes = [
        command("run", config, "--out", tmp_path / "run", *where, "--process", process, devices=1 + process)
        for process in range(2)
    ]
    statuses, said = ended(processes)
    assert statuses == [2, 2], said
    assert all(UNEVEN in text for text in said)
    assert not any("Traceback" in text for text in said) and not (tmp_path / "run").exists()
