"""A match gives the same result as alone, whichever matches run with it and however the population is divided."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.learners import gradient_learner, values
from shaping.population.random_keys import learner_key, match_key, use
from shaping.rules import first_order, lola, naive

pytestmark = pytest.mark.usefixtures("x64")


@jax.jit
def update_alone(match, states):
    """Learner states after one update of everybody, and the values before it."""
    objective = match.game.objective(match.params)
    value = match.game.value_scale(match.params) * jnp.stack(list(objective([s.theta for s in states])[0]))
    key = jax.random.key(0)
    return tuple(own.step(key, states, seat, objective)[0] for seat, own in enumerate(match.learners)), value


def alone(match, updates):
    """The match without the population programs: (values [updates + 1, players], final parameters)."""
    states = []
    for seat, learner in enumerate(match.learners):
        key = use(learner_key(match.seed, match.number, seat), "init")
        states.append(learner.init(key, key, match.game.policies, seat, None, jnp.float64))
    as_float = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), (match.params, match.learners))
    match = match.replace(params=as_float[0], learners=as_float[1])
    states, curve = tuple(states), []
    for _ in range(updates):
        states, value = update_alone(match, states)
        curve.append(value)
    return np.array([*curve, update_alone(match, states)[1]]), [np.array(s.theta) for s in states]


def test_a_population_equals_a_loop_of_single_matches_however_it_is_cut(population):
    rule, game = lola("exact", 0.7), envs.make("ipd")
    starts = np.random.default_rng(0).normal(size=(8, 2, 5))
    matches = [
        population.match(game, [gradient_learner(rule, 0.5, initial=values(theta)) for theta in start], number)
        for number, start in enumerate(starts)
    ]
    together = population.play(matches, 10, block=2, devices=2)
    for k in (0, 5):
        curve, final = alone(matches[k], 10)
        np.testing.assert_allclose(together.values[k], curve, rtol=1e-10, atol=1e-10)
        for seat in range(2):
            np.testing.assert_allclose(together.final[seat][k], final[seat], rtol=1e-10, atol=1e-10)

    # Fewer matches in another order on one device, values every third update, the last segment partly masked.
    few = population.play([matches[6], matches[1]], 10, record_every=3, segment=3)
    for seat in range(2):
        np.testing.assert_allclose(few.final[seat], together.final[seat][[6, 1]], rtol=1e-10, atol=1e-10)
    recorded = together.values[:, [0, 3, 6, 9, 10]]
    np.testing.assert_allclose(few.values, recorded[[6, 1]], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(few.trajectory_mean, together.trajectory_mean[[6, 1]], rtol=1e-10)


def test_draws_differ_between_matches_and_seats_and_depend_on_nothing_else(population):
    game, learners = envs.make("ipd"), [gradient_learner(naive(), 0.5)] * 2
    matches = [population.match(game, learners, number, seed=3) for number in range(8)]
    together = population.initial(matches, devices=2)
    assert len({theta.tobytes() for theta in together[0]}) == 8, "every match starts elsewhere"
    assert not np.any(together[0] == together[1]), "every seat starts elsewhere"
    few = population.initial([matches[6], matches[1]])
    for seat in range(2):
        key = use(learner_key(3, 6, seat), "init")
        own = learners[seat].init(key, key, matches[6].game.policies, seat, None, jnp.float64).theta
        # Drawn in float32, whose last bit may depend on how the program was compiled.
        np.testing.assert_allclose(few[seat], together[seat][[6, 1]], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(few[seat][0], own, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_three_players_of_different_rules_with_their_own_numbers_play_as_they_do_alone(population):
    matches, draw = [], np.random.default_rng(1)
    for number, rule in enumerate([first_order(1.0, 1.0, 1.0), first_order(0.3, 0.0, 2.0)]):
        factor, noise = 1.2 + 0.3 * number, (0.0, 0.1 * number, 0.05)
        game = envs.make("contribution", num_players=3, contribution_factor=factor, noise=noise)
        rules = (naive(), rule, naive())
        learners = [
            gradient_learner(own, 0.2 + 0.3 * seat, initial=values(draw.normal(size=9)))
            for seat, own in enumerate(rules)
        ]
        matches.append(population.match(game, learners, number))
    together = population.play(matches, 10, block=1)
    for k, match in enumerate(matches):
        curve, final = alone(match, 10)
        np.testing.assert_allclose(together.values[k], curve, rtol=1e-10, atol=1e-10)
        for seat in range(3):
            np.testing.assert_allclose(together.final[seat][k], final[seat], rtol=1e-10, atol=1e-10)


def test_streams_are_told_apart_by_seed_match_seat_purpose_and_update():
    @jax.jit
    def bits(seed, match, update):
        keys = [use(learner_key(seed, match, seat), name, update) for seat in range(2) for name in ("init", "update")]
        return jnp.stack([jax.random.bits(key) for key in [*keys, match_key(seed, match, 2)]])

    found = [tuple(np.array(bits(*numbers))) for numbers in np.ndindex(3, 3, 2)]
    learners = {word for row in found for word in row[:-1]}
    assert len(learners) == 3 * 3 * 2 * 4
    assert len({row[-1] for row in found}) == 3 * 3, "a match's own key does not know the update"
    np.testing.assert_array_equal(bits(1, 2, 0), found[1 * 6 + 2 * 2])
