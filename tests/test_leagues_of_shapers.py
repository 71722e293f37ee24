"""`shaping league` of shapers that were trained on sampled trials: whole trials among those who do not learn."""

import numpy as np
import pytest
import xarray

import shaping
from shaping import envs
from shaping.cli import main
from shaping.config.errors import ConfigError
from shaping.config.plan import plan
from shaping.leagues.stepwise_players import _first_match, trial_as_played

CONFIG = {
    "game": {"name": "ipd", "horizon": 4, "discount": 1},
    "trial": {"updates": 3, "rounds": 4, "streams": 2},
    "players": [{"rule": "es", "population": 2}, {"rule": "naive", "within": True}],
    "policy": "tabular",
    "objective": {"batch": 2, "evaluation": 2},
    "matches": 1,
    "updates": 0,
}


def played(**trial):
    return trial_as_played(_first_match(plan(CONFIG | {"trial": CONFIG["trial"] | trial})))


@pytest.mark.parametrize(("memory", "remembers"), [("carry", True), ("average", True), ("reset", False)])
def test_a_league_plays_whole_trials_and_memory_lasts_as_in_training(memory, remembers):
    game = played(memory=memory)
    assert (game.steps, game.horizon, game.discount) == (12, 4, 1.0) and game.scale == 1 / 4
    assert (game.env.episodes, game.env.env.horizon, game.env.remembers) == (3, 4, remembers)


@pytest.mark.parametrize(
    ("trial", "told"),
    [
        (
            {"observes": "both"},
            "trial.observes: both shows policies of learners, but frozen players show none; allowed: play",
        ),
        ({"rounds": None, "streams": 16}, "trial: its shapers choose policies and play no rounds; allowed: sampled"),
    ],
)
def test_shapers_that_cannot_play_alone_are_refused_in_one_line(trial, told):
    with pytest.raises(ConfigError) as error:
        raw = CONFIG["trial"] | trial
        raw = {key: value for key, value in raw.items() if value is not None}
        policy = {"policy": {"kind": "mlp", "hidden": [2]}}
        trial_as_played(_first_match(plan(CONFIG | policy | {"trial": raw})))
    assert str(error.value).startswith(told) and "\n" not in str(error.value)


@pytest.mark.slow
def test_a_shaper_without_memory_earns_in_play_what_its_table_earns_exactly(tmp_path, capsys):
    folder = shaping.run(CONFIG, out=tmp_path / "run", show_progress=False)
    (logits,) = shaping.load(folder).record["theta_final"].isel(player=[0]).values[0]
    table = 1 / (1 + np.exp(-logits[:5].astype(float)))
    out = shaping.league([folder], against="alld,tft", error=0.02, out=tmp_path / "league")
    with xarray.open_zarr(str(out / "league.zarr"), consolidated=False, chunks=None) as found:
        league = found.load()
    # The seat that learns within trials has no final policy.
    assert league["row"].values.tolist() == ["run/0/0", "alld", "tft"]
    exact = shaping.league_values(envs.make("ipd", horizon=4, discount=1.0), [table, "alld", "tft"]).value
    off = np.abs(league["value"].values - exact) / np.maximum(league["standard_error"].values, 1e-6)
    assert off[np.abs(league["value"].values - exact) > 1e-5].max(initial=0) < 4
    assert main(["exploit", str(folder), "--out", str(tmp_path / "exploit")]) == 2
    assert "best responses are learned within one episode" in capsys.readouterr().err
