"""Players that do not learn, and every rule against an opponent without parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.learners import Common, frozen, gradient_learner, values
from shaping.objectives import Objective
from shaping.policies import fixed, tabular
from shaping.rules import named_rules
from tests.compiling import quickly

pytestmark = pytest.mark.usefixtures("x64")

# What they learn beforehand is of players with parameters.
RULES = {
    name: make for name, make in named_rules().items() if make().prepare is None and not make().needs_information_sets
}
STILL = sorted(set(RULES) - {"extragradient", "lss", "pola", "consensus", "sga"})


def bowl(thetas, key, context):
    """Of two numbers of player 0 alone; player 1 has none."""
    x, y = jnp.asarray(jax.tree.leaves(thetas[0])).reshape(-1)
    return [-((x - 1) ** 2) - 2 * (y + x) ** 2, x * y], None


GAME = Objective(
    bowl,
    lambda player, new, old, batch: sum(jax.tree.leaves(jax.tree.map(lambda a, b: jnp.sum((a - b) ** 2), new, old))),
)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_copes_with_an_opponent_without_parameters(name):
    rule = RULES[name](**({"max_iterations": 5} if name == "pola" else {}))
    whole, apart = jnp.array([0.3, -0.2]), (jnp.float64(0.3), jnp.float64(-0.2))

    def directions():
        return [rule.direction(GAME, [own, ()], 0, jax.random.key(0)) for own in (whole, apart)]

    of_whole, of_apart = quickly(directions)()
    np.testing.assert_allclose(of_whole, of_apart, rtol=1e-12)
    assert np.all(np.isfinite(of_whole)) and np.abs(of_whole).max() > 0.01
    if name in STILL:
        slope = quickly(jax.grad(lambda own: bowl([own, ()], None, None)[0][0]))(whole)
        np.testing.assert_allclose(of_whole, slope, rtol=1e-12)


def test_a_frozen_player_stays_where_it_starts_and_needs_no_parameters():
    learner = frozen(Common(initial=values([1.0, 2.0, 3.0, 4.0, 5.0])))
    key = jax.random.key(0)
    state = learner.init(key, key, (tabular(5),) * 2, 0, None, jnp.float64)
    after, info = learner.step(key, [state, state], 0, None)
    np.testing.assert_array_equal(after.theta, [1, 2, 3, 4, 5])
    assert info == {}
    scripted = frozen().init(key, key, (fixed(tabular(5), np.zeros(5)),) * 2, 0, None, jnp.float64)
    assert jax.tree.leaves(scripted) == []


def test_a_learner_trains_against_a_strategy_in_either_seat_of_an_exact_game():
    game = envs.make("ipd", discount=0.9)
    tft = fixed(tabular(5), 30 * np.array([1.0, 1, -1, 1, -1]))
    for seat in range(2):
        policies = [tabular(5), tft] if seat == 0 else [tft, tabular(5)]
        players = [gradient_learner(shaping.naive(), 1.0), frozen()]
        from shaping.objectives.exact_matrix import exact_matrix_game
        from shaping.population import match as single
        from shaping.population.match import Match

        form = exact_matrix_game(game, tuple(policies))
        match = Match(0, 0, game.default_params, tuple(players if seat == 0 else players[::-1]), form)

        def path(match=match):
            def step(states, number):
                return single.moved(match, states, number), jnp.stack(
                    single.values(match, single.thetas_of(match, states))
                )

            return jax.lax.scan(step, single.start(match, jnp.float64).learners, jnp.arange(60))[1]

        found = quickly(path)()
        assert found[-1, seat] > found[0, seat] + 0.2 and found[-1, seat] > -1.3, "tit-for-tat teaches cooperation"
