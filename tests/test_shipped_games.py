"""The shipped games with sampled returns: each configuration runs, and markets end where their closed forms say.

Tolerances are 4 standard errors of the means over matches, as measured here, beside a stated bias: players are paid
for quantities they draw, and a distribution that is not yet narrow has its best mean a little off that of a number.
"""

import numpy as np
import pytest

import shaping
from shaping.config.files import read
from shaping.config.plan import plan
from tests.compiling import little_optimisation
from tests.runs import cell, played, summary

quick_programs = pytest.fixture(autouse=True, scope="module")(little_optimisation)

GAMES = ("cournot", "fishery", "gift", "negotiation", "storm", "clean_up", "commons_harvest")
TINY = ("matches=2", "updates=2", "record_every=1", "objective.batch=4", "objective.evaluation=4")


@pytest.mark.parametrize("name", GAMES)
def test_a_shipped_game_is_planned_with_all_its_cells(name):
    experiment = plan(read(name))
    assert experiment.cells >= 2
    assert {block.normal["game"]["name"] for block in experiment.blocks} == {
        "in_the_matrix" if name == "storm" else name
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", GAMES)
def test_a_shipped_game_trains_and_tells_welfare_beside_scripted_players(name, tmp_path):
    folder = shaping.run(name, tmp_path / "run", TINY)
    record = played(folder)
    assert not (record["diverged_at"] >= 0).any()
    beside = record["scripted_reward_per_step"]
    assert beside.dims == ("match", "player", "opponent") and record.sizes["opponent"] >= 2
    there = np.isfinite(record["value"].isel(update=-1))
    assert np.isfinite(record["reward_per_step"].isel(update=-1).values[there]).all()
    assert np.isfinite(beside.values[there]).all()
    assert all(len(one["coordinates"]) for one in summary(folder)["cells"])
    assert "Welfare beside the scripted extremes" in (folder / "report" / "index.html").read_text()


def ended(record, variable, variant):
    """The mean over matches and players at the end, over the last quarter of what is recorded, and its standard error
    over matches."""
    along = cell(record, variant)[variable].dropna("player", how="all").values
    own = along[:, -(along.shape[1] // 4) :].mean(axis=(1, 2), dtype=float)
    return own.mean(), own.std(ddof=1) / np.sqrt(len(own))
