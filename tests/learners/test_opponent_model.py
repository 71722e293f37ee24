"""Models of opponents: what they are fitted to, how they are regularised, and how a learner uses them."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.learners import gradient_learner, values
from shaping.learners.learner import LearnerState
from shaping.learners.opponent_model import error_of, fitted, imagined, opponent_model, start, trust_of
from shaping.objectives.play_batches import Sampler
from shaping.objectives.sampled_objective import sampled_objective
from shaping.policies import tabular
from shaping.rules import lola, named_rules
from tests.compiling import quickly
from tests.objectives.enumeration import PROBE

pytestmark = pytest.mark.usefixtures("x64")

GAMMA = 0.96
POLICIES = (tabular(5),) * 2


@cache
def objective(batch=12, steps=6):
    env = envs.make("ipd", discount=GAMMA)
    return sampled_objective(Sampler(env, POLICIES, env.default_params, GAMMA, batch, steps))


def thetas():
    return [jnp.asarray(theta) for theta in PROBE]


@cache
def player(batch, steps):
    return quickly(objective(batch, steps).sampler.play)


def played(at, number=0):
    return player(at.sampler.batch, at.sampler.horizon)(thetas(), jax.random.key(100 + number))


def begun(settings, at):
    """Of player 0: models of player 1 alone."""
    return start(settings, jax.random.key(0), POLICIES, (0,), at, jnp.float64)


@partial(quickly, static_argnames=("batch", "steps"))
def fit(settings, state, observed, batch=12, steps=6):
    return fitted(settings, state, replace(objective(batch, steps), observed=observed))


def kl(old, new):
    p, q = 1 / (1 + np.exp(-np.asarray(old))), 1 / (1 + np.exp(-np.asarray(new)))
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


def test_a_perfect_model_makes_the_step_of_a_learner_that_knows_the_parameters():
    at, key = objective(), jax.random.key(7)
    observed = played(at)
    rule = lola("exact", 0.5)
    knowing = gradient_learner(rule, 0.5, initial=values(PROBE[0]))
    guessing = gradient_learner(rule, 0.5, initial=values(PROBE[0]), model=opponent_model(rate=0.0, members=2))

    def step(learner, right):
        states = [learner.init(key, key, POLICIES, 0, at, jnp.float64), LearnerState(thetas()[1], None)]
        if right is not None:
            model = states[0].memory.model
            model = model.replace(thetas=(None, jnp.stack([right, right])))
            states[0] = states[0].replace(memory=states[0].memory.replace(model=model))
        return learner.step(key, states, 0, replace(at, observed=observed))[0]

    def all_three():
        other = thetas()[1]
        return step(knowing, None).theta, jax.vmap(lambda right: step(guessing, right))(jnp.stack([other, other + 1]))

    known, both = quickly(all_three)()
    guessed, misled = (jax.tree.map(lambda leaf, i=i: leaf[i], both) for i in range(2))
    np.testing.assert_allclose(guessed.theta, known, rtol=1e-12)
    assert np.abs(misled.theta - known).max() > 1e-3
    assert guessed.memory.model.window.seen == 1 and guessed.memory.model.thetas[0] is None


def test_a_model_knows_what_was_seen_and_done_and_neither_parameters_nor_rewards():
    at, key = objective(), jax.random.key(7)
    observed = played(at)
    learner = gradient_learner(lola("exact", 0.5), 0.5, initial=values(PROBE[0]), model=opponent_model())

    @quickly
    def models(other, observed):
        states = [learner.init(key, key, POLICIES, 0, at, jnp.float64), LearnerState(other, None)]
        return learner.step(key, states, 0, replace(at, observed=observed))[0].memory.model

    plain = models(thetas()[1], observed)
    for other, seen in (
        (thetas()[1] * -5, observed),
        (thetas()[1], observed.replace(rewards=observed.rewards * -3 + 1)),
    ):
        for one, same in zip(*map(jax.tree.leaves, (plain, models(other, seen))), strict=True):
            np.testing.assert_array_equal(one, same)
    flipped = observed.replace(actions=observed.actions.at[:, :, 1].set(1 - observed.actions[:, :, 1]))
    assert np.abs(models(thetas()[1], flipped).thetas[1] - plain.thetas[1]).max() > 0.1
    own = observed.replace(actions=observed.actions.at[:, :, 0].set(1 - observed.actions[:, :, 0]))
    np.testing.assert_array_equal(models(thetas()[1], own).thetas[1], plain.thetas[1])


def test_a_step_of_the_fit_ascends_the_mean_log_likelihood():
    at = objective()
    settings = opponent_model(rate=0.7, first_steps=1, optimizer="sgd")
    state, batch = begun(settings, at), played(at)
    before = np.asarray(state.thetas[1][0])
    seen, taken = np.asarray(batch.observations)[..., 1], np.asarray(batch.actions)[..., 1]
    p = 1 / (1 + np.exp(-before))
    slope = np.array([np.sum((seen == s) * ((taken == 0) - p[s])) for s in range(5)]) / seen.size
    after = fit(settings, state, batch)
    np.testing.assert_allclose(after.thetas[1][0], before + 0.7 * slope, rtol=1e-12)
    assert after.window.seen == 1 and np.abs(slope).max() > 0.01


def test_the_fit_converges_to_the_policy_that_plays():
    at = objective(64, 20)
    settings = opponent_model(rate=0.1, steps=40, first_steps=200, window=3)
    state = begun(settings, at)
    errors, error = [], quickly(lambda state, batch: error_of(state, thetas(), batch, at.sampler))
    for number in range(6):
        batch = played(at, number)
        errors.append(float(error(state, batch)))
        state = fit(settings, state, batch, 64, 20)
    assert errors[0] > 0.05 and errors[-1] < 0.01
    visits = np.bincount(np.asarray(batch.observations)[..., 1].ravel(), minlength=5) / batch.running.size
    expected = np.sum(visits * kl(PROBE[1], state.thetas[1][0]))
    np.testing.assert_allclose(error(state, batch), expected, rtol=1e-10)


def test_a_penalty_bounds_how_far_a_fit_moves():
    at = objective()
    batch, moved = played(at), []

    def unlikely(theta):
        return -jnp.mean(at.sampler.read(1, theta, batch)[0])

    for penalty in (1e-9, 1.0, 10.0):
        settings = opponent_model(rate=0.5, penalty=jnp.asarray(penalty), first_steps=300, optimizer="sgd")
        state = begun(settings, at)
        before, after = state.thetas[1][0], fit(settings, state, batch).thetas[1][0]
        moved.append(float(at.sampler.divergence(1, after, before, batch)))
        # What is gained in likelihood has paid for the way.
        gained = unlikely(before) - unlikely(after)
        assert gained > 0 and penalty * moved[-1] <= gained
    assert moved[0] > 2 * moved[1] > 8 * moved[2] > 0


def test_members_are_fitted_to_streams_of_their_own():
    at = objective()
    settings = opponent_model(members=3, first_steps=5)
    state, batch = begun(settings, at), played(at)
    assert len({np.asarray(member).tobytes() for member in state.thetas[1]}) == 3
    plain = fit(settings, state, batch).thetas[1]
    for member in range(3):
        streams = jnp.arange(12) % 3 == member
        actions = jnp.where(streams[None, :, None], 1 - batch.actions, batch.actions)
        changed = fit(settings, state, batch.replace(actions=actions)).thetas[1]
        differs = np.abs(changed - plain).max(axis=1) > 1e-6
        np.testing.assert_array_equal(differs, np.arange(3) == member)
    assert [np.asarray(t).tolist() for t in imagined(replace_model(state, plain), thetas(), 2)] == [
        thetas()[0].tolist(),
        plain[2].tolist(),
    ]


def test_a_model_that_is_shown_some_streams_knows_those_alone():
    at = objective()
    settings = opponent_model(streams=4, members=2, trust=0.3, first_steps=5)
    state, batch = begun(settings, at), played(at)
    plain = fit(settings, state, batch)
    assert plain.window.entries["actions"].shape == (1, 6, 4, 2)
    for hidden, unchanged in ((slice(4, None), True), (slice(3, None), False)):
        actions = batch.actions.at[:, hidden].set(1 - batch.actions[:, hidden])
        changed = batch.replace(actions=actions, observations=batch.observations.at[:, hidden].set(0))
        found = fit(settings, state, changed)
        assert np.array_equal(found.thetas[1], plain.thetas[1]) == unchanged
        trust = [trust_of(settings, state, replace(at, observed=seen)) for seen in (batch, changed)]
        assert (trust[0] == trust[1]) == unchanged


def replace_model(state, members):
    return state.replace(thetas=(None, members))


def test_trust_is_one_where_members_agree_and_falls_as_they_differ():
    at = objective()
    settings = opponent_model(members=3, trust=0.3)
    state, batch = begun(settings, at), played(at)
    seen = np.asarray(batch.observations)[..., 1]
    same = jnp.stack([thetas()[1]] * 3)
    apart = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5)))
    trust = quickly(lambda members: trust_of(settings, replace_model(state, members), replace(at, observed=batch)))
    levels = [float(trust(same + spread * apart)) for spread in (0.0, 0.1, 0.5, 5.0)]
    assert levels[0] == 1 > levels[1] > levels[2] > levels[3] > 0
    members = np.asarray(same + 0.5 * apart)
    between = np.mean([kl(members[m - 1], members[m])[seen].mean() for m in range(3)])
    np.testing.assert_allclose(levels[2], np.exp(-between / 0.3), rtol=1e-10)
    assert trust_of(opponent_model(members=3), replace_model(state, apart), replace(at, observed=batch)) == 1


def test_a_learner_looks_ahead_as_far_as_it_trusts_and_averages_over_members():
    at, key = objective(), jax.random.key(7)
    observed = played(at)
    members = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5)))
    settings = opponent_model(rate=0.0, members=2, trust=1.0)

    def moved():
        learner = gradient_learner(lola("exact", 0.8), 0.5, initial=values(PROBE[0]), model=settings)
        states = [learner.init(key, key, POLICIES, 0, at, jnp.float64), LearnerState(thetas()[1], None)]
        model = replace_model(states[0].memory.model, members)
        states[0] = states[0].replace(memory=states[0].memory.replace(model=model))
        seeing = replace(at, observed=observed)
        trust = trust_of(settings, model, seeing)
        new = learner.step(key, states, 0, seeing)[0].theta
        slow = lola("exact", 0.8 * trust)
        each = jax.vmap(lambda member: slow.direction(at, [thetas()[0], member], 0, key))(members)
        return new - thetas()[0], 0.5 * jnp.mean(each, axis=0), trust

    found, expected, trust = quickly(moved)()
    assert 0.1 < trust < 0.95
    np.testing.assert_allclose(found, expected, rtol=1e-9)


ANTICIPATING = {name: make for name, make in named_rules().items() if make().anticipates and make().prepare is None}


# How a rule is slowed does not depend on it; one of them shows that it is.
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "lookahead" else pytest.mark.slow) for name in ANTICIPATING],
)
def test_trust_slows_every_rule_that_imagines_a_step(name):
    at, key = objective(4, 3), jax.random.key(7)
    observed = played(at)
    members = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5)))
    rule = ANTICIPATING[name](**({"max_iterations": 2} if name == "pola" else {}))

    def after(trust):
        model = opponent_model(rate=0.0, members=2).replace(trust=trust)
        learner = gradient_learner(rule, 0.5, initial=values(PROBE[0]), model=model)
        states = [learner.init(key, key, POLICIES, 0, at, jnp.float64), LearnerState(thetas()[1], None)]
        known = replace_model(states[0].memory.model, members)
        states[0] = states[0].replace(memory=states[0].memory.replace(model=known))
        return learner.step(key, states, 0, replace(at, observed=observed))[0].theta

    found = quickly(jax.vmap(after))(jnp.array([1e6, 1.0, 1e-6]))
    apart = np.abs(found[:-1] - found[1:]).max(axis=1)
    assert np.all(np.isfinite(found)) and np.all(apart > 1e-6), apart


def test_the_window_keeps_the_last_batches_and_forgets_older_ones():
    at = objective()
    batches = [played(at, number) for number in range(4)]
    settings = opponent_model(window=2, steps=3, first_steps=3)

    def after(order):
        """Models of one start, fitted to what a window holds after these batches."""
        fresh = begun(settings, at)
        state = fresh
        for number in order:
            before = state.replace(thetas=fresh.thetas, optimizers=fresh.optimizers)
            state = fit(settings, before, batches[number])
        return state

    state = after([0, 1, 2])
    assert state.window.seen == 3
    np.testing.assert_array_equal(state.window.entries["actions"][0], batches[2].actions)
    np.testing.assert_array_equal(state.window.entries["actions"][1], batches[1].actions)
    np.testing.assert_array_equal(after([3, 1, 2]).thetas[1], state.thetas[1])
    assert np.abs(after([0, 3, 2]).thetas[1] - state.thetas[1]).max() > 1e-4
    # What it does not hold yet weighs nothing.
    alone = opponent_model(window=1, steps=3, first_steps=3)
    np.testing.assert_allclose(after([0]).thetas[1], fit(alone, begun(alone, at), batches[0]).thetas[1], rtol=1e-12)


def test_settings_out_of_range_are_refused():
    for settings, message in (
        ({"members": 0}, "members is 0; allowed: an integer, at least 1"),
        ({"window": 0}, "window is 0; allowed: an integer, at least 1"),
        ({"steps": 0}, "steps is 0; allowed: an integer, at least 1"),
        ({"members": 2, "streams": 1}, "streams is 1: must be at least 2, one for every member"),
        ({"trust": 1.0}, "members is 1: must be at least 2, because trust rests on whether members agree"),
    ):
        with pytest.raises(ValueError, match=message):
            opponent_model(**settings)
