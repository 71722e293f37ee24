"""Analytic games by name, at points worked out by hand, as objects and as configurations."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray

import shaping
from shaping.config.errors import ConfigError
from shaping.envs.matrix.analytic import ANALYTIC_GAMES

pytestmark = pytest.mark.usefixtures("without_pictures")
LOG3 = np.log(3)  # sigmoid(log 3) = 3/4
CASES = [
    ("tandem", {}, (1, 2), (-7, -5)),
    ("tandem", {"num_players": 3}, (1, 2, -1), (-2, 0, -6)),
    ("bilinear", {"coupling": 0.5}, (2, 3), (-3, 3)),
    ("hamiltonian", {}, (2, 3), (-6, 6)),
    ("balduzzi", {}, (1, 2), (-20.5, 18)),
    ("balduzzi", {"coupling": 1}, (1, 2), (-2.5, 0)),
    ("ultimatum", {}, (LOG3, 0), (4.75, 4)),
    ("ultimatum", {"total": 4, "unfair": 3}, (0, LOG3), (1 + 9 / 8, 1 + 3 / 8)),
    ("logistic", {}, (0, 0), (0, 0)),
    ("logistic", {"confinement": 0}, (LOG3, -LOG3), (-1.5, 0.5)),
    ("logistic", {"confinement": 1}, (LOG3, -LOG3), (-1.5 - LOG3**4, 0.5 - LOG3**4)),
]


@pytest.mark.parametrize(("name", "numbers", "point", "expected"), CASES)
def test_returns_at_a_point_worked_out_by_hand(x64, name, numbers, point, expected):
    thetas = [jnp.array([x], float) for x in point]
    game = shaping.analytic_game(name, **numbers)
    assert game.num_parameters == (1,) * len(point)
    found = game.objective(game.default_parameters)(thetas)[0]
    np.testing.assert_allclose(np.array(found), expected, rtol=1e-12, atol=1e-12)


def test_every_game_is_worked_out():
    assert {name for name, *_ in CASES} == set(ANALYTIC_GAMES)


@pytest.mark.parametrize("name", ["hamiltonian", "bilinear"])
def test_zero_sum_games_sum_to_zero(name):
    assert sum(ANALYTIC_GAMES[name]([np.array([0.3]), np.array([-1.7])])) == 0


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("tandemm", {}, "'tandemm' is not known; allowed: tandem, bilinear"),
        ("tandem", {"pull": 2}, "setting 'pull' is not one of 'tandem'; allowed: num_players"),
        ("hamiltonian", {"coupling": 2}, "allowed: none"),
        ("tandem", {"num_players": 1}, "num_players is 1; allowed: an integer of 2 or more"),
        ("tandem", {"num_players": 2.5}, "num_players is 2.5"),
        ("tandem", {"num_players": True}, "num_players is True"),
    ],
)
def test_an_unknown_game_or_setting_is_refused(name, settings, reason):
    with pytest.raises(ValueError, match=reason):
        shaping.analytic_game(name, **settings)


def trained(folder, config):
    with xarray.open_zarr(shaping.run(config, folder) / "record.zarr") as record:
        return record.load()


def test_train_and_a_configuration_agree(tmp_path):
    config = {
        "game": {"name": "balduzzi", "coupling": 2.0},
        "players": {"rule": "lola", "variant": "exact", "step_size": 0.05, "lookahead_rate": 0.1},
        "policy": {"init": {"normal": 0.5}},
        "precision": "float64",
        "matches": 5,
        "updates": 7,
        "seed": 4,
    }
    written = trained(tmp_path / "run", config)
    learner = shaping.gradient_learner(
        shaping.lola("exact", lookahead_rate=0.1), step_size=0.05, initial=shaping.normal(0.5)
    )
    game = shaping.analytic_game("balduzzi", coupling=2.0)
    kept = shaping.train(game, learner, matches=5, updates=7, seed=4, precision="float64")
    np.testing.assert_array_equal(written.theta_initial, kept.theta_initial)
    for name in ("theta_final", "value", "value_trajectory_mean", "diverged_at"):
        assert written[name].dims == kept[name].dims
        np.testing.assert_allclose(written[name], kept[name], rtol=1e-12)


# Tandem of n players, L_i = s^2 - 2 x_i: LOLA taylor rests at s = (1 - 2 a (n - 1)) / (1 - 4 a (n - 1)), where the
# mean loss is s^2 - 2 s / n (from the rule of Letcher et al. 2019, SOS, by hand).
RESTS = [(3, 0.05, 4 / 3, 0.888889), (4, 0.03, 1.28125, 1.0009766)]


@pytest.mark.slow
@pytest.mark.parametrize(("players", "rate", "rest", "loss"), RESTS)
def test_taylor_lola_rests_where_tandem_of_more_players_says(tmp_path, players, rate, rest, loss):
    config = {
        "game": {"name": "tandem", "num_players": players},
        "players": {"rule": "lola", "variant": "taylor", "step_size": 0.1, "lookahead_rate": rate},
        "policy": {"init": {"normal": 0.1}},
        "precision": "float64",
        "matches": 4,
        "updates": 200,
        "record_every": 200,
    }
    record = trained(tmp_path / "run", config)
    assert set(record.data_vars) == {"value", "value_trajectory_mean", "theta_initial", "theta_final", "diverged_at"}
    assert record.theta_final.dims == ("match", "player", "parameter")
    assert record.theta_final.shape == (4, players, 1)
    assert set(record.dims) == {"match", "update", "player", "parameter"}
    np.testing.assert_allclose(record.theta_final.sum(("player", "parameter")), rest, rtol=1e-7)
    np.testing.assert_allclose(-record.value.isel(update=-1).mean("player"), loss, atol=1e-6)


def test_analytic_and_matrix_games_stand_side_by_side_in_one_record(tmp_path):
    config = {
        "variants": {
            "sum": {"game": {"name": "tandem", "num_players": 3}},
            "dilemma": {"game": {"name": "ipd", "horizon": 2}},
        },
        "matches": 3,
        "updates": 2,
        "record": ["policies"],
    }
    record = trained(tmp_path / "run", config)
    assert record.state.values.tolist() == ["start", "CC", "CD", "DC", "DD"]
    assert record.theta_final.shape == (6, 3, 5)
    counts = np.isfinite(record.theta_final).sum("parameter").values
    assert counts[:3].tolist() == [[1, 1, 1]] * 3 and counts[3:].tolist() == [[5, 5, 0]] * 3
    for name in ("policy", "policy_trajectory", "payoffs"):
        assert np.isnan(record[name][:3]).all() and np.isfinite(record[name][3:].isel(player=slice(2))).all()


def test_a_sweep_over_games_and_their_numbers_is_one_of_cells(tmp_path):
    config = {
        "game": {"name": "bilinear"},
        "matches": 2,
        "updates": 1,
        "sweep": {"game.coupling": [0.0, 1.0, 2.0], "policy.init.uniform": [0.5, 1.0]},
        "policy": {"init": {"uniform": 1.0}},
        "players": {"rule": "naive", "step_size": 1.0},
        "precision": "float64",
    }
    record = trained(tmp_path / "run", config)
    before, after = record.theta_initial.values[..., 0], record.theta_final.values[..., 0]
    coupling, width = record["game.coupling"].values, record["policy.init.uniform"].values
    expected = before + coupling[:, None] * np.stack([-before[:, 1], before[:, 0]], axis=1)
    np.testing.assert_allclose(after, expected, rtol=1e-12)
    np.testing.assert_allclose(before[width == 1.0], 2 * before[width == 0.5], rtol=1e-12)


def test_an_unfit_number_of_seats_is_refused():
    with pytest.raises(ConfigError, match="the game has 3 seats"):
        shaping.train(shaping.analytic_game("tandem", num_players=3), [shaping.naive()] * 2)
