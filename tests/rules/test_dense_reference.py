"""Every rule against dense derivatives and finite differences of an independently written return.

The reference return inverts I - gamma P by doubling, prod_k (I + (gamma P)^(2^k)), in plain jax.numpy: no
elimination, and jax differentiates it like any other function. In any game the directions are

    g_i = nabla_i V_i + eta sum_{j != i} (m (nabla_i nabla_j V_i) nabla_j V_j + s (nabla_i nabla_j V_j) nabla_j V_i)

(first order), and nabla_i of V_i after the opponents' k actual steps (exact).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from shaping.envs import MatrixGameParams
from shaping.objectives import from_returns
from shaping.objectives.exact_matrix import ExactMatrixGame
from shaping.policies import tabular
from shaping.rules import first_order, lola, lookahead, naive

pytestmark = pytest.mark.usefixtures("x64")

DOUBLINGS = 7  # 0.8^128 is 4e-13, its square 1.6e-25


def reference_returns(thetas, payoffs, discount):
    """[players] unnormalised returns of logits [players][states] in the shared view."""
    players = len(thetas)
    cooperate = [jax.nn.sigmoid(theta) for theta in thetas]
    joint = jnp.ones((cooperate[0].shape[0], 1))
    for c in cooperate:
        joint = jnp.einsum("sa,sb->sab", joint, jnp.stack([c, 1 - c], 1)).reshape(c.shape[0], -1)
    power = discount * joint[1:]
    inverse = jnp.eye(power.shape[0]) + power
    for _ in range(DOUBLINGS):
        power = power @ power
        inverse = inverse + inverse @ power
    return payoffs.reshape(players, -1) @ (joint[0] @ inverse)


def matrix_game(players: int):
    """(objective, reference returns, parameters) of a random asymmetric game at a random point."""
    rng = np.random.default_rng(players)
    payoffs = jnp.asarray(rng.normal(size=(players,) + (2,) * players))
    thetas = tuple(jnp.asarray(theta) for theta in rng.normal(size=(players, 1 + 2**players)))
    form = ExactMatrixGame(players, None, "shared", (tabular(1 + 2**players),) * players)
    params = MatrixGameParams(payoffs=payoffs, discount=jnp.asarray(0.8), noise=jnp.zeros(players))
    return form.objective(params), lambda ts: reference_returns(ts, payoffs, 0.8), thetas


def polynomial_game(players: int):
    """A random quartic; each player's parameters are a dict of a vector, a matrix and a nested number."""
    rng = np.random.default_rng(10 + players)
    size = 7 * players
    linear = jnp.asarray(rng.normal(size=(players, size)))
    square = jnp.asarray(rng.normal(size=(players, size, size)))
    quartic = jnp.asarray(rng.normal(size=(players, size)))

    def returns(thetas):
        x = jnp.concatenate([jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(t)]) for t in thetas])
        products = jnp.einsum("pab,a,b->p", square, x, x)
        return linear @ x + products + (quartic @ x) ** 4 / 50

    thetas = tuple(
        {
            "vector": jnp.asarray(rng.normal(size=2)) / 3,
            "matrix": jnp.asarray(rng.normal(size=(2, 2))) / 3,
            "deep": {"number": jnp.asarray(rng.normal()) / 3},
        }
        for _ in range(players)
    )
    return from_returns(returns), returns, thetas


GAMES = [(matrix_game, 2), (matrix_game, 3), (polynomial_game, 2), (polynomial_game, 3)]
IDS = [f"{game.__name__}-{players}" for game, players in GAMES]


class Flat:
    """The reference game on one concatenated vector, with each player's slice."""

    def __init__(self, returns, thetas):
        vector, unravel = ravel_pytree(list(thetas))
        sizes = [ravel_pytree(theta)[0].size for theta in thetas]
        ends = np.cumsum(sizes)
        self.at, self.returns = vector, lambda x: jnp.stack(list(returns(unravel(x))))
        self.slices = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]

    def derivatives(self) -> tuple[np.ndarray, np.ndarray]:
        """First [players, size] and second [players, size, size] derivatives of the returns."""
        both = jax.jit(lambda x: (jax.jacrev(self.returns)(x), jax.hessian(self.returns)(x)))
        return jax.tree.map(np.array, both(self.at))


def dense_first_order(flat: Flat, first, second, eta: float, m: float, s: float) -> list[np.ndarray]:
    directions = []
    for i, own in enumerate(flat.slices):
        total = first[i, own].copy()
        for j, other in enumerate(flat.slices):
            if j != i:
                total += eta * m * second[i][own, other] @ first[j, other]
                total += eta * s * second[j][own, other] @ first[i, other]
        directions.append(total)
    return directions


@pytest.mark.parametrize(
    ("game", "players"),
    [
        pytest.param(*case, id=name, marks=[pytest.mark.slow] * (name not in ("matrix_game-2", "polynomial_game-3")))
        for case, name in zip(GAMES, IDS, strict=True)
    ],
)
def test_first_order_rules_equal_dense_second_derivatives(game, players):
    objective, returns, thetas = game(players)
    flat, eta = Flat(returns, thetas), 0.7
    derivatives = flat.derivatives()

    @jax.jit
    def directions(rule):
        return [ravel_pytree(rule.direction(objective, thetas, player))[0] for player in range(players)]

    def check(found, expected):
        for own, reference in zip(found, expected, strict=True):
            np.testing.assert_allclose(own, reference, rtol=1e-9, atol=1e-9)

    named = [
        ((0.0, 0.0), naive()),
        ((1.0, 0.0), lookahead(eta)),
        ((0.0, 1.0), lola("original", eta)),
        ((1.0, 1.0), lola("taylor", eta)),
    ]
    for (m, s), rule in named:
        expected = dense_first_order(flat, *derivatives, eta, m, s)
        check(directions(first_order(eta, m, s)), expected)
        check(directions(rule), expected)
    check(directions(first_order(0.3, -0.4, 2.5)), dense_first_order(flat, *derivatives, 0.3, -0.4, 2.5))


@pytest.mark.parametrize(
    ("game", "players", "lookaheads"),
    [
        pytest.param(
            game,
            players,
            k,
            marks=() if (game, players, k) in ((matrix_game, 3, 1), (polynomial_game, 2, 5)) else pytest.mark.slow,
        )
        for game, players in GAMES
        for k in ((1, 2, 5) if game is matrix_game else (2, 5)[players - 2 :])
    ],
)
def test_exact_lola_equals_finite_differences_of_the_return_after_the_opponents_steps(game, players, lookaheads):
    objective, returns, thetas = game(players)
    flat, eta, player = Flat(returns, thetas), 0.1, players - 1
    own = flat.slices[player]

    @partial(jax.vmap, in_axes=0)
    def shaped(x):
        def step(x, _):
            jacobian = jax.jacrev(flat.returns)(x)
            for j, other in enumerate(flat.slices):
                if j != player:
                    x = x.at[other].add(eta * jacobian[j, other])
            return x, None

        return flat.returns(jax.lax.scan(step, x, None, length=lookaheads)[0])[player]

    h, moves = 1e-5, np.eye(flat.at.size)[own]
    sides = jax.jit(shaped)(flat.at + h * np.concatenate([moves, -moves]))
    expected = (sides[: len(moves)] - sides[len(moves) :]) / (2 * h)
    found = jax.jit(lambda rule: rule.direction(objective, thetas, player))(lola("exact", eta, lookaheads))
    assert jax.tree.structure(found) == jax.tree.structure(thetas[player])
    found = ravel_pytree(found)[0]
    scale = max(1.0, float(jnp.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 * scale)
