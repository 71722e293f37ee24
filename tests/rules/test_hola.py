"""Higher-order LOLA against exact LOLA, finite differences and its closed form on tandem."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.rules.hola import hola
from shaping.rules.lola import lola
from tests.rules.random_games import CASES, all_directions, descend, game, points, tandem

pytestmark = pytest.mark.usefixtures("x64")

ETA = 0.3
SLOW = pytest.mark.slow  # each order takes twice as long to compile as the one below


@pytest.mark.parametrize(("name", "players"), [pytest.param(*CASES[0], marks=SLOW), *CASES[1:3]])
def test_first_order_hola_is_exact_lola(name, players):
    function, numbers, length = game(name, players)
    thetas = points(players, length)
    found = all_directions(hola(ETA), function, numbers, thetas, (players - 1,))
    expected = all_directions(lola("exact", ETA), function, numbers, thetas, (players - 1,))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("name", "players"), [CASES[1], *(pytest.param(*CASES[i], marks=SLOW) for i in (0, 2))])
def test_second_order_hola_differentiates_through_exact_lola_learners(name, players):
    """Central differences of V_0(theta_0, theta_-0 + eta (exact LOLA of the others at theta))."""
    function, numbers, length = game(name, players)
    theta = points(players, length, 1)[0]
    small = 1e-5
    nearby = np.repeat(np.array(theta)[None], 2 * length, axis=0)
    for entry in range(length):
        nearby[2 * entry, 0, entry] += small
        nearby[2 * entry + 1, 0, entry] -= small
    others = tuple(range(1, players))
    steps = np.zeros(nearby.shape)
    steps[:, 1:] = all_directions(lola("exact", 0.1), function, numbers, jnp.asarray(nearby), others)
    value = jax.jit(jax.vmap(lambda ts: function(numbers, list(ts))[0]))
    values = np.array(value(jnp.asarray(nearby + 0.1 * steps)))
    expected = (values[::2] - values[1::2]) / (2 * small)
    found = all_directions(hola(0.1, 2), function, numbers, theta[None], (0,))[0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_hola_of_order_zero_is_refused():
    with pytest.raises(ValueError, match="order is 0; allowed: an integer, at least 1"):
        hola(order=0)


# Tandem: L_i = (x + y)^2 - 2 theta_i (Letcher et al. 2019). Directions of HOLA are a s + b with s = x + y.


def tandem_returns(numbers, thetas):
    total = sum(thetas)
    return jnp.stack([numbers * (2 * theta[0] - total[0] ** 2) for theta in thetas])


def tandem_line(order, rate):
    """(a, b) of h^order = a s + b in both seats."""
    a, b = -2.0, 2.0
    for _ in range(order):
        a, b = -2 * (1 + rate * a) ** 2, -2 * rate * (1 + rate * a) * b + 2
    return a, b


@pytest.mark.parametrize("order", [1, 2, 3, *(pytest.param(order, marks=SLOW) for order in (6, 7))])
@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_hola_on_tandem_is_the_closed_form(order, rate):
    thetas = points(2, 1, 4)
    found = all_directions(hola(jnp.float64(rate), order), tandem_returns, jnp.float64(1), thetas)
    a, b = tandem_line(order, rate)
    expected = a * np.sum(thetas, axis=1, keepdims=True) + b
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-9)


@pytest.mark.parametrize(
    ("rate", "order", "loss"),
    [
        *[(1.0, order, loss) for order, loss in [(1, 128), (2, 512)]],
        *[(0.5, order, 40 / 3) for order in (1, 2)],
        *[(0.1, order, loss) for order, loss in [(1, 0.07875), (2, 0.009170)]],
        *[pytest.param(rate, 6, loss, marks=SLOW) for rate, loss in [(1.0, 131072), (0.5, 40 / 3), (0.1, 1.783e-6)]],
    ],
)
def test_hola_consistency_losses_of_tandem(rate, order, loss):
    """E over [-1, 1]^2 of |h^n - h^(n+1)|^2, both seats, as COLA's Table 1a has it (Willi et al. 2022).

    The integrand is a quadratic, so that two Gauss-Legendre nodes a side integrate it exactly.
    """
    nodes = np.array([-1, 1]) / np.sqrt(3)
    grid = jnp.asarray(np.stack(np.meshgrid(nodes, nodes), -1).reshape(4, 2, 1))
    rate = jnp.float64(rate)
    now = np.array(all_directions(hola(rate, order), tandem_returns, jnp.float64(1), grid))
    after = np.array(all_directions(hola(rate, order + 1), tandem_returns, jnp.float64(1), grid))
    found = np.sum((now - after) ** 2, axis=(1, 2))
    np.testing.assert_allclose(np.mean(found), loss, rtol=1e-9 if loss > 1 else 1e-3)
    if rate == 1:
        np.testing.assert_allclose(found, loss, rtol=1e-9)


@SLOW
def test_high_order_hola_rests_at_tandems_consistent_point():
    """s* = (1 + sqrt(1 + 8 eta)) / 2, mean loss 2 eta: where COLA rests, and HOLA as its order grows."""
    thetas = descend(hola(0.02, 6), tandem, [jnp.float64(0.1), jnp.float64(-0.05)], 0.1, 300)
    np.testing.assert_allclose(sum(thetas), (1 + np.sqrt(1.16)) / 2, atol=1e-6)
    np.testing.assert_allclose(sum(tandem(thetas)) / 2, 0.04, atol=1e-6)
