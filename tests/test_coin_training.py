"""Learning in the exact Coin Game, from a configuration to its record and back to play."""

import jax
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.config.errors import ConfigError
from tests.runs import cell, played, summary

pytestmark = pytest.mark.usefixtures("without_pictures")
LOOKING = {"rule": "lola", "variant": "exact", "lookahead_rate": 100.0, "step_size": 5.0}
SMALL = {"name": "coin_game", "dialect": "lola_dice", "grid": [2, 2], "horizon": 20}


VARIANTS = {
    "naive": {"players": {"rule": "naive", "step_size": 5.0}},
    "remembering": {"players": LOOKING, "policy": {"last_takers": True}},
}
RAW = {"game": SMALL, "matches": 3, "updates": 6, "record_every": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return shaping.run(RAW | {"variants": VARIANTS}, tmp_path_factory.mktemp("coin") / "run")


def test_lola_with_a_memory_soon_leaves_more_of_the_others_colour_than_naive_learners(folder):
    naive, remembering = summary(folder)["cells"]
    assert min(remembering["own_fraction"]) > max(naive["own_fraction"]) + 0.05


@pytest.mark.slow
def test_naive_learners_take_every_colour_and_lola_with_a_memory_leaves_the_others(tmp_path):
    folder = shaping.run(RAW | {"variants": VARIANTS, "updates": 60, "record_every": 30}, tmp_path / "run")
    naive, remembering = summary(folder)["cells"]
    assert all(0.4 < share < 0.65 for share in naive["own_fraction"])
    assert all(share > 0.75 for share in remembering["own_fraction"])
    assert min(remembering["value_mean"]) > max(naive["value_mean"])


def test_recorded_pickups_and_values_are_those_of_play_with_the_recorded_policies(folder):
    run = shaping.load(folder)
    record = played(folder)
    match = 4  # of the variant with a memory
    policies, thetas = zip(*run.policies(match), strict=True)
    env = envs.make("coin_game", dialect="lola_dice", grid=(2, 2), horizon=20)
    streams = 4000
    stats = jax.jit(lambda key: shaping.play(env, policies, thetas, key, 20, streams, discount=0.96))(jax.random.key(0))
    pickups = np.asarray(stats.counts.pickups, float)
    error = pickups.std(0) / np.sqrt(streams) + 1e-3
    assert np.all(np.abs(pickups.mean(0) - record["pickups"].values[match]) < 4 * error)
    returns = np.asarray(stats.discounted_returns)
    error = returns.std(0) / np.sqrt(streams)
    exact = record["value"].values[match, -1] / (1 - 0.96)
    assert np.all(np.abs(returns.mean(0) - exact) < 4 * error)


def test_a_record_holds_what_a_coin_game_has_and_nothing_of_a_matrix_game(folder):
    record = played(folder)
    assert record["pickups"].dims == ("match", "player", "colour")
    assert "policy" not in record and "payoffs" not in record and "state" not in record.dims
    assert np.all(np.isfinite(cell(record, "remembering")["theta_final"]))


def test_a_program_trains_what_a_configuration_trains(folder):
    env = envs.make("coin_game", dialect="lola_dice", grid=(2, 2), horizon=20)
    form, params = shaping.exact_coin_game(env, [shaping.coin_table(env, seat) for seat in range(2)])
    learner = shaping.gradient_learner(shaping.naive(), step_size=5.0)
    own = shaping.train(form, learner, matches=3, updates=6, record_every=3, parameters=params)
    configured = cell(played(folder), "naive")
    np.testing.assert_allclose(own["value"].values, configured["value"].values, rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match="^parameters: needed"):
        shaping.train(form, learner)


def test_matrix_games_and_coin_games_stand_side_by_side(tmp_path):
    variants = {"ipd": {"game": {"name": "ipd", "horizon": 1}}, "coins": {"game": SMALL}}
    # The variant with coins is trained by the program that the run above compiled.
    raw = {key: value for key, value in RAW.items() if key != "game"} | VARIANTS["naive"]
    record = played(shaping.run(raw | {"variants": variants}, tmp_path / "run"))
    assert np.all(np.isfinite(cell(record, "ipd")["policy"])) and np.all(np.isnan(cell(record, "ipd")["pickups"]))
    assert np.all(np.isfinite(cell(record, "coins")["pickups"])) and np.all(np.isnan(cell(record, "coins")["policy"]))
