"""Policies in other coordinates: every rule then follows from the chain rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.objectives.exact_matrix import exact
from shaping.policies import preconditioned, tabular
from shaping.rules import lola, naive
from tests.compiling import quickly

pytestmark = pytest.mark.usefixtures("x64", "without_pictures")

ETA = 0.3
# Zhao et al. 2022 (POLA), LOLA_exact.py: twice the parameter of DD is taken from every other state.
MATRIX = np.eye(5) - 2 * np.outer([1, 1, 1, 1, 0], [0, 0, 0, 0, 1])
ANY = np.random.default_rng(3).normal(size=(5, 5))


def point(seed):
    return [jnp.asarray(theta) for theta in np.random.default_rng(seed).normal(size=(2, 5))]


@pytest.mark.parametrize(
    "matrix", [pytest.param(MATRIX, id="POLA's", marks=pytest.mark.slow), pytest.param(ANY, id="any")]
)
def test_directions_in_other_coordinates_follow_from_the_chain_rule(matrix):
    """With theta = M phi: nabla_phi = M^T nabla_theta, and M M^T stands where an opponent's step meets a gradient."""
    game, phi = envs.make("contribution", contribution_factor=1.33, horizon=3), point(0)
    inside = exact(game, (preconditioned(matrix),) * 2)
    outside = exact(game, (tabular(5),) * 2)
    theta = [matrix @ p for p in phi]
    value = [lambda a, b, i=i: outside([a, b])[0][i] for i in range(2)]
    metric = matrix @ matrix.T

    def shaped(own):
        return value[0](own, theta[1] + ETA * metric @ jax.grad(value[1], 1)(own, theta[1]))

    @quickly
    def derivatives(theta):
        gradients = [jax.grad(one, (0, 1))(*theta) for one in value]
        return *gradients, [jax.jacfwd(jax.grad(one, 0), 1)(*theta) for one in value], jax.grad(shaped)(theta[0])

    g0, g1, cross, exactly = jax.tree.map(np.asarray, derivatives(theta))
    middle, shaping_term = cross[0] @ metric @ g1[1], cross[1] @ metric @ g0[1]
    expected = {
        "naive": (naive(), g0[0]),
        "original": (lola("original", ETA), g0[0] + ETA * shaping_term),
        "taylor": (lola("taylor", ETA), g0[0] + ETA * (middle + shaping_term)),
        "exact": (lola("exact", ETA), exactly),
    }
    found = quickly(lambda phi: {name: rule.direction(inside, phi, 0) for name, (rule, _) in expected.items()})(phi)
    for name, (_, ascent) in expected.items():
        np.testing.assert_allclose(found[name], matrix.T @ ascent, rtol=1e-7, err_msg=name)


def test_scalars_one_by_one_and_an_array_give_the_same_logits():
    policy, (theta, _) = preconditioned(MATRIX), point(1)
    np.testing.assert_allclose(policy.table(theta), MATRIX @ np.array(theta), rtol=1e-12)
    np.testing.assert_allclose(np.array(policy.table(tuple(theta))), MATRIX @ np.array(theta), rtol=1e-12)
    zero_row = preconditioned(np.diag([1.0, 0, 2, 3, 4])).table(tuple(theta))
    assert zero_row[1] == 0


def test_what_it_does_is_what_its_table_says():
    policy, (theta, _) = preconditioned(MATRIX), point(2)
    for state in range(5):
        distribution, _ = policy.apply(theta, state, None)
        expected = 1 / (1 + np.exp(-(MATRIX @ np.array(theta))[state]))
        np.testing.assert_allclose(distribution.probs[0], expected, rtol=1e-6)


def test_policies_with_the_same_matrix_compile_to_the_same_program():
    assert preconditioned(MATRIX) == preconditioned(MATRIX.tolist()) != preconditioned(ANY)
    assert preconditioned(np.eye(5)) != tabular(5)


@pytest.mark.parametrize("matrix", [[1.0, 2.0], [[np.nan]], [[]]])
def test_a_matrix_that_is_none_is_refused(matrix):
    with pytest.raises(ValueError, match=r"finite numbers \[states, parameters\]"):
        preconditioned(matrix)


def test_a_configuration_trains_it_and_a_run_gives_it_back(tmp_path):
    config = {
        "game": {"name": "contribution", "num_players": 2, "horizon": 2},
        "players": {"rule": "naive", "step_size": 25.0},
        "policy": {"kind": "preconditioned", "matrix": MATRIX.tolist(), "init": {"normal": 0.1}},
        "matches": 4,
        "updates": 3,
    }
    run = shaping.load(shaping.run(config, tmp_path / "run"))
    record = run.record.isel(match=3).load()
    for seat, (policy, theta) in enumerate(run.policies(3)):
        assert policy == preconditioned(MATRIX)
        expected = 1 / (1 + np.exp(-(MATRIX @ theta)))
        np.testing.assert_allclose(record["policy"].values[seat], expected, atol=1e-6)
