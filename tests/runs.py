"""What a run left behind, read back, and its values written down independently."""

import io
import json
from contextlib import contextmanager
from itertools import product

import numpy as np
import pytest
import xarray
from PIL import Image

from shaping.analysis.charts import Chart

VARIABLES = {
    "value": ("match", "update", "player"),
    "value_trajectory_mean": ("match", "player"),
    "policy": ("match", "player", "state"),
    "theta_initial": ("match", "player", "state"),
    "theta_final": ("match", "player", "state"),
    "diverged_at": ("match",),
    "payoffs": ("match", "player", "joint_action"),
    "discount": ("match",),
    "noise": ("match", "player"),
    "value_cooperation": ("match", "player"),
    "value_defection": ("match", "player"),
}


def blank_png():
    """A picture of one pixel."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "png")
    return file.getvalue()


@contextmanager
def unrendered():
    """Figures are drawn, and become pictures of one pixel: to render them takes longest."""
    blank = blank_png()
    with pytest.MonkeyPatch.context() as patch:
        for module in ("style", "trial_figures", "exploit_report"):
            patch.setattr(f"shaping.analysis.{module}.png", lambda figure: blank)
        yield


@contextmanager
def undrawn():
    """Reports of runs are pages without figures and charts, which take as long to draw as small runs to train; figures
    of other reports are not rendered."""
    with pytest.MonkeyPatch.context() as patch, unrendered():
        for module in ("figures", "populations.figures"):
            patch.setattr(f"shaping.analysis.{module}.draw", lambda *arguments: [])
        patch.setattr("shaping.analysis.match_list.scatter", lambda *told: Chart(*told[:3], div="", script=""))
        yield


@contextmanager
def unmet():
    """At the end of a run of a sampled game nobody meets scripted opponents, whose play takes long to compile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shaping.config.build.scripted_players", lambda env: {})
        yield


def played(folder):
    """The record of a run, in memory."""
    with xarray.open_zarr(folder / "record.zarr") as record:
        return record.load()


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def reference_values(theta, payoffs, discount, noise, horizon=None, view="own"):
    """Reported values of one match, written down independently.

    theta is [players, states], payoffs [players, joint actions], noise [players].
    """
    n = len(theta)
    joint = list(product((0, 1), repeat=n))

    def place(actions):
        return 1 + sum(a << (n - 1 - i) for i, a in enumerate(actions))

    def cooperation(player, state):
        actions = () if state == 0 else joint[state - 1]
        if view == "own" and state:
            actions = (actions[player], *(a for i, a in enumerate(actions) if i != player))
        logit = theta[player][0 if state == 0 else place(actions)] if horizon != 1 else theta[player][0]
        chosen = 1 / (1 + np.exp(-logit))
        return chosen * (1 - noise[player]) + (1 - chosen) * noise[player]

    steps = np.zeros((1 + 2**n, 2**n))
    for state in range(1 if horizon == 1 else 1 + 2**n):
        c = [cooperation(player, state) for player in range(n)]
        steps[state] = [np.prod([c[i] if a == 0 else 1 - c[i] for i, a in enumerate(actions)]) for actions in joint]
    if horizon is None:
        visits = np.linalg.solve(np.eye(2**n) - discount * steps[1:].T, steps[0])
        return (1 - discount) * payoffs @ visits
    now, total = steps[0], 0
    for step in range(horizon):
        total = total + discount**step * payoffs @ now
        now = now @ steps[1:]
    return total if horizon == 1 else total * (1 / horizon if discount == 1 else 1 - discount)


def cell(record, variant):
    return record.isel(match=np.flatnonzero(record["variant"].values == variant))
