"""Exact returns of memory-one policies against closed forms and recomputed values of the literature.

The prisoner's dilemma (CC -1, CD -3, DC 0, DD -2) at discount 0.96 and the return p0^T (I - gamma P)^-1 r are
those of LOLA (Foerster et al., AAMAS 2018, section 4.1); values are (1 - gamma) times the return. States:
start, CC, CD, DC, DD. The "probe" is an arbitrary point, shared view, at which numbers were computed once in
float64 with a dense solve."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.objectives.exact_matrix import ExactMatrixGame
from shaping.policies import tabular

pytestmark = pytest.mark.usefixtures("x64")

PROBE = ((0.1, -0.2, 0.3, -0.4, 0.5), (-0.5, 0.4, -0.3, 0.2, -0.1))
ALLC, ALLD = (1, 1, 1, 1, 1), (0, 0, 0, 0, 0)
TFT, D_FIRST_TFT = (1, 1, 0, 1, 0), (0, 1, 0, 1, 0)
WSLS, GRIM = (1, 1, 0, 0, 1), (1, 1, 0, 0, 0)
UNIFORM = (0.5,) * 5


def form_of(horizon=None, state_view="shared", players=2) -> ExactMatrixGame:
    states = 1 if horizon == 1 else 1 + 2**players
    return ExactMatrixGame(players, horizon, state_view, (tabular(states),) * players)


@partial(jax.jit, static_argnames="form")
def returns(form, thetas, params):
    return jnp.stack(list(form.objective(params)(thetas)[0]))


@partial(jax.jit, static_argnames="form")
def normalised(form, thetas, params):
    return form.value_scale(params) * jnp.stack(list(form.objective(params)(thetas)[0]))


@partial(jax.jit, static_argnames="form")
def gradients(form, thetas, params):
    """[of][with respect to] gradients of the returns."""
    return jax.jacrev(lambda ts: list(form.objective(params)(ts)[0]))(thetas)


def logits(probabilities) -> jax.Array:
    return 40.0 * jnp.asarray(probabilities, jnp.float64) - 20.0


def probe() -> tuple[jax.Array, ...]:
    return tuple(jnp.asarray(theta) for theta in PROBE)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (TFT, TFT, (-1, -1)),
        (ALLC, ALLC, (-1, -1)),
        (ALLD, ALLD, (-2, -2)),
        (ALLC, ALLD, (-3, 0)),
        (TFT, ALLD, (-2.04, -1.92)),
        (TFT, ALLC, (-1, -1)),
        (D_FIRST_TFT, TFT, (-1.469388, -1.530612)),
        (WSLS, WSLS, (-1, -1)),
        (GRIM, GRIM, (-1, -1)),
        (WSLS, ALLD, (-2.510204, -0.979592)),
        (TFT, UNIFORM, (-1.52, -1.46)),
        (ALLD, UNIFORM, (-1, -2.5)),
        (UNIFORM, UNIFORM, (-1.5, -1.5)),
    ],
)
def test_values_of_named_strategies_in_own_view(first, second, expected):
    params = envs.make("ipd").default_params
    found = normalised(form_of(state_view="own"), (logits(first), logits(second)), params)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    swapped = normalised(form_of(state_view="own"), (logits(second), logits(first)), params)
    np.testing.assert_allclose(swapped, expected[::-1], atol=1e-6)


def test_value_of_the_probe():
    params = envs.make("ipd").default_params
    np.testing.assert_allclose(returns(form_of(), probe(), params), [-37.408285, -37.134283], atol=1e-6)
    np.testing.assert_allclose(normalised(form_of(), probe(), params), [-1.496331, -1.485371], atol=1e-6)


@pytest.mark.parametrize(("horizon", "expected"), [(50, -1.303796), (150, -1.493083), (None, -1.496331)])
def test_finite_horizon_value_of_the_probe_approaches_the_infinite_one(horizon, expected):
    found = normalised(form_of(horizon), probe(), envs.make("ipd").default_params)
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_three_round_return_of_the_probe_is_unnormalised():
    found = returns(form_of(3), probe(), envs.make("ipd").default_params)
    np.testing.assert_allclose(found[0], -4.620330812656761, atol=1e-12)


def test_gradients_at_zero_are_of_the_unnormalised_return():
    own, other = gradients(form_of(), (jnp.zeros(5),) * 2, envs.make("ipd").default_params)[0]
    np.testing.assert_allclose(own, [-0.25, -1.5, -1.5, -1.5, -1.5], atol=1e-9)
    np.testing.assert_allclose(other, [0.5, 3, 3, 3, 3], atol=1e-9)


def test_gradients_at_the_probe():
    found = gradients(form_of(), probe(), envs.make("ipd").default_params)
    expected = [
        [
            [-0.253950, -1.493429, -1.521844, -1.449177, -1.338969],
            [0.578581, 3.598775, 3.713991, 3.670673, 3.500767],
        ],
        [
            [0.497721, 3.032833, 3.005546, 2.919731, 2.665377],
            [-0.355011, -2.222330, -2.269266, -2.276230, -2.130252],
        ],
    ]
    np.testing.assert_allclose(np.array(found), expected, atol=2e-6)


def test_matching_pennies_at_the_probe_is_zero_sum():
    params = envs.make("matching_pennies", discount=0.9).default_params
    found = normalised(form_of(), probe(), params)
    np.testing.assert_allclose(found, [-0.017912, 0.017912], atol=1e-6)
    own = gradients(form_of(), probe(), params)[0][0]
    np.testing.assert_allclose(own, [-0.123528, 0.218908, -0.174599, 0.104271, -0.053051], atol=2e-6)


def test_swapping_the_players_of_a_symmetric_game_swaps_the_values():
    rng = np.random.default_rng(0)
    params, swap = envs.make("ipd").default_params, np.array([0, 1, 3, 2, 4])
    for first, second in rng.normal(size=(20, 2, 5)):
        value = returns(form_of(), (first, second), params)
        swapped = returns(form_of(), (second[swap], first[swap]), params)
        np.testing.assert_allclose(value, swapped[::-1], rtol=1e-12)


def test_own_view_is_the_shared_view_with_player_1s_cd_and_dc_exchanged():
    rng = np.random.default_rng(1)
    params, swap = envs.make("ipd").default_params, np.array([0, 1, 3, 2, 4])
    for first, second in rng.normal(size=(20, 2, 5)):
        shared = returns(form_of(), (first, second), params)
        own = returns(form_of(state_view="own"), (first, second[swap]), params)
        np.testing.assert_allclose(shared, own, rtol=1e-12)


def test_contribution_game_of_three_values_cooperation_defection_and_a_lone_defector():
    params = envs.make("contribution", num_players=3, contribution_factor=1.8).default_params
    cooperate, defect = jnp.full(9, 20.0), jnp.full(9, -20.0)
    form = form_of(players=3)
    np.testing.assert_allclose(normalised(form, (cooperate,) * 3, params), [0.8] * 3, atol=1e-6)
    np.testing.assert_allclose(normalised(form, (defect,) * 3, params), [0.0] * 3, atol=1e-6)
    lone = normalised(form, (defect, cooperate, cooperate), params)
    np.testing.assert_allclose(lone, [1.2, 0.2, 0.2], atol=1e-6)


def test_pure_returns_are_those_of_always_cooperating_and_always_defecting():
    params = envs.make("ipd").default_params
    for form, scale in [(form_of(), 25.0), (form_of(3), 1 + 0.96 + 0.96**2), (form_of(1), 1.0)]:
        for cooperate, reward in [(True, -1.0), (False, -2.0)]:
            np.testing.assert_allclose(form.pure_returns(cooperate, params), [reward * scale] * 2)


def test_tit_for_tat_against_itself_with_trembling_hands():
    params = envs.make("ipd", noise=0.05).default_params
    found = normalised(form_of(state_view="own"), (logits(TFT),) * 2, params)
    np.testing.assert_allclose(found, [-1.3676, -1.3676], atol=5e-5)


def test_value_scale_is_one_minus_discount_and_the_mean_per_step_at_discount_one():
    one = envs.make("ipd", discount=1.0, horizon=4).default_params
    uniform = tuple(jnp.zeros(5) for _ in range(2))
    np.testing.assert_allclose(normalised(form_of(4), uniform, one), [-1.5, -1.5], rtol=1e-12)
    discounted = envs.make("ipd").default_params
    np.testing.assert_allclose(form_of(4).value_scale(discounted), 0.04, rtol=1e-12)
    np.testing.assert_allclose(form_of().value_scale(discounted), 0.04, rtol=1e-12)
    np.testing.assert_allclose(form_of(1).value_scale(discounted), 1.0)


def test_distance_is_the_divergence_of_the_old_policy_from_the_new_summed_over_states():
    new, old = np.random.default_rng(2).normal(size=(2, 5))
    p, q = 1 / (1 + np.exp(-old)), 1 / (1 + np.exp(-new))
    expected = np.sum(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    np.testing.assert_allclose(form_of().distance(0, jnp.asarray(new), jnp.asarray(old), None), expected, rtol=1e-12)
    assert form_of().distance(0, jnp.asarray(old), jnp.asarray(old), None) == 0
