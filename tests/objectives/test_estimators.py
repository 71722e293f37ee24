"""Estimators against the exact returns, by enumerating every course of play, without sampling error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.objectives import estimators
from shaping.objectives.objective import Objective
from shaping.rules import lola
from tests.compiling import quickly
from tests.objectives.enumeration import (
    DISCOUNT,
    PROBE,
    REWARDS,
    STATES,
    VALUE,
    all_derivatives,
    exact_derivatives,
    exact_returns,
    log_probabilities,
    weights,
)


def values_of(table):
    """A value for every state as one for every step, [time, courses, players]; any table will do for a baseline."""
    return jnp.stack([jnp.asarray(table)[STATES]] * 2, axis=-1)


def dice(thetas, baseline=None):
    weight = weights(thetas)[:, None]
    found = None if baseline is None else baseline * weight
    return estimators.dice(log_probabilities(thetas), REWARDS * weight, DISCOUNT, found)


def loaded_dice(thetas, values, decay=None):
    advantages = estimators.gae(jnp.asarray(REWARDS), values, DISCOUNT, 1.0)
    weighted = advantages * weights(thetas)[:, None]
    return estimators.loaded_dice(log_probabilities(thetas), weighted, DISCOUNT, decay)


WRONG = np.array([-3.0, 1.0, -7.0, 2.0, 0.5])


@pytest.mark.parametrize("name", ["dice", "baseline", "loaded"])
def test_all_derivatives_up_to_the_third_are_those_of_the_exact_return(x64, name):
    # Foerster et al. 2018b, theorem 1; Farquhar et al. 2019, section 3.
    estimate = {
        "dice": dice,
        "baseline": lambda thetas: dice(thetas, values_of(WRONG)),
        "loaded": lambda thetas: loaded_dice(thetas, values_of(WRONG)),
    }[name]
    for ours, theirs in zip(all_derivatives(estimate, PROBE), exact_derivatives(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12, rtol=0)
    # There are third derivatives to be right about.
    assert np.all(np.abs(exact_derivatives()[2]).max(axis=(1, 2, 3)) > 0.01)


def test_the_value_is_that_of_the_return_and_zero_for_loaded_dice(x64):
    @quickly
    def values(thetas):
        wrong = values_of(WRONG)
        return exact_returns(thetas)[0], dice(thetas)[0], dice(thetas, wrong)[0], loaded_dice(thetas, wrong)

    *found, nothing = values([jnp.asarray(theta) for theta in PROBE])
    np.testing.assert_allclose(found, [VALUE] * 3, atol=1e-12, rtol=0)
    assert np.all(nothing == 0)


def test_the_plain_surrogate_has_the_right_gradient_and_a_wrong_hessian(x64):
    def plain(thetas):
        return estimators.surrogate(log_probabilities(thetas), REWARDS * weights(thetas)[:, None], DISCOUNT)

    exact = exact_derivatives()
    gradient, hessian = all_derivatives(plain, PROBE, 2)
    np.testing.assert_allclose(gradient[0], exact[0][0], atol=1e-12, rtol=0)
    assert np.abs(hessian[0] - exact[1][0]).max() == pytest.approx(1.1395, abs=1e-4)


def test_loaded_dice_that_forgets_keeps_the_gradient_and_is_biased_from_the_hessian_on(x64):
    # Farquhar et al. 2019, section 4: lambda below 1 drops what distant steps contribute together.
    exact = exact_derivatives()
    gradient, hessian = all_derivatives(lambda thetas: loaded_dice(thetas, values_of(WRONG), 0.9), PROBE, 2)
    np.testing.assert_allclose(gradient[0], exact[0][0], atol=1e-12, rtol=0)
    assert np.abs(hessian[0] - exact[1][0]).max() > 0.005


def test_advantages_that_trust_a_wrong_value_function_bias_the_gradient(x64):
    for decay, biased in ((1.0, False), (0.9, True)):
        advantages = estimators.gae(jnp.asarray(REWARDS), values_of(WRONG), DISCOUNT, decay)

        def of(thetas, advantages=advantages):
            return estimators.loaded_dice(log_probabilities(thetas), advantages * weights(thetas)[:, None], DISCOUNT)

        error = np.abs(all_derivatives(of, PROBE, 1)[0][0] - exact_derivatives()[0][0]).max()
        assert (error > 0.01) == biased


def test_lola_through_an_enumerated_dice_step_is_the_exact_one_and_needs_everybodys_log_probabilities(x64):
    # Golden vectors: T = 3, eta = .3, at the probe, and what own log-probabilities alone in the inner step make of it.
    right = [-0.25510378, -0.08742009, -0.16134919, -0.07377550, -0.13258665]
    wrong = [-0.25505, -0.10188, -0.14417, -0.08907, -0.12062]
    thetas = [jnp.asarray(theta) for theta in PROBE]
    rule = lola("exact", lookahead_rate=0.3)

    def blind(theta):
        def own_alone(other):
            terms = log_probabilities([theta, other]) * jnp.array([0.0, 1.0])
            return estimators.dice(terms, REWARDS * weights([theta, other])[:, None], DISCOUNT)[1]

        return dice([theta, thetas[1] + 0.3 * jax.grad(own_alone)(thetas[1])])[0]

    @quickly
    def directions():
        each = [
            rule.direction(Objective(lambda ts, key, context, of=of: (of(ts), None)), thetas, 0)
            for of in (dice, exact_returns)
        ]
        return *each, jax.grad(blind)(thetas[0])

    found, exact, blindly = directions()
    np.testing.assert_allclose(found, right, atol=1e-8, rtol=0)
    np.testing.assert_allclose(found, exact, atol=1e-12, rtol=0)
    np.testing.assert_allclose(blindly, wrong, atol=2e-5, rtol=0)


def test_the_magic_box_is_one_with_the_derivatives_of_a_likelihood_ratio(x64):
    def f(x):
        return jnp.sin(x[0]) * x[1] ** 2

    def box(x):
        return estimators.magic_box(f(x))

    at = jnp.array([0.7, -1.3])
    own, boxed = (quickly(lambda x, f=f: (f(x), jax.grad(f)(x), jax.hessian(f)(x)))(at) for f in (f, box))
    _, slope, curve = map(np.asarray, own)
    assert boxed[0] == 1
    np.testing.assert_allclose(boxed[1], slope, atol=1e-12)
    np.testing.assert_allclose(boxed[2], curve + np.outer(slope, slope), atol=1e-12)


def test_generalised_advantages_are_the_sums_of_their_definition(x64):
    rewards, values = (jax.random.normal(jax.random.key(i), (6, 3)) for i in (0, 1))
    gamma, decay = 0.9, 0.7
    following = np.concatenate([values[1:], np.zeros((1, 3))])
    deltas = np.asarray(rewards) + gamma * following - np.asarray(values)
    slow = [sum((gamma * decay) ** k * deltas[t + k] for k in range(6 - t)) for t in range(6)]
    np.testing.assert_allclose(estimators.gae(rewards, values, gamma, decay), slow, atol=1e-12)


def test_accumulated_sums_with_and_without_decay_are_those_of_a_loop(x64):
    terms = jax.random.normal(jax.random.key(0), (7, 2))
    for decay in (None, 1.0, 0.8, 0.0):
        rate, total, slow = 1.0 if decay is None else decay, np.zeros(2), []
        for term in np.asarray(terms):
            total = rate * total + term
            slow.append(total)
        np.testing.assert_allclose(estimators.accumulated(terms, decay), slow, atol=1e-12)


def test_rewards_less_those_of_the_other_streams_are_what_the_batch_mean_takes_off_scaled_up(x64):
    rewards = np.asarray(jax.random.normal(jax.random.key(0), (4, 5, 2)))
    others = np.stack([np.delete(rewards, b, axis=1).mean(1) for b in range(5)], axis=1)
    np.testing.assert_allclose(estimators.centred(jnp.asarray(rewards), "leave_one_out"), rewards - others, atol=1e-12)
    mean = rewards - rewards.mean(1, keepdims=True)
    np.testing.assert_allclose(estimators.centred(jnp.asarray(rewards), "batch_mean"), mean, atol=1e-12)
    np.testing.assert_array_equal(estimators.centred(jnp.asarray(rewards), "none"), rewards)
