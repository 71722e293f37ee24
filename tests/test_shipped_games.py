"""The shipped games with sampled returns: each configuration runs, and markets end where their closed forms say.

Tolerances are 4 standard errors of the means over matches, as measured here, plus a stated bias: players are paid
for random quantities, and while their distribution is not yet narrow, its best mean differs a little from the optimum.
"""

import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.config.files import read
from shaping.config.plan import plan
from shaping.envs.cournot import collusive_outcome, nash_equilibrium, profits
from shaping.envs.fishery import great_fish_war
from tests.runs import cell, played, summary
from tests.small_configurations import SHIPPED_GAMES, brief


@pytest.mark.parametrize("name", SHIPPED_GAMES)
def test_a_shipped_game_is_planned_with_all_its_cells(name):
    experiment = plan(read(name))
    assert experiment.cells >= 2
    assert {block.normal["game"]["name"] for block in experiment.blocks} == {
        "in_the_matrix" if name == "storm" else name
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED_GAMES)
def test_a_shipped_game_trains_when_made_small_and_tells_welfare_beside_scripted_players(name, tmp_path):
    raw = brief(name)
    if sizes := raw.get("sweep", {}).get("game.num_players"):
        # Every number of players has programs of its own, which take long to compile.
        raw["sweep"] |= {"game.num_players": [sizes[0], sizes[-1]]}
    folder = shaping.run(raw, tmp_path / "run")
    record = played(folder)
    assert record.sizes["match"] == plan(raw).matches and record["update"].values[-1] == 4
    assert not (record["diverged_at"] >= 0).any()
    beside = record["scripted_reward_per_step"]
    assert beside.dims == ("match", "player", "opponent") and record.sizes["opponent"] >= 2
    there = np.isfinite(record["value"].isel(update=-1))
    assert np.isfinite(record["reward_per_step"].isel(update=-1).values[there]).all()
    assert np.isfinite(beside.values[there]).all()
    assert all(len(one["coordinates"]) for one in summary(folder)["cells"])
    assert "Welfare compared with scripted extremes" in (folder / "report" / "index.html").read_text()


def ended(record, variable, variant):
    """The mean over matches and players at the end, over the last quarter of what is recorded, and its standard error
    over matches."""
    along = cell(record, variant)[variable].dropna("player", how="all").values
    own = along[:, -(along.shape[1] // 4) :].mean(axis=(1, 2), dtype=float)
    return own.mean(), own.std(ddof=1) / np.sqrt(len(own))


def ran(name, variants, folder):
    """The record of some variants of a shipped configuration, at its full size."""
    raw = dict(read(name))
    raw["variants"] = {variant: raw["variants"][variant] for variant in variants}
    return played(shaping.run(raw, folder / name))


@pytest.mark.slow
def test_naive_firms_end_at_the_nash_equilibrium_of_cournot(tmp_path):
    cournot = ran("cournot", ["naive"], tmp_path)
    params = envs.make("cournot", intercept=1.0, costs=0.1).default_params
    nash = nash_equilibrium(params)
    np.testing.assert_allclose(nash, 0.3, rtol=1e-6)
    for variable, there, bias in (
        ("quantity", nash[0], 0.003),
        ("price", params.intercept - params.slope * nash.sum(), 0.005),
        ("reward_per_step", profits(nash, params)[0], 0.003),
    ):
        mean, error = ended(cournot, variable, "naive")
        print(f"{variable}: {mean:.4f} +- {error:.4f}, in the equilibrium {there:.4f}")
        assert abs(mean - there) < 4 * error + bias
        assert error < 0.005
    scripted = cournot["scripted_reward_per_step"].sel(opponent=["NASH", "COLLUSIVE"])[0, 0]
    np.testing.assert_allclose(scripted, [profits(q, params)[0] for q in (nash, collusive_outcome(params))], rtol=1e-4)
    own, _ = ended(cournot, "quantity", "naive")
    assert own > (nash[0] + collusive_outcome(params)[0]) / 2, "not what a cartel sells"


@pytest.mark.slow
@pytest.mark.optimised
def test_naive_fishers_end_at_the_equilibrium_of_the_fish_war_and_four_of_them_in_depletion(tmp_path):
    fishery = ran("fishery", ["naive", "naive with four"], tmp_path)
    params = envs.make("fishery").default_params
    nash = great_fish_war.nash_parts(params, 2)[0]
    together = great_fish_war.cooperative_parts(params, 2)[0]
    mean, error = ended(fishery, "effort", "naive")
    print(f"effort: {mean:.4f} +- {error:.4f}, in equilibrium {nash:.4f}, together {together:.4f}")
    assert abs(mean - nash) < 4 * error + 0.01 < nash - together
    assert ended(fishery, "depletion", "naive")[0] == 0
    assert ended(fishery, "depletion", "naive with four")[0] == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_apples_become_dear_where_their_trees_are_few_and_cheap_where_they_are_many(tmp_path):
    shorter = ["updates=60", "record_every=10", "sweep={game.apple_trees: [0.15, 0.6]}"]
    market = played(shaping.run("fruit_market", tmp_path / "market", shorter))
    along = market["price"].isel(player=0)
    logs = {
        float(trees): np.log(own.values[:, -(along.sizes["update"] // 4) :].mean(axis=1, dtype=float))
        for trees, own in along.groupby("game.apple_trees")
    }
    dear, cheap = (logs[trees] for trees in sorted(logs))
    error = np.sqrt((dear.var(ddof=1) + cheap.var(ddof=1)) / len(dear))
    print(f"log price {dear.mean():.3f} and {cheap.mean():.3f}, error {error:.3f}")
    assert dear.mean() - cheap.mean() > 2 * error
