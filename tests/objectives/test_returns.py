"""Returns of memory-one policies agree with a dense solve, with enumeration, and with finite differences."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.envs import MatrixGameParams, make
from shaping.envs.matrix.game import own_view
from shaping.objectives.exact_matrix import ExactMatrixGame, exact
from shaping.objectives.returns_arrays import finite_returns, returns_arrays
from shaping.objectives.returns_scalars import returns_scalars
from shaping.policies import tabular

scalars = jax.jit(lambda c, r, discount: jnp.stack(returns_scalars(c, r, discount)))
arrays = jax.jit(returns_arrays)
finite = jax.jit(finite_returns, static_argnames="horizon")


def joint(cooperation: np.ndarray) -> np.ndarray:
    """[states, joint actions] from [players, states], by the definition."""
    players, states = cooperation.shape
    table = np.ones((states, 2**players))
    for index, actions in enumerate(itertools.product((0, 1), repeat=players)):
        for player, action in enumerate(actions):
            table[:, index] *= cooperation[player] if action == 0 else 1 - cooperation[player]
    return table


def dense(cooperation, payoffs, discount) -> np.ndarray:
    """p0^T (I - gamma P)^-1 r of each player, in float64."""
    cooperation, payoffs = np.asarray(cooperation, np.float64), np.asarray(payoffs, np.float64)
    table = joint(cooperation)
    matrix = np.eye(table.shape[1]) - np.float64(discount) * table[1:]
    return payoffs @ np.linalg.solve(matrix.T, table[0])


def random_game(players: int, seed: int, extreme: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (players, 1 + 2**players)
    cooperation = rng.beta(0.05, 0.05, shape) if extreme else rng.uniform(size=shape)
    return cooperation, rng.normal(size=(players, 2**players)) * 3


@pytest.mark.parametrize("players", [2, 3, 4, 5, 6])
def test_returns_by_arrays_equal_a_dense_solve(players, x64):
    for seed, discount in itertools.product(range(3), (0.0, 0.5, 0.96, 0.9999)):
        cooperation, payoffs = random_game(players, seed, extreme=seed == 2)
        found = arrays(cooperation, payoffs, discount)
        expected = dense(cooperation, payoffs, discount)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(payoffs).max() / (1 - discount))


@pytest.mark.parametrize("players", [2, 3])
def test_returns_by_scalars_equal_a_dense_solve_and_returns_by_arrays(players, x64):
    for seed, discount in itertools.product(range(3), (0.0, 0.5, 0.96, 0.9999)):
        cooperation, payoffs = random_game(players, seed, extreme=seed == 2)
        found = scalars([list(c) for c in cooperation], [list(r) for r in payoffs], discount)
        scale = np.abs(payoffs).max() / (1 - discount)
        np.testing.assert_allclose(found, dense(cooperation, payoffs, discount), rtol=0, atol=1e-12 * scale)
        np.testing.assert_allclose(found, arrays(cooperation, payoffs, discount), rtol=0, atol=1e-12 * scale)


def test_returns_by_arrays_are_the_same_under_any_vmap(x64):
    games = [random_game(3, seed) for seed in range(4)]
    cooperation, payoffs = (np.stack(parts) for parts in zip(*games, strict=True))
    discounts = np.array([0.0, 0.5, 0.9, 0.99])
    each = np.array([[arrays(c, r, d) for c, r in games] for d in discounts])
    by_game = jax.vmap(returns_arrays, (0, 0, None))
    np.testing.assert_allclose(jax.jit(by_game)(cooperation, payoffs, 0.9), each[2], rtol=1e-12)
    both = jax.jit(jax.vmap(by_game, (None, None, 0)))(cooperation, payoffs, discounts)
    np.testing.assert_allclose(both, each, rtol=1e-12)
    only_discount = jax.jit(jax.vmap(returns_arrays, (None, None, 0)))(cooperation[1], payoffs[1], discounts)
    np.testing.assert_allclose(only_discount, each[:, 1], rtol=1e-12)
    only_payoffs = jax.jit(jax.vmap(returns_arrays, (None, 0, None)))(cooperation[1], payoffs, 0.9)
    np.testing.assert_allclose(only_payoffs[1], each[2, 1], rtol=1e-12)


@pytest.mark.parametrize("form", ["scalars", "arrays"])
@pytest.mark.parametrize("extreme", [False, True])
def test_float32_returns_keep_their_accuracy_at_discount_0_9999(form, extreme):
    discount = np.float32(0.9999)
    for seed in range(20):
        # All rewards of one sign, so that the relative accuracy of the sum means something.
        cooperation, payoffs = (x.astype(np.float32) for x in random_game(2, seed, extreme))
        payoffs = -np.abs(payoffs)
        if form == "arrays":
            found = arrays(cooperation, payoffs, discount)
        else:
            found = scalars([list(c) for c in cooperation], [list(r) for r in payoffs], discount)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, dense(cooperation, payoffs, discount), rtol=1e-4)


def brute_force(cooperation: np.ndarray, payoffs: np.ndarray, discount: float, horizon: int) -> np.ndarray:
    """The sum over every sequence of joint actions of its probability times its discounted rewards."""
    table, total = joint(cooperation), np.zeros(len(payoffs))
    for sequence in itertools.product(range(table.shape[1]), repeat=horizon):
        probability, state, reward = 1.0, 0, np.zeros(len(payoffs))
        for t, action in enumerate(sequence):
            probability *= table[state, action]
            reward += discount**t * payoffs[:, action]
            state = 1 + action
        total += probability * reward
    return total


@pytest.mark.parametrize(("players", "horizon"), [(2, 1), (2, 2), (2, 5), (3, 1), (3, 3)])
@pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])
def test_finite_horizon_returns_equal_the_sum_over_all_sequences(players, horizon, discount, x64):
    cooperation, payoffs = random_game(players, horizon)
    found = finite(cooperation, payoffs, discount, horizon=horizon)
    np.testing.assert_allclose(found, brute_force(cooperation, payoffs, discount, horizon), rtol=1e-12)


def game(players: int, horizon: int | None, view: str) -> ExactMatrixGame:
    states = 1 if horizon == 1 else 1 + 2**players
    return ExactMatrixGame(players, horizon, view, (tabular(states),) * players)


@partial(jax.jit, static_argnames="form")
def game_returns(form, thetas, params):
    return jnp.stack(list(form.objective(params)(thetas)[0]))


@partial(jax.jit, static_argnames="form")
def game_jacobian(form, thetas, params):
    return jax.jacrev(lambda *at: jnp.stack(list(form.objective(at[1])(at[0])[0])), argnums=(0, 1))(thetas, params)


def random_match(form: ExactMatrixGame, seed: int):
    rng, n = np.random.default_rng(seed), form.num_players
    thetas = tuple(rng.normal(size=policy.structure[0]) for policy in form.policies)
    payoffs, noise = rng.normal(size=(n,) + (2,) * n), rng.uniform(0, 0.3, n)
    return thetas, MatrixGameParams(payoffs=payoffs, discount=np.float64(0.9), noise=noise)


def reference(form: ExactMatrixGame, thetas, params) -> np.ndarray:
    """Returns of a match with noise, in numpy, from the definition of the views."""
    n = form.num_players
    executed = np.empty((n, 1 + 2**n))
    for player, theta in enumerate(thetas):
        chosen = 1 / (1 + np.exp(-theta))
        noisy = (1 - params.noise[player]) * chosen + params.noise[player] * (1 - chosen)
        if form.horizon == 1:
            executed[player] = noisy[0]
        elif form.state_view == "shared":
            executed[player] = noisy
        else:
            for own, shared in enumerate(own_view(n)[player]):
                executed[player, shared] = noisy[own]
    payoffs = params.payoffs.reshape(n, -1)
    if form.horizon is None:
        return dense(executed, payoffs, params.discount)
    table, total = joint(executed), np.zeros(n)
    visits = table[0]
    for t in range(form.horizon):
        total += params.discount**t * payoffs @ visits
        visits = visits @ table[1:]
    return total


FORMS = [
    (2, None, "own"),
    (2, None, "shared"),
    (2, 1, "own"),
    (2, 4, "own"),
    (3, None, "own"),
    (3, None, "shared"),
    (3, 1, "own"),
    (3, 4, "shared"),
    (4, None, "own"),
]


# Two or three players, endless games or finite ones, either view: in one game or another, each of them.
DIFFERENTIATED = [(2, None, "own"), (3, 4, "shared"), (2, 1, "own")]


@pytest.mark.parametrize(("players", "horizon", "view"), FORMS)
def test_a_match_with_noise_and_asymmetric_payoffs_equals_its_markov_chain(players, horizon, view, x64):
    form = game(players, horizon, view)
    for seed in range(3):
        thetas, params = random_match(form, seed)
        np.testing.assert_allclose(
            game_returns(form, thetas, params), reference(form, thetas, params), rtol=1e-11, atol=1e-11
        )


@pytest.mark.parametrize(
    ("players", "horizon", "view"),
    [pytest.param(*form, marks=[pytest.mark.slow] * (form not in DIFFERENTIATED)) for form in FORMS[:-1]],
)
def test_gradients_in_policies_payoffs_discount_and_noise_are_finite_differences(players, horizon, view, x64):
    form = game(players, horizon, view)
    thetas, params = random_match(form, 7)
    found = game_jacobian(form, thetas, params)
    flat, structure = jax.tree.flatten((thetas, params))
    step = 1e-5
    for k, (leaf, jacobian) in enumerate(zip(flat, jax.tree.leaves(found), strict=True)):
        for index in np.ndindex(np.shape(leaf)):
            sides = []
            for sign in (1, -1):
                moved = [np.array(x, np.float64) for x in flat]
                moved[k][index] += sign * step
                sides.append(reference(form, *structure.unflatten(moved)))
            expected = (sides[0] - sides[1]) / (2 * step)
            np.testing.assert_allclose(jacobian[(slice(None), *index)], expected, atol=2e-7, rtol=1e-7)


@pytest.mark.parametrize("players", [4, 6])
def test_gradients_of_many_player_games_are_finite_differences_along_random_lines(players, x64):
    cooperation, payoffs = random_game(players, players)
    cooperation = 0.1 + 0.8 * cooperation
    rng = np.random.default_rng(players)
    along = 0.1 * rng.normal(size=cooperation.shape)
    _, found = jax.jit(lambda c, d: jax.jvp(lambda x: returns_arrays(x, payoffs, 0.96), (c,), (d,)))(cooperation, along)
    ahead, behind = (dense(cooperation + h * along, payoffs, 0.96) for h in (1e-6, -1e-6))
    np.testing.assert_allclose(found, (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-6)
    pulled = jax.jit(jax.grad(lambda c: returns_arrays(c, payoffs, 0.96)[0]))(cooperation)
    np.testing.assert_allclose(np.sum(pulled * along), found[0], rtol=1e-10)


def test_an_exact_game_refuses_a_horizon_among_its_numbers():
    game = make("ipd", horizon=5)
    params = game.default_params.replace(horizon=jnp.int32(3))
    with pytest.raises(ValueError, match="^params.horizon is given; allowed: None"):
        exact(game, (tabular(5),) * 2, params)
