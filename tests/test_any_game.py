"""A game of a kind unknown to the package trains, and its record contains what it declares."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import xarray

import shaping
from shaping import envs
from shaping.config.errors import ConfigError
from shaping.objectives.game import closed_form_values, nothing
from shaping.objectives.objective import Objective
from shaping.policies.tabular import parameters
from shaping.runtime.episode_animation import best_match
from shaping.variables import Variable, declared


@dataclasses.dataclass(frozen=True)
class Auction:
    """Two bidders whose bids are their parameters, paid quadratically around what they are worth to them."""

    policies: Any = (parameters(1), parameters(1))
    unrolled = sampled = tabular = False
    exchangeable = True
    about = {"kind": "auction"}
    labels = {"round": ("first", "second")}
    default_parameters = np.array([1.0, 2.0])
    episode = cooperation = cooperation_as_played = round_payoffs = nothing
    evaluate = closed_form_values

    @property
    def variables(self):
        own = Variable(
            ("match", "player", "round"), "What a player bids in each round.", "bids", 0, source="environment"
        )
        return {"bids": own} | declared("discount")

    def objective(self, params):
        def returns(thetas, key, context):
            return jnp.stack([-((theta[0] - worth) ** 2) for theta, worth in zip(thetas, params, strict=True)]), None

        return Objective(returns)

    def value_scale(self, params):
        return jnp.ones(())

    def describe(self, params, thetas, key=None):
        bids = jnp.concatenate(list(thetas))
        return {"bids": jnp.stack([bids, bids / 2], axis=1), "discount": jnp.ones(())}

    def working_bytes(self, itemsize, lookaheads):
        return 0

    def work(self, params):
        return 1


pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(scope="module")
def record():
    learner = shaping.gradient_learner(shaping.naive(), 0.25)
    return shaping.train(Auction(), learner, matches=3, updates=60, record_every=20, seed=1)


def test_a_game_of_another_kind_trains(record):
    np.testing.assert_allclose(record.value[:, -1], 0, atol=1e-5)
    np.testing.assert_allclose(record.bids[:, :, 0], [[1, 2]] * 3, atol=1e-3)


def test_its_record_has_what_it_declares_and_nothing_of_matrix_games(record):
    assert set(record.data_vars) == {
        *("value", "value_trajectory_mean", "theta_initial", "theta_final", "diverged_at"), "bids", "discount"
    }  # fmt: skip
    assert record.bids.dims == ("match", "player", "round") and record["round"].values.tolist() == ["first", "second"]
    assert record.theta_final.dims == ("match", "player", "parameter")
    assert record.bids.attrs["label"] == "bids" and record.bids.attrs["low"] == 0 and "high" not in record.bids.attrs
    assert record.attrs["kind"] == "auction"


def test_matrix_games_have_their_labels_and_declarations():
    found = shaping.train(envs.make("ipd", horizon=2), shaping.naive(), matches=1, updates=1)
    assert found["state"].values.tolist() == ["start", "CC", "CD", "DC", "DD"]
    assert (found.policy.attrs["low"], found.policy.attrs["high"]) == (0, 1) and found.attrs["state_view"] == "own"
    assert found.theta_final.dims == ("match", "player", "state")


def test_what_an_exact_coin_game_knows_at_the_end_alone_is_nan_before():
    env = envs.make("coin_game", grid=(2, 2), horizon=3)
    policies = [shaping.coin_table(env, seat) for seat in range(2)]
    game, numbers = shaping.exact_coin_game(env, policies)
    found = shaping.train(game, shaping.naive(), matches=2, updates=2, parameters=numbers)
    assert found.own_fraction.dims == ("match", "update", "player") and found.own_fraction.attrs["showcase"] == 0
    assert np.isnan(found.own_fraction[:, :-1]).all() and np.isfinite(found.own_fraction[:, -1]).all()


def test_what_is_no_game_is_refused_with_one_line():
    with pytest.raises(ConfigError, match="a matrix game"):
        shaping.train("ipd", shaping.naive())
    with pytest.raises(ConfigError, match="^parameters: needed"):
        shaping.train(shaping.sampled(envs.make("ipd"), [shaping.tabular(5)] * 2, horizon=2)[0], shaping.naive())


def test_the_match_that_is_shown_is_the_best_at_the_end_of_those_that_are_finite():
    values = np.array(
        [[[0.9, 0.9], [0.1, 0.1]], [[0, 0], [0.5, 0.4]], [[0, 0], [np.inf, 1]], [[1, 1], [np.nan, np.nan]]]
    )
    along = xarray.DataArray(values, dims=("match", "update", "player"))
    assert best_match(along, [0, 1, 2, 3]) == 1 and best_match(along, [0, 3]) == 0 and best_match(along, [3]) == 3
    assert best_match(along.isel(update=0), [0, 1, 2, 3]) == 3


@pytest.mark.slow
def test_an_environment_of_jaxmarl_learns_from_a_configuration(tmp_path):
    pytest.importorskip("jaxmarl", reason="needs JaxMARL: pip install 'shaping[peers]'")
    config = {
        "game": {"name": "jaxmarl", "id": "MPE_simple_spread_v3", "horizon": 3, "discount": 0.9},
        "players": {"rule": "naive", "step_size": 0.1},
        "policy": {"kind": "mlp", "hidden": [2]},
        "objective": {"kind": "dice", "batch": 2},
        "matches": 1,
        "updates": 1,
    }
    record = shaping.load(shaping.run(config, tmp_path / "run")).record
    assert record.sizes["player"] == 3
    assert np.isfinite(record["value"]).all()
