"""LOLA whose imagined opponents are LOLA learners, against finite differences and HOLA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.rules.hola import hola
from shaping.rules.lola import lola
from shaping.rules.naive import naive
from tests.rules.random_games import all_directions, game, points

pytestmark = pytest.mark.usefixtures("x64")

ETA = 0.2


@pytest.mark.parametrize(
    ("variant", "players"),
    [("taylor", 2), ("original", 3)]
    + [pytest.param(*case, marks=pytest.mark.slow) for case in (("original", 2), ("taylor", 3))],
)
def test_second_order_lola_differentiates_through_first_order_lola_learners(variant, players):
    """Central differences of V_0 + eta sum_j <nabla_j V_0, direction of j>, nabla_j V_0 held fixed in `original`."""
    function, numbers, length = game("polynomial", players)
    theta = points(players, length, 1)[0]
    slopes = jax.jit(jax.vmap(jax.grad(lambda ts: function(numbers, list(ts))[0])))
    values = jax.jit(jax.vmap(lambda ts: function(numbers, list(ts))[0]))
    small = 1e-5
    nearby = np.repeat(np.array(theta)[None], 2 * length, axis=0)
    nearby[np.arange(0, 2 * length, 2), 0, np.arange(length)] += small
    nearby[np.arange(1, 2 * length, 2), 0, np.arange(length)] -= small
    nearby = jnp.asarray(nearby)
    others = tuple(range(1, players))
    steps = all_directions(lola(variant, ETA), function, numbers, nearby, others)
    effects = slopes(nearby if variant == "taylor" else jnp.broadcast_to(theta, nearby.shape))[:, 1:]
    surrogate = np.array(values(nearby) + ETA * jnp.sum(effects * steps, axis=(1, 2)))
    expected = (surrogate[::2] - surrogate[1::2]) / (2 * small)
    found = all_directions(lola(variant, ETA, opponents="lola"), function, numbers, theta[None], (0,))[0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_the_exact_variant_is_hola_of_order_two():
    assert jax.tree.structure(lola("exact", ETA, opponents="lola")) == jax.tree.structure(hola(ETA, 2))


def test_without_a_lookahead_the_second_order_is_naive():
    function, numbers, length = game("polynomial", 2)
    # One point and one seat, as above, so that one program serves.
    thetas = points(2, length, 1)
    found = all_directions(lola("taylor", 0.0, opponents="lola"), function, numbers, thetas, (0,))
    expected = all_directions(naive(), function, numbers, thetas, (0,))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_unknown_opponents_and_several_lookaheads_are_refused():
    with pytest.raises(ValueError, match="opponents is 'wise': must be naive or lola"):
        lola(opponents="wise")
    with pytest.raises(ValueError, match="lookaheads is 2: must be 1 where opponents is lola"):
        lola("exact", lookaheads=2, opponents="lola")
