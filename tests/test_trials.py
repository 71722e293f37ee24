"""A run of trials, from its configuration to its report."""

import json

import numpy as np
import pytest

import shaping
from tests.interrupting import assert_same, stopped
from tests.runs import unrendered

CONFIG = {
    "game": {"name": "chicken", "horizon": 1},
    "trial": {"updates": 3, "strangers": {"still": {"rule": "frozen", "init": {"values": [0.0]}}}},
    "players": [{"rule": "es", "population": 4, "step_size": 0.3}, {"rule": "naive", "within": True}],
    "policy": "gaussian",
    "objective": {"batch": 2, "evaluation": 3},
    "matches": 2,
    "record_every": 2,
    "checkpoint": {"every_updates": 2, "every_s": None},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with unrendered():
        return shaping.run(CONFIG | {"updates": 4}, tmp_path_factory.mktemp("trials") / "whole")


def test_a_run_of_trials_that_is_stopped_and_resumed_is_the_same_bit_for_bit(whole, tmp_path, without_pictures):
    assert_same(whole, shaping.resume(stopped(CONFIG | {"updates": 4}, tmp_path / "run", 1)))


# What is particular to trials is in the state that the test above saves and reads; tests/runtime extends runs.
@pytest.mark.slow
def test_a_run_of_trials_is_extended_to_the_bits_of_a_longer_one(whole, tmp_path, without_pictures):
    parts = shaping.run(CONFIG | {"updates": 2}, out=tmp_path / "parts")
    assert_same(whole, shaping.resume(parts, overrides=["updates=4"]))


def test_a_run_of_trials_is_recorded_and_reported(whole):
    first = shaping.load(whole).record
    curve = first["trial_value"]
    assert curve.dims == ("match", "update", "inner", "player")
    assert curve.shape == (2, 3, 3, 2)
    np.testing.assert_allclose(curve.mean("inner"), first["value"], rtol=1e-6)

    # Against a player that flips a coin a blind shaper gets what the policy that it always plays is worth.
    logit = 2 * first["theta_final"].sel(player=0).values[:, 1]
    cooperate = 1 / (1 + np.exp(-logit))
    # Payoffs of chicken: CC 0, CD -1, DC 1, DD -100.
    worth = 0.5 * (cooperate * -1 + (1 - cooperate) * (1 - 100))
    np.testing.assert_allclose(first["trial_value_against"].sel(player=0, stranger="still"), worth, rtol=1e-4)

    page = (whole / "report" / "index.html").read_text()
    assert (whole / "report" / "trial_curves.png").exists()
    assert "Against learners never met in training" in page
    (cell,) = json.loads((whole / "summary.json").read_text())["cells"]
    np.testing.assert_allclose(cell["value_mean"], first["value"].isel(update=-1).mean("match"), rtol=1e-6)
