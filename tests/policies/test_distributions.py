"""Normal distributions squashed to a box: against numerical integration, inside and at the edges, and in a policy."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from shaping.envs.spaces import Box, Discrete
from shaping.policies import gaussian, network
from shaping.policies.distributions import (
    SquashedNormal,
    always,
    categorical,
    numbers_of_sample,
    one_out_of,
    sampled_from,
    squashed_normal,
)
from tests.compiling import quickly

BOXES = [Box((1,), 0.0, 1.0), Box((1,), -3.0, 5.0)]
NORMALS = [(0.7, 0.3), (2.0, 0.05)]
NORMALS += [pytest.param(*normal, marks=pytest.mark.slow) for normal in ((0.0, 1.0), (-1.5, 2.0))]


def one(mean, sd, box):
    return SquashedNormal(jnp.array([mean], float), jnp.array([sd], float), box)


def expected(function, mean, sd, box):
    """E function(y) by adaptive quadrature over u, with y from its definition."""

    def integrand(u):
        y = box.low + (box.high - box.low) * (1 + np.tanh(u)) / 2
        return stats.norm.pdf(u, mean, sd) * function(y, u)

    points = np.linspace(mean - 12 * sd, mean + 12 * sd, 41)
    return sum(integrate.quad(integrand, a, b)[0] for a, b in zip(points, points[1:], strict=False))


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize(("mean", "sd"), NORMALS)
def test_the_density_of_actions_and_the_chances_of_the_edges_sum_to_one(mean, sd, box):
    with jax.enable_x64(True):
        # Gauss-Legendre in u, from which actions follow; the density is asked of the actions alone.
        nodes, weights = np.polynomial.legendre.leggauss(40)
        panels = np.linspace(-6, 6, 61)
        u = (panels[:-1, None] + (1 + nodes) / 10).ravel()
        weights = np.tile(weights / 10, 60)
        actions = box.low + (box.high - box.low) * (1 + np.tanh(u)) / 2
        slopes = (box.high - box.low) / 2 * (1 - np.tanh(u) ** 2)
        asked = np.append(actions, [box.low, box.high])
        found = quickly(lambda mean, sd, y: jax.vmap(lambda y: one(mean, sd, box).log_prob(y[None]))(y))
        *chances, low, high = np.exp(found(mean, sd, asked))
        inside, edges = np.sum(weights * slopes * chances), low + high
        np.testing.assert_allclose(inside + edges, 1, atol=1e-8)
        mean_action = np.sum(weights * slopes * chances * actions) + low * box.low + high * box.high
        np.testing.assert_allclose(mean_action, expected(lambda y, u: y, mean, sd, box), atol=1e-4)


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize(("mean", "sd"), NORMALS)
def test_samples_have_the_mean_that_quadrature_gives(mean, sd, box):
    count = 20_000
    keys = jax.random.split(jax.random.key(0), count)
    drawn = quickly(lambda mean, sd: jax.vmap(lambda key: one(mean, sd, box).sample(seed=key))(keys))(mean, sd)
    assert drawn.shape == (count, 1) and np.all(drawn >= box.low) and np.all(drawn <= box.high)
    error = np.std(drawn) / np.sqrt(count)
    assert abs(np.mean(drawn) - expected(lambda y, u: y, mean, sd, box)) < 4.5 * error + 1e-4


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize(
    ("mean", "sd", "within"),
    [(1.5, 2.0, 1e-4), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((0.0, 1.0, 1e-4), (0.5, 7.3, 0.1)))],
)
def test_the_entropy_is_the_integral_it_stands_for(mean, sd, within, box):
    def surprise(y, u):
        slope = np.log((box.high - box.low) / 2) + 2 * (np.log(2) - np.logaddexp(u, -u))
        return -stats.norm.logpdf(u, mean, sd) + slope

    with jax.enable_x64(True):
        found = quickly(lambda mean, sd: one(mean, sd, box).entropy())(mean, sd)
        np.testing.assert_allclose(found, expected(surprise, mean, sd, box), atol=within)


def test_the_divergence_of_two_policies_is_the_integral_it_stands_for():
    with jax.enable_x64(True):
        box = BOXES[1]
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        u = 0.4 + 0.7 * nodes
        actions = box.low + (box.high - box.low) * (1 + np.tanh(u)) / 2

        @quickly
        def compared(actions):
            p, q = one(0.4, 0.7, box), one(-0.3, 1.1, box)
            surprises = jax.vmap(lambda y: p.log_prob(y[None]) - q.log_prob(y[None]))(actions)
            return surprises, p.kl_divergence(q), p.kl_divergence(p)

        surprises, divergence, none = compared(actions)
        np.testing.assert_allclose(divergence, np.sum(weights / weights.sum() * surprises), rtol=1e-6)
        np.testing.assert_allclose(none, 0, atol=1e-15)


@cache
def log_probability_of(box):
    """The mean log-probability of what was drawn, with first and second derivatives in mean and log_sd."""

    def total(mean, log_sd):
        distribution = squashed_normal(mean[None], log_sd[None], box)
        drawn = jax.lax.stop_gradient(
            jax.vmap(lambda key: distribution.sample(seed=key))(jax.random.split(jax.random.key(1), 200))
        )
        return jnp.mean(jax.vmap(distribution.log_prob)(drawn))

    return quickly(lambda *at: (jax.value_and_grad(total, (0, 1))(*at), jax.hessian(total)(*at)))


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("mean", [-40.0, -9.0, -6.0, 5.9, 8.0, 40.0])
def test_log_probabilities_of_what_was_drawn_stay_finite_at_the_edges(mean, box):
    """In single precision, where tanh has long become 1: finite values and derivatives, and none that pulls back a
    player that is sure of an edge."""

    measured = log_probability_of(box)
    for log_sd in (-9.0, 0.0, 5.0):
        (value, slopes), curvature = measured(jnp.float32(mean), jnp.float32(log_sd))
        assert all(np.isfinite(x) for x in (value, *slopes, curvature))
        if abs(mean) == 40 and log_sd == 0:
            assert abs(slopes[0]) < 1e-6


@pytest.mark.parametrize("mean", [0.3, 5.5, 6.5])
def test_the_mean_derivative_of_a_log_probability_is_zero(mean):
    """What likelihood-ratio gradients rest on; at the edges it takes their chances to make it true."""
    box, count = BOXES[0], 40_000

    def scores(mean):
        def score(key):
            drawn = jax.lax.stop_gradient(one(mean, 0.5, box).sample(seed=key))
            return jax.grad(lambda m: SquashedNormal(m[None], jnp.array([0.5]), box).log_prob(drawn))(mean)

        return jax.vmap(score)(jax.random.split(jax.random.key(2), count))

    def one(mean, sd, box):
        return SquashedNormal(mean[None], jnp.array([sd]), box)

    found = np.asarray(quickly(scores)(jnp.float32(mean)))
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(count)


def test_a_certain_action_is_played_exactly_at_the_edges_and_has_no_entropy():
    box = Box((3,), 0.0, 10.0)

    @quickly
    def play(actions):
        certain = always(actions, box)
        drawn = certain.sample(seed=jax.random.key(0))
        return drawn, (certain.log_prob(drawn), certain.entropy(), certain.kl_divergence(certain))

    drawn, nothing = play(jnp.array([0.0, 2.5, 10.0]))
    assert drawn[0] == 0 and drawn[2] == 10
    np.testing.assert_allclose(drawn[1], 2.5, rtol=1e-6)
    assert nothing == (0, 0, 0)


def test_one_out_of_several_is_the_one_with_its_number():
    box = BOXES[0]
    several = [one(0.2, 1.0, box), always(jnp.array([1.0]), box)]
    for number, member in enumerate(several):
        chosen = one_out_of(several, jnp.int32(number))
        np.testing.assert_array_equal(chosen.mean, member.mean)
        assert chosen.entropy() == member.entropy()
    mixed = r"distributions are Categorical on logits, SquashedNormal on Box.*; allowed: all of one kind"
    with pytest.raises(ValueError, match=mixed):
        one_out_of([several[0], categorical(jnp.zeros(2))], jnp.int32(0))
    with pytest.raises(ValueError, match="distributions are SquashedNormal"):
        one_out_of([several[0], one(0.0, 1.0, BOXES[1])], jnp.int32(0))


@pytest.mark.parametrize("shape", [(2, 2), (), *(pytest.param(s, marks=pytest.mark.slow) for s in ((1,), (3,)))])
def test_dimensions_are_independent_whatever_the_shape_of_an_action(shape):
    box = Box(shape, -1.0, 1.0)
    policy = gaussian(box)
    theta = policy.init(jax.random.key(3), jnp.float32(1))

    @quickly
    def play(theta):
        distribution, _ = policy.apply(theta, jnp.zeros(4), None)
        drawn = distribution.sample(seed=jax.random.key(4))
        each = (x.ravel()[:, None] for x in (distribution.mean, distribution.sd, drawn))
        apart = jax.vmap(lambda m, s, y: SquashedNormal(m, s, Box((1,), -1.0, 1.0)).log_prob(y))(*each)
        return drawn, distribution.log_prob(drawn), distribution.entropy(), apart

    drawn, log_probability, entropy, apart = play(theta)
    assert drawn.shape == shape and log_probability.shape == entropy.shape == ()
    np.testing.assert_allclose(log_probability, sum(apart), rtol=1e-5)


def test_a_network_of_continuous_actions_keeps_its_actions_beside_a_critic():
    box = Box((2,), 0.0, 1.0)
    alone, beside = (network(Discrete(5), box, recurrent="gru", critic=critic) for critic in (False, True))
    one, two = (policy.init(jax.random.key(0), jnp.float32(1)) for policy in (alone, beside))
    jax.tree.map(np.testing.assert_array_equal, one, {name: two[name] for name in one})

    def shapes(theta):
        distribution, value, _ = beside.evaluate(theta, jnp.arange(3), beside.start((3,)))
        return distribution.mean, distribution.sd, value

    assert [leaf.shape for leaf in jax.eval_shape(shapes, two)] == [(3, 2), (3, 2), (3,)]
    assert network(Discrete(5), box) != network(Discrete(5), Box((2,), 0.0, 2.0))


@pytest.mark.parametrize("actions", [Discrete(3), Box((2,), 0.0, 1.0)])
def test_an_action_can_be_made_of_numbers_drawn_before_the_policy_is_asked(actions):
    policy = network(Discrete(5), actions, hidden=(), recurrent="gru", units=3)
    theta = policy.init(jax.random.key(0), jnp.float32(2))
    keys = jax.random.split(jax.random.key(1), 200)

    @quickly
    def both(theta):
        distribution, _ = policy.apply(theta, jnp.int32(2), policy.start(()))
        numbers = jax.vmap(lambda key: numbers_of_sample(policy, theta, Discrete(5), key))(keys)
        later = jax.vmap(lambda own: sampled_from(distribution, own))(numbers)
        return later, jax.vmap(lambda key: distribution.sample(seed=key))(keys)

    later, at_once = both(theta)
    np.testing.assert_array_equal(later, at_once)
    assert later.dtype == at_once.dtype and len(np.unique(later, axis=0)) > 2
