"""Products of advantages against sums written out by hand, and against exact derivatives of an enumerated game."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.learners.advantage_products import (
    advantage_alignment,
    alignment_term,
    loaded_returns,
    loqa_kernel,
    loqa_loss,
    loqa_term,
    others_of,
    paper_kernel,
    returns_of,
)
from tests.compiling import quickly
from tests.objectives.enumeration import (
    ACTIONS,
    DISCOUNT,
    PROBE,
    REWARDS,
    STATES,
    STEPS,
    exact_derivatives,
    log_probabilities,
    weights,
)

pytestmark = pytest.mark.usefixtures("x64")

GAMMA, BETA = 0.9, 0.3
aligned = quickly(advantage_alignment, static_argnums=(1, 2, 3))
NUMBERS = np.random.default_rng(0)


def by_hand(advantages, form):
    """The definition, index by index."""
    steps, streams, players = advantages.shape
    found = advantages.copy()
    for t in range(1, steps):
        for b in range(streams):
            for i in range(players):
                if form == "paper":
                    past = BETA * GAMMA * sum(GAMMA ** (t - k) * advantages[k, b, i] for k in range(t))
                else:
                    past = BETA * sum(advantages[k, b, i] for k in range(t)) / t
                for j in range(players):
                    found[t, b, i] += past * advantages[t, b, j] if j != i else 0
    return found


@pytest.mark.parametrize("form", ["paper", "code"])
@pytest.mark.parametrize("players", [2, 3])
def test_alignment_is_the_sum_of_the_definition(form, players):
    advantages = NUMBERS.normal(size=(6, 3, players))
    found = aligned(advantages, BETA, GAMMA, form)
    np.testing.assert_allclose(found, by_hand(advantages, form), atol=1e-12)


@pytest.mark.parametrize("form", ["paper", "code"])
def test_players_who_change_seats_change_their_terms(form):
    advantages = NUMBERS.normal(size=(5, 2, 3))
    order = np.array([2, 0, 1])
    there, here = (np.asarray(aligned(each, BETA, GAMMA, form)) for each in (advantages[..., order], advantages))
    np.testing.assert_allclose(there, here[..., order], atol=1e-13)


@pytest.mark.parametrize("form", ["paper", "code"])
def test_a_third_player_without_advantages_changes_nothing(form):
    two = NUMBERS.normal(size=(5, 2, 2))
    three = np.concatenate([two, np.zeros((5, 2, 1))], axis=-1)
    found = np.asarray(aligned(three, BETA, GAMMA, form))
    np.testing.assert_allclose(found[..., :2], aligned(two, BETA, GAMMA, form), atol=1e-14)


def test_wrong_arguments_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"form is 'published'; allowed: paper or code"):
        advantage_alignment(jnp.zeros((2, 2, 2)), form="published")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"the shape \[2, 2\]; allowed: \[time, batch, players\]"):
        advantage_alignment(jnp.zeros((2, 2)))
    with pytest.raises(ValueError, match="discount is 1.5; allowed"):
        advantage_alignment(jnp.zeros((2, 2, 2)), discount=1.5)


def chances(thetas):
    """Of joint actions CC, CD, DC, DD in each state, [states, 4]; differentiable."""
    p, q = (jax.nn.sigmoid(jnp.asarray(theta)) for theta in thetas)
    return jnp.stack([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)], axis=1)


def exact_values(thetas):
    """V[k, states, players] of what follows from step k on, for k = 0 .. STEPS, by recursion from the end."""
    payoffs, joint = jnp.array([[-1, -1], [-3, 0], [0, -3], [-2, -2]], float), chances(thetas)
    found = [jnp.zeros((5, 2))]
    for _ in range(STEPS):
        found.append(joint @ (payoffs + DISCOUNT * found[-1][1:]))
    return jnp.stack(found[::-1])


def joint_values(values):
    """Q[k, joint actions, players], which does not depend on the state they are taken in."""
    payoffs = jnp.array([[-1, -1], [-3, 0], [0, -3], [-2, -2]], float)
    return payoffs + DISCOUNT * values[1:, 1:]


def test_the_expected_alignment_term_is_the_exact_second_order_term():
    # By recursion: beta gamma sum over k, s, a, b of P(s_k = s) pi(a, b | s) A_1,k(s, a, b) d Q_2,k(a, b) / d theta_1.
    probe = [jnp.asarray(theta) for theta in PROBE]
    values, joint = quickly(lambda: (exact_values(probe), chances(probe)))()

    def second_order(theta):
        ahead = joint_values(exact_values([theta, probe[1]]))[..., 1]
        there, total = jnp.eye(5)[0], 0.0
        for k in range(STEPS):
            advantages = joint_values(values)[k, :, 0] - values[k, :, None, 0]
            total += jnp.sum(there[:, None] * joint * advantages * ahead[k])
            there = jnp.concatenate([jnp.zeros(1), there @ joint])
        return BETA * DISCOUNT * total

    # By enumeration: every course of play with its probability.
    step = np.arange(STEPS)[:, None]
    taken = 2 * ACTIONS[..., 0] + ACTIONS[..., 1]

    def surrogate(theta):
        advantages = joint_values(values)[step, taken] - values[step, STATES]
        term = alignment_term(paper_kernel(BETA, DISCOUNT), advantages[..., 0], advantages[..., 1:])
        own = log_probabilities([theta, probe[1]])[..., 0]
        return jnp.mean(weights(probe) * jnp.sum(term * own, axis=0))

    found, expected = quickly(lambda theta: (jax.grad(surrogate)(theta), jax.grad(second_order)(theta)))(probe[0])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.abs(expected).max() > 1e-3


def test_the_return_of_an_opponent_differentiates_like_the_exact_one_twice():
    def estimated(theta):
        values = exact_values([jnp.asarray(theta) for theta in PROBE])[np.arange(STEPS)[:, None], STATES][..., 1:]
        own = log_probabilities([theta, PROBE[1]])[..., 0]
        returns = loaded_returns(own, jnp.asarray(REWARDS[..., 1:]), values, DISCOUNT)[0, :, 0]
        return jnp.mean(weights(PROBE) * returns)

    gradients, hessians = exact_derivatives()[:2]
    gradient, hessian = quickly(lambda theta: (jax.grad(estimated)(theta), jax.hessian(estimated)(theta)))(PROBE[0])
    np.testing.assert_allclose(gradient, gradients[1, :5], atol=1e-12)
    np.testing.assert_allclose(hessian, hessians[1, :5, :5], atol=1e-12)


@pytest.mark.parametrize(("others", "temperature"), [(1, 1.0), (2, 0.5)])
def test_the_gradient_of_loqa_is_a_policy_gradient_with_its_alignment_term(others, temperature):
    steps, streams, actions = 5, 3, 4
    running = np.arange(steps)[:, None] < np.array([5, 3, 4])

    def draw(*more):
        seen = running.reshape(steps, streams, *[1] * len(more))
        return jnp.asarray(NUMBERS.normal(size=(steps, streams, *more)) * seen)

    own, advantages, rewards, values = draw(), draw(), draw(others), draw(others)
    each, taken = draw(others, actions), jnp.asarray(NUMBERS.integers(actions, size=(steps, streams, others)))
    data = (rewards, values, each, taken)

    def loss(own):
        own = jnp.where(running, own, 0)
        return loqa_loss(own, advantages, *data, GAMMA, 0.7, temperature, jnp.asarray(running))

    @quickly
    def both():
        kernel = loqa_kernel(1.0, GAMMA, 0.7, temperature)
        term = loqa_term(kernel, advantages, rewards, returns_of(rewards, GAMMA), *data[1:], GAMMA, temperature)
        return jax.grad(loss)(own), term

    slope, term = map(np.asarray, both())
    np.testing.assert_allclose(-slope, term * running / running.sum(), atol=1e-12)
    assert np.abs(term).max() > 0.1


def test_loqa_against_two_opponents_is_the_sum_over_both():
    def draw(*more):
        return jnp.asarray(NUMBERS.normal(size=(4, 2, *more)))

    own, advantages = draw(), draw()
    rewards, values, each = draw(2), draw(2), draw(2, 3)
    taken = jnp.asarray(NUMBERS.integers(3, size=(4, 2, 2)))

    def loss(seats):
        rewards_of, values_of, each_of, taken_of = (x[:, :, seats] for x in (rewards, values, each, taken))
        return loqa_loss(own, advantages, rewards_of, values_of, each_of, taken_of)

    both, *each = quickly(lambda: [loss(np.array(seats)) for seats in ([0, 1], [0], [1])])()
    np.testing.assert_allclose(both, sum(each), atol=1e-13)


def test_others_keep_the_order_of_their_seats():
    assert others_of(jnp.arange(3)[None, None], 1).tolist() == [[[0, 2]]]
