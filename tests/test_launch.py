"""The recipes in configs/launch/: their commands exist, and starting them again does the right thing.

Programs that a recipe calls (srun, gcloud, shaping itself, ...) are replaced by scripts that log their arguments.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from shaping.cli.options import parser
from shaping.exit_statuses import LOST, STOPPED

FOLDER = Path(__file__).resolve().parents[1] / "configs" / "launch"
RECIPES = ("gke.yaml", "slurm.sbatch", "tpu_pod.sh")
SHELL = ("slurm.sbatch", "tpu_pod.sh")
# `pip wheel --wheel-dir FOLDER .`
LEAVES_A_WHEEL = 'touch "${@: -2:1}/shaping-1-py3-none-any.whl"'


def text_of(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def job_of(jobset):
    (replicated,) = jobset["spec"]["replicatedJobs"]
    return replicated["template"]["spec"]


def container_of(jobset):
    (container,) = job_of(jobset)["template"]["spec"]["containers"]
    return container


def commands(text):
    """The `shaping` commands of a recipe, parsed, with 1 for every variable."""
    lines = [line for line in text.splitlines() if not line.strip().startswith("#")]
    found = [m[0] for line in lines if (m := re.search(r"\bshaping (run|resume|status|replay|report)\b.*", line))]
    plain = [re.sub(r'"?\$\{?\w+\}?"?', "1", command).rstrip("\"'; ") for command in found]
    return [parser().parse_args(shlex.split(command)[1:]) for command in plain]


def test_every_recipe_is_tested_here():
    assert sorted(path.name for path in FOLDER.iterdir()) == list(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_edited_in_two_places_and_short(name):
    lines = text_of(name).splitlines()
    assert sum("EDIT" in line for line in lines) == 2
    assert len(lines) <= 60


@pytest.mark.parametrize("name", RECIPES)
def test_its_commands_are_known_to_the_command_line(name):
    resume, run = commands(text_of(name))
    assert (resume.command, resume.distributed) == ("resume", True)
    assert (run.command, run.distributed) == ("run", True)
    assert run.out == resume.folder == "1"


@pytest.mark.parametrize("name", SHELL)
def test_a_shell_can_read_it(name):
    subprocess.run(["bash", "-n", FOLDER / name], check=True)


def test_the_job_set_retries_what_was_saved_and_lets_it_save():
    jobset = yaml.safe_load(text_of("gke.yaml"))
    job = job_of(jobset)
    codes = [rule["onExitCodes"] for rule in job["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert codes == [{"containerName": container_of(jobset)["name"], "operator": "In", "values": [STOPPED, LOST, 134]}]
    (rule,) = jobset["spec"]["failurePolicy"]["rules"]
    assert rule == {"action": "RestartJobSetAndIgnoreMaxRestarts", "onJobFailureReasons": ["PodFailurePolicy"]}
    assert job["parallelism"] == job["completions"]
    # What a podFailurePolicy needs.
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert job["template"]["spec"]["terminationGracePeriodSeconds"] > 60


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Makes commands that stand in for others, and returns what was called: name and arguments, a line each."""
    binaries, calls = tmp_path / "bin", tmp_path / "calls"
    binaries.mkdir()
    calls.touch()
    monkeypatch.setenv("PATH", f"{binaries}{os.pathsep}{os.environ['PATH']}")

    def make(name, script="true"):
        path = binaries / name
        path.write_text(f'#!/usr/bin/env bash\necho "{name} $*" >>"{calls}"\n{script}\n')
        path.chmod(0o755)

    make.calls = lambda name="": [call for call in calls.read_text().splitlines() if call.startswith(name)]
    return make


def bash(*arguments, **settings):
    done = subprocess.run(
        ["bash", *map(str, arguments)], env=os.environ | settings, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("begun", [False, True])
def test_pods_run_what_is_new_and_resume_what_is_there(stand_in, tmp_path, begun):
    out = tmp_path / "run"
    if begun:
        out.mkdir()
        (out / "config.yaml").touch()
    stand_in("shaping", f"exit {STOPPED}")
    stand_in("python", f'exec {sys.executable} "$@"')
    container = container_of(yaml.safe_load(text_of("gke.yaml")))
    assert container["command"][0] == "bash"
    status, errors = bash(*container["command"][1:], CONFIG="lola_table", OUT=str(out))
    assert status == STOPPED, errors
    expected = f"resume {out}" if begun else f"run lola_table --out {out}"
    assert stand_in.calls("shaping") == [f"shaping {expected} --distributed"]


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("status", [0, 2, STOPPED])
def test_a_slurm_job_is_queued_again_where_it_saved(stand_in, tmp_path, begun, status):
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "activate").touch()
    out = tmp_path / "runs" / "lola_table"
    if begun:
        out.mkdir(parents=True)
        (out / "config.yaml").touch()
    stand_in("shaping", f"exit {status}")
    stand_in("srun", '[[ $1 == --* ]] && shift\n"$@"')
    stand_in("scontrol")
    ended, errors = bash(FOLDER / "slurm.sbatch", HOME=str(tmp_path), SLURM_SUBMIT_DIR=str(tmp_path), SLURM_JOB_ID="7")
    assert ended == status, errors
    expected = f"resume {out}" if begun else f"run lola_table --out {out}"
    assert stand_in.calls()[1:] == [f"shaping {expected} --distributed"] + ["scontrol requeue 7"] * (status == STOPPED)


@pytest.mark.parametrize("state", ["NONE", "ACTIVE", "SUSPENDED"])
def test_a_slice_is_made_where_there_is_none_and_used_where_there_is(stand_in, tmp_path, state):
    # A gcloud that knows one slice.
    (tmp_path / "state").write_text(state)
    stand_in(
        "gcloud",
        f"""case "$4" in
        describe) grep -v NONE "{tmp_path}/state" ;;
        delete) echo NONE >"{tmp_path}/state" ;;
        create) echo ACTIVE >"{tmp_path}/state" ;;
        esac""",
    )
    stand_in("python", LEAVES_A_WHEEL)
    status, errors = bash(FOLDER / "tpu_pod.sh")
    assert status == 0, errors
    calls = "\n".join(stand_in.calls())
    assert (" delete shaping " in calls) == (state == "SUSPENDED")
    assert (" create shaping " in calls) == (state != "ACTIVE")
    (copied,) = [call for call in stand_in.calls() if " scp " in call]
    assert re.search(r"/run\.yaml \S*/shaping-1-py3-none-any\.whl shaping: .*--worker=all", copied)
    assert "venv/bin/shaping run run.yaml --out gs://BUCKET/runs/lola_table --distributed" in calls


@pytest.mark.parametrize("begun", [False, True])
def test_hosts_of_a_slice_run_what_is_new_and_resume_what_is_there(stand_in, tmp_path, begun):
    text = text_of("tpu_pod.sh").replace("OUT=gs://BUCKET/runs/lola_table", f"OUT={tmp_path}/run")
    if begun:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "config.yaml").touch()
    (recipe := tmp_path / "configs" / "launch" / "tpu_pod.sh").parent.mkdir(parents=True)
    recipe.write_text(text)
    (tmp_path / "configs" / "lola_table.yaml").touch()
    # This machine plays the host; the earlier commands sent to it, which install the package, are skipped.
    host = tmp_path / "venv" / "bin"
    host.mkdir(parents=True)
    stand_in("shaping")
    (host / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (host / "python").chmod(0o755)
    (host / "shaping").symlink_to(tmp_path / "bin" / "shaping")
    stand_in("gcloud", 'case "$*" in *describe*) echo ACTIVE ;; *distributed*) bash -c "${8#--command=}" ;; esac')
    stand_in("python", LEAVES_A_WHEEL)
    status, errors = bash(recipe)
    assert status == 0, errors
    expected = f"resume {tmp_path}/run" if begun else f"run run.yaml --out {tmp_path}/run"
    assert stand_in.calls("shaping") == [f"shaping {expected} --distributed"]
