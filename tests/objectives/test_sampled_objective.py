"""Sampled returns and their derivatives against exact ones, and what a batch is.

All of it is about one function, `sampled`, which makes this file longer than others.
"""

from dataclasses import dataclass, fields
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from shaping import envs
from shaping.objectives.exact_matrix import exact
from shaping.objectives.objective import Objective
from shaping.objectives.play_batches import Sampler
from shaping.objectives.sampled_objective import Estimator, EstimatorNumbers, sampled_objective
from shaping.policies import network, tabular, tabular_critic
from shaping.policies.along_trajectories import compare, read
from shaping.rules import first_order, lola
from tests.compiling import quickly
from tests.objectives.enumeration import PROBE

pytestmark = pytest.mark.usefixtures("x64")

GAMMA, SLOW = 0.96, pytest.mark.slow
# What a critic says that knows nothing: no baseline may need a good one.
WRONG = (np.array([-3.0, 1.0, -7.0, 2.0, 0.5]), np.array([4.0, -9.0, 0.3, -2.0, 1.0]))
KINDS = {
    "none": Estimator(baseline="none"),
    "leave_one_out": Estimator(),
    "batch_mean": Estimator(baseline="batch_mean"),
    "critic": Estimator(baseline="critic"),
    "loaded_dice": Estimator("loaded_dice", "critic"),
    "surrogate": Estimator("surrogate"),
}


def ipd(batch, steps, horizon=None):
    """A sampler of tabular policies in the prisoner's dilemma, everybody in its own view."""
    env = envs.make("ipd", discount=GAMMA, horizon=horizon)
    return Sampler(env, (tabular(env.num_states),) * 2, env.default_params, GAMMA, batch, steps)


@dataclass(frozen=True)
class Replayed(Sampler):
    """A sampler that has been played already."""

    played: Any = None

    def play(self, thetas, key, streams=None):
        return self.played


def replayed(sampler, played):
    return Replayed(**{field.name: getattr(sampler, field.name) for field in fields(Sampler)}, played=played)


def objective_of(sampler, kind):
    critics = (tabular_critic(sampler.env.num_states),) * 2 if KINDS[kind].baseline == "critic" else None
    return sampled_objective(sampler, KINDS[kind], critics=critics).within([jnp.asarray(phi) for phi in WRONG])


def exact_objective(steps):
    return exact(envs.make("ipd", discount=GAMMA, horizon=steps), (tabular(5),) * 2)


def probe():
    return [jnp.asarray(theta) for theta in PROBE]


def flat_probe():
    return jnp.concatenate(probe())


def of_flat(objective, player, key=None):
    return lambda flat: objective.of(player, [flat[:5], flat[5:]], key)


def derivatives(function):
    """Gradient [10] and the upper triangle of the Hessian [55] of a function of both players' logits."""
    at, upper = flat_probe(), np.triu_indices(10)
    return jax.grad(function)(at), jax.hessian(function)(at)[upper]


@cache
def exact_derivatives(steps):
    with jax.enable_x64(True):
        return [np.asarray(x) for x in quickly(lambda: derivatives(of_flat(exact_objective(steps), 0)))()]


def estimates(function, repetitions, seed=0):
    """`function(key)` for many keys: [repetitions, ...] of each leaf."""
    keys = jax.random.split(jax.random.key(seed), repetitions)
    return jax.tree.map(np.asarray, quickly(lambda keys: jax.lax.map(function, keys))(keys))


def mean_and_error(rows):
    return rows.mean(axis=0), rows.std(axis=0, ddof=1) / np.sqrt(len(rows))


@pytest.mark.parametrize(
    "kind", ["leave_one_out", "surrogate", *(pytest.param(k, marks=SLOW) for k in ("none", "critic", "loaded_dice"))]
)
def test_gradient_and_hessian_are_the_exact_ones_within_four_standard_errors(kind):
    # Foerster et al. 2018b, theorem 1; Farquhar et al. 2019. A plain surrogate must fail at the second.
    objective = objective_of(ipd(256, 8), kind)
    rows = estimates(lambda key: derivatives(of_flat(objective, 0, key)), 150)
    for order, (found, right) in enumerate(zip(rows, exact_derivatives(8), strict=True)):
        mean, error = mean_and_error(found)
        off = np.abs(mean - right) / np.maximum(error, 1e-9)
        assert np.linalg.norm(error) < 0.25 * np.linalg.norm(right), "there is something to be right about"
        if kind == "surrogate" and order == 1:
            assert off.max() > 20
        else:
            assert off.max() < 4.5


@pytest.mark.parametrize("baseline", ["leave_one_out", "batch_mean"])
def test_small_batches_leave_one_out_is_unbiased_and_their_own_mean_shrinks_derivatives(baseline):
    batch, steps = 2, 3
    objective = objective_of(ipd(batch, steps), baseline)
    function = jax.vmap(lambda key: derivatives(of_flat(objective, 0, key)))
    keys = jax.random.split(jax.random.key(1), (20, 1000))
    rows = quickly(lambda keys: jax.lax.map(function, keys))(keys)
    for found, right in zip(rows, exact_derivatives(steps), strict=True):
        mean, error = mean_and_error(np.asarray(found).reshape(-1, found.shape[-1]))
        shrinks = 1 - 1 / batch if baseline == "batch_mean" else 1
        assert np.all(np.abs(mean - shrinks * right) < 4.5 * np.maximum(error, 1e-9))
        wrong = 1 - 1 / batch if baseline == "leave_one_out" else 1
        assert np.any(np.abs(mean - wrong * right) > 10 * np.maximum(error, 1e-9))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("baseline", "streams", "least"), [("none", 10**5, (0.997, 0.95)), ("batch_mean", 10**4, (0.999, 0.99))]
)
def test_derivatives_at_150_steps_correlate_with_the_exact_ones_as_published(baseline, streams, least):
    # Foerster et al. 2018b, figure 2, has .999 and .97 at 10^5 streams without a baseline, where standard errors of 0.1
    # a coordinate make about .9984 of a gradient.
    objective = objective_of(ipd(1000, 150), baseline)
    at = flat_probe()

    def both(key):
        function = of_flat(objective, 0, key)
        return jax.grad(function)(at), jax.hessian(function)(at)

    gradient, hessian = (rows.mean(0) for rows in estimates(both, streams // 1000, 5))
    right = jax.jit(lambda: both_exact(at))()
    assert np.corrcoef(gradient, right[0])[0, 1] >= least[0]
    assert np.corrcoef(hessian.ravel(), np.ravel(right[1]))[0, 1] >= least[1]


def both_exact(at):
    function = of_flat(exact_objective(150), 0)
    return jax.grad(function)(at), jax.hessian(function)(at)


def test_the_value_is_the_batchs_own_return_whatever_the_estimator():
    sampler, key = ipd(6, 5), jax.random.key(3)
    batch = quickly(sampler.play)(probe(), key)
    again = replayed(sampler, batch)
    found, (_, drawn) = quickly(
        lambda: (
            {kind: objective_of(again, kind)(probe(), key)[0] for kind in KINDS},
            objective_of(sampler, "none")(probe(), key),
        )
    )()
    jax.tree.map(np.testing.assert_array_equal, drawn, batch)
    powers = GAMMA ** np.arange(5)
    expected = np.einsum("t,tbp->p", powers, np.asarray(batch.rewards)) / 6
    for kind, returns in found.items():
        np.testing.assert_allclose(returns, expected, rtol=1e-12, err_msg=kind)


def test_the_same_key_gives_the_same_batch_and_a_stream_does_not_depend_on_how_many_there_are():
    sampler, thetas = ipd(8, 20), probe()
    play = jax.jit(sampler.play, static_argnames="streams")
    first, again, few = (play(thetas, jax.random.key(4), streams=n) for n in (None, None, 3))
    other = play(thetas, jax.random.key(5))
    for one, same, part in zip(*map(jax.tree.leaves, (first, again, few)), strict=True):
        np.testing.assert_array_equal(one, same)
        np.testing.assert_array_equal(one[:, :3], part)
    assert first.streams == 8 and few.streams == 3
    assert np.any(first.actions != other.actions)
    assert len({np.asarray(first.actions[:, b]).tobytes() for b in range(8)}) == 8, "streams differ"


@pytest.mark.parametrize(
    ("kind", "recurrent", "ways"),
    [
        ("leave_one_out", None, [(4, True)]),
        pytest.param("loaded_dice", None, [(2, False), (4, True)], marks=SLOW),
        pytest.param("critic", "gru", [(2, False), (1, True)], marks=SLOW),
        pytest.param("leave_one_out", "gru", [(2, False), (4, True)], marks=SLOW),
    ],
)
def test_slices_and_rematerialising_change_nothing(kind, recurrent, ways):
    env = envs.make("ipd", discount=GAMMA)
    policy = (
        tabular(5)
        if recurrent is None
        else network(env.observation_space, env.action_space, hidden=(), recurrent="gru", units=3)
    )
    sampler = Sampler(env, (policy,) * 2, env.default_params, GAMMA, 8, 4)
    thetas = [policy.init(jax.random.key(seat), jnp.float32(1)) for seat in range(2)]
    flat, unflatten = ravel_pytree(jax.tree.map(lambda x: x.astype(jnp.float64), thetas))
    along = jnp.asarray(np.random.default_rng(0).normal(size=flat.shape))
    critics = (tabular_critic(5),) * 2
    phi = [jnp.asarray(p) for p in WRONG]

    def of(slices, rematerialise):
        estimator = Estimator(KINDS[kind].kind, KINDS[kind].baseline, slices, rematerialise)
        objective = sampled_objective(sampler, estimator, EstimatorNumbers(0.9), critics)

        def function(flat):
            return objective.of(0, unflatten(flat), jax.random.key(7), phi)

        gradient = jax.value_and_grad(function)
        return jax.jvp(gradient, (flat,), (along,))

    (value, slope), (_, curve) = quickly(partial(of, 1, False))()
    assert np.abs(slope).max() > 1e-3 and np.abs(curve).max() > 1e-3
    for slices, rematerialise in ways:
        (v, s), (_, c) = quickly(partial(of, slices, rematerialise))()
        np.testing.assert_allclose(v, value, rtol=1e-12)
        np.testing.assert_allclose(s, slope, rtol=0, atol=1e-12 * max(1, np.abs(slope).max()))
        np.testing.assert_allclose(c, curve, rtol=0, atol=1e-12 * max(1, np.abs(curve).max()))


def test_exact_lola_on_sampled_returns_is_that_on_exact_ones_up_to_the_noise_of_its_inner_step():
    # K = 1, S16: what is left of the bias at 4,096 streams is below 2 %.
    steps, rule = 12, lola("exact", 0.3)
    directions = quickly(jax.vmap(lambda rate: lola("exact", rate).direction(exact_objective(steps), probe(), 0)))
    right, plain = np.asarray(directions(jnp.array([0.3, 0.0])))
    objective = objective_of(ipd(4096, steps), "leave_one_out")
    mean, error = mean_and_error(estimates(lambda key: rule.direction(objective, probe(), 0, key), 40, 2))
    allowed = 0.02 * np.linalg.norm(right)
    assert np.all(np.abs(mean - right) < 4 * error + allowed)
    assert np.linalg.norm(mean - right) < allowed + 4 * np.linalg.norm(error) / np.sqrt(5)
    assert np.linalg.norm(right - plain) > 5 * (4 * np.linalg.norm(error) + allowed), "shaping is seen"


def test_the_shaping_term_of_published_lola_is_the_exact_one_within_monte_carlo_error():
    steps, rule = 6, lola("original", 1.0)

    def term(objective, key=None):
        return rule.shaping(objective, probe(), 0, rule.settings, key)

    right = np.asarray(jax.jit(lambda: term(exact_objective(steps)))())
    objective = objective_of(ipd(4096, steps), "leave_one_out")
    mean, error = mean_and_error(estimates(lambda key: term(objective, key), 40, 3))
    # Both factors are of one batch, which leaves a bias of the order 1 / batch.
    assert np.all(np.abs(mean - right) < 4 * error + 0.01 * np.linalg.norm(right))
    assert np.linalg.norm(error) < 0.03 * np.linalg.norm(right)


@pytest.mark.slow
def test_lola_through_sampled_coins_is_that_through_the_enumerated_chain():
    from shaping.objectives.exact_coin import exact_coin_game
    from shaping.policies import coin_table

    env = envs.make("coin_game", horizon=6)
    policies = tuple(coin_table(env, seat) for seat in range(2))
    thetas = [jnp.asarray(np.random.default_rng(seat).normal(size=policies[0].shapes.shape)) for seat in range(2)]
    game, numbers = exact_coin_game(env, policies, GAMMA)
    objective = sampled_objective(Sampler(env, policies, env.default_params, GAMMA, 1024, 6))
    rate, player = 20.0, 0
    rule = lola("exact", rate)
    right, plain = quickly(
        lambda rates: jax.lax.map(lambda r: lola("exact", r).direction(game.objective(numbers), thetas, player), rates)
    )(jnp.array([rate, 0.0]))
    shaping = right - plain
    draw = np.random.default_rng(9).normal(size=(3, *right.shape))
    onto = jnp.stack([right, shaping, *jnp.asarray(draw)])
    onto = onto / jnp.sqrt(jnp.sum(onto**2, axis=(1, 2), keepdims=True))

    def projected(key):
        return jnp.einsum("kij,ij->k", onto, rule.direction(objective, thetas, player, key))

    mean, error = mean_and_error(estimates(projected, 40, 4))
    expected = np.einsum("kij,ij->k", onto, right)
    assert np.all(np.abs(mean - expected) < 4 * error + 0.02 * np.linalg.norm(right))
    without = np.einsum("kij,ij->k", onto, plain)
    assert np.abs(without - expected)[1] > 10 * (error[1]), "shaping is seen"


def test_reading_a_table_is_reading_the_policy_step_by_step():
    sampler, policy = ipd(6, 7), tabular(5)
    theta, other = (jnp.asarray(p) for p in (PROBE[0], PROBE[1] * 3))
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(2, 7, 6)))

    def both():
        batch = sampler.play(probe(), jax.random.key(0))
        seen, taken = batch.observations[:, :, 0], batch.actions[:, :, 0]

        def fast(theta):
            return jnp.stack(sampler.read(0, theta, batch))

        def slow(theta):
            return jnp.stack(read(policy, theta, seen, taken))

        curves = [jax.hessian(lambda t, one=one: jnp.sum(weights * one(t)))(theta) for one in (fast, slow)]
        apart = sampler.divergence(0, theta, other, batch), jnp.mean(compare(policy, theta, other, seen))
        return (fast(theta), slow(theta)), curves, apart

    pairs = quickly(both)()
    for found, right in pairs:
        np.testing.assert_allclose(found, right, atol=1e-12)
    assert np.abs(pairs[1][0]).max() > 0.1 and pairs[2][0] > 0.01


def test_divergence_is_the_mean_over_visited_states_of_the_old_policys_kl_from_the_new():
    sampler = ipd(5, 9, horizon=4)
    batch = quickly(sampler.play)(probe(), jax.random.key(2))
    new, old = np.asarray(PROBE[1]) * 2, np.asarray(PROBE[0])
    p, q = 1 / (1 + np.exp(-old)), 1 / (1 + np.exp(-new))
    kl = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    visited = np.asarray(batch.observations)[:4, :, 1]
    assert len(np.unique(visited)) == 5
    found = quickly(lambda new, old: sampler.divergence(1, new, old, batch))(new, old)
    np.testing.assert_allclose(found, kl[visited].mean(), rtol=1e-12)
    assert abs(found - kl.mean()) > 1e-3, "states are weighed by visits"


@pytest.mark.parametrize("kind", ["critic", *(pytest.param(k, marks=SLOW) for k in ("leave_one_out", "loaded_dice"))])
def test_nothing_that_comes_after_the_end_of_a_stream_counts(kind):
    long, short = ipd(16, 7, horizon=3), ipd(16, 3, horizon=3)
    batch = jax.jit(long.play)(probe(), jax.random.key(8))
    np.testing.assert_array_equal(batch.running, np.arange(7)[:, None] < np.full(16, 3))
    np.testing.assert_array_equal(batch.rewards[3:], 0)
    log_probabilities, entropies = long.read(0, PROBE[0], batch)
    np.testing.assert_array_equal(log_probabilities[3:], 0)
    np.testing.assert_array_equal(entropies[3:], 0)
    assert np.all(log_probabilities[:3] < 0) and np.all(entropies[:3] > 0)
    if KINDS[kind].baseline == "critic":
        values = objective_of(long, kind).values(1, probe(), batch)
        np.testing.assert_array_equal(values[3:], 0)
        np.testing.assert_allclose(values[:3], WRONG[1][np.asarray(batch.observations)[:3, :, 1]], rtol=1e-12)

    cut = jax.tree.map(lambda leaf: leaf[:3], batch)
    found, right = (
        quickly(lambda sampler=sampler: derivatives(of_flat(objective_of(sampler, kind), 0, jax.random.key(0))))()
        for sampler in (replayed(long, batch), replayed(short, cut))
    )
    for ours, theirs in zip(found, right, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_streams_that_end_early_have_the_returns_of_the_exact_game_of_their_length():
    objective = objective_of(ipd(512, 6, horizon=3), "leave_one_out")

    def one(key):
        function = of_flat(objective, 0, key)
        return function(flat_probe()), jax.grad(function)(flat_probe())

    value, gradient = estimates(one, 200, 6)
    for rows, right in ((value, of_flat(exact_objective(3), 0)(flat_probe())), (gradient, exact_derivatives(3)[0])):
        mean, error = mean_and_error(rows)
        assert np.all(np.abs(mean - np.asarray(right)) < 4.5 * np.maximum(error, 1e-9))


@pytest.mark.parametrize(("kind", "steps"), [("loaded_dice", 4), pytest.param("leave_one_out", 1, marks=SLOW)])
def test_games_of_one_step_have_finite_derivatives_that_see_that_step_alone(kind, steps):
    # With more steps than the game has, everything is terminal from step 1 on.
    sampler = ipd(8, steps, horizon=1)
    thetas = [jnp.asarray([0.3] * sampler.env.num_states), jnp.asarray([-0.6] * sampler.env.num_states)]
    objective = objective_of(sampler, kind)

    def both(thetas):
        function = lambda ts: objective.of(1, ts, jax.random.key(1))  # noqa: E731
        return jax.grad(function)(thetas), jax.hessian(function)(thetas), objective(thetas, jax.random.key(1))

    gradient, hessian, (returns, batch) = quickly(both)(thetas)
    assert np.all(np.isfinite(returns)) and all(np.all(np.isfinite(x)) for x in jax.tree.leaves((gradient, hessian)))
    np.testing.assert_array_equal(batch.running[1:], False)
    assert np.all(batch.running[0]) and not np.any(batch.rewards[1:])
    for theta in gradient:
        assert theta[0] != 0 and not np.any(theta[1:])


def test_a_batch_too_small_slices_that_do_not_divide_and_missing_critics_are_refused():
    with pytest.raises(ValueError, match="^batch is 1; allowed: 2 or more with baseline leave_one_out$"):
        sampled_objective(ipd(1, 2))
    with pytest.raises(ValueError, match="^slices is 3; allowed: a divisor of batch, 8$"):
        sampled_objective(ipd(8, 2), Estimator(slices=3))
    with pytest.raises(ValueError, match="^player 0 has no critic; allowed: one per player with baseline critic$"):
        sampled_objective(ipd(8, 2), Estimator(baseline="critic"))
    with pytest.raises(ValueError, match="^key is None; allowed: a key, as returns are sampled$"):
        sampled_objective(ipd(8, 2))(probe())
    for settings, message in (
        ({"kind": "dise"}, "kind is 'dise'; allowed: dice, loaded_dice, surrogate"),
        ({"baseline": "mean"}, "baseline is 'mean'; allowed: leave_one_out, batch_mean, critic, none"),
        ({"kind": "loaded_dice"}, "baseline is 'leave_one_out'; allowed: critic if kind is loaded_dice"),
        ({"kind": "surrogate", "baseline": "critic"}, "baseline is 'critic'; allowed: leave_one_out, batch_mean"),
    ):
        with pytest.raises(ValueError, match=message):
            Estimator(**settings)
    sampled_objective(ipd(1, 2), Estimator(baseline="none"))


def test_first_order_rules_use_one_batch_and_exact_lola_a_fresh_one_a_step():
    """The keys an objective is asked with are what makes its batches."""
    asked: list[bytes] = []

    def bits(key):
        return np.asarray(jax.random.key_data(key)).tobytes()

    def noted(thetas, key, context):
        asked.append(bits(key))
        return jnp.stack([jnp.sum(thetas[0] * thetas[1]), jnp.sum(thetas[0] - thetas[1])]), None

    watched, key = Objective(noted), jax.random.key(5)
    first_order(1.0, 1.0, 1.0).direction(watched, probe(), 0, key)
    assert set(asked) == {bits(key)}
    asked.clear()
    lola("exact", 1.0, lookaheads=2).direction(watched, probe(), 0, key)
    folded = [bits(jax.random.fold_in(key, k)) for k in range(3)]
    assert set(asked) == set(folded) and len(set(folded)) == 3
