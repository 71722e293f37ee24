"""The named games: payoffs by hand, payoff arguments that broadcast, and `make`."""

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.matrix import games as matrix_games

TABLES = {  # name: rewards of player 0 and of player 1 at CC, CD, DC, DD
    "ipd": ([-1, -3, 0, -2], [-1, 0, -3, -2]),
    "matching_pennies": ([1, -1, -1, 1], [-1, 1, 1, -1]),
    "chicken": ([0, -1, 1, -100], [0, 1, -1, -100]),
    "stag_hunt": ([4, 1, 3, 2], [4, 3, 1, 2]),
    "battle_of_the_sexes": ([3, 0, 0, 2], [2, 0, 0, 3]),
    "contribution": ([0.33, -0.335, 0.665, 0], [0.33, 0.665, -0.335, 0]),
}


@pytest.mark.parametrize("name", TABLES)
def test_default_payoffs_are_the_table(name):
    payoffs = matrix_games.GAMES[name]()
    assert payoffs.shape == (2, 2, 2) and payoffs.dtype == np.float64
    np.testing.assert_allclose(payoffs.reshape(2, 4), TABLES[name], rtol=0, atol=1e-15)
    np.testing.assert_array_equal(np.asarray(envs.make(name).payoffs), payoffs)


def test_games_stand_in_the_documented_order():
    assert tuple(matrix_games.GAMES) == tuple(TABLES)
    assert envs.registered()[: len(TABLES) + 1] == (*TABLES, "matrix_game")


def test_payoff_arguments_stand_where_the_tables_say():
    arguments = {"reward": 1, "sucker": 2, "temptation": 3, "punishment": 4}
    for name in ("ipd", "chicken", "stag_hunt"):
        payoffs = matrix_games.GAMES[name](**arguments)
        np.testing.assert_array_equal(payoffs, [[[1, 2], [3, 4]], [[1, 3], [2, 4]]])
    sexes = matrix_games.battle_of_the_sexes(favourite=1, other=2, miss=3)
    np.testing.assert_array_equal(sexes, [[[1, 3], [3, 2]], [[2, 3], [3, 1]]])
    np.testing.assert_array_equal(matrix_games.matching_pennies(-1), -matrix_games.matching_pennies())


def test_three_player_contribution_game_has_the_published_corner_values():
    payoffs = matrix_games.contribution(num_players=3, contribution_factor=1.8)
    assert payoffs.shape == (3, 2, 2, 2)
    np.testing.assert_allclose(payoffs[:, 0, 0, 0], [0.8, 0.8, 0.8], atol=1e-15)
    np.testing.assert_allclose(payoffs[:, 1, 1, 1], [0, 0, 0], atol=1e-15)
    np.testing.assert_allclose(payoffs[:, 1, 0, 0], [1.2, 0.2, 0.2], atol=1e-15)
    np.testing.assert_allclose(payoffs[:, 0, 1, 0], [0.2, 1.2, 0.2], atol=1e-15)
    np.testing.assert_allclose(payoffs[:, 1, 1, 0], [0.6, 0.6, -0.4], atol=1e-15)


@pytest.mark.parametrize("n", range(2, 7))
def test_contribution_game_is_the_formula_at_every_joint_action(n):
    payoffs = matrix_games.contribution(n, 0.6 * n)
    for joint in np.ndindex(*(2,) * n):
        contributions = 1 - np.array(joint)
        expected = 0.6 * n * contributions.sum() / n - contributions
        np.testing.assert_allclose(payoffs[(slice(None), *joint)], expected, atol=1e-14)


def float_arguments(name: str) -> list[str]:
    parameters = inspect.signature(matrix_games.GAMES[name]).parameters
    assert all(parameter.annotation in (int, float) for parameter in parameters.values())
    return [key for key, parameter in parameters.items() if parameter.annotation is float]


@pytest.mark.parametrize("array", [np.array, jnp.array])
@pytest.mark.parametrize("name", TABLES)
def test_broadcast_payoff_arguments_equal_a_loop(name, array):
    game = matrix_games.GAMES[name]
    keys = float_arguments(name)
    values = np.random.default_rng(0).normal(size=(len(keys), 3, 4)).astype(np.float32)
    together: Any = {key: array(values[k]) for k, key in enumerate(keys)}
    payoffs = game(**together)
    assert payoffs.shape == (3, 4, 2, 2, 2) and isinstance(payoffs, jax.Array) == (array is jnp.array)
    for row, column in np.ndindex(3, 4):
        alone = game(**{key: float(values[k, row, column]) for k, key in enumerate(keys)})
        np.testing.assert_allclose(payoffs[row, column], alone, rtol=1e-6, atol=1e-7)


def test_payoff_arguments_of_different_shapes_broadcast_against_each_other():
    rows: Any = np.array([[0.0], [1.0]])
    columns: Any = np.array([-3.0, -4.0, -5.0])
    payoffs = matrix_games.ipd(temptation=rows, sucker=columns)
    assert payoffs.shape == (2, 3, 2, 2, 2)
    np.testing.assert_array_equal(payoffs[1, 2], matrix_games.ipd(temptation=1.0, sucker=-5.0))


def test_payoffs_vmap_jit_and_differentiate():
    temptations = jnp.linspace(0.0, 2.0, 5)
    with jax.numpy_dtype_promotion("strict"):
        mapped = jax.jit(jax.vmap(lambda temptation: matrix_games.ipd(temptation=temptation)))(temptations)
        gradient = jax.grad(lambda temptation: matrix_games.ipd(temptation=temptation)[0, 1, 0])(0.5)
        factor = jnp.float32(1.8)
        assert jax.jit(lambda factor: matrix_games.contribution(3, factor))(factor).dtype == jnp.float32
    np.testing.assert_array_equal(mapped[3], matrix_games.ipd(temptation=1.5))
    assert gradient == 1.0


def test_make_passes_payoff_arguments_and_settings_on():
    game = envs.make("ipd", temptation=0.5, discount=0.9, noise=(0.0, 0.1), horizon=4, state_view="shared")
    assert game.payoffs == (((-1.0, -3.0), (0.5, -2.0)), ((-1.0, 0.5), (-3.0, -2.0)))
    assert (game.name, game.discount, game.noise, game.horizon, game.state_view) == (
        "ipd",
        0.9,
        (0.0, 0.1),
        4,
        "shared",
    )
    assert envs.make("contribution", num_players=4).num_players == 4
    assert envs.make("matrix_game", payoffs=game.payoffs).payoffs == game.payoffs


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("idp", {}, ["'idp'", "matching_pennies", "matrix_game", "nearest: ipd"]),
        (3, {}, ["3", "ipd"]),
        ("ipd", {"temptaton": 1.0}, ["'temptaton'", "'ipd'", "state_view", "nearest: temptation"]),
        ("ipd", {"win": 1.0}, ["'win'", "'ipd'", "temptation"]),
        ("ipd", {"payoffs": 1.0}, ["'payoffs'", "'ipd'"]),
        ("ipd", {"temptation": "0"}, ["temptation", "'0'", "number"]),
        ("ipd", {"temptation": np.inf}, ["temptation", "inf", "finite"]),
        ("ipd", {"temptation": [0.0, 1.0]}, ["temptation", "[2]", "MatrixGameParams"]),
        ("ipd", {"discount": 1.0}, ["discount", "1.0"]),
        ("contribution", {"num_players": 7}, ["num_players", "7", "2 to 6"]),
        ("contribution", {"num_players": 3.0}, ["num_players", "3.0", "integer"]),
        ("matrix_game", {}, ["'matrix_game'", "payoffs"]),
        ("matrix_game", {"payofs": 1}, ["'payofs'", "nearest: payoffs"]),
    ],
)
def test_make_refuses_in_one_line_with_what_is_allowed_and_the_nearest_known(name, settings, said):
    with pytest.raises(ValueError) as refusal:
        envs.make(name, **settings)
    message = str(refusal.value)
    assert "\n" not in message and "allowed" in message
    for text in said:
        assert text in message


def test_envs_alone_imports_neither_the_learning_side_nor_its_libraries():
    unwanted = {
        "shaping.policies", "distrax", "tensorflow_probability", "tensorflow", "optax", "matplotlib", "orbax", "xarray"
    }  # fmt: skip
    made = "import sys; from shaping import envs; envs.make('ipd').default_params"
    code = f"{made}; print(sorted({unwanted!r} & set(sys.modules)))"
    root = str(Path(envs.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "[]"
