"""Matches with sampled returns: independent of each other, measured when recorded, frozen when they diverge."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.learners import Common, a2c, gradient_learner, values
from shaping.learners.critic import critic
from shaping.learners.learner import Learner, LearnerState
from shaping.learners.opponent_model import opponent_model
from shaping.policies import tabular, tabular_critic
from shaping.population import match as single
from shaping.population.match import Match
from shaping.rules import Rule, lola, naive
from shaping.rules.first_order import lookahead
from tests.compiling import quickly


@cache
def game(batch=4, horizon=3):
    with jax.enable_x64(True):
        env = envs.make("ipd", discount=0.9)
        return shaping.sampled(env, (tabular(5),) * 2, batch, horizon, critics=(tabular_critic(5),) * 2)


def match(number, learners, size=(4, 3)):
    form, numbers = game(*size)
    return Match(np.int32(0), np.int32(number), numbers, tuple(learners), form)


def shaper(step_size, rate):
    model = opponent_model(rate=0.1, members=2, trust=0.5, window=2, steps=2, first_steps=3)
    return gradient_learner(lookahead(rate), step_size, model=model)


def climber(step_size):
    own = critic((None, tabular_critic(5)), rate=0.2)
    return a2c(common=Common(step_size, critic=own))


def plain(step_size, rate=None):
    return gradient_learner(naive(), step_size)


@pytest.mark.parametrize(
    ("first", "second"),
    [(plain, plain), pytest.param(shaper, climber, marks=pytest.mark.slow)],
    ids=["plain", "fitted"],
)
def test_a_match_is_what_it_is_alone_however_many_run_beside_it_and_however_they_are_cut(population, first, second):
    with jax.enable_x64(True):
        matches = [match(n, [first(0.5 + n, 1.0 + n), second(0.5)]) for n in range(4)]
        together = population.play(matches, 4, block=4)
        # Each alone on a device of its own, and in two segments.
        some = [2, 1]
        alone = population.play([matches[n] for n in some], 4, record_every=2, segment=1, block=1, devices=2)
    assert len({theta.tobytes() for theta in together.final[0]}) == 4
    assert np.all(np.isfinite(together.values)) and np.all(together.diverged_at == -1)
    for seat in range(2):
        np.testing.assert_allclose(alone.final[seat], together.final[seat][some], atol=1e-9)
        assert np.abs(together.final[seat] - together.initial[seat]).max() > 1e-2
    np.testing.assert_allclose(alone.values, together.values[some][:, ::2], atol=1e-9)
    # Means are over what was recorded, the initial value not among it.
    np.testing.assert_allclose(together.trajectory_mean, together.values[:, 1:].mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(alone.trajectory_mean, alone.values[:, 1:].mean(axis=1), atol=1e-12)


def begin(settings, key, common, policies, player, objective, dtype):
    return LearnerState(jnp.full(5, 0.5 + player, dtype), None)


def grow(settings, key, states, player, objective):
    return LearnerState(states[player].theta * settings, None), {}


def grower(factor):
    """A learner whose parameters grow by a factor an update, so that it is known when they overflow."""
    return Learner(factor, begin, grow)


@pytest.mark.parametrize("segment", [1, pytest.param(6, marks=pytest.mark.slow)])
def test_a_match_that_bursts_is_dated_and_frozen_and_leaves_the_others_alone(segment, population):
    factors = [1.1, 1e13, 0.9, 1e20]  # float32 ends at 3.4e38
    matches = [match(number, [grower(np.float64(factor))] * 2) for number, factor in enumerate(factors)]
    found = population.play(matches, 6, segment=segment, dtype=np.float32)
    np.testing.assert_array_equal(found.diverged_at, [-1, 3, -1, 2])
    for place, at in ((1, 3), (3, 2)):
        assert np.all(np.isfinite(found.values[place, :at])) and np.all(np.isnan(found.values[place, at:]))
        assert np.all(np.isnan(found.trajectory_mean[place]))
    np.testing.assert_allclose(found.final[0][:, 0], [0.5 * 1.1**6, 0.5e26, 0.5 * 0.9**6, 0.5e20], rtol=1e-5)
    calm = population.play([matches[0], matches[0], matches[2], matches[2]], 6, segment=segment, dtype=np.float32)
    np.testing.assert_array_equal(found.values[[0, 2]], calm.values[[0, 2]])
    np.testing.assert_array_equal(found.final[1][[0, 2]], calm.final[1][[0, 2]])


def saturated_starts():
    """Certain policies of both players, and policies certain by far."""
    tft = np.array([1.0, 1.0, -1.0, 1.0, -1.0])
    return [(60 * tft, 60 * tft), (60 * np.ones(5), -60 * tft), (1e4 * tft, -1e4 * np.ones(5)), (-1e4 * tft, 0 * tft)]


def test_an_update_from_certain_policies_is_finite_and_one_that_looks_too_far_ahead_is_not():
    def learners(starts, step_size=0.5, rate=1.0):
        return [gradient_learner(lola("original", rate), step_size, initial=values(theta)) for theta in starts]

    plain = np.random.default_rng(1).normal(size=(2, 5))
    everybody = [learners(starts) for starts in saturated_starts()] + [learners(plain), learners(plain, 1e30, 1e30)]
    matches = [match(number, own) for number, own in enumerate(everybody)]

    @quickly
    @jax.vmap
    def updated(match):
        return [own.theta for own in single.moved(match, single.start(match, jnp.float32).learners, jnp.int32(0))]

    def stacked(*leaves):
        array = np.stack(leaves)
        return array.astype(np.float32 if array.dtype.kind == "f" else np.int32)

    found = np.stack(updated(jax.tree.map(stacked, *matches)), axis=1)
    assert np.isfinite(found).all(axis=(1, 2)).tolist() == [True] * 5 + [False]
    assert np.any(found[4] != plain.astype(np.float32))


@pytest.mark.slow
def test_a_lookahead_that_explodes_ends_a_match_before_its_first_update(population):
    def learners(number, step_size=0.5, rate=1.0):
        starts = np.random.default_rng(number).normal(size=(2, 5))
        return [gradient_learner(lola("original", rate), step_size, initial=values(theta)) for theta in starts]

    calm = [match(number, learners(number)) for number in range(4)]
    wild = match(1, learners(1, 1e30, 1e30))
    without = population.play(calm, 3, dtype=np.float32)
    with_it = population.play([calm[0], wild, *calm[2:]], 3, dtype=np.float32)
    np.testing.assert_array_equal(with_it.diverged_at, [-1, 1, -1, -1])
    assert np.all(np.isfinite(with_it.values[1, 0])) and np.all(np.isnan(with_it.values[1, 1:]))
    np.testing.assert_array_equal(with_it.values[[0, 2, 3]], without.values[[0, 2, 3]])
    for seat in range(2):
        np.testing.assert_array_equal(with_it.final[seat][1], with_it.initial[seat][1])
        np.testing.assert_array_equal(with_it.final[seat][[0, 2, 3]], without.final[seat][[0, 2, 3]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fitted", "dtype"),
    # Players of the first case are of the same program as in the test above.
    [(False, "float32"), (True, "float32"), (True, "float64")],
)
def test_saturated_policies_stay_finite(population, fitted, dtype):
    """Where the others' policies and values are known, and where models and critics are fitted to what is played."""
    model = opponent_model(rate=0.1, steps=2, first_steps=2)
    matches = []
    for number, (one, other) in enumerate(saturated_starts()):
        if fitted:
            shaping_player = gradient_learner(lola("exact", 1.0), 0.5, initial=values(one), model=model)
            own = critic((tabular_critic(5),) * 2)
            other_player = gradient_learner(naive(), 0.5, initial=values(other), critic=own)
        else:
            shaping_player, other_player = (
                gradient_learner(lola("original", 1.0), 0.5, initial=values(theta)) for theta in (one, other)
            )
        matches.append(match(number, [shaping_player, other_player]))
    with jax.enable_x64(dtype == "float64"):
        found = population.play(matches, 3, dtype=np.dtype(dtype))
    np.testing.assert_array_equal(found.diverged_at, -1)
    assert np.all(np.isfinite(found.values)) and all(np.all(np.isfinite(theta)) for theta in found.final)
    # Cooperators that are certain of it earn what mutual cooperation earns.
    np.testing.assert_allclose(found.values[0], -(1 - 0.9**3), rtol=1e-5)


def along_itself(objective, thetas, player, settings, key):
    return settings * thetas[player]


@cache
def trained(updates, record_every=1):
    form, numbers = game()
    players = gradient_learner(Rule(-0.3, along_itself), 1.0)
    return shaping.train(form, players, 3, updates, record_every=record_every, parameters=numbers, precision="float64")


@pytest.mark.parametrize(
    ("updates", "record_every", "recorded"),
    [
        (5, 3, [0, 3, 5]),
        pytest.param(0, 1, [0], marks=pytest.mark.slow),
        pytest.param(5, 100, [0, 5], marks=pytest.mark.slow),
    ],
)
def test_values_are_recorded_before_the_first_update_at_intervals_and_after_the_last(updates, record_every, recorded):
    every, some = trained(5), trained(updates, record_every)
    for found, rows in ((every, [0, 1, 2, 3, 4, 5]), (some, recorded)):
        assert found["update"].values.tolist() == rows
        np.testing.assert_allclose(found["value"], every["value"].sel(update=rows), atol=1e-12)
        mean = found["value"].sel(update=rows[1:] or [0]).mean("update")
        np.testing.assert_allclose(found["value_trajectory_mean"], mean, atol=1e-12)
    np.testing.assert_allclose(some["theta_final"], every["theta_final"] if updates else every["theta_initial"])
    np.testing.assert_allclose(every["theta_final"], 0.7**5 * every["theta_initial"], rtol=1e-12)
    assert np.unique(every["value"].values).size > 30, "every measurement plays anew"


def test_a_measurement_is_of_the_policies_at_that_update():
    found = trained(5)
    form, numbers = game()
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), 500)
        rows = jax.jit(lambda ts: jax.lax.map(lambda key: form.evaluate(numbers, ts, key)["value"], keys))
        env = envs.make("ipd", discount=0.9, horizon=3)
        for update, name in ((0, "theta_initial"), (5, "theta_final")):
            thetas = [jnp.asarray(found[name].isel(player=seat).values[0]) for seat in range(2)]
            expected = 0.1 * np.asarray(shaping.exact(env, form.policies)(thetas)[0])
            drawn = rows(thetas)
            spread = np.std(drawn, axis=0)
            assert np.all(np.abs(np.mean(drawn, axis=0) - expected) < 4 * spread / np.sqrt(500))
            assert np.all(np.abs(found["value"].sel(update=update).values[0] - expected) < 4 * spread)
