"""Interrupts runs on purpose, and compares the folders of two runs bit for bit."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import xarray

import shaping
from shaping.runtime.checkpoints import read_metadata
from shaping.runtime.signals import StoppedError, StopRequest
from tests.runs import summary

ROOT = Path(__file__).parents[1]
# One-shot, because it compiles fastest.
CONFIG = {
    "game": {"name": "stag_hunt", "horizon": 1},
    "players": {"rule": "lola", "variant": "original"},
    "optimizer": "adam",
    "matches": 6,
    "updates": 15,
    "record_every": 2,
    "record": ["policies"],
    "chunk_matches": 7,
    "checkpoint": {"every_updates": 4, "every_s": None},
    "sweep": {"players.*.lookahead_rate": [1e38, 1.0]},
}


QUICKLY = """
import gc, sys, types
import jax
from tests.compiling import reuse_contexts
sys.modules["shaping.analysis.report"] = types.SimpleNamespace(write_report=lambda folder, pdfs: folder / "report")
gc.set_threshold(200_000, 50, 100)
jax.config.update("jax_traceback_in_locations_limit", 0)
reuse_contexts()
"""
"""The first lines of programs that tests start. They write no reports, whose libraries and figures take as long as a
short run; for the rest see conftest.py."""


class StopAfter(StopRequest):
    """Requests a stop once `received` has been read the given number of times."""

    def __init__(self, times):
        self.times = times

    @property
    def received(self):
        self.times -= 1
        return signal.SIGTERM if self.times <= 0 else None


def stopped(config, folder, *times):
    """A run in `folder`, stopped after the first number of segments, resumed and stopped after the second, ..."""
    for place, count in enumerate(times):
        try:
            if place == 0:
                shaping.run(config, folder, stop_request=StopAfter(count))
            else:
                shaping.resume(folder, stop_request=StopAfter(count))
        except StoppedError:
            continue
        raise AssertionError("it was not stopped")
    return folder


def finals(folder):
    """What was saved along with every chunk's final state, by its place."""
    return {p.relative_to(folder): read_metadata(p) for p in sorted((folder / "checkpoint").glob("group-*/matches-*"))}


def assert_same(one, other):
    """Records, final states and summaries of two runs are the same bits."""
    with (
        xarray.open_zarr(one / "record.zarr") as a,
        xarray.open_zarr(other / "record.zarr") as b,
    ):
        assert set(a.variables) == set(b.variables)
        for name in a.variables:
            x, y = a[name].values, b[name].values
            assert x.dtype == y.dtype and x.shape == y.shape, name
            assert np.array_equal(x, y) if x.dtype.kind in "OT" else x.tobytes() == y.tobytes(), name
    kept = [{place: told["digests"] for place, told in finals(folder).items()} for folder in (one, other)]
    assert kept[0] == kept[1] and kept[0]
    assert all(summary(one)[key] == summary(other)[key] for key in {*summary(one), *summary(other)} - {"timing"})


def started(program, *arguments, devices=2, **environment):
    """Starts a process that runs a program, with the compilation cache of the tests; it writes no reports of runs."""
    return subprocess.Popen(
        [sys.executable, "-c", QUICKLY + textwrap.dedent(program), *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def command(*arguments, devices=2, **environment):
    """A process of the command."""
    program = "from shaping.cli import main\nsys.exit(main())"
    return started(program, *arguments, devices=devices, **environment)


def python(code, devices, **environment):
    """Runs a program in a process of its own; its output."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", QUICKLY + textwrap.dedent(code)],
        cwd=ROOT,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)} | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def newest(folder):
    """The newest whole checkpoint in the folder of a run."""
    whole = [p for p in (folder / "checkpoint" / "running").iterdir() if p.name.isdigit()]
    return max(whole, key=lambda p: int(p.name))
