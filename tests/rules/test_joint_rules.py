"""The rules of differentiable games against a dense numpy reference, published directions and closed forms.

The reference takes every gradient and second derivative of the returns as an array and computes in numpy, in losses
L = -V, what the papers state: xi = (nabla_i L_i), H = nabla xi, H_o without its diagonal blocks, chi_i = sum_{j != i}
(nabla_i nabla_j L_j)^T nabla_j L_i.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.objectives import from_returns
from shaping.rules.cgd import cgd
from shaping.rules.consensus import consensus
from shaping.rules.extragradient import extragradient
from shaping.rules.first_order import lookahead
from shaping.rules.hola import hola
from shaping.rules.lola import lola
from shaping.rules.lss import lss
from shaping.rules.naive import naive
from shaping.rules.sga import sga
from shaping.rules.sos import shaping_share, sos
from tests.rules.random_games import (
    CASES,
    all_directions,
    descend,
    game,
    matrix_game,
    points,
    polynomial,
    polynomial_numbers,
    tandem,
)

pytestmark = pytest.mark.usefixtures("x64")

ETA = 0.3
RULES = {
    "sos": sos(ETA),
    "consensus": consensus(0.7),
    "sga": sga(),
    "cgd": cgd(ETA),
    "extragradient": extragradient(ETA),
    "lss": lss(),
}


@partial(jax.jit, static_argnames=("function",))
def all_derivatives(function, numbers, thetas):
    """Gradients [points, players, d] and Hessians [points, players, d, d] of the losses in all parameters."""

    def losses(flat):
        return -function(numbers, list(flat.reshape(thetas.shape[1:])))

    flat = thetas.reshape(len(thetas), -1)
    return jax.vmap(jax.jacrev(losses))(flat), jax.vmap(jax.jacfwd(jax.jacrev(losses)))(flat)


class Reference:
    """xi, H, H_o and chi of one point from arrays of first and second derivatives."""

    def __init__(self, gradients, hessians, players):
        d = gradients.shape[1]
        seat = np.repeat(np.arange(players), d // players)
        self.xi = gradients[seat, np.arange(d)]
        self.jacobian = hessians[seat, np.arange(d)]
        self.off_diagonal = np.where(seat[:, None] != seat[None, :], self.jacobian, 0)
        self.chi = np.zeros(d)
        for i in range(players):
            for j in range(players):
                if i != j:
                    cross = hessians[j][np.ix_(seat == i, seat == j)]
                    self.chi[seat == i] += cross @ gradients[i][seat == j]

    def sos(self, a=0.5, b=0.1):
        """The descent direction and p."""
        ahead = self.xi - ETA * self.off_diagonal @ self.xi
        along = -ETA * self.chi @ ahead
        p1 = 1 if along >= 0 else min(1, -a * ahead @ ahead / along)
        p2 = self.xi @ self.xi if np.linalg.norm(self.xi) < b else 1
        return ahead - min(p1, p2) * ETA * self.chi, min(p1, p2)

    def consensus(self):
        return self.xi + 0.7 * self.jacobian.T @ self.xi

    def sga(self, epsilon=0.1):
        """The descent direction and lambda."""
        xi, pull = self.xi, self.jacobian.T @ self.xi
        rotation = ((self.jacobian - self.jacobian.T) / 2).T @ xi
        sign = np.sign((xi @ pull) * (rotation @ pull) / len(xi) + epsilon)
        return xi + sign * rotation, sign

    def cgd(self):
        return np.linalg.solve(np.eye(len(self.xi)) + ETA * self.off_diagonal, self.xi)

    def lss(self):
        return (self.xi + self.jacobian.T @ np.linalg.solve(self.jacobian, self.xi)) / 2


def references(function, numbers, thetas):
    gradients, hessians = (np.array(a) for a in all_derivatives(function, numbers, thetas))
    return [Reference(g, h, thetas.shape[1]) for g, h in zip(gradients, hessians, strict=True)]


# Of three players the polynomial, whose derivatives are all different: matrix games take longest to compile.
ONCE = [pytest.param(*case, marks=[pytest.mark.slow] * (case != CASES[1])) for case in CASES]


@pytest.mark.parametrize(("name", "players"), ONCE)
@pytest.mark.parametrize("rule", ["sos", "consensus", "sga", "cgd", "lss"])
def test_directions_equal_the_formulas_with_dense_matrices(rule, name, players):
    function, numbers, length = game(name, players)
    thetas = points(players, length)
    # One seat of the largest game.
    seats = None if (name, players) != ("matrix game", 3) else (2,)
    found = np.array(all_directions(RULES[rule], function, numbers, thetas, seats))
    for ours, reference in zip(found, references(function, numbers, thetas), strict=True):
        expected = getattr(reference, rule)()
        expected = expected[0] if isinstance(expected, tuple) else expected
        expected = expected.reshape(players, length)[slice(None) if seats is None else list(seats)]
        np.testing.assert_allclose(ours, -expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize(("name", "players"), ONCE)
def test_extragradient_is_the_joint_gradient_after_everybodys_naive_step(name, players):
    function, numbers, length = game(name, players)
    thetas = points(players, length)

    def joint_gradient(at):
        return np.stack([r.xi for r in references(function, numbers, at)]).reshape(at.shape)

    seats = None if name == "polynomial" else (players - 1,)
    expected = -joint_gradient(thetas - ETA * joint_gradient(thetas))[:, slice(None) if seats is None else seats]
    found = all_directions(RULES["extragradient"], function, numbers, thetas, seats)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_the_random_points_reach_every_branch_of_p_and_both_alignment_signs():
    function, numbers, length = game("polynomial", 2)
    many = references(function, numbers, points(2, length))
    shares = np.array([r.sos()[1] for r in many])
    assert (shares == 1).any() and ((shares > 0) & (shares < 1)).any()
    assert {r.sga()[1] for r in many} == {-1, 1}
    found = np.array(all_directions(RULES["sos"], function, numbers, points(2, length))).reshape(16, -1)
    np.testing.assert_allclose(found, -np.stack([r.sos()[0] for r in many]), rtol=1e-8, atol=1e-8)
    found = np.array(all_directions(RULES["sga"], function, numbers, points(2, length))).reshape(16, -1)
    np.testing.assert_allclose(found, -np.stack([r.sga()[0] for r in many]), rtol=1e-8, atol=1e-8)


PROBE = [[0.1, -0.2, 0.3, -0.4, 0.5], [-0.5, 0.4, -0.3, 0.2, -0.1]]
LOLA_TAYLOR = [0.25449, 0.84867, 2.41433, 0.60686, 1.93192, 0.35563, 1.57001, 1.63231, 2.93585, 2.76828]
PUBLISHED = {
    "naive": (
        naive(),
        [0.25395, 1.49343, 1.52184, 1.44918, 1.33897, 0.35501, 2.22233, 2.26927, 2.27623, 2.13025],
    ),
    "lookahead": (
        lookahead(0.1),
        [0.25444, 1.35233, 1.74390, 1.26133, 1.48743, 0.35555, 2.07614, 2.12706, 2.43939, 2.28456],
    ),
    "taylor": (lola("taylor", 0.1), LOLA_TAYLOR),
    "sos": (sos(0.1), LOLA_TAYLOR),
    "original": (
        lola("original", 0.1),
        [0.25400, 0.98978, 2.19228, 0.79471, 1.78345, 0.35508, 1.71621, 1.77452, 2.77269, 2.61397],
    ),
    "consensus": (
        consensus(1.0),
        [0.26170, -0.30067, 6.34100, -3.10767, 2.74157, 0.38731, 0.96790, -2.57116, 7.35989, 2.55755],
    ),
    "sga": (
        sga(),
        [0.25130, 3.74456, -1.64601, 4.40152, -0.77063, 0.35307, 4.21978, 4.22416, 0.22805, 0.15566],
    ),
    "extragradient": (
        extragradient(0.1),
        [0.25353, 1.23105, 1.65673, 1.30247, 1.63076, 0.35105, 1.92214, 2.30792, 2.12632, 2.45567],
    ),
    "cgd": (
        cgd(0.1),
        [0.25014, 1.32665, 1.71491, 1.23854, 1.46363, 0.35110, 2.05274, 2.09811, 2.40702, 2.25782],
    ),
    "lss": (
        lss(),
        [0.14720, 0.68906, -0.72146, 0.24169, 0.12730, 0.42422, 2.60437, 3.48460, 1.88917, 1.52466],
    ),
}


@pytest.mark.parametrize(
    "name",
    # The others are compared with their formulas, above or in tests/rules/test_dense_reference.py.
    [pytest.param(name, marks=() if name == "lookahead" else pytest.mark.slow) for name in PUBLISHED],
)
def test_directions_on_the_prisoners_dilemma(name):
    rule, descent = PUBLISHED[name]
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), envs.make("ipd").default_params)
    # As many points as elsewhere, so that one program serves.
    found = all_directions(rule, matrix_game, params, jnp.asarray([PROBE] * 16))
    np.testing.assert_allclose(-np.array(found)[0].ravel(), descent, atol=2e-5)


# Relabelling players: seat i of the relabelled game is seat order[i] of the original.


# Most rules are compared with formulas for three players above, which treat all seats alike.
@pytest.mark.parametrize(
    ("name", "order"),
    [
        pytest.param(
            name,
            order,
            id=f"{name}-{len(order)}",
            marks=[pytest.mark.slow] * ((name, len(order)) not in (("hola", 2), ("extragradient", 3))),
        )
        for name in (*RULES, "hola")
        for order in ((1, 0), (2, 0, 1))
    ],
)
def test_relabelling_players_permutes_directions(name, order):
    rule = RULES.get(name, hola(ETA, 2))
    numbers = polynomial_numbers(len(order))
    thetas = points(len(order), 3)
    entries = np.concatenate([3 * seat + np.arange(3) for seat in order])
    relabelled = tuple(
        jnp.asarray(np.array(n)[np.ix_(order, *[entries] * degree)]) for degree, n in enumerate(numbers, start=1)
    )
    found = all_directions(rule, polynomial, relabelled, thetas[:, jnp.array(order)])
    expected = np.array(all_directions(rule, polynomial, numbers, thetas))[:, list(order)]
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


# SOS's p.


def test_sos_ranges_from_lookahead_to_lola():
    function, numbers, length = game("polynomial", 3)
    # With a = 0 shaping may take nothing away: p is 0 where it points against LookAhead, and 1 elsewhere.
    thetas = points(3, length)
    without = np.array(all_directions(sos(ETA, 0.0, 0.0), function, numbers, thetas))
    ahead = np.array(all_directions(lookahead(ETA), function, numbers, thetas))
    shaped = np.array(all_directions(lola("taylor", ETA), function, numbers, thetas))
    against = np.sum((shaped - ahead) * ahead, axis=(1, 2)) < 0
    assert against.any() and not against.all()
    np.testing.assert_allclose(without, np.where(against[:, None, None], ahead, shaped), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("players", [3, pytest.param(2, marks=pytest.mark.slow)])
def test_one_formula_holds_the_first_order_family_and_sos_as_data(players):
    """One compiled program; the coefficients are arguments."""
    function, numbers, length = game("polynomial", players)
    thetas = points(players, length)
    family = {(0.0, 0.0): naive(), (1.0, 0.0): lookahead(0.3), (0.0, 1.0): lola("original", 0.3)}
    family[(1.0, 1.0)] = lola("taylor", 0.3)
    before = all_directions._cache_size()
    for (middle, shaping), rule in family.items():
        mixed = jax.tree.map(jnp.float64, sos(0.3, middle=middle, shaping=shaping, stability=0.0))
        found = all_directions(mixed, function, numbers, thetas)
        np.testing.assert_allclose(found, all_directions(rule, function, numbers, thetas), rtol=1e-9, atol=1e-9)
    assert all_directions._cache_size() - before <= 1 + len(family)
    half = all_directions(jax.tree.map(jnp.float64, sos(0.3, stability=0.5)), function, numbers, thetas)
    ends = [all_directions(rule, function, numbers, thetas) for rule in (sos(0.3), lola("taylor", 0.3))]
    np.testing.assert_allclose(half, (ends[0] + ends[1]) / 2, rtol=1e-9, atol=1e-9)


def test_sos_shaping_share_stays_between_zero_and_one_and_fades_near_fixed_points():
    share = jax.jit(jax.vmap(shaping_share, in_axes=(0, 0, 0, None, None)))
    vectors = jnp.asarray(np.random.default_rng(0).normal(size=(3, 500, 6)))
    xi, ahead, push = vectors * jnp.asarray(np.random.default_rng(1).uniform(0, 0.2, size=(3, 500, 1)))
    p = np.array(share([xi], [ahead], [push], 0.5, 0.1))
    assert np.all((p >= 0) & (p <= 1)) and (p == 1).any() and (p < 1).any()
    squared = np.sum(xi**2, axis=1)
    near = np.sqrt(squared) < 0.1
    assert near.any() and np.all(p[near] <= squared[near] * (1 + 1e-12))


@pytest.mark.parametrize("zero", ["xi", "ahead", "push"])
def test_sos_shaping_share_of_vanishing_vectors_is_a_number(zero):
    vectors = {name: [jnp.ones(3)] for name in ("xi", "ahead", "push")} | {zero: [jnp.zeros(3)]}
    p = shaping_share(vectors["xi"], vectors["ahead"], vectors["push"], 0.5, 0.1)
    assert p == (0 if zero == "xi" else 1)


@pytest.mark.parametrize("rate", [0.1, 0.2])
@pytest.mark.parametrize("factory", [sos, cgd, extragradient])
def test_stable_rules_rest_on_tandems_fixed_points_at_loss_zero(factory, rate):
    thetas = descend(factory(rate), tandem, [jnp.float64(0.1), jnp.float64(-0.05)], 0.1, 300)
    np.testing.assert_allclose(sum(thetas), 1, atol=1e-6)
    np.testing.assert_allclose(sum(tandem(thetas)) / 2, 0, atol=1e-6)


# Bilinear: L_1 = x y = -L_2; the norm of (x, y) changes by a constant factor an update.


def bilinear(thetas):
    return [thetas[0] * thetas[1], -thetas[0] * thetas[1]]


@pytest.mark.parametrize(
    ("rule", "factor"),
    [
        (naive(), np.sqrt(1 + ETA**2)),
        (lookahead(ETA), np.sqrt((1 - ETA**2) ** 2 + ETA**2)),
        (extragradient(ETA), np.sqrt((1 - ETA**2) ** 2 + ETA**2)),
        (lola("original", ETA), np.sqrt((1 - ETA**2) ** 2 + ETA**2)),
        (lola("taylor", ETA), np.sqrt((1 - 2 * ETA**2) ** 2 + ETA**2)),
        (lola("exact", ETA), np.sqrt((1 - 2 * ETA**2) ** 2 + ETA**2)),
        (cgd(ETA), 1 / np.sqrt(1 + ETA**2)),
        (consensus(1.0), np.sqrt((1 - ETA) ** 2 + ETA**2)),
        (sga(), np.sqrt((1 - ETA) ** 2 + ETA**2)),
    ],
    ids=["naive", "lookahead", "extragradient", "original", "taylor", "exact", "cgd", "consensus", "sga"],
)
def test_every_update_of_the_bilinear_game_scales_the_norm(rule, factor):
    before = np.array([0.8, -1.1])
    for _ in range(3):
        after = np.array(descend(rule, bilinear, [jnp.float64(x) for x in before], ETA, 1))
        np.testing.assert_allclose(np.linalg.norm(after) / np.linalg.norm(before), factor, rtol=1e-12)
        before = after


# Parameters of any form, and coefficients of zero.


# Rules that solve systems have a way of their own with scalars; one of them shows that it is right.
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "cgd" else pytest.mark.slow) for name in [*RULES, "hola"]],
)
def test_parameters_may_be_any_pytree_with_the_population_last(name):
    """A population takes small arrays apart into tuples of scalars and maps over the last axis."""
    rule = RULES.get(name, hola(ETA, 2))
    numbers, thetas = polynomial_numbers(2), points(2, 3, 4)
    apart = [tuple(thetas[:, seat, entry] for entry in range(3)) for seat in range(2)]

    def at(trees):
        objective = from_returns(lambda ts: polynomial(numbers, [jnp.stack(t) for t in ts]))
        return [rule.direction(objective, trees, seat) for seat in range(2)]

    found = jax.jit(jax.vmap(at, in_axes=-1, out_axes=-1))(apart)
    assert jax.tree.structure(found) == jax.tree.structure(apart)
    expected = np.array(all_directions(rule, polynomial, numbers, thetas))
    np.testing.assert_allclose(np.array(found).transpose(2, 0, 1), expected, rtol=1e-9, atol=1e-9)


def test_a_population_may_have_some_second_derivatives_in_common():
    """V_0 = 3 x y - x^2 has constant ones, V_1 = - y x^2 - 2 y^2 has others everywhere."""

    def at(x, y):
        objective = from_returns(lambda ts: [3 * ts[0] * ts[1] - ts[0] ** 2, -ts[1] * ts[0] ** 2 - 2 * ts[1] ** 2])
        return jnp.stack([lss().direction(objective, [x, y], seat) for seat in range(2)])

    x, y = jnp.array([0.5, -1.0, 2.0]), jnp.array([1.5, 0.25, -0.5])
    alone = jnp.stack([at(*one) for one in zip(x, y, strict=True)])
    np.testing.assert_allclose(jax.vmap(at)(x, y), alone, rtol=1e-12)


def test_a_coefficient_of_zero_masks_an_infinite_term():
    # At zero the second derivative of a power of 1.5 is infinite, its first derivative 0.
    objective = from_returns(lambda ts: [ts[0] - ts[1] + (ts[0] + ts[1]) ** 1.5, ts[1] + (ts[0] + ts[1]) ** 1.5])
    zero = (jnp.float64(0), jnp.float64(0))
    direction = jax.jit(lambda rule: rule.direction(objective, zero, 0))
    for rule in (sos(0.0), consensus(0.0), cgd(0.0), extragradient(0.0)):
        assert direction(rule) == 1
    assert not np.isfinite(direction(consensus(1.0)))
