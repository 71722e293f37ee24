"""Which rule is it? Rest points and speeds of small games given as a user's own losses tell the variants
apart.

Tandem game: L_i = (x + y)^2 - 2 x_i (Letcher et al., ICLR 2019), whose fixed points have x + y = 1 and mean
loss 0. With lookahead rate a, LOLA rests elsewhere; LOLA's mean loss of 4/9 at a = 0.1 is the published one.
Rest points follow from the rules by hand: s* = x + y and mean loss s^2 - s. The n-player version has L_i =
(sum x)^2 - 2 x_i.

Bilinear game: L = (xy, -xy). Every rule is a linear map whose singular values are equal, so that each
simultaneous step multiplies the distance from the origin by a constant."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.objectives import from_losses
from shaping.rules import lola, lookahead, naive

pytestmark = pytest.mark.usefixtures("x64")

RULES = {
    "naive": lambda rate: naive(),
    "lookahead": lookahead,
    "original": partial(lola, "original"),
    "taylor": partial(lola, "taylor"),
    "exact": partial(lola, "exact"),
}


def tandem(thetas):
    total = sum(thetas)
    return [total**2 - 2 * own for own in thetas]


def bilinear(thetas):
    x, y = thetas
    return [x * y, -x * y]


@partial(jax.jit, static_argnames=("losses", "updates"))
def train(losses, rule, step_size, thetas, updates):
    """Parameters after simultaneous gradient steps, [updates + 1, players]."""

    def body(thetas, _):
        moves = [rule.direction(from_losses(losses), thetas, player) for player in range(len(thetas))]
        new = [theta + step_size * move for theta, move in zip(thetas, moves, strict=True)]
        return new, jnp.stack(new)

    start = list(thetas)
    return jnp.concatenate([jnp.stack(start)[None], jax.lax.scan(body, start, None, length=updates)[1]])


def rest(rule, players: int, updates: int) -> tuple[float, float]:
    """Sum of the parameters and mean loss after training on the tandem game."""
    start = list(jnp.asarray(0.1 * np.random.default_rng(0).normal(size=players)))
    final = train(tandem, rule, 0.1, start, updates)[-1]
    return float(final.sum()), float(jnp.mean(jnp.stack(tandem(list(final)))))


@pytest.mark.parametrize(
    ("name", "rate", "total", "loss"),
    [
        ("naive", 0.1, 1, 0),
        ("naive", 0.2, 1, 0),
        ("lookahead", 0.1, 1, 0),
        ("lookahead", 0.2, 1, 0),
        ("original", 0.1, 1.25, 0.3125),
        ("original", 0.2, 5 / 3, 10 / 9),
        ("taylor", 0.1, 4 / 3, 4 / 9),
        ("taylor", 0.2, 3, 6),
        ("exact", 0.1, 1.3125, 0.41015625),
        ("exact", 0.2, 0.76 / 0.36, 2.345679),
    ],
)
def test_rest_points_of_the_tandem_game(name, rate, total, loss):
    found = rest(RULES[name](rate), 2, 300)
    np.testing.assert_allclose(found, (total, loss), atol=1e-6)


@pytest.mark.parametrize(("players", "rate", "total", "loss"), [(3, 0.05, 4 / 3, 8 / 9), (4, 0.03, 1.28125, 1.0009766)])
def test_rest_points_of_the_tandem_game_of_many_players_under_taylor_lola(players, rate, total, loss):
    np.testing.assert_allclose(rest(lola("taylor", rate), players, 300), (total, loss), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "ratio"),
    [("naive", 1.044031), ("lookahead", 0.958175), ("original", 0.958175), ("taylor", 0.873155), ("exact", 0.873155)],
)
def test_factor_per_step_in_the_bilinear_game(name, ratio):
    path = train(bilinear, RULES[name](0.3), 0.3, [jnp.asarray(0.8), jnp.asarray(-0.3)], 10)
    norms = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(norms[1:] / norms[:-1], ratio, atol=1e-6)
